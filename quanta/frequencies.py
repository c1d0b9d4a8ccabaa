"""How often each subtask occurs in training: the first thing that every run is made of."""

import abc
import math
from dataclasses import dataclass
from numbers import Integral
from typing import final

import numpy as np

from quanta._errors import InputError


def _check_count(n_subtasks: int) -> None:
    if isinstance(n_subtasks, bool) or not isinstance(n_subtasks, Integral) or n_subtasks < 1:
        raise InputError(f"n_subtasks is {n_subtasks}; expected a whole number of at least 1.")


class AbstractFrequencies(abc.ABC):
    """A law of occurrence: subtask k is drawn with probability p_k, summing to 1."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Number of subtasks."""

    @abc.abstractmethod
    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), float64, summing to 1, most frequent first where there is an order."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Zipf(AbstractFrequencies):
    r"""Power-law frequencies.

    .. math:: p_k = k^{-s} / \sum_j j^{-s}, \qquad k = 1 \dots n

    Parameters
    ----------
    n_subtasks : int
        Number of subtasks n.
    exponent : float
        The Zipf exponent s ≥ 0. **Not** the α of the papers, for which s = α + 1 (Michaud 2023; Nam 2024;
        Hutter 2021); their published *code* calls s itself ``alpha``.

    References
    ----------
    Michaud, Liu, Girit, Tegmark (2023), The Quantization Model of Neural Scaling, hypothesis QH3.

    Examples
    --------
    >>> Zipf(n_subtasks=3, exponent=1.0).probabilities().round(4).tolist()
    [0.5455, 0.2727, 0.1818]
    """

    n_subtasks: int = 1000
    exponent: float = 1.5

    def __post_init__(self) -> None:
        _check_count(self.n_subtasks)
        if not (math.isfinite(self.exponent) and self.exponent >= 0):
            raise InputError(f"exponent is {self.exponent}; expected a finite Zipf exponent of 0 or more.")

    @property
    def size(self) -> int:
        """Number of subtasks."""
        return self.n_subtasks

    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), falling."""
        p = np.arange(1, self.n_subtasks + 1, dtype=np.float64) ** -self.exponent
        return p / p.sum()


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

    def __post_init__(self) -> None:
        _check_count(self.n_subtasks)

    @property
    def size(self) -> int:
        """Number of subtasks."""
        return self.n_subtasks

    def probabilities(self) -> np.ndarray:
        """p_k, shape (n_subtasks,), all equal."""
        return np.full(self.n_subtasks, 1.0 / self.n_subtasks)


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

    def __post_init__(self) -> None:
        try:
            counts = np.asarray(self.counts, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"counts cannot be read as numbers: {error}.") from None
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


FREQUENCIES: dict[str, type[AbstractFrequencies]] = {"zipf": Zipf, "uniform": Uniform, "empirical": Empirical}
