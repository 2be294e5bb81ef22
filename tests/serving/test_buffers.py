import numpy as np

from superserve_cli.serving.buffers import Buffers


def test_memory_is_used_again_only_when_nobody_looks_at_it() -> None:
    buffers = Buffers()
    first = buffers.take(1000)
    first[:3] = b"abc"
    rows = np.frombuffer(first, np.uint8, 3)
    del first
    for _ in range(10):
        buffers.take(1000)[:3] = b"xyz"
    assert rows.tobytes() == b"abc"
    at = rows.ctypes.data
    del rows
    again = {np.frombuffer(buffers.take(1000), np.uint8).ctypes.data for _ in range(10)}
    assert at in again
    assert len(again) == 2


def test_no_more_is_kept_than_may_be() -> None:
    buffers = Buffers(most_bytes=4096)
    held = [buffers.take(1024) for _ in range(10)]
    addresses = {np.frombuffer(one, np.uint8).ctypes.data for one in held}
    assert len(addresses) == 10
    assert [len(one) for one in held] == [1024] * 10
