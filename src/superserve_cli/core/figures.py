"""Pictures that a command leaves beside its data: one look, whole or absent, the same bytes for the same data."""

import io
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from superserve_cli.core.files import replacing
from superserve_cli.errors import BadOption

INK, MUTED, GRID, BLUE, ORANGE = "#1f2937", "#6b7280", "#e5e7eb", "#2563eb", "#ea580c"
STYLE: Final[dict[Any, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 12,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "superserve",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
KINDS: Final = (".svg", ".html", ".png")
SIZE_INCHES: Final = (7.6, 4.4)


def check_kind(path: Path) -> None:
    """Refuse a picture of a kind that cannot be drawn, before the work is done; raises BadOption."""
    if path.suffix.lower() not in KINDS:
        raise BadOption(f"{path} is not a picture that superserve can draw", hint=f"let its name end with {', '.join(KINDS)}")


def write(path: Path, title: str, draw: Callable[[Figure], None]) -> None:
    """Draw a figure into an SVG, PNG or HTML file (an SVG in a page), as the suffix says."""
    check_kind(path)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        with replacing(path) as temporary:
            temporary.write_bytes(_png(figure) if path.suffix.lower() == ".png" else _text(path, title, _svg(figure)))


def _png(figure: Figure) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=160)
    return drawn.getvalue()


def _svg(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _text(path: Path, title: str, svg: str) -> bytes:
    if path.suffix.lower() == ".svg":
        return svg.encode()
    page = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>\n'
    look = "<style>body{margin:2rem auto;max-width:64rem;padding:0 1rem}svg{width:100%;height:auto}</style>\n"
    return (page + look + svg[svg.index("<svg") :] + "</html>\n").encode()
