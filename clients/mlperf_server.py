"""MLPerf's load generator in the Server scenario: Poisson arrivals at a rate, and a bound on the 99th percentile of latency."""

import argparse
import http.client
import json
import queue
import tempfile
import threading
from pathlib import Path

import mlperf_loadgen as loadgen
import numpy as np
from calls import Calls, run

RATE = 50.0
BOUND_MS = 200
SECONDS = 15
SAMPLES = 64
CLIENTS = 8


class Model:
    """The SuperNet, asked by a few threads with a connection each."""

    def __init__(self, address: str, model: str) -> None:
        self._address = address
        self._path = f"/v2/models/{model}/infer"
        self._body, self._length = self._request(model)
        self._queue: queue.Queue = queue.Queue()
        self.refused: list[str] = []
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def issue(self, samples: list) -> None:
        """What LoadGen calls with new queries."""
        for sample in samples:
            self._queue.put(sample.id)

    def flush(self) -> None:
        """What LoadGen calls at the end; nothing is held back."""

    def close(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _request(self, model: str) -> tuple[bytes, int]:
        connection = http.client.HTTPConnection(self._address)
        connection.request("GET", f"/v2/models/{model}")
        told = json.loads(connection.getresponse().read())["inputs"][0]
        connection.close()
        shape = [1 if size < 0 else size for size in told["shape"]]
        raw = np.zeros(shape, {"FP32": np.float32, "INT64": np.int64, "UINT8": np.uint8}[told["datatype"]]).tobytes()
        tensor = {"name": told["name"], "shape": shape, "datatype": told["datatype"], "parameters": {"binary_data_size": len(raw)}}
        head = json.dumps({"inputs": [tensor], "parameters": {"slo_us": 1000 * BOUND_MS}}).encode()
        return head + raw, len(head)

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._address)
        headers = {"Inference-Header-Content-Length": str(self._length)}
        while (id := self._queue.get()) is not None:
            connection.request("POST", self._path, self._body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                self.refused.append(f"{answer.status} {said[:100]!r}")
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(id, 0, 0)])
        connection.close()


def settings() -> loadgen.TestSettings:
    """The Server scenario."""
    made = loadgen.TestSettings()
    made.scenario = loadgen.TestScenario.Server
    made.mode = loadgen.TestMode.PerformanceOnly
    made.server_target_qps = RATE
    made.server_target_latency_ns = BOUND_MS * 1_000_000
    made.server_target_latency_percentile = 0.99
    made.min_duration_ms = SECONDS * 1000
    made.min_query_count = int(RATE * SECONDS)
    return made


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """A valid result, with every query answered."""
    with (
        calls.call(f"the Server scenario at {RATE:g} queries/s, 99 % within {BOUND_MS} ms: VALID"),
        tempfile.TemporaryDirectory() as folder,
    ):
        model = Model(asked.http, asked.model)
        logs = loadgen.LogSettings()
        logs.log_output.outdir = folder
        logs.log_output.copy_summary_to_stdout = False
        logs.enable_trace = False
        library = loadgen.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
        system = loadgen.ConstructSUT(model.issue, model.flush)
        loadgen.StartTestWithLogSettings(system, library, settings(), logs)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
        model.close()
        summary = (Path(folder) / "mlperf_log_summary.txt").read_text()
        print("\n".join(line for line in summary.splitlines() if line.startswith(("Result", "Completed", "99.00", "Scheduled"))))
        assert not model.refused, f"{len(model.refused)} refused, the first: {model.refused[0]}"
        assert "Result is : VALID" in summary, summary[:600]


if __name__ == "__main__":
    run(suite)
