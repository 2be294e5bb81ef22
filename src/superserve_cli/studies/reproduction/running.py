"""Run what is missing of the paper's experiments, on all cores, and keep every cell as soon as it is there."""

import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context

from superserve_cli import policies
from superserve_cli.core.nouns import Progress
from superserve_cli.engine.simulator import warm_up
from superserve_cli.studies.reproduction.asked import SECONDS, Asked, loaded
from superserve_cli.studies.reproduction.cells import Cell, Store
from superserve_cli.studies.reproduction.experiments import FASTEST, Experiment
from superserve_cli.studies.reproduction.work import Job, work


def specs(experiment: Experiment, profile: str) -> list[str]:
    """The policies of an experiment on a profile, by name."""
    served = loaded(profile)
    return [spec.replace(FASTEST, served.subnets[0]) for spec in experiment.policies] or [policy.name for policy in policies.every(served)]


def jobs(asked: Asked, done: Store) -> list[Job]:
    """What is still to be simulated, the longest first."""
    found = []
    for experiment in asked.experiments:
        for name in dict.fromkeys(profile for profile, _ in asked.pairs()):
            services = [service for profile, service in asked.pairs() if profile == name]
            rules = [(spec, late, service) for spec in specs(experiment, name) for late in asked.late for service in services]
            for workload in experiment.workloads:
                for seed in range(asked.seeds):
                    key = (experiment.name, workload.label, name)
                    pending = tuple(r for r in rules if (*key, r[2], r[1], r[0], str(seed)) not in done.cells)
                    scaled = replace(workload, seconds=workload.seconds * asked.seconds / SECONDS)
                    found.append(Job(experiment.name, scaled, experiment.search, name, seed, asked.azure, pending))
    return sorted((job for job in found if job.pending), key=lambda job: -job.cost)


def run(asked: Asked, store: Store, processes: int, progress: Progress) -> None:
    """Simulate every cell that the store lacks, and put it there."""
    pending, began = jobs(asked, store), time.perf_counter()
    total, done, requests, processes = sum(len(job.pending) for job in pending), 0, 0, min(processes, len(pending))
    progress(0, total, "")
    try:
        for cells in _worked(pending, processes):
            store.add(cells)
            done, requests = done + len(cells), requests + sum(cell.requests for cell in cells)
            progress(done, total, f"{cells[0].experiment}, {cells[0].profile}")
    finally:
        if done:
            store.ran({"cells": done, "requests": requests, "wall_s": time.perf_counter() - began, "processes": processes})


def _worked(pending: Sequence[Job], processes: int) -> Iterator[list[Cell]]:
    """The cells of each job, in the order in which they finish. Tables and control loops are Python: threads would wait for each other."""
    if processes <= 1:
        yield from map(work, pending)
        return
    warm_up()  # once, so that the others find the compiled simulator on disk
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            for future in as_completed([pool.submit(work, job) for job in pending]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def asked_cells(asked: Asked, store: Store) -> list[Cell]:
    """The cells of the store that were asked for."""
    names, pairs = {experiment.name for experiment in asked.experiments}, set(asked.pairs())
    return [
        cell
        for cell in store.cells.values()
        if cell.experiment in names and (cell.profile, cell.service) in pairs and cell.late in asked.late and cell.seed < asked.seeds
    ]
