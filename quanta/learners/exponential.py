"""A linear model whose subtasks share no feature: the smooth world with the same scaling law."""

from dataclasses import dataclass
from math import log, log1p
from typing import ClassVar, final

import numpy as np

from quanta._errors import InputError
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Exponential(AbstractIndependent):
    r"""Every example of a subtask removes the share ``rate`` of its remaining loss.

    .. math:: L_k = (1 - r)^{N_k}, \qquad E[L_k] = (1 - r\,p_k)^n \approx e^{-r p_k n}

    That is online linear regression, or gradient flow, on one-hot features. On a logarithmic time axis it looks
    like a row of sigmoids, and it has no step: it is the first-order learning that a phase change must beat.

    References
    ----------
    Saxe, McClelland, Ganguli (2013), the one-layer case. Hutter (2021), equation 2, is the limit r → 1.

    Examples
    --------
    >>> Exponential(rate=0.5).expected(np.array([0.2]), 2).round(12).tolist()
    [0.81]
    """

    rate: float = 0.005
    """Share r of the remaining loss that one example removes; near 1, a run falls in a few jumps."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise InputError(
                f"rate is {self.rate}; expected a share between 0 and 1. All at once is Threshold(hits=1)."
            )

    @property
    def has_steps(self) -> bool:
        """None: first-order learning is smooth."""
        return False

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """(1 - r)^hits."""
        return np.exp(np.asarray(hits) * log1p(-self.rate))

    def hits_at(self, left: float) -> float:
        """ln(left) / ln(1 - r)."""
        return log(left) / log1p(-self.rate)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def expected(self, frequencies: np.ndarray, examples: np.ndarray | float) -> np.ndarray:
        """(1 - r p)^examples: the exact mean over runs."""
        return np.exp(examples * np.log1p(-self.rate * np.asarray(frequencies)))

    def crossing(self, frequencies: np.ndarray, left: float) -> np.ndarray:
        """Examples at which this share is left in the mean: ln(left) / ln(1 - r p)."""
        with np.errstate(divide="ignore"):
            return log(left) / np.log1p(-self.rate * np.asarray(frequencies, dtype=np.float64))

    def sharpness(self) -> float:
        """1, by definition of S."""
        return 1.0
