"""What a search found, and how it is kept in the SuperNet's description."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from superserve_cli.core.nouns import Subnet
from superserve_cli.search.accuracy import Accuracy
from superserve_cli.search.front import Front, Points, thinned
from superserve_cli.search.genes import Genes
from superserve_cli.search.latency import Latency


@dataclass(frozen=True)
class Found:
    """The predicted front of a SuperNet: `points`, at most as many as were asked for, of those on `front` and near it."""

    genes: Genes
    points: Points
    front: Front
    latency: Latency
    accuracy: Accuracy

    @cached_property
    def subnets(self) -> list[Subnet]:
        """The ids of the points, the fastest first."""
        return self.genes.decode(self.points.codes)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each point with its latency, and its accuracy, or the number that stands in for one."""
        return self._rows(self.subnets, self.points)

    def spread(self, count: int) -> list[dict[str, Any]]:
        """`count` points of the front itself, evenly spread along it."""
        points = thinned(self.front.points, count)
        return self._rows(self.genes.decode(points.codes), points)

    def _rows(self, subnets: list[Subnet], points: Points) -> list[dict[str, Any]]:
        what = "stand_in" if self.accuracy.stands_in else "accuracy"
        columns = zip(subnets, points.latency.tolist(), points.accuracy.tolist(), strict=True)
        return [{"subnet": subnet, "latency_ms": round(ms, 6), what: round(accuracy, 6)} for subnet, ms, accuracy in columns]

    @property
    def entries(self) -> dict[str, Any]:
        """What `supernet.json` says of it: `front` and `predicted`. A stand-in for accuracy is not kept as one: it is null."""
        measured_on = self.latency.table.measured_on
        subnets = {row["subnet"]: {"accuracy": row.get("accuracy"), "latency_ms": row["latency_ms"]} for row in self.rows}
        return {
            "front": self.subnets,
            "predicted": {
                **{key: measured_on.get(key) for key in ("device", "device_name", "threads", "batch_size", "dtype")},
                "accuracy_from": self.accuracy.source,
                "scale": self.latency.scale,
                "errors": self.errors,
                "near": len(self.front.near.latency),
                "subnets": subnets,
            },
        }

    @property
    def errors(self) -> Mapping[str, Any]:
        """How far the predictions are from what was measured, as far as this is known."""
        interpolation = self.latency.laws.errors
        return {
            "latency": self.latency.errors.to_json(),
            "layers_measured": len(self.latency.table),
            "layers_interpolated": self.latency.interpolated,
            "interpolation_median": float(sorted(interpolation)[len(interpolation) // 2]),
            "accuracy": dict(self.accuracy.about),
        }
