"""A convex model under Adam: no feature is learned, and yet it passes for sharp."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_above, check_whole
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ConvexAdam(AbstractIndependent):
    r"""A table of logits whose margins grow at constant speed.

    .. math::
        L_k = \ln\big(1 + (m - 1)\,e^{-u_k}\big), \qquad u_k = c\,p_k^\gamma\,t, \qquad
        S = \frac{e\,W\big((m - 1)/e\big)}{\ln m}

    Adam's step moves a logit by about the learning rate, whatever its gradient; a rare subtask, whose gradient is
    mostly 0, is slower, with a timing exponent γ below 1. W is Lambert's function. S passes 1 at every m: the null that a claim of
    sharpness under Adam must beat. Its clock is not hits, so there are no sampled dynamics.

    References
    ----------
    Kingma and Ba (2015), Adam, section 2.1: the effective step is bounded by the learning rate.

    Examples
    --------
    >>> [round(ConvexAdam(n_classes=m).sharpness(), 2) for m in (2, 11, 64, 50257)]
    [1.09, 1.31, 1.51, 1.95]
    """

    n_classes: int = 11
    """Answers m to choose from, 2 or more."""
    rate: float = 0.001
    """Growth c of the margin with an example, if no other subtask were seen."""
    timing: float = 0.65
    """Exponent γ of the speed p^γ, up to 2: 0.65 is what a table of logits was measured to have."""

    units: ClassVar[str] = "nat"
    optimizer: ClassVar[str] = "adam"
    dynamics: ClassVar[tuple[str, ...]] = ("expected",)

    def __post_init__(self) -> None:
        check_whole("n_classes", self.n_classes, least=2, most=10**9)
        check_above("rate", self.rate)
        check_above("timing", self.timing, most=2)

    @property
    def has_steps(self) -> bool:
        """None: it is convex."""
        return False

    @property
    def onset_exponent(self) -> float:
        """γ."""
        return self.timing

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """ln(1 + (m - 1) e^-u) at the margin u = c · hits."""
        return np.log1p((self.n_classes - 1) * np.exp(-self.rate * np.asarray(hits)))

    def hits_at(self, left: float) -> float:
        """-ln[(m^left - 1) / (m - 1)] / c."""
        return math.log((self.n_classes - 1) / math.expm1(left * self.chance_loss)) / self.rate

    @property
    def chance_loss(self) -> float:
        """Ln m."""
        return math.log(self.n_classes)

    def sharpness(self) -> float:
        """S from the maximum of u / (1 + e^u / (m - 1)), which is u - 1 = W((m - 1)/e)."""
        from scipy import special

        return math.e * float(special.lambertw((self.n_classes - 1) / math.e).real) / self.chance_loss
