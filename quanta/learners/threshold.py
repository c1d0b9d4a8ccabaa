"""A learner by rote: a subtask is learned, all at once, when it has been seen often enough."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_whole
from quanta.learners._binomial import chance_below
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold(AbstractIndependent):
    r"""Loss 1 until ``hits`` examples of the subtask have been seen, then 0.

    .. math:: E[L_k] = P\big(\mathrm{Binomial}(n, p_k) < m\big)

    Sampled, every subtask is a step. Expected, it is the survival function of the time of the m-th hit
    (Erlang-m where p_k is small): for m = 1 an exponential, which is no step at all.

    References
    ----------
    Hutter (2021), Learning Curve Theory, equation 2 (m = 1). Michaud et al. (2023), section 2 (m = τ).

    Examples
    --------
    >>> Threshold(hits=1).expected(np.array([0.5, 0.1]), 2).round(12).tolist()
    [0.25, 0.81]
    """

    hits: int = 10
    """Examples of a subtask after which it is learned."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"
    axes: ClassVar[tuple[str, ...]] = ("steps", "data")

    def __post_init__(self) -> None:
        check_whole("hits", self.hits, most=10**6)

    @property
    def has_steps(self) -> bool:
        """Whether the mean makes a step: for one hit it is an exponential."""
        return self.hits > 1

    def levels(self) -> np.ndarray:
        """The count at which all is learned, three times, (3,)."""
        return np.full(3, self.hits, dtype=np.int64)

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """1 before enough hits, 0 after."""
        return np.where(hits < self.hits, 1.0, 0.0)

    def hits_at(self, left: float) -> float:
        """``hits``, whatever share is left: all is learned at once."""
        return float(self.hits)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def expected(self, frequencies: np.ndarray, examples: np.ndarray | float) -> np.ndarray:
        """P(Binomial(examples, p) < hits): the exact mean over runs."""
        return chance_below(self.hits, examples, frequencies)

    def crossing(self, frequencies: np.ndarray, left: float) -> np.ndarray:
        """Examples at which the expected loss is ``left``, as a continuous number.

        Half of all runs have learned by the median of a negative binomial. Rare subtasks (p < 1e-3) by Bol'shev's corrected Poisson law, within a relative 1e-6; others by inversion.
        """
        from scipy import special

        p = np.asarray(frequencies, dtype=np.float64)
        with np.errstate(divide="ignore"):
            examples = 0.5 * (special.gammainccinv(self.hits, left) * (2 - p) / p + self.hits - 1)
        often = (p >= 1e-3) & (p < 1)
        examples[often] = special.bdtrin(self.hits - 1, left, p[often])
        return np.where(p == 1, float(self.hits), examples)

    def sharpness(self) -> float:
        r"""S of Erlang-m, :math:`e\, m^m e^{-m} / (m - 1)!`: 1 for one hit, growing as e √(m / 2π)."""
        m = self.hits
        return math.exp(1 + m * math.log(m) - m - math.lgamma(m))
