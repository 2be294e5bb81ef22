"""API keys: who may ask. Only their hashes are kept."""

import hmac
import ipaddress
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from superserve_cli.errors import BadFile, BadOption

SHORTEST: Final = 16
"""Characters of a key: fewer could be guessed."""
HINT: Final = "write letters, digits or signs without spaces, as `openssl rand -hex 32` does"


class Keys:
    """The keys that a server takes; without any, everybody may ask."""

    __slots__ = ("_hashes",)

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._hashes = tuple({sha256(key.encode()).digest() for key in keys})

    def __len__(self) -> int:
        return len(self._hashes)

    def allowed(self, authorization: bytes | None) -> bool:
        """Whether an Authorization header, `Bearer KEY`, names a key; how long that takes says nothing about the keys."""
        if not self._hashes:
            return True
        scheme, _, key = (authorization or b"").partition(b" ")
        asked, found = sha256(key.strip()).digest(), False
        for known in self._hashes:
            found |= hmac.compare_digest(asked, known)
        return found and scheme.lower() == b"bearer"


def of(key: str | None, path: Path | None) -> Keys:
    """The key of an option and those of a file, one a line (empty lines and those after # apart); raises BadOption, BadFile."""
    keys = []
    if key is not None:
        if not _good(key):
            raise BadOption(f"--api-key is not of {SHORTEST} or more visible ASCII characters", hint=HINT)
        keys.append(key)
    return Keys(keys if path is None else keys + _read(path))


def _read(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadFile(f"cannot read the keys of {path}: {why}", hint="write one key a line") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not numbered:
        raise BadFile(f"{path} holds no key", hint="write one key a line")
    for number, line in numbered:
        if not _good(line):  # and the message must not say what it is
            raise BadFile(f"{path}, line {number}: a key is {SHORTEST} or more visible ASCII characters", hint=HINT)
    return [line for _, line in numbered]


def _good(key: str) -> bool:
    return len(key) >= SHORTEST and key.isascii() and key.isprintable() and " " not in key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def demand(host: str, keys: Keys, client_certificates: bool, insecure: bool) -> None:
    """Raise BadOption where everybody in a network could ask, and nobody has said that they may."""
    if not (is_loopback(host) or keys or client_certificates or insecure):
        raise BadOption(
            f"--host {host} lets other machines ask, and any of them could",
            hint="give --api-key-file FILE, or --tls-client-ca FILE, or --insecure if that is meant",
        )
