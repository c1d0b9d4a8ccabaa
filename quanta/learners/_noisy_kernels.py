"""Noisy descent on a·b, as Numba kernels: blocks of subtasks that stay in the first cache, and time inside."""

import math

import numpy as np

from quanta.learners._random import box_muller, inner, kernel, normals, squares

_BLOCK = 512  # subtasks
_STEPS = 64  # between two looks at what has crossed a level
_LARGEST = 3.4028234663852886e38  # loss that a record, float32, can hold


@kernel
def descend(
    key: np.uint64,
    begin: int,
    end: int,
    a: np.ndarray,
    b: np.ndarray,
    drift: np.ndarray,
    kick: np.ndarray,
    target: float,
    levels: np.ndarray,
    crossed: np.ndarray,
) -> tuple[int, int]:
    """Take steps begin + 1 to end with all subtasks, in place.

    Parameters
    ----------
    key : np.uint64
        Of the noise.
    begin, end : int
        Steps taken before, and after.
    a, b : np.ndarray, shape (n_subtasks,), float64
        Weights: a moves by drift b (target - a b) + kick ξ, and b by drift a (target - a b) + kick ξ'.
    drift, kick : np.ndarray, shape (n_subtasks,), float64
        See above.
    target : float
        Of a b.
    levels, crossed : np.ndarray, shape (n_levels,), (n_subtasks, n_levels)
        Ascending values of a b, and after which step they were passed first: written where it is nan, and has been.

    Returns
    -------
    tuple of int
        Step after which a loss is not finite first, and subtask; (-1, -1) if all are.
    """
    bad_step, bad_subtask = -1, -1
    a0, b0, peak = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    high, low = np.empty(_BLOCK, dtype=np.uint32), np.empty(_BLOCK, dtype=np.uint32)
    x, y = np.empty(_BLOCK, dtype=np.float32), np.empty(_BLOCK, dtype=np.float32)
    for left in range(0, a.size, _BLOCK):
        right = min(left + _BLOCK, a.size)
        size = right - left
        for step in range(begin, end, _STEPS):
            stop = min(step + _STEPS, end)
            a0[:size], b0[:size], peak[:size] = a[left:right], b[left:right], -np.inf
            for now in range(step, stop):
                first = np.uint64(now) * np.uint64(a.size) + np.uint64(left)
                normals(key, first, high[:size], low[:size], x[:size], y[:size])
                move(
                    a[left:right], b[left:right], drift[left:right], kick[left:right], target,
                    x[:size], y[:size], peak[:size],
                )  # fmt: skip
            found = -1
            for i in range(size):
                k = left + i
                if peak[i] >= next_level(levels, crossed[k]) or not math.fabs(target - a[k] * b[k]) < 1e19:
                    at = replay(key, step, stop, k, a.size, a0[i], b0[i], drift[k], kick[k], target, levels, crossed[k])
                    if at >= 0 and (bad_step < 0 or at < bad_step or (at == bad_step and k < bad_subtask)):
                        bad_step, bad_subtask = at, k
                    found = max(found, at)
            if found >= 0:
                break
    return bad_step, bad_subtask


@inner
def move(
    a: np.ndarray,
    b: np.ndarray,
    drift: np.ndarray,
    kick: np.ndarray,
    target: float,
    x: np.ndarray,
    y: np.ndarray,
    peak: np.ndarray,
) -> None:
    """One step of a block, with the noise x and y; ``peak`` keeps the largest a b."""
    for i in range(a.size):
        a[i], b[i] = moved(a[i], b[i], drift[i], kick[i], target, x[i], y[i])
        strength = a[i] * b[i]
        peak[i] = strength if strength > peak[i] else peak[i]


@inner
def moved(a: float, b: float, drift: float, kick: float, target: float, x: float, y: float) -> tuple[float, float]:
    """Weights of one subtask after a step."""
    pull = drift * (target - a * b)
    return a + (pull * b + kick * x), b + (pull * a + kick * y)


@inner
def next_level(levels: np.ndarray, crossed: np.ndarray) -> float:
    """The lowest level not passed yet."""
    for j in range(levels.size):
        if math.isnan(crossed[j]):
            return levels[j]
    return math.inf


@inner
def replay(
    key: np.uint64,
    begin: int,
    end: int,
    k: int,
    n_subtasks: int,
    a: float,
    b: float,
    drift: float,
    kick: float,
    target: float,
    levels: np.ndarray,
    crossed: np.ndarray,
) -> int:
    """Take these steps again with one subtask, bit for bit, to see when; the step that made its loss too large, or -1."""
    for now in range(begin, end):
        bits = squares(np.uint64(now) * np.uint64(n_subtasks) + np.uint64(k), key)
        x, y = box_muller(np.uint32(bits >> np.uint64(32)), np.uint32(bits))
        a, b = moved(a, b, drift, kick, target, float(x), float(y))
        for j in range(levels.size):
            if math.isnan(crossed[j]) and a * b >= levels[j]:
                crossed[j] = now + 1
        if not 0.5 * (target - a * b) ** 2 <= _LARGEST:
            return now + 1
    return -1
