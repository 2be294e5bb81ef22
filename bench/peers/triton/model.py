"""What Triton's Python back end runs: a batch of requests of one row each, as its dynamic batcher has gathered them."""

import json

import common
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The hooks of the Python back end."""

    def initialize(self, args):
        told = {name: each["string_value"] for name, each in json.loads(args["model_config"])["parameters"].items()}
        self.model = common.Model(told["model"], int(told["threads"]), int(told["max_batch"]))

    def execute(self, requests):
        batch = np.concatenate([pb_utils.get_input_tensor_by_name(each, self.model.input.name).as_numpy() for each in requests])
        outputs = self.model(batch)
        name = self.model.output.name
        return [pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[i : i + 1])]) for i in range(len(requests))]
