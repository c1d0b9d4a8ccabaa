"""Single curves with known truth: the families on which false positives and power are tabulated."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.worlds import shapes
from quanta.worlds.noise import Noise

BASELINE = 0.05
"""Loss that is left at the end, in units of the total drop: keeps the noise off the floor at 0."""
FIRST, LAST = 1, 30_000
"""First positive and last checkpoint."""


class Truth(NamedTuple):
    """What is known of n curves, each field of shape (n,)."""

    onset: np.ndarray
    """t50 of the step, in steps; nan where there is none."""
    width: np.ndarray
    """10-90 % width of the step, in nats of ln t; nan where there is none."""
    height: np.ndarray
    """Height of the step in loss units; 0 where there is none."""
    drop: np.ndarray
    """Total drop H from the start to infinite time, in loss units; what sigma is measured in."""


def checkpoints(n_checkpoints: int, *, first: int = FIRST, last: int = LAST) -> np.ndarray:
    """Step 0 and log-spaced whole steps, no two alike: shape (n_checkpoints,), int64.

    Examples
    --------
    >>> checkpoints(8, last=1000).tolist()
    [0, 1, 3, 10, 32, 100, 316, 1000]
    """
    if not 2 <= n_checkpoints - 1 <= last - first:
        raise InputError(f"n_checkpoints is {n_checkpoints}; expected 3 to {last - first + 1}.")
    points, asked = np.empty(0), n_checkpoints - 1
    while points.size < n_checkpoints - 1:  # rounding merges early points: ask for more
        points = np.unique(np.round(np.geomspace(first, last, asked)).astype(np.int64))
        asked += max(1, n_checkpoints - 1 - points.size)
    return np.concatenate([[0], points[-(n_checkpoints - 1) :]])


def _times(rng: np.random.Generator, n: int, low: float = 20.0, high: float = 2500.0) -> np.ndarray:
    """Log-uniform times, shape (n, 1), inside the window with room for both ends of a curve."""
    return np.exp(rng.uniform(math.log(low), math.log(high), (n, 1)))


def _two_exponentials(t: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    tau = np.concatenate([_times(rng, n), _times(rng, n)], axis=1)
    share = rng.uniform(0.2, 0.8, (n, 1))
    return shapes.mixture(t, tau, np.concatenate([share, 1 - share], axis=1))


def random_mixture(t: np.ndarray, rng: np.random.Generator, tau: np.ndarray, n_terms: int = 5) -> np.ndarray:
    """Dirichlet mixtures of exponentials, time constants within a few e-folds of tau, shape (n, 1)."""
    n = len(tau)
    return shapes.mixture(t, tau * np.exp(rng.normal(0, 1.0, (n, n_terms))), rng.dirichlet(np.ones(n_terms), n))


def _log_linear(t: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    first = _times(rng, n, 2, 50)
    return shapes.log_linear(t, first, first * _times(rng, n, 20, 300))


_SMOOTH: dict[str, Callable[[np.ndarray, np.random.Generator, int], np.ndarray]] = {
    "exponential": lambda t, rng, n: shapes.exponential(t, _times(rng, n)),
    "two_exponentials": _two_exponentials,
    "power_law": lambda t, rng, n: shapes.power_law(t, _times(rng, n, 5, 300), rng.uniform(0.4, 1.2, (n, 1))),
    "gamma_mixture": lambda t, rng, n: shapes.power_law(t, _times(rng, n, 30, 3000), rng.uniform(1.5, 6, (n, 1))),
    "random_mixture": lambda t, rng, n: random_mixture(t, rng, _times(rng, n)),
    "stretched": lambda t, rng, n: shapes.stretched(t, _times(rng, n, 10, 1000), rng.uniform(0.3, 0.9, (n, 1))),
    "log_linear": _log_linear,
    "mittag_leffler": lambda t, rng, n: shapes.mittag_leffler(t, _times(rng, n, 1, 300)),
    "early": lambda t, rng, n: shapes.exponential(t, _times(rng, n, 0.3, 3)),
    "never": lambda t, rng, n: np.ones((n, t.size)),
    "softmax_sgd_11": lambda t, rng, n: shapes.softmax_sgd(t, 8 / _times(rng, n), 11),
}

SMOOTH_FAMILIES: tuple[str, ...] = tuple(_SMOOTH)
STEP_FAMILIES: tuple[str, ...] = (*shapes.STEPS, "drift_step")


def _step_family(
    family: str, t: np.ndarray, rng: np.random.Generator, n: int, width: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Remaining fraction (n, n_steps), onset (n,), and the step's share of the drop."""
    onset = _times(rng, n)
    if family != "drift_step":
        return shapes.STEPS[family](t, onset, width), onset[:, 0], 1.0
    drift = shapes.power_law(t, _times(rng, n, 5, 300), rng.uniform(0.4, 1.2, (n, 1)))
    return 0.4 * drift + 0.6 * shapes.logistic(t, onset, width), onset[:, 0], 0.6


def curves(
    family: str,
    *,
    n: int,
    seed: int = 0,
    n_checkpoints: int = 100,
    sigma: float = 0.03,
    phi: float = 0.5,
    width: float = 0.8,
    floor: float | None = 0.0,
) -> tuple[np.ndarray, np.ndarray, Truth]:
    """Draw independent curves of one family, with their truth.

    Parameters
    ----------
    family : str
        One of ``SMOOTH_FAMILIES`` (no step: a detection is a false positive) or ``STEP_FAMILIES`` (one step;
        ``drift_step`` is .4 of a power law and .6 of a logistic step).
    n : int
        Number of curves; onset, height and shape parameters are drawn for each.
    seed : int
        Same seed, same curves.
    n_checkpoints : int
        Step 0 and log-spaced steps to 30,000.
    sigma, phi : float
        Noise, in units of the total drop, and its autocorrelation; see :class:`Noise`.
    width : float
        10-90 % width of the step in nats; smooth families have none.
    floor : float, optional
        Smallest loss measured; None does not clip.

    Returns
    -------
    step : np.ndarray, shape (n_checkpoints,)
    loss : np.ndarray, shape (n, n_checkpoints)
    truth : Truth
        Arrays of shape (n,).

    Raises
    ------
    InputError
        If the family is unknown.
    """
    step = checkpoints(n_checkpoints)
    rng = np.random.default_rng([seed, *family.encode()])
    drop = np.exp(rng.uniform(math.log(0.5), math.log(5.0), n))
    nothing = np.full(n, np.nan)
    if family in _SMOOTH:
        remaining = _SMOOTH[family](step.astype(float), rng, n)
        truth = Truth(onset=nothing, width=nothing, height=np.zeros(n), drop=drop)
    elif family in STEP_FAMILIES:
        remaining, onset, share = _step_family(family, step.astype(float), rng, n, width)
        truth = Truth(onset=onset, width=np.full(n, float(width)), height=share * drop, drop=drop)
    else:
        raise InputError(f"family is {family!r}; expected one of {', '.join((*SMOOTH_FAMILIES, *STEP_FAMILIES))}.")
    loss = drop[:, None] * (BASELINE + remaining)
    return step, Noise(sigma=sigma, phi=phi, floor=floor).add(loss, drop, rng), truth
