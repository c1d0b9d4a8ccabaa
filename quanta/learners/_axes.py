"""What a limit in parameters, or in compute, does to subtasks that compete for them: the most frequent come first."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_POINTS, _ROUNDS = 9, 7  # of a grid that closes in fourfold each time: to 1e-3 of the logarithm


class Split(NamedTuple):
    """How an amount of compute, steps × parameters, is best spent."""

    steps: float
    parameters: float


def room(speed: np.ndarray, n: float) -> np.ndarray:
    """Share of what each subtask needs, (n_subtasks,), where there is enough for ``n`` of them, the fastest first.

    Of equal ones the first comes first. What never moves (speed 0) gets nothing.

    Examples
    --------
    >>> room(np.array([0.2, 0.5, 0.3, 0.0]), 2.25).tolist()
    [0.25, 1.0, 1.0, 0.0]
    """
    speed = np.atleast_1d(speed)
    rank = np.empty(speed.size)
    rank[np.argsort(-speed, kind="stable")] = np.arange(speed.size)
    return np.where(speed > 0, np.clip(n - rank, 0, 1), 0.0)


def best_split(mean_loss: Callable[[Split], float], compute: float, fewest: float, most: float) -> Split:
    """The split of least mean loss, between the fewest and the most parameters: a grid in ln N that closes in."""
    low, high = math.log(fewest), math.log(most)
    for _ in range(_ROUNDS):
        tried = np.linspace(low, high, _POINTS)
        splits = [Split(compute / n, n) for n in np.exp(tried).tolist()]
        best = int(np.argmin([mean_loss(split) for split in splits]))
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, _POINTS - 1)]
    return splits[best]
