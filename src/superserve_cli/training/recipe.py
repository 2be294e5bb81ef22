from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from superserve_cli.errors import BadOption


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a build yields. On one machine, two builds of one recipe yield the same tensors.

    `warm_up` and `alone` are shares of the steps: while the learning rate rises, and while the largest subnet alone is trained. The
    defaults are those of the family conv; `of` takes those of any family.
    """

    family: str = "conv"
    task: str = "glyphs"
    seed: int = 0
    steps: int = 360
    device: str = "cpu"
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    warm_up: float = 0.1
    calibration: int = 512
    alone: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadOption(f"{self.steps} training steps", hint="take at least 1")
        if self.seed < 0:
            raise BadOption(f"the seed is {self.seed}", hint="take 0 or more")

    @classmethod
    def of(cls, family: str, **chosen: Any) -> "Recipe":
        """The recipe of a family, with what was chosen otherwise; None is no choice."""
        return cls(**{"family": family, **OWN.get(family, {}), **{name: value for name, value in chosen.items() if value is not None}})

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)

    @property
    def command(self) -> str:
        """The command line that follows this recipe."""
        usual = {**Recipe.of(self.family).to_json(), "family": Recipe.family}
        said = [f"--{f.name} {getattr(self, f.name)}" for f in fields(self) if f.name in OPTIONS and getattr(self, f.name) != usual[f.name]]
        return " ".join(["superserve build", *said])


OPTIONS: Final = ("family", "task", "seed", "steps", "device")
OWN: Final[dict[str, dict[str, Any]]] = {
    "transformer": {"steps": 1200, "learning_rate": 2e-3, "weight_decay": 0.05, "warm_up": 0.05, "alone": 0.4},
    "layerwise": {"steps": 240, "learning_rate": 2e-3, "weight_decay": 0.1},
}
"""What the recipe of a family has otherwise."""
