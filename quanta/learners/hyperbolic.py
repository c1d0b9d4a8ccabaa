"""A neuron that finds its direction from a high-order saddle: nothing for long, then all in finite time."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_above
from quanta._errors import InputError
from quanta.learners.base import DYNAMICS
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperbolic(AbstractIndependent):
    r"""Strengths u = v² under dv²/dt = 8 a v⁴, up to 1, where the subtask is learned.

    .. math::
        \frac{du}{dn} = 8 \eta\,u^2, \qquad u(n) = \frac{1}{1/u_0 - 8 \eta n}, \qquad L = \tfrac12 (1 - u)^2

    n = p^γ t is the clock of a subtask, its hits at γ = 1. Alone the flow would blow up at :math:`n = 1/(8 \eta u_0)`;
    it reaches 1 a share :math:`u_0` before. A transition unlike the logistic one of a two-layer linear network: its width is
    :math:`O(u_0)` of its onset, not :math:`1/\ln(1/u_0)`.

    In the paper one amplitude :math:`a_k \propto k^{-\beta}` sets both the speed of a neuron and, squared, its weight in
    the loss: that is s = 2β here, and γ = ½. Then loss falls as :math:`t^{(1 - 2\beta)/\beta}`, as
    :math:`m^{1 - 2\beta}` in the number of neurons m, and at β = 0.8 as :math:`(mt)^{-1/3}`.

    References
    ----------
    Ren, Nichani, Wu, Lee (2025), Emergence and scaling laws in SGD learning of shallow neural networks (2504.19983).

    Examples
    --------
    >>> Hyperbolic(initial=0.01, rate=0.01).crossing(np.array([1.0]), 1e-12).round(2).tolist()
    [1237.5]
    """

    initial: float = 0.05
    """Strength u(0) = v(0)² before training, between 0 and the 1 that is learned; the smaller, the sharper."""
    rate: float = 0.01
    """Learning rate η of one example, times the amplitude a."""
    timing: float = 1.0
    """Exponent γ of the speed p^γ: 1 if a subtask learns from its own examples, 0.5 as in the paper (expected only)."""
    parameters_per_subtask: float = 1.0
    """Parameters that a subtask takes; 1 counts neurons."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"
    axes: ClassVar[tuple[str, ...]] = ("steps", "parameters", "compute")

    def __post_init__(self) -> None:
        if not 0 < self.initial < 1:
            raise InputError(
                f"initial is {self.initial}; expected a strength above 0 and below the 1 that is learned. "
                "At 0 nothing is ever learned; at 1 nothing is left to learn."
            )
        check_above("rate", self.rate)
        check_above("timing", self.timing, most=2)
        check_above("parameters_per_subtask", self.parameters_per_subtask)

    @property
    def dynamics(self) -> tuple[str, ...]:
        """Sampled only where its clock counts hits."""
        return DYNAMICS if self.timing == 1 else ("expected",)

    @property
    def onset_exponent(self) -> float:
        """γ."""
        return self.timing

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """½ (1 - u)², 0 from where u is 1."""
        to_go = np.maximum(1 / self.initial - 8 * self.rate * np.asarray(hits), 1.0)  # 1/u
        return 0.5 * np.square(1 - 1 / to_go)

    def hits_at(self, left: float) -> float:
        """(1/u(0) - 1/u) / (8 η), u the strength there."""
        strength = 1 - math.sqrt(left) * (1 - self.initial)
        return (1 / self.initial - 1 / strength) / (8 * self.rate)

    @property
    def chance_loss(self) -> float:
        """½ (1 - u(0))²."""
        return 0.5 * (1 - self.initial) ** 2

    def sharpness(self) -> float:
        r"""S from the maximum of -dL/d ln n = (1 - u)(u² / u_0 - u): at :math:`3u = 1 + u_0 + \sqrt{1 - u_0 + u_0^2}`.

        For small starts 8 e / (27 u_0).
        """
        start = self.initial
        u = (1 + start + math.sqrt(1 - start + start**2)) / 3
        return math.e * (1 - u) * u * (u - start) / start / self.chance_loss
