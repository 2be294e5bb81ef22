"""How long it takes a worker to find what runs a subnet: on a resident SuperNet a look-up, where others load a model."""

from superserve_cli.core.nouns import Worker
from superserve_cli.serving.workers.turns import UNSEEN


def actuation_ns(worker: Worker, job_ns: int) -> int:
    """From the arrival of the last job to the choice of the program, graph or session of its subnet.

    A worker says when it chose in `chosen_ns`, by the machine's monotonic clock; UNSEEN of one that does not.
    """
    chosen_ns: int | None = getattr(worker, "chosen_ns", None)
    return UNSEEN if chosen_ns is None else chosen_ns - job_ns
