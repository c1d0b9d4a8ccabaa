"""The Zipf exponent of counts, by maximum likelihood: with ranks that are known, or read off the counts themselves."""

import math
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from quanta._errors import InputError, quoted

_REPLICAS = (16, 16, 16, 16, 64)  # simulated sets of counts in each round: the last adds 2 % to the error
_SHOWN = 8  # more at the estimate, for the shares expected there
_FARTHEST = 10_000.0  # nats between the first and the last rank, at the steepest exponent looked at
_LARGEST = 2.0**53  # whole numbers are exact up to here


class ZipfFit(NamedTuple):
    """A Zipf exponent estimated from counts."""

    exponent: float
    """s in p_k ∝ (k + offset)^-s; above 0 or 0, where ranks were read off the counts."""
    standard_error: float
    """Of the exponent, if the draws were independent of each other: those of running text are not."""
    sorting_bias: float
    """By how much the likelihood of sorted counts would have overstated the exponent; 0 where ranks were known."""
    log_likelihood: float
    """Of the multinomial, in nats, but for its coefficient; nan where ranks were read off the counts: intractable."""
    distance: float
    """Kolmogorov-Smirnov: the largest gap between the cumulative shares of the ranks, counted and expected."""
    n_ranks: int
    """Number of subtasks, those never drawn included."""
    n_draws: int
    """Sum of the counts."""


def fit_zipf(
    counts: ArrayLike, *, ranked: bool = False, n_subtasks: int | None = None, offset: float = 0.0, seed: int = 0
) -> ZipfFit:
    r"""Zipf exponent of counts, by maximum likelihood.

    Counts :math:`c_k` of N draws from n subtasks are multinomial, and their likelihood depends on the exponent only
    through the mean log rank; at its maximum the mean expected is the mean observed (Clauset 2009, Appendix B, but for
    ranks that end at n: so s may be below 1).

    .. math:: \ell(s) = -s \sum_k c_k \ln(k+q) - N \ln \sum_k (k+q)^{-s}, \qquad
        \mathrm{E}_s[\ln(k+q)] = \frac{1}{N} \sum_k c_k \ln(k+q), \qquad \sigma_s^{-2} = N\,\mathrm{Var}_s[\ln(k+q)]

    That holds where ranks are known beforehand. Read off the counts themselves, the largest first, they turn noise
    into order: the mean log rank comes out too small and the exponent too large (Piantadosi 2014; Pilgrim 2021, who
    find the right likelihood intractable). Then the left side is instead the mean log rank of *sorted* counts that are
    drawn from the law, by simulation, and the error is that of what was simulated.

    Why not the distribution of the counts, itself a power law of exponent 1 + 1/s (Clauset 2009, Section 3)? It sees
    n subtasks where this sees N draws, and is far less certain. Why not a line through log count and log rank? It
    weighs a subtask seen once like one seen a million times, and drops those never seen.

    Parameters
    ----------
    counts : array_like, shape (n,)
        How often each subtask was drawn: whole numbers, at least two above 0.
    ranked : bool
        Whether they stand in the order of the true frequencies, most frequent first, known beforehand: as those of a
        simulation do. If not, they are sorted, and what that does is allowed for.
    n_subtasks : int, optional
        Number of subtasks, if more than counts: the others were never drawn. Counts of only what was seen, without
        this, are fitted as if nothing else could have been.
    offset : float
        q of the law (Zipf-Mandelbrot), given.
    seed : int
        Of the simulation; without effect where ``ranked``.

    Returns
    -------
    ZipfFit
        The exponent, its standard error, and how well it fits.

    Raises
    ------
    InputError
        If the counts cannot be such.

    References
    ----------
    Clauset, Shalizi, Newman (2009), Power-law distributions in empirical data. Piantadosi (2014), Zipf's word frequency
    law in natural language. Pilgrim, Hills (2021), Bias in Zipf's law estimators.

    Examples
    --------
    >>> from quanta.frequencies import Zipf
    >>> drawn = np.random.default_rng(0).multinomial(300, Zipf(n_subtasks=1000, exponent=1.0).probabilities())
    >>> known, sorted_ = fit_zipf(drawn, ranked=True), fit_zipf(drawn)
    >>> abs(known.exponent - 1) < 2 * known.standard_error, abs(sorted_.exponent - 1) < 2 * sorted_.standard_error
    (True, True)
    >>> sorted_.sorting_bias > 2 * sorted_.standard_error
    True
    """
    drawn = _checked(counts, n_subtasks)
    if not (math.isfinite(offset) and offset >= 0):
        raise InputError(f"offset is {offset}; expected a finite number of 0 or more.")
    law = _Ranks(drawn.size, offset)
    if ranked:
        s = law.exponent(law.mean(drawn))
        error, expected = law.error(s, int(drawn.sum())), law.probabilities(s)
        bias, likelihood = 0.0, float(drawn @ law.log_probabilities(s))
    else:
        drawn = -np.sort(-drawn)
        s, error, expected = _unsorted(law, drawn, np.random.default_rng(seed))
        bias, likelihood = law.exponent(law.mean(drawn)) - s, math.nan
    gap = np.abs(np.cumsum(drawn / drawn.sum() - expected)).max()
    return ZipfFit(s, error, bias, likelihood, float(gap), drawn.size, int(drawn.sum()))


class _Ranks:
    """Zipf laws of every exponent over the same ranks."""

    def __init__(self, n: int, offset: float) -> None:
        self.log = np.log1p(np.arange(n) / (1 + offset))  # ln(k + q) but for what all ranks share

    def probabilities(self, s: float) -> np.ndarray:
        """p_k at the exponent, shape (n,)."""
        return np.exp(self.log_probabilities(s))

    def log_probabilities(self, s: float) -> np.ndarray:
        """Logarithms of p_k, finite where p_k is too small for a number."""
        logits = -s * (self.log - self.log[0 if s > 0 else -1])
        return logits - math.log(np.exp(logits).sum())

    def moments(self, s: float) -> tuple[float, float]:
        """Mean and variance of the log rank of a draw."""
        p = self.probabilities(s)
        mean = float(p @ self.log)
        return mean, float(p @ (self.log - mean) ** 2)

    def mean(self, counts: np.ndarray) -> float:
        """Mean log rank of the draws counted."""
        return float(counts @ self.log / counts.sum())

    def error(self, s: float, total: int) -> float:
        """Standard error of the exponent from so many draws, if ranks are known: the inverse root of the information."""
        return 1 / math.sqrt(total * self.moments(s)[1])

    def exponent(self, mean: float) -> float:
        """The exponent at which a draw's mean log rank is this: of maximum likelihood."""
        from scipy.optimize import brentq

        widest = self.log[-1]
        bound = _FARTHEST / widest
        mean = min(mean, widest * (1 - 1e-12))  # all draws at the last rank, to rounding
        return float(brentq(lambda s: self.moments(s)[0] - mean, -bound, bound, xtol=1e-12 / widest))


def _unsorted(law: _Ranks, counts: np.ndarray, rng: np.random.Generator) -> tuple[float, float, np.ndarray]:
    """The exponent at which sorted counts have the mean log rank observed, its error, and the shares expected there.

    Sorted counts are drawn at exponents across a window, and the logarithm of their summed log rank (near to linear) is
    regressed on the exponent. Where the parabola takes the value observed is the estimate; where it is one scatter
    away, its error, or that of ranks known: not to know them cannot help. The next window is three errors to each side;
    the first reaches from 0 to just above where sorting alone would put the exponent.
    """
    target, total = math.log1p(counts @ law.log), int(counts.sum())
    naive = law.exponent(law.mean(counts))
    low, high = 0.0, naive + law.error(naive, total)
    for replicas in _REPLICAS:
        tried = np.linspace(low, high, replicas)
        found = np.array([math.log1p(_sorted_draws(law, s, total, rng) @ law.log) for s in tried])
        curve = np.polynomial.Polynomial.fit(tried, found, 2)
        scatter = math.sqrt(np.sum((found - curve(tried)) ** 2) / (replicas - 3))
        grid = np.linspace(low, high, 10_001)
        falling = np.minimum.accumulate(curve(grid))
        reached = min(max(target, falling[-1]), falling[0])  # counts may be more equal than those of any law
        levels = np.maximum([reached + scatter, reached, reached - scatter], falling[-1])
        below, s, above = (float(grid[np.argmax(falling <= level)]) for level in levels)
        error = max(s - below, above - s, law.error(s, total))
        low, high = max(0.0, s - 3 * error), s + 3 * error
    shown = np.mean([_sorted_draws(law, s, total, rng) for _ in range(_SHOWN)], axis=0)
    return s, error, shown / total


def _sorted_draws(law: _Ranks, s: float, total: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of so many draws, the largest first."""
    return -np.sort(-rng.multinomial(total, law.probabilities(s)))


def _checked(counts: ArrayLike, n_subtasks: int | None) -> np.ndarray:
    """Counts as numbers, with zeros for those never drawn."""
    try:
        drawn = np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"counts cannot be read as numbers: {quoted(error)}.") from None
    if drawn.ndim != 1:
        raise InputError(f"counts has shape {drawn.shape}; expected one count for each subtask.")
    wrong = ~(np.isfinite(drawn) & (drawn >= 0) & (drawn == np.floor(drawn)) & (drawn <= _LARGEST))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"the count of subtask {at} is {drawn[at]}; expected a whole number, 0 to 2^53: the likelihood is of draws."
        )
    if np.count_nonzero(drawn) < 2:
        raise InputError(
            f"counts are above 0 for {np.count_nonzero(drawn)} of {drawn.size} subtasks; an exponent needs 2 or more."
        )
    size = drawn.size if n_subtasks is None else n_subtasks
    if not isinstance(size, Integral) or size < drawn.size:
        raise InputError(f"n_subtasks is {size}; expected a whole number of at least {drawn.size}, the counts given.")
    return np.pad(drawn, (0, int(size) - drawn.size))
