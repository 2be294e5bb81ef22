from pathlib import Path
from typing import Annotated

import typer


def top(
    url: Annotated[str, typer.Argument(metavar="URL", help="A server that `superserve serve` started: http(s)://HOST:PORT.")],
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end, as where stdout is no terminal.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what the server says of its last second, as JSON, and end.")] = False,
    api_key: Annotated[
        str | None,
        typer.Option(help="Sent as Authorization: Bearer KEY.", envvar="SUPERSERVE_API_KEY", show_default=False),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="A PEM file of authorities to trust (https).", show_default=False)] = None,
    insecure_tls: Annotated[bool, typer.Option("--insecure-tls", help="Trust any certificate.")] = False,
) -> None:
    """Watch a server: arrivals, attainment, accuracy, queue, subnet mix and workers, each second anew; q ends.

    Figures are of the last five seconds, the charts of the last minutes. The same is at the server's address as a page.
    """
    from superserve_cli import console
    from superserve_cli.errors import Unreachable
    from superserve_cli.serving.load.place import Access
    from superserve_cli.serving.top import Feed, frame

    feed = Feed(url, Access(api_key, ca, insecure_tls))
    state = feed.poll()
    if json:
        console.as_json({**state, "sample": feed.samples[-1] if feed.samples else None})
        return
    if once or not console.interactive():
        console.lines(frame(state, feed.samples, feed.url, *console.size()))
        return
    with console.screen() as screen:
        trouble = ""
        while screen.show(frame(state, feed.samples, feed.url, *console.size(), trouble)):
            try:
                state, trouble = feed.poll(), ""
            except Unreachable:
                trouble = "no connection, trying again"
