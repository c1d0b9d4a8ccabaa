"""What a law is fitted to: arranged, checked, within a window, drawn anew."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.scaling.base import AbstractScalingLaw

Window = tuple[float, float] | Mapping[str, tuple[float, float]]
X = np.ndarray | Mapping[str, np.ndarray]


class Points(NamedTuple):
    """Losses, and what they depend on."""

    x: np.ndarray
    """(n_variables, n)."""
    losses: np.ndarray
    """(n_seeds, n)."""
    weights: np.ndarray
    """(n,)."""

    @property
    def y(self) -> np.ndarray:
        """Mean over seeds, (n,)."""
        return self.losses.mean(axis=0)

    def only(self, which: np.ndarray) -> "Points":
        """Some of the points, by mask or index."""
        return Points(self.x[:, which], self.losses[:, which], self.weights[which])

    def few(self, most: int) -> "Points":
        """At most so many, over the whole range of losses."""
        n = len(self.weights)
        return self if n <= most else self.only(np.argsort(self.y)[np.linspace(0, n - 1, most).astype(int)])


def arranged(law: AbstractScalingLaw, x: X) -> np.ndarray:
    """X as rows in the order of the law's variables, (n_variables, n).

    Raises
    ------
    InputError
        If one is missing, or of another shape.
    """
    if isinstance(x, Mapping):
        if any(name not in x for name in law.variables):
            has = ", ".join(map(str, x)) or "nothing"
            raise InputError(f"x has {has}; expected {', '.join(law.variables)}, which {law} depends on.")
        rows = np.stack(np.broadcast_arrays(*(np.asarray(x[name], dtype=np.float64) for name in law.variables)))
    else:
        rows = np.atleast_2d(np.asarray(x, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[0] != len(law.variables):
        raise InputError(
            f"x has shape {rows.shape}; expected {len(law.variables)} rows, for {', '.join(law.variables)}."
        )
    return rows


def arrange(law: AbstractScalingLaw, x: X, y: np.ndarray, weights: np.ndarray | None) -> Points:
    """Points of a law.

    Raises
    ------
    InputError
        If shapes do not fit, or a weight is negative or not finite.
    """
    if not isinstance(law, AbstractScalingLaw):
        raise InputError(f"law is {law!r}; expected a scaling law, such as PowerLaw() or Chinchilla().")
    rows, losses = arranged(law, x), np.atleast_2d(np.asarray(y, dtype=np.float64))
    n = rows.shape[1]
    each = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    for name, array in (("y", losses), ("weights", each)):
        if array.shape[-1] != n or array.ndim > (2 if name == "y" else 1):
            raise InputError(f"{name} has shape {array.shape}; expected {n} points, as many as x.")
    if not (np.isfinite(each).all() and (each >= 0).all()):
        raise InputError("weights are negative or not finite; expected numbers of 0 or more.")
    return Points(rows, losses, each)


def check_usable(law: AbstractScalingLaw, points: Points, used: np.ndarray) -> None:
    """Refuse x or losses that have no logarithm, among the points used (n,).

    Raises
    ------
    InputError
        If one has none; names it.
    """
    for name, row in zip(law.variables, points.x, strict=True):
        check_above_0(name, row, used)
    check_above_0("the loss", points.losses, used)


def check_above_0(name: str, numbers: np.ndarray, used: np.ndarray) -> None:
    """Numbers (..., n), those used finite and above 0.

    Raises
    ------
    InputError
        If one is not; names it.
    """
    wrong = np.argwhere(used & ~(np.isfinite(numbers) & (numbers > 0)))
    if wrong.size:
        value, i = numbers[tuple(wrong[0])], wrong[0][-1]
        raise InputError(f"{name} is {value} at point {i}; expected finite numbers above 0. Leave out such points.")


def inside(law: AbstractScalingLaw, x: np.ndarray, window: Window | None) -> np.ndarray:
    """Which points lie in the window, (n,).

    Raises
    ------
    InputError
        If the window is of what the law does not depend on, or one for several variables.
    """
    if window is None:
        return np.ones(x.shape[1], dtype=bool)
    if not isinstance(window, Mapping) and len(law.variables) > 1:
        raise InputError(f"window is {window}; expected one for each of {', '.join(law.variables)}, by name.")
    spans = window if isinstance(window, Mapping) else {law.variables[0]: window}
    unknown = [name for name in spans if name not in law.variables]
    if unknown:
        raise InputError(f"window is of {', '.join(unknown)}; expected some of {', '.join(law.variables)}.")
    rows = dict(zip(law.variables, x, strict=True))
    return np.logical_and.reduce([(rows[name] >= low) & (rows[name] <= high) for name, (low, high) in spans.items()])


def drawn_seeds(points: Points, n: int, rng: np.random.Generator) -> np.ndarray:
    """Means of as many seeds, drawn anew, (n, n_points).

    Raises
    ------
    InputError
        If there is one seed only.
    """
    n_seeds = len(points.losses)
    if n_seeds < 2:
        raise InputError("bootstrap is 'seeds', and y has one; expected y of shape (n_seeds, n) with two or more.")
    return points.losses[rng.integers(n_seeds, size=(n, n_seeds))].mean(axis=1)


def drawn_points(points: Points, n: int, rng: np.random.Generator) -> np.ndarray:
    """Weights, each as many times as its point was drawn, (n, n_points)."""
    total = points.weights.size
    return points.weights * rng.multinomial(total, np.full(total, 1 / total), size=n)
