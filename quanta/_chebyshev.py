"""A stabilised explicit integrator for stiff gradient flows: matrix-vector products, and never a factorisation."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np

Array = Any
"""A vector of floats: of NumPy, or of PyTorch on whatever device. No more is asked of it than arithmetic."""

_DAMPING = 2.0 / 13.0
_GROWTH, _SHRINK, _SAFETY = 4.0, 0.1, 0.8
_RADIUS_MARGIN = 1.1  # power iteration approaches the spectral radius from below


class Problem(NamedTuple):
    """dy/dt = rate(y), with the action of a matrix that has the spectrum of −∂rate/∂y, real and ≥ 0."""

    rate: Callable[[Array], Array]
    curvature: Callable[[Array, Array], Array]  # (y, v) → action on v at y


class Chebyshev:
    r"""Second-order Runge–Kutta–Chebyshev steps of adaptive size and number of stages.

    With s stages the step may be as long as about :math:`0.65 s^2 / \rho`, ρ being the spectral radius of the
    Jacobian, which a warm-started power iteration follows. Right for gradient flows, whose Jacobian has a real
    spectrum; wrong for oscillations.

    References
    ----------
    Sommeijer, Shampine, Verwer (1997), RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88,
    eqs. (2.2)–(2.9): the scheme, the error estimate, the choice of s.
    """

    def __init__(self, problem: Problem, y: Array, tolerance: float = 1e-4) -> None:
        self.problem = problem
        self.tolerance = tolerance
        self.y, self.time = y, 0.0
        self.rate = problem.rate(y)
        self.direction = self.rate / max(_norm(self.rate), 1e-300)
        self.radius = self._follow_radius(60)
        self.size = 0.1 / max(self.radius, 1e-300)
        self.n_products = 0

    @classmethod
    def resumed(cls, problem: Problem, state: dict[str, Any], tolerance: float = 1e-4) -> Self:
        """One that goes on from a state of another, without finding anew how stiff the flow is."""
        self = cls.__new__(cls)
        self.problem, self.tolerance, self.n_products = problem, tolerance, 0
        self.restore(state)
        return self

    def advance(self, target: float) -> float:
        """Make one accepted step towards ``target``, never past it; returns the time reached."""
        self.radius = self._follow_radius(3)
        while True:
            last = self.time + self.size >= target * (1 - 1e-12)
            size = target - self.time if last else self.size
            y, rate, error = self._step(size)
            factor = _SAFETY / max(error, 1e-12) ** (1 / 3)
            if error <= 1.0:
                break
            self.size = size * min(0.9, max(_SHRINK, factor if math.isfinite(factor) else _SHRINK))
            self.radius = self._follow_radius(10)
        grown = size * min(_GROWTH, max(_SHRINK, factor))
        self.size = (
            max(grown, self.size) if last else grown
        )  # a step cut short by the target says nothing against longer ones
        self.y, self.rate = y, rate
        self.time = target if last else self.time + size
        return self.time

    def state(self) -> dict[str, Any]:
        """What it takes to go on exactly."""
        return {
            "y": self.y,
            "rate": self.rate,
            "direction": self.direction,
            "scalars": [self.time, self.size, self.radius],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.y, self.rate, self.direction = state["y"], state["rate"], state["direction"]
        self.time, self.size, self.radius = state["scalars"]

    def _step(self, size: float) -> tuple[Array, Array, float]:
        """One step: the new y, its rate, and the error in units of the tolerance."""
        n_stages = max(2, 1 + math.ceil(math.sqrt(1.54 * size * self.radius + 1)))
        first, stages = _coefficients(n_stages)
        start, rate = self.y, self.rate
        before, now = start, start + first * size * rate
        for mu, nu, mu_rate, gamma_rate in stages:
            pull = self.problem.rate(now)
            following = (1 - mu - nu) * start + mu * now + nu * before
            following += size * (mu_rate * pull + gamma_rate * rate)
            before, now = now, following
        end_rate = self.problem.rate(now)
        self.n_products += n_stages
        error = 0.8 * (start - now) + 0.4 * size * (rate + end_rate)
        scale = self.tolerance * (1 + _larger(abs(start), abs(now)))
        rms = _norm(error / scale) / math.sqrt(len(error))
        return now, end_rate, rms if math.isfinite(rms) else math.inf

    def _follow_radius(self, n_iterations: int) -> float:
        """Spectral radius at the present y, from above in practice; keeps the direction for the next time."""
        radius = 0.0
        for _ in range(n_iterations):
            image = self.problem.curvature(self.y, self.direction)
            radius = _norm(image)
            if radius == 0.0:
                return 0.0
            self.direction = image / radius
        return _RADIUS_MARGIN * radius


def _norm(vector: Array) -> float:
    return math.sqrt(float((vector * vector).sum()))


def _larger(a: Array, b: Array) -> Array:
    return (a + b + abs(a - b)) / 2


@lru_cache(maxsize=256)
def _coefficients(n_stages: int) -> tuple[float, list[tuple[float, float, float, float]]]:
    """μ̃₁, and (μ_j, ν_j, μ̃_j, γ̃_j) for the stages j = 2 … s."""
    w0 = 1 + _DAMPING / n_stages**2
    t = np.empty((3, n_stages + 1))  # Chebyshev polynomials at w0, their first and second derivatives
    t[:, 0], t[:, 1] = (1, 0, 0), (w0, 1, 0)
    for j in range(2, n_stages + 1):
        t[0, j] = 2 * w0 * t[0, j - 1] - t[0, j - 2]
        t[1, j] = 2 * w0 * t[1, j - 1] - t[1, j - 2] + 2 * t[0, j - 1]
        t[2, j] = 2 * w0 * t[2, j - 1] - t[2, j - 2] + 4 * t[1, j - 1]
    w1 = t[1, -1] / t[2, -1]
    b = np.empty(n_stages + 1)
    b[2:] = t[2, 2:] / t[1, 2:] ** 2
    b[:2] = b[2]
    a = 1 - b * t[0]
    stages = []
    for j in range(2, n_stages + 1):
        mu_rate = 2 * b[j] * w1 / b[j - 1]
        stages.append((2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], mu_rate, -a[j - 1] * mu_rate))
    return float(b[1] * w1), stages
