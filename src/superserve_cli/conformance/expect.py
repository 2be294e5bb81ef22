"""What cases hold an answer to; each raises Unmet with what was expected and what came."""

from math import isclose, prod
from typing import Any, Final, NamedTuple

from superserve_cli.conformance.client import Answer
from superserve_cli.conformance.samples import flat, unpacked
from superserve_cli.conformance.verdict import Unmet

CLIENT_ERRORS: Final = range(400, 500)
HEADER: Final = "inference-header-content-length"


class Output(NamedTuple):
    """A tensor that came back."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]
    binary: bool


def that(holds: bool, expected: str, came: object) -> None:
    """Something holds."""
    if not holds:
        raise Unmet(expected, str(came))


def ok(answer: Answer) -> Answer:
    """A success."""
    that(answer.status == 200, "status 200", answer)
    return answer


def document(answer: Answer) -> dict[str, Any]:
    """A success whose body is a JSON object."""
    said = ok(answer).json
    that(isinstance(said, dict), "a JSON object", answer)
    return dict(said)


def listing(answer: Answer) -> list[Any]:
    """A success whose body is a JSON list."""
    said = ok(answer).json
    that(isinstance(said, list), "a JSON list", answer)
    return list(said)


def refused(answer: Answer, *statuses: int) -> None:
    """A client error (or one of these statuses) whose body is {"error": "<message>"} and nothing else."""
    expected = " or ".join(map(str, statuses)) or "4xx"
    that(answer.status in (statuses or CLIENT_ERRORS), f"status {expected}", answer)
    error_body(answer)


def error_body(answer: Answer) -> None:
    """The one shape of errors."""
    said = answer.json
    that(isinstance(said, dict) and list(said) == ["error"] and isinstance(said["error"], str), 'the body {"error": "..."}', answer)


def refused_or_closed(answers: list[Answer]) -> None:
    """A client error, in whatever words, or no answer at all: the connection was closed."""
    that(not answers or answers[0].status in CLIENT_ERRORS, "status 4xx, or a closed connection", answers and answers[0])


def inference(answer: Answer) -> dict[str, Any]:
    """The JSON of a successful inference response, whether or not tensors follow it."""
    ok(answer)
    said = Answer(200, {}, answer.body[: _header_length(answer)]).json
    that(isinstance(said, dict), "a JSON object", answer)
    that(isinstance(said.get("model_name"), str), 'a "model_name"', answer)
    that(isinstance(said.get("outputs"), list), 'a list of "outputs"', answer)
    return dict(said)


def _header_length(answer: Answer) -> int:
    text = answer.headers.get(HEADER)
    if text is None:
        return len(answer.body)
    that(text.isdigit() and int(text) <= len(answer.body), f"Inference-Header-Content-Length of at most {len(answer.body)}", text)
    return int(text)


def outputs(answer: Answer) -> dict[str, Output]:
    """The tensors of a successful inference response, each as long as it says."""
    at = _header_length(answer)
    found = {}
    for item in inference(answer)["outputs"]:
        output, at = _output(item, answer.body, at)
        found[output.name] = output
    that(at == len(answer.body), "a body that ends with its last tensor", f"{len(answer.body) - at} bytes more")
    return found


def _output(item: Any, body: bytes, at: int) -> tuple[Output, int]:
    try:
        name, datatype, shape = str(item["name"]), str(item["datatype"]), tuple(int(n) for n in item["shape"])
        parameters = item.get("parameters") or {}
        size = parameters.get("binary_data_size")
        values = flat(item["data"]) if size is None else unpacked(datatype, body[at : at + int(size)])
    except (KeyError, TypeError, ValueError) as error:
        raise Unmet("an output with name, datatype, shape and data", f"{error!r} in {item}") from None
    that(len(values) == prod(shape), f"{prod(shape)} values for shape {list(shape)}", len(values))
    return Output(name, datatype, shape, values, size is not None), at + int(size or 0)


def same(one: Output, other: Output) -> bool:
    """Whether two tensors hold the same, as closely as their datatype can say."""
    if (one.name, one.datatype, one.shape) != (other.name, other.datatype, other.shape):
        return False
    return all(a == b or _close(a, b) for a, b in zip(one.values, other.values, strict=True))


def _close(a: Any, b: Any) -> bool:
    return isinstance(a, float | int) and isinstance(b, float | int) and isclose(a, b, rel_tol=1e-3, abs_tol=1e-6)
