"""Noiseless curves with known truth, drawn at random: what the families of :mod:`quanta.worlds.families` measure.

Every draw takes (t, rng, n, width) and returns the fraction of the drop that remains, which is 1 at t = 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from quanta.frequencies import Zipf
from quanta.worlds import shapes

TASKS_OF_A_RUN = 40
"""Coupled tasks are drawn in runs of this many, one after the other."""
CLASSES = (2, 11, 64, 1000, 50_000)


class Ideal(NamedTuple):
    """n noiseless curves."""

    remaining: np.ndarray
    """Fraction of the drop that is left, (n, n_steps)."""
    onset: np.ndarray | None = None
    """t50 of the highest step (of equal ones, the first), (n,); None where there is none."""
    width: float = math.nan
    """10-90 % width of each step, in nats."""
    share: float = 0.0
    """Share of the steps in the drop."""
    start: np.ndarray | None = None
    """Loss at the start in units of chance, (n,); None where the loss of guessing is not told."""


Draw = Callable[[np.ndarray, np.random.Generator, int, float], Ideal]


def times(rng: np.random.Generator, n: int, low: float = 20.0, high: float = 2500.0) -> np.ndarray:
    """Log-uniform times, shape (n, 1), inside the window with room for both ends of a curve."""
    return np.exp(rng.uniform(math.log(low), math.log(high), (n, 1)))


def random_mixture(t: np.ndarray, rng: np.random.Generator, tau: np.ndarray, n_terms: int = 5) -> np.ndarray:
    """Dirichlet mixtures of exponentials, time constants within a few e-folds of tau, shape (n, 1)."""
    n = len(tau)
    return shapes.mixture(t, tau * np.exp(rng.normal(0, 1.0, (n, n_terms))), rng.dirichlet(np.ones(n_terms), n))


# ------------------------------------------------------------------------------------------------ smooth


def _two_exponentials(t: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    tau = np.concatenate([times(rng, n), times(rng, n)], axis=1)
    share = rng.uniform(0.2, 0.8, (n, 1))
    return shapes.mixture(t, tau, np.concatenate([share, 1 - share], axis=1))


def _log_linear(t: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    first = times(rng, n, 2, 50)
    return shapes.log_linear(t, first, first * times(rng, n, 20, 300))


def _plain(curve: Callable[[np.ndarray, np.random.Generator, int], np.ndarray]) -> Draw:
    """Turn curves without a step into a draw."""
    return lambda t, rng, n, _: Ideal(curve(t, rng, n))


def _softmax(shape: Callable[..., np.ndarray], n_classes: int) -> Draw:
    half_life = shapes.half_life(shape, n_classes)
    return lambda t, rng, n, _: Ideal(shape(t, half_life / times(rng, n), n_classes))


def _above_chance(t: np.ndarray, rng: np.random.Generator, n: int, _: float) -> Ideal:
    return Ideal(shapes.exponential(t, times(rng, n)), start=rng.uniform(1.2, 2.0, n))


SMOOTH: dict[str, Draw] = {
    "exponential": _plain(lambda t, rng, n: shapes.exponential(t, times(rng, n))),
    "two_exponentials": _plain(_two_exponentials),
    "power_law": _plain(lambda t, rng, n: shapes.power_law(t, times(rng, n, 5, 300), rng.uniform(0.4, 1.2, (n, 1)))),
    "gamma_mixture": _plain(
        lambda t, rng, n: shapes.power_law(t, times(rng, n, 30, 3000), rng.uniform(1.5, 6, (n, 1)))
    ),
    "random_mixture": _plain(lambda t, rng, n: random_mixture(t, rng, times(rng, n))),
    "stretched": _plain(lambda t, rng, n: shapes.stretched(t, times(rng, n, 10, 1000), rng.uniform(0.3, 0.9, (n, 1)))),
    "log_linear": _plain(_log_linear),
    "mittag_leffler": _plain(lambda t, rng, n: shapes.mittag_leffler(t, times(rng, n, 1, 300))),
    "early": _plain(lambda t, rng, n: shapes.exponential(t, times(rng, n, 0.3, 3))),
    "never": _plain(lambda t, rng, n: np.ones((n, t.size))),
    "above_chance": _above_chance,
}
SMOOTH |= {f"softmax_sgd_{m}": _softmax(shapes.softmax_sgd, m) for m in CLASSES}
SMOOTH |= {f"softmax_adam_{m}": _softmax(shapes.softmax_adam, m) for m in CLASSES}


# ------------------------------------------------------------------------------------------------- traps


def _linear_coupled(t: np.ndarray, rng: np.random.Generator, n: int, _: float) -> Ideal:
    """Gradient flow of linear regression on runs of tasks that share random features."""
    size = TASKS_OF_A_RUN
    frequency = Zipf(n_subtasks=size, exponent=1.5).probabilities()
    runs = [
        shapes.coupled_losses(t, frequency, *shapes.random_regression(rng, size)) for _ in range(math.ceil(n / size))
    ]
    return Ideal(np.concatenate(runs)[:n])


def _bump(t: np.ndarray, rng: np.random.Generator, n: int, _: float) -> Ideal:
    """Exponentials with one interference: a bump of a quarter of the drop, Gaussian in ln t, while it is learned."""
    half_life = times(rng, n)
    centre, spread = np.log(half_life) + rng.uniform(-0.5, 1.5, (n, 1)), rng.uniform(0.25, 0.35, (n, 1))
    bump = 0.25 * np.exp(-(((np.log(np.maximum(t, 0.5)) - centre) / spread) ** 2) / 2)
    return Ideal(shapes.exponential(t, half_life / math.log(2)) + bump)


def _polygenic(t: np.ndarray, rng: np.random.Generator, n: int, _: float) -> Ideal:
    """Twelve small steps, scattered over 5 nats: some clusters of them are sharper than first order."""
    onsets = times(rng, n, 10, 50) * np.exp(rng.uniform(0, 5, (n, 12)))
    return Ideal(np.mean([shapes.logistic(t, onset[:, None], 0.6) for onset in onsets.T], axis=0))


def _ramp(t: np.ndarray, rng: np.random.Generator, n: int, _: float) -> Ideal:
    """Loss that falls at constant speed: S = e, the limit of convex models."""
    return Ideal(np.maximum(1 - t / times(rng, n, 40, 5000), 0.0))


def _shot_noise(t: np.ndarray, rng: np.random.Generator, n: int, _: float) -> Ideal:
    """Exponentials of the number of exposures, in one run: half is learned at the 20th to 50th, each at random."""
    half = rng.uniform(20, 50, (n, 1))
    rate = half / times(rng, n)
    hits = np.cumsum(rng.poisson(rate * np.diff(t, prepend=0.0)), axis=1)
    return Ideal(0.5 ** (hits / half))


TRAPS: dict[str, Draw] = {
    "linear_coupled": _linear_coupled,
    "bump": _bump,
    "polygenic": _polygenic,
    "ramp": _ramp,
    "shot_noise": _shot_noise,
}


# ------------------------------------------------------------------------------------------------- steps


def _one_step(shape: shapes.Step) -> Draw:
    def draw(t: np.ndarray, rng: np.random.Generator, n: int, width: float) -> Ideal:
        onset = times(rng, n)
        return Ideal(shape(t, onset, width), onset[:, 0], width, 1.0)

    return draw


def _drift_step(t: np.ndarray, rng: np.random.Generator, n: int, width: float) -> Ideal:
    onset = times(rng, n)
    drift = shapes.power_law(t, times(rng, n, 5, 300), rng.uniform(0.4, 1.2, (n, 1)))
    return Ideal(0.4 * drift + 0.6 * shapes.logistic(t, onset, width), onset[:, 0], width, 0.6)


def _several_steps(shares: Sequence[float], gap: tuple[float, float]) -> Draw:
    """Logistic steps of the given shares, each a random number of nats after the one before."""

    def draw(t: np.ndarray, rng: np.random.Generator, n: int, width: float) -> Ideal:
        after = np.cumsum(rng.uniform(*gap, (n, len(shares))), axis=1)
        after -= after[:, :1]
        room = np.exp(after[:, -1:])
        onset = 20 * (np.maximum(2500 / room, 40) / 20) ** rng.uniform(size=(n, 1)) * np.exp(after)
        remaining = sum(h * shapes.logistic(t, o[:, None], width) for h, o in zip(shares, onset.T, strict=True))
        return Ideal(np.asarray(remaining), onset[:, int(np.argmax(shares))], width, 1.0)

    return draw


ONE_STEP: dict[str, Draw] = {name: _one_step(shape) for name, shape in shapes.STEPS.items()}
ONE_STEP["drift_step"] = _drift_step
SEVERAL_STEPS: dict[str, Draw] = {
    "two_steps": _several_steps((0.5, 0.5), (1.0, 2.5)),
    "unequal_steps_70_30": _several_steps((0.7, 0.3), (1.0, 2.5)),
    "unequal_steps_30_70": _several_steps((0.3, 0.7), (1.0, 2.5)),
    "three_steps": _several_steps((1 / 3, 1 / 3, 1 / 3), (1.2, 2.0)),
}


def fields(family: str) -> dict[str, Any]:
    """What a record of the family says of its training: see :func:`quanta.worlds.family_fields`."""
    if family == "linear_coupled":
        return {"optimizer": "sgd", "units": "squared error"}
    if family == "ramp":
        return {"optimizer": "unknown"}
    if family.startswith("softmax"):
        _, optimizer, n_classes = family.split("_")
        return {"optimizer": optimizer, "n_classes": int(n_classes)}
    return {"optimizer": "sgd", "n_classes": 11}
