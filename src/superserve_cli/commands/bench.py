from typing import Annotated

import typer


def bench(
    name: Annotated[str, typer.Argument(help="simulate, decide, actuate or start.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure superserve itself, and print its figures beside their targets.

    simulate: virtual time, memory, SimPy beside it. decide: a decision in the live router. actuate: switching subnets. start: --help.
    """
    from superserve_cli import console
    from superserve_cli.bench import machine, named

    measure = named(name)
    with console.progress(f"bench {name}") as progress:
        figures = measure(progress)
    if json:
        console.as_json({figure.key: figure.value for figure in figures} | {"machine": machine()})
    else:
        where = machine()
        caption = f"{where['processor']}, {where['cores']} cores, Python {where['python']}"
        console.table(f"bench {name}", ("what", "measured", "target", ""), [figure.row() for figure in figures], caption)
