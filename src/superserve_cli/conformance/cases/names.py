from typing import Final
from urllib.parse import quote

from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered

NOBODY: Final = "no-such-model"
"""A name that no server has."""


def version(target: Target) -> str:
    """One of the model's versions, as a URL holds it; raises NotOffered when it has none."""
    if not target.versions:
        raise NotOffered("the model has no versions")
    return quote(target.versions[-1], safe="")
