"""What is minimised: a sum over points of a function of the error; and the likelihood that it stands for."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from quanta._checks import check_choice
from quanta._errors import InputError

OBJECTIVES = ("huber-log", "squares-log", "squares")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Σ w ρ(r): squares near 0, and beyond ``delta`` straight lines."""

    name: str = "huber-log"
    """Of ``OBJECTIVES``: errors of ln loss, by Huber's ρ or squared, or of the loss, squared."""
    delta: float = 1e-3
    """δ of Huber's ρ: r²/2 up to there, δ (|r| - δ/2) beyond."""

    def __post_init__(self) -> None:
        check_choice("objective", self.name, OBJECTIVES)
        if not 0 < self.delta < math.inf:
            raise InputError(f"delta is {self.delta}; expected a finite error of ln loss above 0.")

    @property
    def reach(self) -> float:
        """Where ρ goes over into a line."""
        return self.delta if self.name == "huber-log" else math.inf

    def errors(self, predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
        """R, nan where a loss that is not above 0 is predicted and its logarithm is asked for."""
        if self.name == "squares":
            return predicted - y
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(np.where(predicted > 0, predicted, np.nan)) - np.log(y)

    def cost(self, errors: np.ndarray) -> np.ndarray:
        """ρ(r), the same shape."""
        size = np.abs(errors)
        if math.isinf(self.reach):
            return size**2 / 2
        return np.where(size <= self.reach, size**2 / 2, self.reach * (size - self.reach / 2))

    def derivatives(self, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """ρ'(r); ρ''(r), 0 on the lines; and ρ'(r)/r, the bend of the parabola that touches ρ at r and lies above it."""
        size = np.abs(errors)
        if math.isinf(self.reach):
            return errors, np.ones_like(errors), np.ones_like(errors)
        near = size <= self.reach
        parabola = self.reach / np.maximum(size, self.reach)
        return parabola * errors, np.where(near, 1.0, 0.0), parabola

    def log_likelihood(self, errors: np.ndarray, weights: np.ndarray) -> float:
        r"""Of errors whose density is ∝ exp(-ρ(r)/τ), at the best τ: normal, or normal with the tails of Laplace."""
        n, total = float(weights.sum()), float(np.sum(weights * self.cost(errors)))
        if total <= 0:
            return math.inf
        if math.isinf(self.reach):
            return -n / 2 * (math.log(4 * math.pi * total / n) + 1)

        def minus(log_tau: float) -> float:
            tau = math.exp(log_tau)
            middle = math.sqrt(2 * math.pi * tau) * special.erf(self.delta / math.sqrt(2 * tau))
            tails = 2 * tau / self.delta * math.exp(-(self.delta**2) / (2 * tau))
            return n * math.log(middle + tails) + total / tau

        centre = math.log(total / n)
        return -float(optimize.minimize_scalar(minus, bounds=(centre - 5, centre + 5), method="bounded").fun)
