from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadFile, BadOption, SuperserveError
from superserve_cli.serving import keys
from superserve_cli.serving.keys import Keys

ONE, OTHER = "a-key-of-eighteen.", "another_key_of_24_signs"
good = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=keys.SHORTEST)


def test_every_key_opens_and_nothing_else_does() -> None:
    taken = Keys([ONE, OTHER])
    assert taken.allowed(f"Bearer {ONE}".encode())
    assert taken.allowed(f"bearer  {OTHER} ".encode())
    for wrong in (None, b"", b"Bearer", b"Bearer ", ONE.encode(), *(form.encode() for form in (f"Basic {ONE}", f"Bearer {ONE}x"))):
        assert not taken.allowed(wrong)


def test_without_keys_everybody_may_ask() -> None:
    assert Keys().allowed(None)


@given(known=st.lists(good, min_size=1, max_size=4), asked=st.binary())
def test_only_who_sends_a_key_is_allowed(known: list[str], asked: bytes) -> None:
    assert Keys(known).allowed(b"Bearer " + asked) == (asked.strip() in {key.encode() for key in known})


def test_every_key_is_compared_however_early_one_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return a == b

    monkeypatch.setattr("hmac.compare_digest", compare)
    taken = Keys([ONE, OTHER])
    taken.allowed(f"Bearer {ONE}".encode())
    taken.allowed(b"Bearer no")
    assert len(compared) == 4


def test_a_file_of_keys_has_one_a_line_beside_comments(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of June\n{ONE}\n\n  {OTHER}\n")
    taken = keys.of("the-key-of-the-option", path)
    assert len(taken) == 3
    assert taken.allowed(f"Bearer {OTHER}".encode())


@pytest.mark.parametrize("text", ["short", f"{ONE}\nwith a space in it\n", "", "# nothing\n", "schlüssel-mit-umlaut"])
def test_a_bad_file_of_keys_is_refused_without_a_word_of_what_it_holds(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(BadFile) as refusal:
        keys.of(None, path)
    assert all(line not in str(refusal.value) for line in text.split("\n") if line)
    with pytest.raises(BadFile, match="No such file"):
        keys.of(None, tmp_path / "missing")
    (tmp_path / "bytes").write_bytes(b"\xff" * 20)
    with pytest.raises(BadFile, match="not text"):
        keys.of(None, tmp_path / "bytes")


@pytest.mark.parametrize("key", ["", "short", "a key with some spaces", "schlüssel-mit-umlaut"])
def test_a_bad_key_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(BadOption) as refusal:
        keys.of(key, None)
    assert not key or key not in str(refusal.value)


HOSTS = {"127.0.0.1": True, "::1": True, "localhost": True, "0.0.0.0": False, "::": False, "10.0.0.7": False, "example.org": False}


@pytest.mark.parametrize(("host", "only_here"), HOSTS.items())
def test_another_address_than_loopback_needs_a_key_or_a_word_that_it_does_not(host: str, only_here: bool) -> None:
    assert keys.is_loopback(host) == only_here
    keys.demand(host, Keys([ONE]), False, False)
    keys.demand(host, Keys(), True, False)
    keys.demand(host, Keys(), False, True)
    if not only_here:
        with pytest.raises(SuperserveError, match="other machines"):
            keys.demand(host, Keys(), False, False)
