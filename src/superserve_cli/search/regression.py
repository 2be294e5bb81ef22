"""A regression from settings to accuracy, for spaces of which only a sample has been evaluated."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from superserve_cli.errors import BadFile
from superserve_cli.search.genes import Codes, Genes, Numbers

DAMPINGS: Final = tuple(10.0**exponent for exponent in range(-3, 4))
FEWEST: Final = 10


@dataclass(frozen=True)
class Errors:
    """Of each evaluated subnet when the regression is fitted to the others: mean absolute error, and rank correlation (Spearman)."""

    subnets: int
    mean_absolute: float
    rank_correlation: float


@dataclass(frozen=True)
class Regression:
    """Ridge regression over the settings as indicators."""

    genes: Genes
    mean: float
    weights: Numbers
    errors: Errors

    def __call__(self, codes: Codes) -> Numbers:
        """The accuracy (n,) of subnets."""
        return self.mean + _centred(self.genes, codes) @ self.weights


def fit(genes: Genes, codes: Codes, accuracies: Numbers) -> Regression:
    """The regression with the damping that predicts left-out subnets best; raises BadFile for less than ten different ones."""
    if len(np.unique(codes, axis=0)) < FEWEST:
        raise BadFile(f"{len(codes)} accuracies are too few for a regression", hint=f"give those of at least {FEWEST} subnets")
    x, mean = _centred(genes, codes), float(accuracies.mean())
    fits = [_ridge(x, accuracies - mean, damping) for damping in DAMPINGS]
    weights, left_out = min(fits, key=lambda fit: float(np.abs(fit[1]).mean()))
    errors = Errors(len(codes), float(np.abs(left_out).mean()), _rank_correlation(accuracies, accuracies - left_out))
    return Regression(genes, mean, weights, errors)


def _centred(genes: Genes, codes: Codes) -> Numbers:
    return genes.indicators(codes) - 0.5


def _ridge(x: Numbers, y: Numbers, damping: float) -> tuple[Numbers, Numbers]:
    """The weights, and the residual of each row when the fit leaves it out (Allen's PRESS)."""
    solved = np.linalg.solve(x.T @ x + damping * np.eye(x.shape[1]), x.T)
    weights = solved @ y
    lever = np.einsum("ij,ji->i", x, solved) + 1 / len(y)  # the mean is fitted as well
    return weights, (y - x @ weights) / np.maximum(1 - lever, 1e-6)


def _rank_correlation(one: Numbers, other: Numbers) -> float:
    if not (np.ptp(one) and np.ptp(other)):
        return 0.0
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Numbers) -> Numbers:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
