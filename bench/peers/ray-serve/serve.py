"""The model behind Ray Serve: one replica, its own batching, raw requests with binary tensors.

Ray's own advice for throughput is followed: RAY_SERVE_THROUGHPUT_OPTIMIZED, no access log, user code on the replica's own event loop.
"""

import os
import signal
import threading

os.environ.setdefault("RAY_SERVE_ENABLE_HA_PROXY", "1")
os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import common
import ray
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.responses import JSONResponse, Response

UNDER_WAY = 2000
"""How many requests may be with the replica; the rest waits in the proxy, where nobody drops what is late."""
CHOSEN = common.options()


@serve.deployment(num_replicas=1, max_ongoing_requests=UNDER_WAY, ray_actor_options={"num_cpus": 1})
class V2:
    """The paths of the protocol."""

    def __init__(self, chosen):
        self.model = common.Model(chosen.model, chosen.threads, chosen.max_batch)
        self.least_s = chosen.least_us / 1e6
        self.said = {
            "/v2": common.server_metadata(),
            "/v2/health/ready": {"ready": True},
            "/v2/models": {"models": [common.NAME]},
            f"/v2/models/{common.NAME}": common.model_metadata(self.model),
        }

    @serve.batch(max_batch_size=CHOSEN.max_batch, batch_wait_timeout_s=common.WAIT_S)
    async def infer(self, requests):
        tensors, deadlines = zip(*requests, strict=True)
        return self.model.in_time(self.model.rows(tensors), deadlines, self.least_s)

    async def __call__(self, request):
        if request.method == "GET":
            said = self.said.get(request.url.path)
            return JSONResponse(said) if said else JSONResponse({"error": "unknown path"}, 404)
        output = await self.infer(common.asked(await request.body(), self.model.row_bytes))
        if output is None:
            return Response(common.DROPPED, 504)
        body, length = common.answer(self.model.output.name, output)
        return Response(body, headers={"Inference-Header-Content-Length": str(length)}, media_type=common.BINARY)


def main():
    """Run until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=True)
    quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
    serve.start(http_options={"host": "127.0.0.1", "port": CHOSEN.port}, logging_config=quiet)
    serve.run(V2.bind(CHOSEN), name=common.NAME, route_prefix="/", logging_config=quiet)
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
