"""What a limit in parameters, or in compute, does to subtasks that compete for them: the most frequent come first."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_POINTS = 9  # of a grid


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


def best_split(mean_loss: Callable[[Split], float], compute: float, each: float, n_subtasks: int) -> Split:
    """The split of least mean loss, over parameters for whole numbers of subtasks at ``each`` so many.

    A grid that closes in on its best point: until it holds every number, or numbers within a thousandth.
    """
    low, high = 1, n_subtasks
    while True:
        every = high - low < _POINTS
        tried = range(low, high + 1) if every else np.unique(np.rint(np.geomspace(low, high, _POINTS)).astype(int))
        splits = [Split(compute / (each * n), each * n) for n in map(int, tried)]
        best = int(np.argmin([mean_loss(split) for split in splits]))
        if every or high < 1.001 * low:
            return splits[best]
        low, high = int(tried[max(best - 1, 0)]), int(tried[min(best + 1, len(tried) - 1)])
