"""How late a timer of this machine is: `python timer.py SECONDS` prints the 99th percentile in milliseconds. Imports nothing of ours."""

import sys
import time

STEP_NS = 1_000_000


def main(seconds: float) -> None:
    """Wake at every millisecond, and note by how much too late."""
    late_ns = []
    due_ns = time.monotonic_ns()
    end_ns = due_ns + round(seconds * 1e9)
    while due_ns < end_ns:
        due_ns += STEP_NS
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        late_ns.append(time.monotonic_ns() - due_ns)
    late_ns.sort()
    sys.stdout.write(f"{late_ns[len(late_ns) * 99 // 100] / 1e6}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
