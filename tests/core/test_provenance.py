import pytest

from superserve_cli.core import provenance


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        (["replay", "--api-key", "s3cret", "--json"], ["superserve", "replay", "--api-key", "***", "--json"]),
        (["serve", "--api-key=s3cret"], ["superserve", "serve", "--api-key=***"]),
        (["list", "policies"], ["superserve", "list", "policies"]),
    ],
)
def test_a_command_is_written_as_it_was_typed_but_for_secrets(
    typed: list[str], written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/superserve", *typed])
    assert provenance.command() == written
