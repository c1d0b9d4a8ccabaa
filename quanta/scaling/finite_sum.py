r"""The loss that known frequencies foretell, with no exponent to fit."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from scipy import interpolate

from quanta._checks import check_choice
from quanta._errors import InputError
from quanta.frequencies import AbstractFrequencies
from quanta.scaling.base import AbstractScalingLaw, Parameter, Values, coefficients

_SHAPES = ("step", "exponential", "multilinear")
_KNOTS = 400
_GUESSES = 40
_NOTHING = 1e-100  # of a sum: what is left is left out
_BLOCK = 4_000_000  # numbers at a time


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FiniteSum(AbstractScalingLaw):
    r"""Subtasks of known frequencies, each learned after as many examples of it as every other.

    .. math:: L(x) = E + H \sum_{k=1}^{K} p_k\, g\!\left( \frac{p_k x}{c} \right)

    Notes
    -----
    Only the time scale c, the height H and the irreducible loss E are fitted: how the loss bends is said by the p_k, and by
    that there are K of them and no more. g falls from 1 to 0, and is 1/2 at 1: at once (``step``), as 2^-u (``exponential``), or as that
    of two layers, :math:`g \propto (1 - R)^2` with :math:`\dot R \propto R (1 - R)` (``multilinear``). By ``rank``, u = x/(c k): x units
    hold x/c subtasks, the most frequent.

    References
    ----------
    Michaud et al. (2023), The Quantization Model of Neural Scaling, section 2; Hutter (2021), Learning Curve Theory,
    equation 2, for ``exponential``; Nam et al. (2024), An exactly solvable model for emergence and scaling laws, for
    ``multilinear``.
    """

    frequencies: AbstractFrequencies
    """Their p_k."""
    shape: Literal["step", "exponential", "multilinear"] = "step"
    """How one is learned."""
    by: Literal["frequency", "rank"] = "frequency"
    """What is scaled: examples, of which each subtask has its share; or units, which the most frequent take."""
    ratio: float = 100.0
    """Of what ``multilinear`` ends with to what it begins with, above 4."""
    floor: bool = True
    """Whether there is an irreducible loss E."""

    def __post_init__(self) -> None:
        check_choice("shape", self.shape, _SHAPES)
        check_choice("by", self.by, ("frequency", "rank"))
        if not (4 < self.ratio < math.inf):
            raise InputError(f"ratio is {self.ratio}; expected a finite number above 4.")

    @property
    def variables(self) -> tuple[str, ...]:
        """Examples or steps, or what takes the most frequent first."""
        return ("x",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """c, H and, with a floor, E."""
        found = (Parameter("c"), Parameter("H"))
        return (*found, Parameter("E", zero=True)) if self.floor else found

    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """E + H Σ p_k g, from a table."""
        fallen = values[1] * _sum(self)(np.log(x[0] / values[0]))
        return fallen + values[2] if self.floor else fallen

    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """On a grid of c; H and E are linear."""
        p = self.frequencies.probabilities()
        first, last = (1.0, 1 / p.size) if self.by == "rank" else (p.max(), p[p > 0].min())
        c = np.geomspace(last * x[0].min(), first * x[0].max(), _GUESSES)[:, None]
        falls = self.loss((c, 1.0, 0.0), x)
        return np.hstack([c, coefficients(falls[:, None], y, offset="positive" if self.floor else "none")])

    def left(self, u: np.ndarray) -> np.ndarray:
        """g, of any shape: how much of a subtask's loss is left after u times what halves it."""
        if self.shape == "step":
            return np.where(u < 1, 1.0, 0.0)
        if self.shape == "exponential":
            return np.exp2(-u)
        drop = 1 - 1 / self.ratio  # of 1 - R, whose square is the loss, from its beginning at R = 1/ratio
        half = 1 - math.sqrt(0.5) * drop
        odds = (self.ratio - 1) * (half / (1 - half) * (self.ratio - 1)) ** -u
        return (odds / (1 + odds) / drop) ** 2


@functools.lru_cache(maxsize=8)
def _sum(law: FiniteSum) -> Callable[[np.ndarray], np.ndarray]:
    """Σ p_k g(u p_k) as a function of ln u: a table, since it is asked for at many u, and again and again."""
    p = np.sort(law.frequencies.probabilities())[::-1]
    p = p[p > 0]
    rate = 1 / np.arange(1.0, p.size + 1) if law.by == "rank" else p
    if law.shape == "step":  # a staircase: half of each step is made where its subtask is learned
        steps, first = np.unique(-np.log(rate), return_index=True)
        tail = np.append(np.cumsum(p[::-1])[::-1][first], 0.0)
        middle = (tail[:-1] + tail[1:]) / 2
        ends = [steps[0] - 1, *steps, steps[-1] + 1]
        return _held(np.array(ends), np.array([tail[0], *middle, 0.0]))
    u = np.linspace(-np.log(rate[0]) - 12, -np.log(rate[-1]) + 5, _KNOTS)
    rows = max(1, _BLOCK // p.size)
    values = np.concatenate([law.left(np.exp(u[i : i + rows, None]) * rate) @ p for i in range(0, u.size, rows)])
    return _held(u, np.where(values > _NOTHING, values, 0.0))


def _held(u: np.ndarray, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Through these points, and constant beyond them."""
    inner = interpolate.PchipInterpolator(u, values)
    low, high = u[0], u[-1]
    return lambda at: inner(np.clip(at, low, high))
