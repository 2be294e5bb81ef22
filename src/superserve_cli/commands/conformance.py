from pathlib import Path
from typing import Annotated

import typer

from superserve_cli.errors import BadOption, NotConformant


def conformance(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server's address, http://HOST:PORT.")],
    model: Annotated[str | None, typer.Option(help="The model to ask.", show_default="the only one that the server lists")] = None,
    grpc: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where the same server speaks gRPC: tried as well.")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME:VALUE", help="A header for every request. Repeatable.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Sent as Authorization: Bearer KEY.", envvar="SUPERSERVE_API_KEY", show_default=False)
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="A PEM file of authorities to trust (https).", show_default=False)] = None,
    insecure_tls: Annotated[bool, typer.Option("--insecure-tls", help="Trust any certificate.")] = False,
    disturb: Annotated[
        bool, typer.Option("--disturb", help="Also unload and load the model: it is away for a moment, and then loaded anew.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try whether a server keeps the Open Inference Protocol v2, case by case; exit with 3 when a required case fails.

    Works against any server of the protocol. Requests are made from what the model says of its inputs; what the server does not list
    among its extensions is not asked for.
    """
    from superserve_cli import conformance as protocol
    from superserve_cli import console
    from superserve_cli.serving.load.place import Access

    access = Access(api_key, ca, insecure_tls)
    place = protocol.place(url)
    if place.version or (place.model and model not in (None, place.model)):
        raise BadOption(f"{url} names more than a server", hint="name the model with --model; its versions are tried as they are listed")
    client = protocol.Client(place, access.headers | protocol.headers(header or []), access)
    target = protocol.find(client, model or place.model or None)
    with console.progress("conformance") as progress:
        report = protocol.run(client, target, grpc, disturb, progress)
    if json:
        console.as_json(report.to_json())
    else:
        console.table(report.title, protocol.RESULTS, report.results(), text=True, caption=report.summary)
        if failures := report.failures():
            console.table("", protocol.FAILURES, failures, text=True)
    if report.failed:
        raise NotConformant(f"{len(report.failed)} of {len(report.rows)} cases failed that the protocol requires")
