"""From many guesses to the least of an objective."""

import contextlib
import math
from typing import NamedTuple

import numpy as np
from scipy import optimize

from quanta.scaling._objective import Objective
from quanta.scaling.base import AbstractScalingLaw

_STEPS = 60  # evaluations for each of the best guesses, as many as the square of the number of parameters,
_KEPT, _MORE_STEPS = 5, 2000  # and of these so many to the end
_NEAR = 1e-6  # of an objective: two ends are one and the same
_ZERO = 1e-16  # of an objective, for each point: nothing is left


class Points(NamedTuple):
    """What a law is fitted to."""

    x: np.ndarray
    """(n_variables, n)."""
    y: np.ndarray
    """(n,)."""
    weights: np.ndarray
    """(n,)."""


class Found(NamedTuple):
    """The best of the ends."""

    values: np.ndarray
    """(n_parameters,)."""
    objective: float
    """A sum over points."""
    converged: bool
    """The search came to rest, at a least that more than one guess led to."""
    n_starts: int
    """Guesses followed,"""
    n_agreeing: int
    """and how many of them led here."""


def search(law: AbstractScalingLaw, points: Points, objective: Objective, near: np.ndarray | None = None) -> Found:
    """Follow the best guesses, or one, to where the objective is least.

    Parameters
    ----------
    law : AbstractScalingLaw
        What is fitted.
    points : Points
        To these.
    objective : Objective
        What is to be least.
    near : np.ndarray, shape (n_parameters,), optional
        A guess, in the place of the law's own.
    """
    problem = _Problem(law, points, objective)
    starts = problem.screened(law.guesses(points.x, points.y) if near is None else near[None])
    ends = sorted(problem.followed(starts, _STEPS), key=lambda end: end.cost)[:_KEPT]
    ends = problem.followed([end.x for end in ends], _MORE_STEPS)
    if not ends:
        return Found(np.full(len(law.parameters), math.nan), math.inf, False, len(starts), 0)
    best = min(ends, key=lambda end: end.cost)
    agreeing = sum(end.cost <= best.cost * (1 + _NEAR) + _ZERO * points.y.size for end in ends)
    rests = best.status > 0 or best.cost <= _ZERO * points.y.size
    return Found(problem.values(best.x), float(best.cost), rests and agreeing > (near is None), len(ends), agreeing)


class _Problem:
    """A law, in coordinates that an optimiser likes: logarithms of what is above 0."""

    def __init__(self, law: AbstractScalingLaw, points: Points, objective: Objective) -> None:
        self.law, self.points, self.objective = law, points, objective
        self.logs = np.array([p.lower >= 0 and not p.zero for p in law.parameters])
        with np.errstate(divide="ignore"):
            self.bounds = tuple(
                np.array([math.log(edge) if log and edge > 0 else -math.inf if log else edge for edge, log in zip(edges, self.logs, strict=True)])
                for edges in zip(*((p.lower, p.upper) for p in law.parameters), strict=True)
            )  # fmt: skip

    def values(self, z: np.ndarray) -> np.ndarray:
        return np.where(self.logs, np.exp(np.minimum(np.where(self.logs, z, 0.0), 700.0)), z)

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        z = np.where(self.logs, np.log(np.maximum(np.where(self.logs, values, 1.0), 1e-300)), values)
        return np.clip(z, self.bounds[0] + 1e-9, self.bounds[1] - 1e-9)

    def errors(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self.objective.errors(self.law.loss(self.values(z), self.points.x), self.points.y)

    def cost(self, z: np.ndarray) -> float:
        cost = np.sum(self.points.weights * self.objective.cost(self.errors(z)))
        return float(cost) if np.isfinite(cost) else math.inf

    def screened(self, guesses: np.ndarray) -> list[np.ndarray]:
        """Coordinates of the best guesses."""
        usable = guesses[np.isfinite(guesses).all(axis=1)]
        costs = [(self.cost(z), tuple(z)) for z in map(self.coordinates, usable)]
        return [np.array(z) for cost, z in sorted(costs)[: len(self.logs) ** 2] if math.isfinite(cost)]

    def followed(self, starts: list[np.ndarray], steps: int) -> list[optimize.OptimizeResult]:
        """Where they lead; of those that do not run to where there is no number."""
        ends = []
        for z in starts:
            with (
                np.errstate(over="ignore", invalid="ignore", divide="ignore"),
                contextlib.suppress(ValueError, np.linalg.LinAlgError),
            ):
                ends.append(
                    optimize.least_squares(
                        self.errors, z, bounds=self.bounds, loss=self.objective.weighted(self.points.weights), x_scale="jac",
                        max_nfev=steps, xtol=1e-15, ftol=1e-14, gtol=1e-15,
                    )
                )  # fmt: skip
        return ends
