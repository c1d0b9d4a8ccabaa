r"""A power law, with an offset of either sign, with one above zero, or without."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from quanta._checks import check_choice
from quanta.scaling.base import AbstractScalingLaw, Parameter, Values, coefficients

_EXPONENTS = np.geomspace(0.01, 3.0, 24)
_MOST = 10.0  # of an exponent
_OFFSETS = ("free", "positive", "none")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw(AbstractScalingLaw):
    r"""A power of x, and an offset.

    .. math:: L(x) = A x^{-\alpha} + E

    Notes
    -----
    An offset below zero is no irreducible loss but the tail of subtasks that there are not: of finitely many steps at
    x_k ∝ k^s the loss is A (x^-α - c), c > 0, where a fit without an offset, or with one above zero, reads up to
    twice the exponent. An irreducible loss bends the curve the other way: both together can look like neither.
    """

    offset: Literal["free", "positive", "none"] = "free"
    """E may have either sign, must not be below 0, or is 0."""

    def __post_init__(self) -> None:
        check_choice("offset", self.offset, _OFFSETS)

    @property
    def variables(self) -> tuple[str, ...]:
        """One, of any kind."""
        return ("x",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """A, α and, but without an offset, E."""
        found = (Parameter("A"), Parameter("alpha", upper=_MOST, exponent=True))
        if self.offset == "none":
            return found
        return (*found, Parameter("E", -np.inf if self.offset == "free" else 0.0, zero=True))

    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """A x^-α + E."""
        fallen = values[0] * x[0] ** -values[1]
        return fallen if self.offset == "none" else fallen + values[2]

    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """On a grid of α; A and E are linear."""
        linear = coefficients(x[0] ** -_EXPONENTS[:, None, None], y, offset=self.offset)
        return np.column_stack([linear[:, 0], _EXPONENTS, linear[:, 1:]])
