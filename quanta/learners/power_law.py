"""A smooth world: every subtask is a power law already."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_above
from quanta._errors import InputError
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw(AbstractIndependent):
    r"""Each subtask's loss falls as a power of its hits, without a step.

    .. math:: L_k = (1 + N_k / n_0)^{-c}, \qquad S = e\,\Big(\frac{c}{1 + c}\Big)^{1 + c} < 1

    A mixture of exponentials whose rates are gamma-distributed: what a linear model does whose features have a
    power-law spectrum. The null in which a scaling law is no composition, but the law of each part.

    References
    ----------
    Maloney, Roberts, Sully (2022), A solvable model of neural scaling laws (power laws from a spectrum of features).

    Examples
    --------
    >>> PowerLaw(power=2.0, scale=100.0).loss(np.array([0.0, 100.0])).tolist()
    [1.0, 0.25]
    """

    power: float = 2.0
    """Power c with which the loss of a subtask falls, 0.01 to 100."""
    scale: float = 100.0
    """Hits n₀ from which on it does."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        if not 0.01 <= self.power <= 100:
            raise InputError(f"power is {self.power}; expected 0.01 to 100.")
        check_above("scale", self.scale)

    @property
    def has_steps(self) -> bool:
        """None: it is smooth."""
        return False

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """(1 + hits/n₀)^-c."""
        return np.exp(-self.power * np.log1p(np.asarray(hits) / self.scale))

    def hits_at(self, left: float) -> float:
        """n₀ (left^(-1/c) - 1)."""
        return self.scale * math.expm1(-math.log(left) / self.power)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def sharpness(self) -> float:
        """S = e (c/(1 + c))^(1 + c), reached at n₀/c hits."""
        c = self.power
        return math.exp(1 - (1 + c) * math.log1p(1 / c))

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        r"""-min(c, α/(1 + α)) in steps.

        The subtasks well under way, :math:`p_k t \gg n_0`, leave :math:`t^{-c} \sum_k p_k^{1 - c}`. If that sum converges,
        s (1 - c) > 1, the most frequent ones decide; else the frontier does, as in every other world.
        """
        frontier = AbstractIndependent.exponent(self, axis, zipf_exponent)
        return max(-self.power, frontier) if frontier < 0 else frontier
