"""Numba kernels of the geometry learner: one thread, so that a seed gives one result at any number of them."""

import math
from typing import Any

import numpy as np
from numba import njit

from quanta.learners._random import uniform

_compiled: Any = njit  # its stubs know no option beyond a few
# Sums may be reordered (into the lanes of a vector register), but nan and inf stay what they are.
kernel = _compiled(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})

SGD, SIGNGD, ADAM = range(3)
_EPSILON = 1e-8  # of Adam


@kernel
def orthonormalise(rows: np.ndarray) -> None:
    """Gram and Schmidt's, (n, n_dim), in place: of normal rows, orthogonal directions at random (Haar)."""
    for i in range(rows.shape[0]):
        for j in range(i):
            overlap = 0.0
            for d in range(rows.shape[1]):
                overlap += rows[i, d] * rows[j, d]
            for d in range(rows.shape[1]):
                rows[i, d] -= overlap * rows[j, d]
        norm = 0.0
        for d in range(rows.shape[1]):
            norm += rows[i, d] * rows[i, d]
        norm = math.sqrt(norm)
        for d in range(rows.shape[1]):
            rows[i, d] /= norm


@kernel
def skill(directions: np.ndarray, i: int, x: np.ndarray) -> float:
    """u_i = t_i · x; without directions, each is an axis of its own."""
    if directions.shape[0] == 0:
        return x[i]
    u = 0.0
    for d in range(x.size):
        u += directions[i, d] * x[d]
    return u


@kernel
def loss_and_pull(u: float, logistic: bool) -> tuple[float, float]:
    """Loss of a skill, and how hard it pulls: -dL/du."""
    if not logistic:
        return (1 - u) ** 2, 2 * (1 - u)
    return max(-u, 0.0) + math.log1p(math.exp(-abs(u))), 1 / (1 + math.exp(u))


@kernel
def add_pull(directions: np.ndarray, i: int, pull: float, gradient: np.ndarray) -> None:
    """Add -pull · t_i to the gradient, (n_dim,)."""
    if directions.shape[0] == 0:
        gradient[i] -= pull
        return
    for d in range(gradient.size):
        gradient[d] -= pull * directions[i, d]


@kernel
def descend(
    descent: int,
    rate: float,
    betas: tuple[float, float],
    step: int,
    gradient: np.ndarray,
    x: np.ndarray,
    moments: np.ndarray,
) -> None:
    """One step of the optimiser, in place; ``step`` counts from 1."""
    if descent == SGD:
        for d in range(x.size):
            x[d] -= rate * gradient[d]
    elif descent == SIGNGD:
        for d in range(x.size):
            x[d] -= rate * np.sign(gradient[d])
    else:
        first, second = betas
        scale = rate / (1 - first**step)
        unbiased = 1 / (1 - second**step)
        for d in range(x.size):
            moments[0, d] += (1 - first) * (gradient[d] - moments[0, d])
            moments[1, d] += (1 - second) * (gradient[d] * gradient[d] - moments[1, d])
            x[d] -= scale * moments[0, d] / (math.sqrt(moments[1, d] * unbiased) + _EPSILON)


@kernel
def mark(step: float, before: float, after: float, levels: np.ndarray, crossed: np.ndarray) -> None:
    """Write into ``crossed`` (n_levels,) when a loss fell to ``levels``, which is between ``step`` and the next."""
    for j in range(levels.size):
        if math.isnan(crossed[j]) and after <= levels[j]:
            crossed[j] = step + (before - levels[j]) / (before - after) if before > levels[j] else step


@kernel
def follow_gradient(
    p: np.ndarray, directions: np.ndarray, logistic: bool, how: tuple[int, float, tuple[float, float]],
    now: int, then: int, x: np.ndarray, moments: np.ndarray, levels: np.ndarray, crossed: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """Steps ``now`` to ``then`` along the full gradient, in place; the step and subtask of an overflow, else -1, -1."""
    descent, rate, betas = how
    before, gradient = np.empty(p.size), np.empty(x.size)
    for step in range(now, then + 1):
        gradient[:] = 0.0
        for i in range(p.size):
            loss, pull = loss_and_pull(skill(directions, i, x), logistic)
            if not math.isfinite(loss):
                return step, i
            if step > now:
                mark(step - 1, before[i], loss, levels, crossed[i])
            before[i] = loss
            if step < then:
                add_pull(directions, i, p[i] * pull, gradient)
        if step < then:
            descend(descent, rate, betas, step + 1, gradient, x, moments)
    return -1, -1


@kernel
def draw(key: np.uint64, step: int, batch_size: int, cumulative: np.ndarray, drawn: np.ndarray) -> None:
    """The subtasks of a batch, (batch_size,), sorted: example i of a step is a function of key, step and i."""
    for i in range(batch_size):
        drawn[i] = np.searchsorted(cumulative, uniform(np.uint64(step * batch_size + i), key) * cumulative[-1], "right")
    drawn.sort()


@kernel
def follow_batches(
    cumulative: np.ndarray, directions: np.ndarray, logistic: bool, how: tuple[int, float, tuple[float, float]],
    now: int, then: int, x: np.ndarray, moments: np.ndarray, levels: np.ndarray, crossed: np.ndarray,
    key: np.uint64, batch_size: int, hits: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """The same along the gradients of batches: of each, only the subtasks that it holds are looked at."""
    descent, rate, betas = how
    gradient, drawn, before = np.empty(x.size), np.empty(batch_size, dtype=np.int64), np.empty(batch_size)
    for step in range(now, then):
        draw(key, step, batch_size, cumulative, drawn)
        gradient[:] = 0.0
        for e in range(batch_size):
            i = drawn[e]
            hits[i] += 1
            if e > 0 and i == drawn[e - 1]:
                continue
            count = np.searchsorted(drawn, i, "right") - e
            before[e], pull = loss_and_pull(skill(directions, i, x), logistic)
            add_pull(directions, i, pull * count / batch_size, gradient)
        descend(descent, rate, betas, step + 1, gradient, x, moments)
        for e in range(batch_size):
            i = drawn[e]
            if e == 0 or i != drawn[e - 1]:
                loss, _ = loss_and_pull(skill(directions, i, x), logistic)
                if not math.isfinite(loss):
                    return step + 1, i
                mark(step, before[e], loss, levels, crossed[i])
    return -1, -1


@kernel
def losses(directions: np.ndarray, logistic: bool, x: np.ndarray, loss: np.ndarray) -> None:
    """Loss of every subtask, into ``loss`` (n_subtasks,)."""
    for i in range(loss.size):
        loss[i], _ = loss_and_pull(skill(directions, i, x), logistic)


@kernel
def mean_field(
    p: np.ndarray, logistic: bool, how: tuple[int, float, tuple[float, float]], n_dim: int,
    levels: np.ndarray, crossed: np.ndarray, most: int,
) -> None:  # fmt: skip
    """When losses fall to ``levels`` in very many orthogonal directions, into ``crossed`` (n_subtasks, n_levels).

    There, under SignGD, the components of the gradient are normal, and of one size: its length over √n_dim. Their signs
    move every skill in proportion to its pull, √(2/π) times as much as the components divided by that size. Of Adam it
    is a guess, for the length of a run: it takes the ratio of its two means for a sign. Gives up after ``most`` steps.
    """
    descent, rate, betas = how
    u, pull, momentum = np.zeros(p.size), np.zeros(p.size), np.zeros(p.size)
    before, size, left = np.zeros(p.size), 0.0, np.count_nonzero(p)
    first, second = betas if descent == ADAM else (0.0, 0.0)
    for i in range(p.size):
        before[i], pull[i] = loss_and_pull(0.0, logistic)
    for step in range(1, most + 1):
        square = 0.0
        for i in range(p.size):
            square += (p[i] * pull[i]) ** 2
        size += (1 - second) * (square - size)
        pace = rate
        if size > 0:
            pace *= math.sqrt(2 / math.pi * n_dim * (1 - second**step) / size) / (1 - first**step)
        for i in range(p.size):
            if p[i] == 0:
                continue
            momentum[i] += (1 - first) * (p[i] * pull[i] - momentum[i])
            u[i] += pace * momentum[i]
            loss, pull[i] = loss_and_pull(u[i], logistic)
            done = not math.isnan(crossed[i, -1])
            mark(step - 1, before[i], loss, levels, crossed[i])
            left -= (not done) and not math.isnan(crossed[i, -1])
            before[i] = loss
        if left == 0:
            return
