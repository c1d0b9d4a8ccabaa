r"""Losses of several resources: each alone leaves a power law, and they add up, or the scarcest decides."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from quanta._checks import check_choice
from quanta._errors import InputError
from quanta.scaling.base import AbstractScalingLaw, Parameter, Values, coefficients, combinations

_EXPONENTS = np.array([0.05, 0.15, 0.3, 0.5, 0.8, 1.3])
_MOST = 10.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chinchilla(AbstractScalingLaw):
    r"""What each resource leaves, added up.

    .. math:: L(N, D) = E + \frac{A_N}{N^{\alpha_N}} + \frac{A_D}{D^{\alpha_D}}

    Notes
    -----
    With ``join="max"`` the sum is the greatest of them: the scarcest resource decides. The paper's A, B, α and β are
    ``A_N``, ``A_D``, ``alpha_N`` and ``alpha_D``. With ``variables=("N", "S", "D")`` it is a law of parameters, steps and data.

    References
    ----------
    Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, equation 2. Michaud et al. (2023), The
    Quantization Model of Neural Scaling, section 2, for resources that each cut the quanta off.
    """

    variables: tuple[str, ...] = ("N", "D")  # type: ignore[assignment]
    """The resources."""
    join: Literal["sum", "max"] = "sum"
    """They add up, or the scarcest decides."""
    floor: bool = True
    """Whether there is an irreducible loss E."""

    def __post_init__(self) -> None:
        check_choice("join", self.join, ("sum", "max"))
        if not self.variables or len({*self.variables}) < len(self.variables):
            raise InputError(f"variables is {self.variables}; expected one name or more, all different.")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Their names are those of the formula."""
        each = [Parameter(f"A_{name}") for name in self.variables]
        each += [Parameter(f"alpha_{name}", upper=_MOST, exponent=True) for name in self.variables]
        return (*each, Parameter("E", zero=True)) if self.floor else tuple(each)

    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """The formula."""
        n = len(self.variables)
        each = [values[i] * x[i] ** -values[n + i] for i in range(n)]
        left = sum(each) if self.join == "sum" else np.maximum.reduce(each)
        return left + values[2 * n] if self.floor else left

    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """On a grid of exponents; the rest is linear, but for a maximum, of which it is a beginning."""
        alpha = combinations(*[_EXPONENTS] * len(self.variables))
        linear = coefficients(x ** -alpha[..., None], y, offset="positive" if self.floor else "none")
        n = len(self.variables)
        return np.hstack([linear[:, :n], alpha, linear[:, n:]])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Kaplan(AbstractScalingLaw):
    r"""Parameters and data, without an irreducible loss.

    .. math:: L(N, D) = \left[ \left( \frac{N_c}{N} \right)^{\alpha_N / \alpha_D} + \frac{D_c}{D} \right]^{\alpha_D}

    References
    ----------
    Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.5.
    """

    @property
    def variables(self) -> tuple[str, ...]:
        """Parameters and data."""
        return ("N", "D")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Their names are those of the formula."""
        exponents = (Parameter(f"alpha_{name}", upper=_MOST, exponent=True) for name in self.variables)
        return (Parameter("N_c"), Parameter("D_c"), *exponents)

    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """The formula."""
        n_c, d_c, alpha_n, alpha_d = values
        return ((n_c / x[0]) ** (alpha_n / alpha_d) + d_c / x[1]) ** alpha_d

    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """On a grid of exponents; the rest is linear in a power of the loss."""
        alpha_n, alpha_d = combinations(_EXPONENTS, _EXPONENTS).T[..., None]
        ratio = alpha_n / alpha_d
        columns = np.stack(np.broadcast_arrays(x[0] ** -ratio, 1 / x[1]), axis=1)
        n_c, d_c = coefficients(columns, y ** (1 / alpha_d)).T[..., None]
        return np.hstack([n_c ** (1 / ratio), d_c, alpha_n, alpha_d])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class OneExponent(AbstractScalingLaw):
    r"""Parameters and data bound by one exponent, that of the quanta.

    .. math:: L(N, D) = E + \left( \frac{A}{N} + \frac{B}{D^{1/(1+\alpha)}} \right)^{\alpha}

    Notes
    -----
    N parameters hold A⁻¹ N quanta, and D examples show B⁻¹ D^(1/(1+α)) of them; what is left falls as n^-α in the number n learned.

    References
    ----------
    Michaud (2026), On neural scaling and the quanta hypothesis.
    """

    @property
    def variables(self) -> tuple[str, ...]:
        """Parameters and data."""
        return ("N", "D")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Their names are those of the formula."""
        return Parameter("A"), Parameter("B"), Parameter("alpha", upper=_MOST, exponent=True), Parameter("E", zero=True)

    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """The formula."""
        a, b, alpha, floor = values
        return floor + (a / x[0] + b * x[1] ** (-1 / (1 + alpha))) ** alpha

    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """On a grid of α and E; the rest is linear in a power of the loss."""
        alpha, share = combinations(np.geomspace(0.05, 2.0, 12), np.array([0.0, 0.5, 0.8, 0.95])).T[..., None]
        floor = share * y.min()
        columns = np.stack(np.broadcast_arrays(1 / x[0], x[1] ** (-1 / (1 + alpha))), axis=1)
        a, b = coefficients(columns, (y - floor) ** (1 / alpha)).T[..., None]
        return np.hstack([a, b, alpha, floor])
