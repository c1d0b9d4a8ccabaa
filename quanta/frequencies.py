"""How often each subtask occurs in training: the first thing that every run is made of."""

import abc
import bisect
import math
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import final

import numpy as np

from quanta import _frequency_files as files
from quanta._checks import check_whole
from quanta._errors import InputError, quoted
from quanta._zipf_fit import ZipfFit, fit_zipf

__all__ = [
    "FREQUENCIES",
    "AbstractFrequencies",
    "Empirical",
    "ExponentialDecay",
    "Reweighted",
    "Uniform",
    "Zipf",
    "ZipfFit",
    "fit_zipf",
    "read_changes",
    "read_counts",
]


def _check_above_zero(law: "AbstractFrequencies", log_ratio: Callable[[int], float]) -> None:
    """Refuse a law whose rarest subtasks would have a frequency of 0, though it says that they occur.

    ``log_ratio(k)`` is ln(p_k / p_1), falling; p_1 is at least 1/n.
    """
    least = math.log(sys.float_info.min) + math.log(law.size)
    if log_ratio(law.size) < least:
        first = bisect.bisect_left(range(1, law.size + 1), True, key=lambda k: log_ratio(k) < least)
        raise InputError(
            f"{law}: subtasks {first} to {law.size - 1} would have a frequency of 0, too small for a number (1e-308). "
            f"Take at most {first} subtasks, or a law that falls more slowly."
        )


class AbstractFrequencies(abc.ABC):
    """A law of occurrence: subtask k is drawn with probability p_k, summing to 1."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Number of subtasks."""

    @property
    def tail_exponent(self) -> float:
        """s, if p_k falls as k^-s as k grows without end; nan if there is no such power law."""
        return math.nan

    @abc.abstractmethod
    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), float64, summing to 1, most frequent first where there is an order."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Zipf(AbstractFrequencies):
    r"""Power-law frequencies; with an offset Zipf-Mandelbrot, with a cutoff a power law that ends exponentially.

    .. math:: p_k \propto (k + q)^{-s} e^{-k/\kappa}, \qquad k = 1 \dots n

    Notes
    -----
    **The exponent s is not the α of the papers**, and two papers' α are not each other's:

    ========================================  =========================  =======================
    where                                     its law                    ``exponent``
    ========================================  =========================  =======================
    Michaud 2023, Hutter 2021, Nam 2024       k^-(α+1)                   α + 1
    Michaud's code (``alpha=1.4``)            k^-alpha                   alpha (the paper's + 1)
    Nam's code (``alpha=1.6``)                k^-alpha                   alpha (the paper's + 1)
    Liu 2025 (paper and code, ``alpha=2``)    k^-α                       α
    ========================================  =========================  =======================

    References
    ----------
    Michaud, Liu, Girit, Tegmark (2023), The Quantization Model of Neural Scaling, hypothesis QH3. Mandelbrot (1953), An
    informational theory of the statistical structure of language, for the offset.

    Examples
    --------
    >>> Zipf(n_subtasks=3, exponent=1.0).probabilities().round(4).tolist()
    [0.5455, 0.2727, 0.1818]
    >>> Zipf(n_subtasks=3, exponent=1.0, offset=1.0).probabilities().round(4).tolist()
    [0.4615, 0.3077, 0.2308]
    """

    n_subtasks: int = 1000
    """Number of subtasks n."""
    exponent: float = 1.5
    """Zipf exponent s of 0 or more: p_k falls as k^-s. The α of Michaud's and Nam's papers is s - 1, that of Liu's is s."""
    offset: float = 0.0
    """Zipf-Mandelbrot offset q of 0 or more: p_k falls as (k + q)^-s, so that the first few are more alike."""
    cutoff: float = math.inf
    """Rank κ above 0 beyond which frequencies fall as e^(-k/κ); inf for none."""

    def __post_init__(self) -> None:
        check_whole("n_subtasks", self.n_subtasks)
        if not (math.isfinite(self.exponent) and self.exponent >= 0):
            raise InputError(f"exponent is {self.exponent}; expected a finite Zipf exponent of 0 or more.")
        if not (math.isfinite(self.offset) and self.offset >= 0):
            raise InputError(f"offset is {self.offset}; expected a finite number of 0 or more.")
        if not self.cutoff > 0:
            raise InputError(f"cutoff is {self.cutoff}; expected a rank above 0, or inf for none.")
        _check_above_zero(self, self._log_ratio)

    def __repr__(self) -> str:
        """Without an offset or a cutoff that is not there: ``inf`` is no name where a repr is evaluated."""
        more = "".join(
            f", {name}={value}" for name in ("offset", "cutoff") if (value := getattr(self, name)) not in (0, math.inf)
        )
        return f"Zipf(n_subtasks={self.n_subtasks}, exponent={self.exponent}{more})"

    @property
    def size(self) -> int:
        """Number of subtasks."""
        return self.n_subtasks

    @property
    def tail_exponent(self) -> float:
        """The exponent; nan with a cutoff."""
        return math.nan if math.isfinite(self.cutoff) else self.exponent

    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), falling."""
        k = np.arange(1, self.n_subtasks + 1, dtype=np.float64)
        p = ((k + self.offset) / (1 + self.offset)) ** -self.exponent * np.exp((1 - k) / self.cutoff)
        return p / p.sum()

    def _log_ratio(self, k: int) -> float:
        return -self.exponent * math.log((k + self.offset) / (1 + self.offset)) - (k - 1) / self.cutoff


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform(AbstractFrequencies):
    """Equal frequencies: p_k = 1/n. Timing by frequency cannot be tested on such a run.

    Examples
    --------
    >>> Uniform(n_subtasks=4).probabilities().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    n_subtasks: int = 1000
    """Number of subtasks n."""

    def __post_init__(self) -> None:
        check_whole("n_subtasks", self.n_subtasks)

    @property
    def size(self) -> int:
        """Number of subtasks."""
        return self.n_subtasks

    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), all equal."""
        return np.full(self.n_subtasks, 1.0 / self.n_subtasks)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentialDecay(AbstractFrequencies):
    r"""Frequencies that fall by the same factor from each subtask to the next: no power law anywhere.

    .. math:: p_k \propto r^k, \qquad k = 1 \dots n

    The control of a power law: a scaling law that is made by the frequencies is absent here.

    Examples
    --------
    >>> ExponentialDecay(n_subtasks=3, decay=0.5).probabilities().round(4).tolist()
    [0.5714, 0.2857, 0.1429]
    """

    n_subtasks: int = 1000
    """Number of subtasks n."""
    decay: float = 0.99
    """Factor r between the frequencies of a subtask and of the one before, above 0 and at most 1."""

    def __post_init__(self) -> None:
        check_whole("n_subtasks", self.n_subtasks)
        if not 0 < self.decay <= 1:
            raise InputError(f"decay is {self.decay}; expected a factor above 0, and at most 1.")
        _check_above_zero(self, lambda k: (k - 1) * math.log(self.decay))

    @property
    def size(self) -> int:
        """Number of subtasks."""
        return self.n_subtasks

    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), falling."""
        p = self.decay ** np.arange(self.n_subtasks, dtype=np.float64)
        return p / p.sum()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Empirical(AbstractFrequencies):
    """Frequencies from counts, in the order given.

    Examples
    --------
    >>> Empirical(counts=(2, 1, 1)).probabilities().tolist()
    [0.5, 0.25, 0.25]
    """

    counts: tuple[float, ...]
    """How often each subtask occurs, in any unit: 0 or more, and not all 0."""

    def __post_init__(self) -> None:
        try:
            counts = np.asarray(self.counts, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"counts cannot be read as numbers: {quoted(error)}.") from None
        if counts.ndim != 1 or counts.size == 0:
            raise InputError(f"counts has shape {counts.shape}; expected one count for each subtask.")
        if not np.all(np.isfinite(counts)) or np.any(counts < 0) or not np.any(counts):
            raise InputError("counts must be finite, 0 or more, and not all 0.")
        object.__setattr__(self, "counts", tuple(counts.tolist()))  # an array's repr would not evaluate back

    @property
    def size(self) -> int:
        """Number of subtasks."""
        return len(self.counts)

    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), in the order of ``counts``."""
        counts = np.asarray(self.counts, dtype=np.float64) / max(self.counts)  # the sum cannot overflow
        return counts / counts.sum()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Reweighted(AbstractFrequencies):
    r"""Another law with some subtasks made rarer or more frequent: an intervention.

    .. math:: p'_k = f_k p_k / \sum_j f_j p_j, \qquad f_k = 1 \text{ where none is given}

    A factor of 0 removes a subtask: it keeps its number, and is never drawn.

    Examples
    --------
    >>> law = Reweighted(base=Uniform(n_subtasks=4), factors=((1, 0), (0, 2)))
    >>> law
    Reweighted(base=Uniform(n_subtasks=4), factors=((0, 2.0), (1, 0.0)))
    >>> law.probabilities().tolist()
    [0.5, 0.0, 0.25, 0.25]
    """

    base: AbstractFrequencies
    """The law that is changed."""
    factors: tuple[tuple[int, float], ...]
    """Pairs (subtask, factor); kept in order of the subtasks, without those of factor 1, so that equal laws are equal."""

    def __post_init__(self) -> None:
        changed = [pair for pair in _numbered(self.factors, self.base.size, "factor") if pair[1] != 1]
        object.__setattr__(self, "factors", tuple(changed))
        if not np.any(self._products() > 0):
            raise InputError("the factors leave no subtask with a frequency above 0; expected one at least.")

    @property
    def size(self) -> int:
        """Number of subtasks, the removed ones included."""
        return self.base.size

    def probabilities(self) -> np.ndarray:
        """p'_k, shape (n_subtasks,), in the order of the base."""
        products = self._products()
        return products / products.sum()

    def _products(self) -> np.ndarray:
        products = self.base.probabilities()
        largest = max([1.0, *(factor for _, factor in self.factors)])  # the sum cannot overflow
        factors = np.ones(products.size)
        for subtask, factor in self.factors:
            factors[subtask] = factor
        return products * (factors / largest)


def _numbered(pairs: Iterable[tuple[int, float]], size: int, name: str) -> list[tuple[int, float]]:
    """Pairs (subtask, value) in order, each checked."""
    found: dict[int, float] = {}
    for subtask, value in pairs:
        if isinstance(subtask, bool) or not isinstance(subtask, Integral) or not 0 <= subtask < size:
            raise InputError(f"subtask {subtask} is unknown; expected 0 to {size - 1}.")
        if subtask in found:
            raise InputError(f"subtask {subtask} is named twice; expected it once.")
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"the {name} of subtask {subtask} is {value}; expected a finite number of 0 or more.")
        found[int(subtask)] = float(value)
    return sorted(found.items())


def read_counts(path: str | os.PathLike[str]) -> Empirical:
    """Frequencies from a file of counts.

    Either one count to a line, of subtask 0 first; or CSV with the heading ``subtask,count``, each subtask once, in any
    order, numbered from 0. A count of 0 keeps its number, and is never drawn.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Empirical
        The counts, in the order of the subtasks.

    Raises
    ------
    InputError
        If the file cannot be read so, is empty, or holds what is no count, with the line.
    """
    lines = files.lines(path)
    if not lines:
        raise InputError(f"{path} is empty; expected one count to a line, or CSV with the heading subtask,count.")
    try:
        if "," not in lines[0]:
            return Empirical(counts=tuple(files.numbers(lines).tolist()))
        _, pairs = files.table(lines, "count")
        return _all_of(pairs, len(pairs), "count")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_changes(path: str | os.PathLike[str], base: AbstractFrequencies) -> AbstractFrequencies:
    """Changed frequencies, from a CSV file with a heading.

    Either ``subtask,factor``: how many times as often each named subtask is to occur, the others once; or
    ``subtask,frequency``: all frequencies, or counts, anew. Both are renormalised. Subtasks are numbered from 0.

    Parameters
    ----------
    path : path-like
        The file.
    base : AbstractFrequencies
        The law that is changed.

    Returns
    -------
    Reweighted or Empirical
        By factors, or anew.

    Raises
    ------
    InputError
        If the file cannot be read so, or its numbers are not possible, with the line.
    """
    lines = files.lines(path)
    try:
        column, pairs = files.table(lines, "factor", "frequency")
        if column == "factor":
            return Reweighted(base=base, factors=tuple(pairs))
        return _all_of(pairs, base.size, column)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _all_of(pairs: Iterable[tuple[int, float]], size: int, name: str) -> Empirical:
    """Counts from pairs (subtask, count), one for each subtask."""
    counts = dict(_numbered(pairs, size, name))
    if len(counts) < size:
        missing = min(set(range(size)) - counts.keys())
        raise InputError(f"subtask {missing} has no {name}; expected one for each of {size}.")
    return Empirical(counts=tuple(counts.values()))


FREQUENCIES: dict[str, type[AbstractFrequencies]] = {
    "zipf": Zipf,
    "uniform": Uniform,
    "exponential": ExponentialDecay,
    "empirical": Empirical,
    "reweighted": Reweighted,
}
