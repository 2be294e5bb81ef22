"""Where a target is and how to get in: its URL taken apart, and the key and certificates that go with it."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from superserve_cli.errors import BadOption

SCHEMES: Final = ("http", "https", "grpc", "grpcs")
WRITE: Final = "write http://HOST:PORT[/v2/models/NAME] or grpc://HOST:PORT[/NAME]"
HTTP_PATH: Final = re.compile(
    r"(?P<prefix>.*?)(?:/v2(?:/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/infer)?)?)?/*", re.DOTALL
)
RPC_PATH: Final = re.compile(r"(?P<prefix>)(?:/(?P<model>[^/]+)(?:/(?P<version>[^/]+))?)?/*")
VISIBLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Place:
    """A server's URL, taken apart; `prefix` is what stands before `/v2`."""

    host: str
    port: int
    tls: bool
    prefix: str
    model: str
    version: str
    rpc: bool = False

    @property
    def authority(self) -> str:
        """Host and port, as the Host header wants them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'grpc' if self.rpc else 'http'}{'s' * self.tls}://{self.authority}{self.prefix}"


@dataclass(frozen=True, slots=True)
class Access:
    """What a server wants to see, or we of it: an API key, and which certificates are believed (`ca`, or any when `insecure`)."""

    api_key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.api_key is not None and not VISIBLE.fullmatch(self.api_key):
            raise BadOption("the API key must be visible ASCII characters without blanks", hint="check --api-key or SUPERSERVE_API_KEY")
        if self.ca is not None and self.insecure:
            raise BadOption("--ca and --insecure-tls contradict each other", hint="give one of them")

    @property
    def headers(self) -> dict[str, str]:
        """What goes into the head of every request."""
        return {} if self.api_key is None else {"authorization": f"Bearer {self.api_key}"}

    def context(self, place: Place) -> ssl.SSLContext | None:
        """How to talk TLS to a place, None where it is not spoken; raises BadOption for a `ca` that cannot be used."""
        if not place.tls:
            if self.ca is not None or self.insecure:
                raise BadOption(f"{place} does not speak TLS, so there are no certificates", hint="write https:// or grpcs://")
            return None
        context = self._context()
        context.set_alpn_protocols(["h2" if place.rpc else "http/1.1"])
        return context

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise BadOption(f"{self.ca} cannot be read as certificates: {error.strerror or error}", hint="give a PEM file") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


OPEN: Final = Access()
"""Neither key nor certificates of one's own."""


def parse(target: str, called: str = "--target ") -> Place:
    """A URL taken apart; raises BadOption for what is no URL of these schemes, `called` so."""
    try:
        url = urlsplit(target)
        port = url.port
    except ValueError as error:
        raise BadOption(f"{called}{target} is no URL: {error}", hint=WRITE) from None
    if url.scheme not in SCHEMES or not url.hostname or url.query or url.fragment:
        raise BadOption(f"{called}{target} is no http or grpc URL", hint=WRITE)
    rpc, tls = url.scheme.startswith("grpc"), url.scheme.endswith("s")
    if rpc and port is None:
        raise BadOption(f"{called}{target} names no port, and gRPC has no usual one", hint=WRITE)
    found = (RPC_PATH if rpc else HTTP_PATH).fullmatch(url.path)
    if found is None:
        raise BadOption(f"{called}{target} has more behind the model's name and version", hint=WRITE)
    prefix, model, version = (part or "" for part in found.groups())
    return Place(url.hostname, port or (443 if tls else 80), tls, prefix, unquote(model), unquote(version), rpc)
