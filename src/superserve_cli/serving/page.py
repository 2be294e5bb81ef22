"""The page for people at `/`: one file with its styles and its script inside, which asks nobody but this server."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final, NamedTuple

from superserve_cli.serving.desk import Desk
from superserve_cli.serving.exchange import Exchange

HTML: Final = "text/html; charset=utf-8"
INLINE: Final = "<{0}>(.*?)</{0}>"


class Page(NamedTuple):
    """The page's bytes, what tells them from another version's, and the headers that go with them."""

    body: bytes
    etag: str
    headers: str


def answer(desk: Desk, exchange: Exchange, names: tuple[str, ...]) -> None:
    """The page, or word that the browser has it already."""
    page = load()
    if exchange.headers.get(b"if-none-match", b"").decode("latin-1") == page.etag:
        exchange.respond(304, b"", HTML, page.headers)
    else:
        exchange.respond(200, page.body, HTML, page.headers)


@cache
def load() -> Page:
    """The page as it ships."""
    text = files("superserve_cli.serving").joinpath("page.html").read_text(encoding="utf-8")
    etag = f'"{sha256(text.encode()).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _content_security_policy(text),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Page(text.encode(), etag, "".join(f"{name}: {value}\r\n" for name, value in headers.items()))


def _content_security_policy(text: str) -> str:
    """Nothing is allowed but the page's own styles and script, by their hashes, its icon, and asking this server."""
    styles, scripts = (" ".join(_hashes(text, tag)) for tag in ("style", "script"))
    return (
        f"default-src 'none'; style-src {styles}; script-src {scripts}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(text: str, tag: str) -> list[str]:
    inside = re.findall(INLINE.format(tag), text, re.DOTALL)
    return [f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'" for content in inside]
