import socket
import subprocess
import sys
from typing import Final

STDERR: Final = 2


def launch(memory: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A worker process over some shared memory, and the socket to talk to it, which does not block; raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-P", "-m", "superserve_cli.serving.workers.child", str(theirs.fileno()), str(memory)]
        try:
            # a group of its own: Ctrl-C is for the router, which first answers what is queued; its stdout is data
            process = subprocess.Popen(command, pass_fds=(theirs.fileno(), memory), stdout=STDERR, process_group=0)
        except OSError:
            ours.close()
            raise
    ours.setblocking(False)
    return process, ours
