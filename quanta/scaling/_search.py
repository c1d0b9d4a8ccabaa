"""From a law's many guesses to the least of an objective, and again for all that was drawn anew."""

import math
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.scaling._descent import descend
from quanta.scaling._objective import Objective
from quanta.scaling._points import Points
from quanta.scaling.base import AbstractScalingLaw

_GUESSED = 100  # points, at most, by which guesses are judged
_ALIKE = 1e-3  # of an objective: two guesses are one and the same
_ROUNDS = ((16, 6), (4, 12), (1, 24))  # so many of the best times the square of the number of parameters, and steps
_KEPT, _STEPS = 2, 1000  # times the number of parameters: what is followed to its end, on all points
_NEAR = 1e-6  # of an objective: two ends are one and the same,
_APART = 0.02  # of an exponent: unless this differs
_NOTHING = 1e-16  # of an objective, for each point: less is rounding
_AGAIN, _MOST_NUMBERS = 200, 2_000_000  # steps from the estimate, for what was drawn anew; numbers at a time


class Found(NamedTuple):
    """The best of the ends."""

    values: np.ndarray
    """(n_parameters,)."""
    objective: float
    """A sum over points."""
    converged: bool
    """The search came to rest, where more than one guess led to, and all of them to the same exponents."""


def search(law: AbstractScalingLaw, points: Points, objective: Objective) -> Found:
    """Follow the law's best guesses to where the objective is least.

    Parameters
    ----------
    law : AbstractScalingLaw
        What is fitted.
    points : Points
        To these.
    objective : Objective
        What is to be least.

    Returns
    -------
    Found
        See there.

    Raises
    ------
    InputError
        If no guess has a number.
    """
    some, k = points.few(_GUESSED), len(law.parameters)
    problem = _Coordinates(law, some, objective)
    guesses = law.guesses(some.x, some.y)
    z = problem.coordinates(guesses[np.isfinite(guesses).all(axis=1)])
    z = _unlike(z, problem.costs(z, some.y, some.weights))
    for followed, steps in _ROUNDS:
        if len(z) > followed * k**2:
            z = descend(problem, z[: followed * k**2], some.y[None], some.weights[None], steps).best_first()
    problem = _Coordinates(law, points, objective)
    ends = descend(problem, z[: _KEPT * k], points.y[None], points.weights[None], _STEPS)
    if not np.isfinite(ends.cost).any():
        raise InputError(f"{law} has no loss above 0 near these points, from any guess; expected another law.")
    best = int(ends.cost.argmin())
    same = ends.cost <= ends.cost[best] * (1 + _NEAR) + _NOTHING * points.weights.sum()
    exponents = problem.values(ends.z[same])[:, [parameter.exponent for parameter in law.parameters]]
    alike = np.ptp(exponents, axis=0) <= _APART * np.abs(exponents).max(axis=0)
    converged = bool(ends.rests[best] and same.sum() > 1 and alike.all())
    return Found(problem.values(ends.z[best]), float(ends.cost[best]), converged)


def search_again(
    law: AbstractScalingLaw, points: Points, objective: Objective, near: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Fits to losses or weights drawn anew, each from the estimate.

    Parameters
    ----------
    law, points, objective
        As in :func:`search`.
    near : np.ndarray, shape (n_parameters,)
        The estimate.
    y, weights : np.ndarray, shape (n_drawn, n) or (1, n)
        What was drawn.

    Returns
    -------
    np.ndarray, shape (n_drawn, n_parameters)
    """
    problem, n = _Coordinates(law, points, objective), points.weights.size
    y, weights = np.broadcast_arrays(y, weights)
    size = max(1, _MOST_NUMBERS // (n * len(near)))
    ends = []
    for i in range(0, len(y), size):
        part = slice(i, i + size)
        z = np.repeat(problem.coordinates(near[None]), len(y[part]), axis=0)
        ends.append(descend(problem, z, y[part], weights[part], _AGAIN).z)
    return problem.values(np.concatenate(ends))


def _unlike(z: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Guesses, the best first, without those as good as one before: points that do not tell them apart lead both to one end."""
    order = np.argsort(costs, kind="stable")[: np.isfinite(costs).sum()]
    new = np.diff(np.log(np.maximum(costs[order], 1e-300)), prepend=-np.inf) > _ALIKE
    return z[order[new]]


class _Coordinates:
    """A law in coordinates that a search likes: logarithms of what is above 0, and losses in units of their median."""

    def __init__(self, law: AbstractScalingLaw, points: Points, objective: Objective) -> None:
        self.law, self.x, self.objective = law, points.x, objective
        self.logs = np.array([p.lower >= 0 and not p.zero for p in law.parameters])
        self.unit = np.array([np.median(points.y) if p.zero and not p.exponent else 1.0 for p in law.parameters])
        ends = np.array([(p.lower, p.upper) for p in law.parameters]).T
        self.low, self.high = self._of(ends)

    def _of(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.logs, np.log(np.where(self.logs, np.maximum(values, 1e-300), 1.0)), values / self.unit)

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """Of values (n_sets, n_parameters), within bounds."""
        return np.clip(self._of(values), self.low, self.high)

    def values(self, z: np.ndarray) -> np.ndarray:
        """Of coordinates, the same shape."""
        return np.where(self.logs, np.exp(np.where(self.logs, np.minimum(z, 700.0), 0.0)), z * self.unit)

    def errors(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of coordinates (..., n_parameters) and losses that broadcast with (..., n): of the objective, (..., n)."""
        with np.errstate(all="ignore"):
            return self.objective.errors(self.law.loss(np.moveaxis(self.values(z), -1, 0)[..., None], self.x), y)

    def costs(self, z: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The objective, (...,); inf where it has no number."""
        cost = (weights * np.where(weights > 0, self.objective.cost(self.errors(z, y)), 0.0)).sum(axis=-1)
        return np.where(np.isfinite(cost), cost, math.inf)
