from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case
from superserve_cli.conformance.cases.names import version
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.samples import NO_JSON, nested
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered

GROUP: Final = "inference"
PARAMETERS: Final = {"x_text": "a", "x_number": 7, "x_fraction": 0.5, "x_flag": True}


def must_have_json(target: Target) -> None:
    """Raises NotOffered for models whose tensors JSON cannot say."""
    if not NO_JSON.isdisjoint(tensor["datatype"] for tensor in (*target.inputs, *target.outputs)):
        raise NotOffered("the model has tensors of a datatype without a JSON form")


def _outputs(client: Client, target: Target, body: Any, path: str = "") -> dict[str, expect.Output]:
    must_have_json(target)
    return expect.outputs(client.post(path or target.infer, body))


def flat_data(client: Client, target: Target) -> None:
    """Data as a flat list; every output has the datatype and the dimensions that the metadata tell."""
    found = _outputs(client, target, target.request())
    expect.that(set(found) == {t["name"] for t in target.outputs}, f"the outputs {[t['name'] for t in target.outputs]}", list(found))
    for told in target.outputs:
        output = found[told["name"]]
        expect.that(output.datatype == told["datatype"], f"{told['name']} of {told['datatype']}", output.datatype)
        expect.that(_fits(output.shape, told["shape"]), f"{told['name']} of shape {told['shape']}", list(output.shape))


def _fits(shape: tuple[int, ...], told: list[int]) -> bool:
    return len(shape) == len(told) and all(size in (n, abs(n) * size if n < 0 else n) for size, n in zip(shape, told, strict=True))


def nested_data(client: Client, target: Target) -> None:
    """Data as lists within lists."""
    inputs = [tensor.as_json(data=nested(tensor.values, tensor.shape)) for tensor in target.samples()]
    _outputs(client, target, {"inputs": inputs})


def model_name(client: Client, target: Target) -> None:
    """The answer names the model."""
    must_have_json(target)
    said = expect.inference(client.post(target.infer, target.request()))
    expect.that(said["model_name"] == target.name, f'"model_name": "{target.name}"', said["model_name"])


def id_returned(client: Client, target: Target) -> None:
    """The identifier comes back."""
    _same_id(client, target, "request-7")


def id_of_any_text(client: Client, target: Target) -> None:
    """Whatever text it is."""
    _same_id(client, target, 'é "日本" \\ \U0001f600')


def _same_id(client: Client, target: Target, id: str) -> None:
    must_have_json(target)
    said = expect.inference(client.post(target.infer, target.request(id=id)))
    expect.that(said.get("id") == id, f"the id {id!r}", repr(said.get("id")))


def some_outputs(client: Client, target: Target) -> None:
    """Only those asked for come."""
    names = [tensor["name"] for tensor in target.outputs][:1]
    found = _outputs(client, target, target.request(outputs=[{"name": name} for name in names]))
    expect.that(list(found) == names, f"the outputs {names}", list(found))


def of_version(client: Client, target: Target) -> None:
    """A version that the metadata list can be asked, and the answer names it."""
    must_have_json(target)
    asked = version(target)
    said = expect.inference(client.post(f"{target.path}/versions/{asked}/infer", target.request()))
    expect.that(
        said.get("model_version") in (None, target.versions[-1]), f'"model_version": "{target.versions[-1]}"', said.get("model_version")
    )


def unknown_parameters(client: Client, target: Target) -> None:
    """Parameters of every type that the server does not know, of the request."""
    _outputs(client, target, target.request(parameters=PARAMETERS))


def parameters_of_tensors(client: Client, target: Target) -> None:
    """And of its tensors."""
    inputs = [tensor.as_json(parameters=PARAMETERS) for tensor in target.samples()]
    outputs = [{"name": tensor["name"], "parameters": PARAMETERS} for tensor in target.outputs]
    _outputs(client, target, {"inputs": inputs, "outputs": outputs})


def empty_parameters(client: Client, target: Target) -> None:
    """No parameters are parameters."""
    inputs = [tensor.as_json(parameters={}) for tensor in target.samples()]
    _outputs(client, target, {"inputs": inputs, "parameters": {}})


def batch(client: Client, target: Target) -> None:
    """Several rows in, as many out."""
    if not target.batches:
        raise NotOffered("the model's first dimension is fixed")
    for output in _outputs(client, target, target.request(rows=2)).values():
        expect.that(output.shape[:1] == (2,), f"{output.name} of 2 rows", list(output.shape))


def inputs_in_any_order(client: Client, target: Target) -> None:
    """Inputs are known by their names."""
    if len(target.inputs) < 2:
        raise NotOffered("the model has one input")
    _outputs(client, target, {"inputs": target.request()["inputs"][::-1]})


def no_json_form(client: Client, target: Target) -> None:
    """A datatype without JSON form is refused in JSON."""
    if not any(tensor["datatype"] in NO_JSON for tensor in target.inputs):
        raise NotOffered("all inputs have a JSON form")
    expect.refused(client.post(target.infer, target.request()))


CASES: Final = (
    Case("data as a flat list", GROUP, "data may be a flat list in row-major order; outputs are as the metadata tell", flat_data),
    Case("data as nested lists", GROUP, "data may be nested lists of the tensor's shape", nested_data),
    Case("model name", GROUP, '"model_name": the name of the model used for inference', model_name),
    Case("id is returned", GROUP, '"id": if specified, this identifier must be returned in the response', id_returned),
    Case("id of any text is returned", GROUP, '"id" is a JSON string', id_of_any_text),
    Case("only the outputs asked for", GROUP, '"outputs": the output tensors requested for this inference', some_outputs),
    Case("a named version", GROUP, "POST v2/models/NAME/versions/VERSION/infer asks this version", of_version),
    Case("unknown parameters", GROUP, "parameters are key/value pairs of string, number or boolean; none are defined", unknown_parameters),
    Case("parameters of tensors", GROUP, "inputs and outputs may have parameters", parameters_of_tensors),
    Case("empty parameters", GROUP, "parameters hold zero or more key/value pairs", empty_parameters),
    Case("several rows", GROUP, "shape and data represent the full contents of the batch", batch),
    Case("inputs in any order", GROUP, '"name": the name of the input tensor', inputs_in_any_order),
    Case("no JSON for 16-bit floats", GROUP, "FP16 and BF16 have no JSON representation", no_json_form),
)
