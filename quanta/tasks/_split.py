"""Inputs split into those that are trained on and those that are only tested, and the primes that such tasks need."""

import math
from dataclasses import dataclass

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError


@dataclass(frozen=True, kw_only=True)
class Split:
    """A fraction of the inputs, chosen at random, for training; the others for testing."""

    n_inputs: int
    fraction: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fraction) and 0 < self.n_trained < self.n_inputs):
            raise InputError(
                f"fraction is {self.fraction}; expected a number between 0 and 1 that leaves some of the "
                f"{self.n_inputs} inputs to train on and some to test."
            )

    @property
    def n_trained(self) -> int:
        """Inputs that are trained on."""
        return round(self.fraction * self.n_inputs)

    @property
    def parts(self) -> np.ndarray:
        """Share of the inputs that are trained on, and of those that are tested, (2,)."""
        return np.array([self.n_trained, self.n_inputs - self.n_trained]) / self.n_inputs

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Which inputs are trained on, and which are tested, (2, n_inputs) bool."""
        trained = np.zeros(self.n_inputs, dtype=bool)
        trained[rng.choice(self.n_inputs, size=self.n_trained, replace=False)] = True
        return np.stack([trained, ~trained])


def primes(below: int) -> list[int]:
    """All primes less than ``below``, rising.

    Examples
    --------
    >>> primes(13)
    [2, 3, 5, 7, 11]
    """
    return [n for n in range(2, below) if all(n % q for q in range(2, math.isqrt(n) + 1))]


def check_prime(name: str, value: int, least: int, most: int) -> None:
    """Refuse a field that is not a prime from ``least`` to ``most``."""
    check_whole(name, value, least)
    if value > most:
        raise InputError(f"{name} is {value}; expected at most {most}.")
    if value not in (known := primes(2 * value)):  # there is always a prime below twice a number
        following = next(q for q in known if q > value)
        raise InputError(f"{name} is {value}; expected a prime. Choose {following}, for instance.")
