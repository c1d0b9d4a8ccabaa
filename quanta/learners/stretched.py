"""A smooth world with slow tails: stretched exponentials."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_above
from quanta._errors import InputError
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Stretched(AbstractIndependent):
    r"""Each subtask's loss is a stretched exponential of its hits, without a step.

    .. math:: L_k = e^{-(N_k / n_0)^\beta}, \qquad S = \beta \le 1

    A mixture of exponentials, so as smooth as first-order learning at β = 1, and smoother below.

    References
    ----------
    Kohlrausch (1854). That it is a mixture of exponentials for β ≤ 1: Pollard (1946).

    Examples
    --------
    >>> Stretched(stretch=0.5, scale=100.0).loss(np.array([0.0, 400.0])).round(4).tolist()
    [1.0, 0.1353]
    """

    stretch: float = 0.6
    """Exponent β, 0.05 to 1; above 1 it would be a step."""
    scale: float = 200.0
    """Hits n₀ after which 1/e is left."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        if not 0.05 <= self.stretch <= 1:
            raise InputError(f"stretch is {self.stretch}; expected 0.05 to 1. Above 1 the curve is a step, no null.")
        check_above("scale", self.scale)

    @property
    def has_steps(self) -> bool:
        """None: it is smooth."""
        return False

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """exp(-(hits/n₀)^β)."""
        return np.exp(-((np.asarray(hits) / self.scale) ** self.stretch))

    def hits_at(self, left: float) -> float:
        """n₀ (-ln left)^(1/β)."""
        return self.scale * (-math.log(left)) ** (1 / self.stretch)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def sharpness(self) -> float:
        """β, reached where 1/e is left."""
        return self.stretch
