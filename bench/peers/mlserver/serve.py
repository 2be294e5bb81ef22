"""The model behind MLServer: its adaptive batching, inference in its own process (its pool would add a pickled queue each way).

Its REST front end takes tensors as JSON only, which MLServer parses with orjson. MLServer hands a batch function one merged request,
in which the parameters of the requests overwrite each other and those of the inputs are joined: so the deadline travels with the input.
"""

import asyncio
import time
from contextlib import suppress
from math import isnan

import common
import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings, types
from mlserver.codecs import NumpyCodec
from mlserver.errors import MLServerError, ModelNotFound
from mlserver.settings import ModelParameters
from mlserver.utils import install_uvloop_event_loop

GATEWAY_TIMEOUT = 504


class Served(MLModel):
    """A batch is one merged request; what is dropped of it is answered with NaN, and that by `timed` with an error."""

    async def load(self):
        chosen = self.settings.parameters.extra
        self._model = common.Model(chosen["model"], chosen["threads"], chosen["max_batch"])
        self._least_s = chosen["least_us"] / 1e6
        return True

    async def predict(self, payload):
        (tensor,) = payload.inputs
        batch = NumpyCodec.decode_input(tensor).astype(np.float32, copy=False)
        due = tensor.parameters.due
        outputs = self._model.in_time(batch, due if isinstance(due, list) else [due], self._least_s)
        nothing = np.full(self._model.classes, np.nan, np.float32)
        rows = np.stack([nothing if row is None else row for row in outputs])
        return types.InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output(self._model.output.name, rows)])


def timed(batched):
    """`predict`, as MLServer calls it for each request, with the deadline where the batch function finds it."""

    async def predict(payload):
        tensor = payload.inputs[0]
        tensor.parameters = types.Parameters(due=time.monotonic() + payload.parameters.timeout / 1e6)
        answer = await batched(payload)
        first = answer.outputs[0].data[0]
        if first is None or isnan(first):  # its codec may have turned NaN into null
            raise MLServerError("dropped: the deadline could not be met", GATEWAY_TIMEOUT)
        return answer

    return predict


async def serve(chosen):
    """Run until SIGTERM."""
    model = common.Model(chosen.model, chosen.threads, 1)
    tensors = common.model_metadata(model)
    settings = Settings(host="127.0.0.1", http_port=chosen.port, grpc_port=0, metrics_endpoint=None, parallel_workers=0, debug=False)
    told = {"model": str(chosen.model), "threads": chosen.threads, "max_batch": chosen.max_batch, "least_us": chosen.least_us}
    of_model = ModelSettings(
        name=common.NAME,
        implementation=Served,
        max_batch_size=chosen.max_batch,
        max_batch_time=common.WAIT_S,
        inputs=[types.MetadataTensor(**tensor) for tensor in tensors["inputs"]],
        outputs=[types.MetadataTensor(**tensor) for tensor in tensors["outputs"]],
        parameters=ModelParameters(extra=told),
    )
    server = MLServer(settings)
    serving = asyncio.create_task(server.start([of_model]))
    loaded = await ready(server)
    loaded.predict = timed(loaded.predict)
    await serving


async def ready(server):
    """The model, once MLServer has loaded it and put its batching around it."""
    while True:
        with suppress(ModelNotFound):
            loaded = await server._model_registry.get_model(common.NAME)
            if loaded.ready:
                return loaded
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    install_uvloop_event_loop()
    asyncio.run(serve(common.options()))
