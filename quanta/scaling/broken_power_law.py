r"""A power law that goes over into another."""

from dataclasses import dataclass
from typing import final

import numpy as np

from quanta.scaling.base import AbstractScalingLaw, Parameter, Values, coefficients, combinations

_MOST = 20.0
_ALPHAS = np.array([0.0, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8])
_BETAS = np.array([-1.0, -0.3, 0.3, 1.0, 3.0, 6.0])
_WIDTHS = np.array([0.03, 0.06, 0.12, 0.3, 1.0])  # a break beyond the data shows only if it is guessed sharp


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenPowerLaw(AbstractScalingLaw):
    r"""A smoothly broken power law with one break.

    .. math:: L(x) = E + A x^{-\alpha} \left( 1 + (x / x_b)^{1/f} \right)^{-\beta f}

    Notes
    -----
    The exponent is α before the break and α + β after it; f is how many nats the break takes, about. In the paper's words
    E is a, A is b, α is c₀, β is c₁, x_b is d₁, f is f₁.

    References
    ----------
    Caballero, Gupta, Rish, Krueger (2022), Broken Neural Scaling Laws, equation 1.
    """

    @property
    def variables(self) -> tuple[str, ...]:
        """One, of any kind."""
        return ("x",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """A, α, E, β, x_b and f."""
        return (
            Parameter("A"), Parameter("alpha", -_MOST, _MOST, zero=True, exponent=True), Parameter("E", zero=True),
            Parameter("beta", -_MOST, _MOST, zero=True, exponent=True), Parameter("x_b"), Parameter("f", 1e-3, _MOST),
        )  # fmt: skip

    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """As above, formed in logarithms."""
        scale, alpha, floor, beta, turn, f = values
        return floor + scale * np.exp(-alpha * np.log(x[0]) - beta * f * np.logaddexp(0.0, np.log(x[0] / turn) / f))

    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """On a grid of all but A and E, which are linear."""
        turns = np.geomspace(x[0].min(), 4 * x[0].max(), 20)
        alpha, beta, turn, f = combinations(_ALPHAS, _BETAS, turns, _WIDTHS).T[..., None]
        shape = self.loss((1.0, alpha, 0.0, beta, turn, f), x)
        scale, floor = coefficients(shape[:, None], y, offset="positive").T[..., None]
        return np.hstack([scale, alpha, floor, beta, turn, f])
