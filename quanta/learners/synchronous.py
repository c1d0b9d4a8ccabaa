"""One event for all: everything is learned at once, whatever its frequency."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_above
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Synchronous(AbstractIndependent):
    r"""The losses of all subtasks fall together, logistically in log time.

    .. math:: L_k = \frac{1}{1 + (t / t_0)^b}, \qquad b = 2 \ln 9 / w, \qquad S = e\,b / 4

    As when one shared feature is found that every subtask waits for. Each curve may be as sharp as one likes and the mean
    loss is no sum of steps at many times but the one step; so sharpness alone is no composition. No scaling law follows.

    Examples
    --------
    >>> Synchronous(moment=500.0).onset(np.array([0.9, 0.1])).tolist()
    [500.0, 500.0]
    """

    moment: float = 1000.0
    """Step t₀ at which half of every loss is left."""
    spread: float = 0.5
    """Width w in nats of log time, from 10 to 90 % of the fall; at most 10."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"
    clock: ClassVar[str] = "steps"
    dynamics: ClassVar[tuple[str, ...]] = ("expected",)

    def __post_init__(self) -> None:
        check_above("moment", self.moment)
        check_above("spread", self.spread, most=10)

    @property
    def onset_exponent(self) -> float:
        """0: frequency does not matter."""
        return 0.0

    @property
    def _slope(self) -> float:
        """Steepness b."""
        return 2 * math.log(9) / self.spread

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """1 / (1 + (t/t₀)^b); of what occurs at all, hits are steps."""
        with np.errstate(over="ignore"):  # to inf, where all is learned
            return 1 / (1 + (np.asarray(hits) / self.moment) ** self._slope)

    def hits_at(self, left: float) -> float:
        """t₀ (1/left - 1)^(1/b)."""
        return self.moment * (1 / left - 1) ** (1 / self._slope)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def sharpness(self) -> float:
        """S = e b/4, from the slope of a logistic half way down."""
        return math.e * self._slope / 4
