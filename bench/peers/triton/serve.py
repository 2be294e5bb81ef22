"""The model behind Triton, with the server binary, the dynamic batcher and the Python back end that nvidia-pytriton brings.

What is late is dropped by Triton's own queue policy, which takes the `timeout` of each request. pytriton's proxy to a function of
another process is left out: the back end's own stub, which it would talk to, runs onnxruntime itself.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

import common
import pytriton

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: {max_batch}
input [{{ name: "{input}" data_type: TYPE_FP32 dims: {shape} }}]
output [{{ name: "{output}" data_type: TYPE_FP32 dims: [{classes}] }}]
instance_group [{{ count: 1 kind: KIND_CPU }}]
dynamic_batching {{
  max_queue_delay_microseconds: {wait_us}
  default_queue_policy {{ timeout_action: REJECT allow_timeout_override: true default_timeout_microseconds: 10000000 }}
}}
parameters [
  {{ key: "model" value: {{ string_value: "{path}" }} }},
  {{ key: "threads" value: {{ string_value: "{threads}" }} }},
  {{ key: "max_batch" value: {{ string_value: "{max_batch}" }} }}
]
"""


def repository(folder, chosen):
    """A model repository with the one model."""
    model = common.Model(chosen.model, chosen.threads, 1)
    (folder / common.NAME / "1").mkdir(parents=True)
    (folder / common.NAME / "config.pbtxt").write_text(
        CONFIG.format(
            name=common.NAME,
            max_batch=chosen.max_batch,
            threads=chosen.threads,
            wait_us=round(common.WAIT_S * 1e6),
            input=model.input.name,
            shape=model.shape,
            output=model.output.name,
            classes=model.classes,
            path=chosen.model.resolve(),
        )
    )
    # the stub embeds an interpreter that looks at no PYTHONPATH, and has to find this environment
    found = f"import sys\nsys.path[:0] = {[path for path in sys.path if path]!r}\n"
    (folder / common.NAME / "1" / "model.py").write_text(found + (Path(__file__).parent / "model.py").read_text())


def backends(folder, home):
    """Triton's back ends, with the Python stub of this interpreter where the back end looks for it."""
    python = folder / "python"
    python.mkdir(parents=True)
    stub = home / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    for file in (*(home / "backends" / "python").iterdir(), stub):
        (python / file.name).symlink_to(file)


def serve(chosen):
    """Become the server."""
    home = Path(pytriton.__file__).parent / "tritonserver"
    folder = Path(tempfile.mkdtemp(prefix="superserve_triton_"))
    repository(folder / "models", chosen)
    backends(folder / "backends", home)
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH"))))
    options = {
        "model-repository": folder / "models",
        "backend-directory": folder / "backends",
        "http-address": "127.0.0.1",
        "http-port": chosen.port,
        "http-thread-count": 2,
        "allow-grpc": "false",
        "allow-metrics": "false",
        "cache-directory": home / "caches",
        "log-verbose": 0,
    }
    os.execv(home / "bin" / "tritonserver", ["tritonserver", *(f"--{name}={value}" for name, value in options.items())])


if __name__ == "__main__":
    serve(common.options())
