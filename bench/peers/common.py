"""What the peers' applications share: their options, the model, and as much of the Open Inference Protocol as they do not bring themselves.

They run in virtual environments of their own, without superserve: numpy and onnxruntime are all that this file needs.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime

NAME = "m"
BINARY = "application/octet-stream"
WAIT_S = 0.005
"""How long a batch may wait to be filled: a tenth of the SLO, with which each of them needed less CPU per request than with a fiftieth."""
DROPPED = b'{"error":"dropped: the deadline could not be met"}'


def options():
    """What every peer is told; the same for all, and the same that superserve's own server is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument(
        "--least-us", type=int, default=0, help="the planned time of a batch of one: with less time left a request is dropped"
    )
    return parser.parse_args()


class Model:
    """An ONNX model with one input (n, ...) and one output (n, classes), run with as many threads as told."""

    def __init__(self, path, threads, max_batch):
        opened = onnxruntime.SessionOptions()
        opened.intra_op_num_threads = threads
        opened.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, opened, providers=["CPUExecutionProvider"])
        (self.input,), (self.output,) = self._session.get_inputs(), self._session.get_outputs()
        self.shape, self.classes = self.input.shape[1:], self.output.shape[1]
        self.row_bytes = 4 * int(np.prod(self.shape))
        for rows in (1, max_batch):
            self(np.zeros((rows, *self.shape), np.float32))

    def __call__(self, batch):
        """Outputs (n, classes) of inputs (n, ...)."""
        return self._session.run([self.output.name], {self.input.name: batch})[0]

    def rows(self, tensors):
        """Raw tensors of one row each as a batch."""
        return np.frombuffer(b"".join(tensors), np.float32).reshape(len(tensors), *self.shape)

    def in_time(self, batch, deadlines, least_s):
        """The output of each row, None where too little time is left to run it even alone."""
        now = time.monotonic()
        kept = [i for i, deadline in enumerate(deadlines) if deadline - now >= least_s]
        outputs = [None] * len(deadlines)
        if kept:
            for i, row in zip(kept, self(batch if len(kept) == len(deadlines) else batch[kept]), strict=True):
                outputs[i] = row
        return outputs


def server_metadata():
    """GET /v2 of a server that takes binary tensors."""
    return {"name": NAME, "version": "", "extensions": ["binary_tensor_data"]}


def model_metadata(model):
    """GET /v2/models/m."""
    return {
        "name": NAME,
        "versions": ["1"],
        "platform": "onnxruntime",
        "inputs": [{"name": model.input.name, "datatype": "FP32", "shape": [-1, *model.shape]}],
        "outputs": [{"name": model.output.name, "datatype": "FP32", "shape": [-1, model.classes]}],
    }


def asked(body, row_bytes, since=None):
    """(the raw tensor, the time at which the answer is due) of an infer request with one row in binary form, there since now or `since`."""
    left_s = json.loads(body[:-row_bytes])["parameters"]["timeout"] / 1e6
    return body[-row_bytes:], (time.monotonic() if since is None else since) + left_s


def answer(output_name, row):
    """(body, length of its JSON) that answers one row."""
    tensor = row.tobytes()
    head = (
        f'{{"model_name":"{NAME}","outputs":[{{"name":"{output_name}","datatype":"FP32","shape":[1,{len(row)}],'
        f'"parameters":{{"binary_data_size":{len(tensor)}}}}}]}}'
    ).encode()
    return head + tensor, len(head)
