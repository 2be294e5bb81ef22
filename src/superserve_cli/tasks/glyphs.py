"""Twenty hand-drawn signs as noisy 16x16 images, drawn on the fly.

Each sign is a few strokes in the unit square. Its distance field is computed once on a fine grid; an image looks that field up
through a random affine map, inks what is nearer than half a random pen width, and adds noise.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.tasks.task import Split, Task

SIDE: Final = 16
SIZES: Final = {"train": 24_000, "validation": 1_500, "test": 3_000}
NOISE: Final = 0.24
FIELD: Final = 128
REACH: Final = 2.0
"""The distance field covers [-REACH, REACH] in both directions; the signs lie within [-1, 1]."""

Points = NDArray[np.float32]


def line(*points: tuple[float, float]) -> Points:
    """A polyline through points (x to the right, y downwards)."""
    return np.array(points, np.float32)


def arc(x: float, y: float, radius: float, start: float, stop: float) -> Points:
    """An arc around (x, y) from one angle to another, in degrees clockwise from the right."""
    angle = np.radians(np.linspace(start, stop, max(3, round(abs(stop - start) / 15)) + 1))
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1).astype(np.float32)


GLYPHS: Final[dict[str, tuple[Points, ...]]] = {
    "ring": (arc(0, 0, 0.75, 0, 360),),
    "barred ring": (arc(0, 0, 0.75, 0, 360), line((-0.75, 0), (0.75, 0))),
    "slashed ring": (arc(0, 0, 0.75, 0, 360), line((-0.55, 0.55), (0.55, -0.55))),
    "cross": (line((0, -0.85), (0, 0.85)), line((-0.85, 0), (0.85, 0))),
    "saltire": (line((-0.75, -0.75), (0.75, 0.75)), line((-0.75, 0.75), (0.75, -0.75))),
    "tee": (line((-0.75, -0.8), (0.75, -0.8)), line((0, -0.8), (0, 0.85))),
    "gallows": (line((-0.5, 0.85), (-0.5, -0.8), (0.65, -0.8)),),
    "corner": (line((-0.5, -0.85), (-0.5, 0.8), (0.65, 0.8)),),
    "zed": (line((-0.65, -0.8), (0.65, -0.8), (-0.65, 0.8), (0.65, 0.8)),),
    "en": (line((-0.65, 0.85), (-0.65, -0.85), (0.65, 0.85), (0.65, -0.85)),),
    "aitch": (line((-0.65, -0.85), (-0.65, 0.85)), line((0.65, -0.85), (0.65, 0.85)), line((-0.65, 0), (0.65, 0))),
    "vee": (line((-0.7, -0.8), (0, 0.85), (0.7, -0.8)),),
    "wye": (line((-0.7, -0.8), (0, 0), (0.7, -0.8)), line((0, 0), (0, 0.85))),
    "cup": (line((-0.65, -0.85), (-0.65, 0.2)), arc(0, 0.2, 0.65, 0, 180), line((0.65, -0.85), (0.65, 0.2))),
    "hook": (line((0.45, -0.85), (0.45, 0.35)), arc(0, 0.35, 0.45, 0, 180)),
    "ess": (arc(0, -0.42, 0.42, 90, 330), arc(0, 0.42, 0.42, -90, 150)),
    "three": (arc(0, -0.42, 0.42, -150, 90), arc(0, 0.42, 0.42, -90, 150)),
    "triangle": (line((0, -0.8), (0.8, 0.7), (-0.8, 0.7), (0, -0.8)),),
    "square": (line((-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7), (-0.7, -0.7)),),
    "diamond": (line((0, -0.9), (0.8, 0), (0, 0.9), (-0.8, 0), (0, -0.9)),),
}


def glyphs(seed: int = 0) -> Task:
    """The signs as a task; the same seed draws the same images, a split at a time."""
    return Task("glyphs", (1, SIDE, SIDE), tuple(GLYPHS), lambda split: _draw(split, seed))


def _draw(split: str, seed: int) -> Split:
    rng = np.random.default_rng([seed, list(SIZES).index(split)])
    y = rng.integers(len(GLYPHS), size=SIZES[split])
    return Split(_images(y, rng), y.astype(np.int64))


def _images(y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    n = len(y)
    column, row = _pixels(n, rng)
    cell = (FIELD / (2 * REACH)) * np.stack([row, column]) + FIELD / 2
    row_at, column_at = np.clip(cell, 0, FIELD - 1).astype(np.int32)
    distance = _fields().reshape(-1)[(y.astype(np.int32)[:, None] * FIELD + row_at) * FIELD + column_at]
    pen = rng.uniform(0.08, 0.20, (n, 1)).astype(np.float32)
    contrast = rng.uniform(0.6, 1.0, (n, 1)).astype(np.float32)
    ink = contrast * np.clip((pen - distance) / 0.12 + 0.5, 0, 1)
    noise = np.float32(NOISE) * rng.standard_normal(ink.shape, np.float32)
    return np.asarray(ink + noise - np.float32(0.2), np.float32).reshape(n, 1, SIDE, SIDE)


def _pixels(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel (n, 256) falls in the sign's own coordinates: turned, sheared, scaled and moved at random."""
    turn = np.radians(rng.uniform(-20, 20, n))
    shear = rng.uniform(-0.25, 0.25, n)
    wide, high = rng.uniform(1.0, 1.5, (2, n))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.stack([wide * cos, wide * (shear * cos - sin), high * sin, high * (shear * sin + cos)]).astype(np.float32)
    dx, dy = rng.uniform(-0.2, 0.2, (2, n, 1)).astype(np.float32)
    axis = (np.arange(SIDE, dtype=np.float32) + 0.5) * 2 / SIDE - 1
    x, y = np.tile(axis, SIDE) - dx, np.repeat(axis, SIDE) - dy
    a, b, c, d = matrix[:, :, None]
    return a * x + b * y, c * x + d * y


@lru_cache(maxsize=1)
def _fields() -> NDArray[np.float32]:
    """The distance (classes, FIELD, FIELD) from each point of the grid to the nearest stroke of each sign."""
    axis = ((np.arange(FIELD) + 0.5) * 2 * REACH / FIELD - REACH).astype(np.float32)
    grid: NDArray[np.float32] = np.stack(np.meshgrid(axis, axis), axis=-1)
    return np.stack([np.min([_distance(grid, stroke) for stroke in strokes], axis=0) for strokes in GLYPHS.values()])


def _distance(grid: NDArray[np.float32], stroke: Points) -> NDArray[np.float32]:
    nearest = np.full(grid.shape[:-1], np.inf, np.float32)
    for start, stop in pairwise(stroke):
        along = stop - start
        share = np.clip(((grid - start) @ along) / (along @ along), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*np.moveaxis(grid - start - share[..., None] * along, -1, 0)))
    return nearest
