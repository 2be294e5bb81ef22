"""`python -m superserve_cli.serving.load.child FD`: one of several sending processes, led over the socket of that number."""

import sys

from superserve_cli.serving.load.processes import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]))
