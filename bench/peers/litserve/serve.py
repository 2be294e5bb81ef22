"""The model behind LitServe: one API server, one inference process, ZeroMQ for the answers, raw bodies with binary tensors."""

import struct
import time
from typing import Annotated

import common
import litserve
from fastapi import Body
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator

STAMP = struct.Struct("<d")

# LitServe decodes a request when it makes a batch of it; how long it has waited until then is known by the time written before it here
Stamped = Annotated[bytes, Body(media_type=common.BINARY), AfterValidator(lambda body: STAMP.pack(time.monotonic()) + body)]


class Api(litserve.LitAPI):
    """The hooks of LitServe in the order in which it calls them."""

    def __init__(self, chosen):
        super().__init__(max_batch_size=chosen.max_batch, batch_timeout=common.WAIT_S, api_path=f"/v2/models/{common.NAME}/infer")
        self.chosen = chosen

    def setup(self, device):
        self.model = common.Model(self.chosen.model, self.chosen.threads, self.chosen.max_batch)

    def decode_request(self, request: Stamped):
        return common.asked(request[STAMP.size :], self.model.row_bytes, *STAMP.unpack_from(request))

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        tensors, deadlines = zip(*inputs, strict=True)
        return self.model.in_time(self.model.rows(tensors), deadlines, self.chosen.least_us / 1e6)

    def unbatch(self, outputs):
        return outputs

    def encode_response(self, output) -> Response:
        if output is None:
            return Response(common.DROPPED, 504)
        body, length = common.answer(self.model.output.name, output)
        return Response(body, headers={"Inference-Header-Content-Length": str(length)}, media_type=common.BINARY)


def serve(chosen):
    """Run until SIGTERM."""
    server = litserve.LitServer(Api(chosen), accelerator="cpu", workers_per_device=1, fast_queue=True)
    metadata = common.model_metadata(common.Model(chosen.model, chosen.threads, 1))
    for path, said in (("/v2", common.server_metadata()), ("/v2/health/ready", {"ready": True}), (f"/v2/models/{common.NAME}", metadata)):
        server.app.add_api_route(path, lambda said=said: JSONResponse(said))
    listed = {"models": [common.NAME]}
    server.app.add_api_route("/v2/models", lambda: JSONResponse(listed))
    server.run(host="127.0.0.1", port=chosen.port, num_api_servers=1, generate_client_file=False, log_level="warning", access_log=False)


if __name__ == "__main__":
    serve(common.options())
