r"""Adam on rows that are mostly untouched: exact, at a cost that does not grow with the time between touches.

A row without a gradient still moves, for its momentum lasts. After step t₀, with s = √v,

.. math:: \theta \mathrel{-}= \eta\, m \sum_{d=1}^{\Delta} \frac{a_d}{s\, r_d + \epsilon}, \qquad
    a_d = \frac{\beta_1^d}{1 - \beta_1^{t_0 + d}}, \quad r_d = \frac{\beta_2^{d/2}}{\sqrt{1 - \beta_2^{t_0 + d}}}

(d = 1 … Δ, Δ the steps missed). All r_d that matter are close to their mean r, weighted by a_d; so with
δ_d = r_d / r - 1, q = s r + ε and u = s r / q < 1 the sum is

.. math:: \frac1q \sum_k (-u)^k \mu_k, \qquad \mu_k = \sum_d a_d\, \delta_d^k,

whose moments μ_k are numbers of the row, not of its weights. While t₀ is small r_d moves fast, and the sum is made term by
term. Decoupled weight decay multiplies weights by κ = 1 - η λ before each move: a_d is then κ^(Δ-d) a_d.
ε is not negligible: the √v of a rare row may be of its size.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from quanta.learners._parity_vectors import inner, load, reordered, root, spread, store

Vector = Any  # sixteen float32: see _parity_vectors
EARLY = 96  # until then the sum is made term by term
N_MOMENTS = 7
N_NUMBERS = 4 + N_MOMENTS
"""Numbers of a row: decay of weights, of m, of v, the mean r, and η μ_k."""
_STILL = 1e-10  # momentum that is left when a row is taken to be still


class Pace(NamedTuple):
    """A rule of motion, and tables of what Adam does of its own in time."""

    adaptive: bool
    """Adam, or SGD."""
    rate: float
    """η, of all weights but the output's, which is twice that."""
    beta1: float
    """β₁, by which m fades in a step."""
    beta2: float
    """β₂, by which v does."""
    epsilon: float
    """ε, what is added to √v."""
    kept: float
    """κ, by which weights are multiplied before a move."""
    fade: np.ndarray
    """(window,) (β₁ / κ)^d, d = 1 …: as long as momentum lasts."""
    calm: np.ndarray
    """(window,) β₂^(d/2)."""
    scale_m: np.ndarray
    """(n,) 1 / (1 - β₁^t), t = 0 … until the one below is 1, and a window more."""
    scale_v: np.ndarray
    """(n,) 1 / √(1 - β₂^t)."""


def pace(adaptive: bool, rate: float, weight_decay: float, betas: tuple[float, float], epsilon: float) -> Pace:
    """A rule of motion, from its usual parameters."""
    kept = 1 - rate * weight_decay
    window = math.ceil(math.log(_STILL) / math.log(betas[0]))
    d = np.arange(1, window + 1)
    t = np.arange(math.ceil(math.log(1e-17) / math.log(betas[1])) + window)
    with np.errstate(divide="ignore"):  # at t = 0, which is never asked for
        scale_m, scale_v = 1 / (1 - betas[0] ** t), 1 / np.sqrt(1 - betas[1] ** t)
    return Pace(
        adaptive, rate, *betas, epsilon, kept, (betas[0] / kept) ** d, betas[1] ** (d / 2), scale_m, scale_v
    )  # fmt: skip


@reordered
def summary(how: Pace, last: int, missed: int, numbers: np.ndarray) -> None:
    """Write into ``numbers`` (N_NUMBERS,) what :func:`catch_up` needs, of rows touched last at step ``last``."""
    numbers[:] = 0
    numbers[0] = how.kept**missed
    if not how.adaptive:
        return
    numbers[1], numbers[2] = how.beta1**missed, how.beta2**missed
    if last < EARLY:
        return
    n = min(missed, how.fade.size)
    start = min(last + 1, how.scale_m.size - how.fade.size)
    scale_m, scale_v = how.scale_m[start : start + n], how.scale_v[start : start + n]
    weight = ratio = 0.0
    for d in range(n):
        a = how.fade[d] * scale_m[d]
        weight += a
        ratio += a * how.calm[d] * scale_v[d]
    mean = ratio / weight
    m2 = m3 = m4 = m5 = m6 = 0.0
    for d in range(n):
        a = how.fade[d] * scale_m[d]
        x = how.calm[d] * scale_v[d] / mean - 1
        m2 += a * x**2
        m3 += a * x**3
        m4 += a * x**4
        m5 += a * x**5
        m6 += a * x**6
    rate = how.rate * how.kept**missed  # not the number above: what is left may be less than float32 has
    numbers[3] = mean
    numbers[4], numbers[6], numbers[7], numbers[8] = rate * weight, rate * m2, rate * m3, rate * m4
    numbers[9], numbers[10] = rate * m5, rate * m6  # the first moment is 0: that is what the mean is


@inner
def caught_up(how: Pace, numbers: np.ndarray, last: int, missed: int, weight: Vector, m: Vector, v: Vector) -> Vector:
    """Sixteen weights after the steps that they missed."""
    if not how.adaptive:
        return weight * spread(numbers[0])
    s, tiny = root(v), spread(np.float32(how.epsilon))
    if last < EARLY:
        total = spread(np.float32(0))
        rate = how.rate * how.kept**missed
        for d in range(min(missed, how.fade.size) - 1, -1, -1):  # small terms first: they would be lost in the sum
            a = np.float32(rate * how.fade[d] * how.scale_m[last + 1 + d])
            total = total + spread(a) / (s * spread(np.float32(how.calm[d] * how.scale_v[last + 1 + d])) + tiny)
        return weight * spread(numbers[0]) - m * total
    sr = s * spread(numbers[3])
    q = sr + tiny
    u = sr / q
    series = spread(numbers[3 + N_MOMENTS])
    for k in range(2 + N_MOMENTS, 3, -1):
        series = spread(numbers[k]) - u * series
    return weight * spread(numbers[0]) - m * (series / q)


@inner
def catch_up(
    how: Pace, numbers: np.ndarray, last: int, missed: int, at: int,
    weights: np.ndarray, moment1: np.ndarray, moment2: np.ndarray,
) -> None:  # fmt: skip
    """Move sixteen weights and their moments, in place, over the steps that they missed."""
    m, v = load(moment1, at), load(moment2, at)
    store(weights, at, caught_up(how, numbers, last, missed, load(weights, at), m, v))
    if how.adaptive:
        store(moment1, at, m * spread(numbers[1]))
        store(moment2, at, v * spread(numbers[2]))


@inner
def move(
    how: Pace, step: int, faster: float, at: int, gradient: Vector,
    weights: np.ndarray, moment1: np.ndarray, moment2: np.ndarray,
) -> None:  # fmt: skip
    """Move sixteen weights by a gradient, in place, at a step counted from 1; ``faster`` multiplies the rate."""
    kept = load(weights, at) * spread(np.float32(how.kept))
    rate = faster * how.rate
    if not how.adaptive:
        store(weights, at, kept - gradient * spread(np.float32(rate)))
        return
    now = min(step, how.scale_m.size - 1)
    m = load(moment1, at) * spread(np.float32(how.beta1)) + gradient * spread(np.float32(1 - how.beta1))
    v = load(moment2, at) * spread(np.float32(how.beta2)) + gradient * gradient * spread(np.float32(1 - how.beta2))
    size = root(v) * spread(np.float32(how.scale_v[now])) + spread(np.float32(how.epsilon))
    store(weights, at, kept - m * spread(np.float32(rate * how.scale_m[now])) / size)
    store(moment1, at, m)
    store(moment2, at, v)
