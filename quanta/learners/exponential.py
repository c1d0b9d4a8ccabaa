"""A linear model whose subtasks share no feature: the smooth world with the same scaling law."""

from dataclasses import dataclass
from math import log, log1p
from typing import ClassVar, final

import numpy as np

from quanta._errors import InputError
from quanta.learners import _hits
from quanta.learners.base import AbstractLearner, Truth


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Exponential(AbstractLearner):
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
    onset_exponent: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise InputError(
                f"rate is {self.rate}; expected a share between 0 and 1. All at once is Threshold(hits=1)."
            )

    def start(self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected") -> _hits.Hits:
        """State before the first example; see the base."""
        return _hits.start(frequencies, rng, dynamics, np.empty(0, dtype=np.int64))

    def advance(self, state: _hits.Hits, examples: int) -> _hits.Hits:
        """State after that many examples in all."""
        return _hits.advance(state, examples)

    def measure(self, state: _hits.Hits) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        if state.sampled:
            return {"loss": np.exp(state.hits * log1p(-self.rate))}
        return {"loss": self.expected(state.frequencies, float(state.examples))}

    def truth(self, state: _hits.Hits) -> Truth:
        """None: first-order learning makes no step."""
        return _hits.no_steps(state)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def expected(self, frequencies: np.ndarray, examples: np.ndarray | float) -> np.ndarray:
        """(1 - r p)^examples: the exact mean over runs."""
        return np.exp(examples * np.log1p(-self.rate * np.asarray(frequencies)))

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Examples at half loss: ln 2 / -ln(1 - r p)."""
        with np.errstate(divide="ignore"):
            return -log(2) / np.log1p(-self.rate * np.asarray(frequencies, dtype=np.float64))

    def sharpness(self) -> float:
        """1, by definition of S."""
        return 1.0
