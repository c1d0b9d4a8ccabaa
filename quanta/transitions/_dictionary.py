"""The atoms of the detector on one grid of checkpoints, with every product that does not depend on the noise."""

from typing import NamedTuple

import numpy as np

STEP_EXPONENTS = (1.5, 2.0, 3.0, 5.0, 8.0, 14.0)
_RATE_SPACING = 0.25  # nats; coarser grids leave an error of .3 δ²/8 that reads as a spurious transition
_BUMP_WIDTHS = (0.2, 0.35, 0.6, 1.0)  # standard deviations in nats


class Dictionary(NamedTuple):
    """Atoms (rows) on the checkpoints t (m,): null (constant and e^{-t/τ}), steps e^{-(t/τ)^n}, bumps in ln t."""

    t: np.ndarray
    null: np.ndarray  # (n_null, m)
    null_time: np.ndarray  # (n_null,), inf for the constant
    steps: np.ndarray  # (n_steps, m)
    step_time: np.ndarray
    step_exponent: np.ndarray
    bumps: np.ndarray  # (n_bumps, m)
    bump_centre: np.ndarray  # in ln t
    bump_width: np.ndarray  # standard deviation in nats
    null_null: np.ndarray  # plain and lag-1 products, for the Gram matrix at any φ
    null_null_lag: np.ndarray
    null_step: np.ndarray
    null_step_lag: np.ndarray
    null_bump: np.ndarray
    null_bump_lag: np.ndarray
    fine: np.ndarray  # (n_fine,) times on which slopes are sought
    first: float  # first checkpoint after 0


def _products(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return u @ v.T, u[:, 1:] @ v[:, :-1].T + u[:, :-1] @ v[:, 1:].T


def make(t: np.ndarray) -> Dictionary:
    """Build the dictionary of a grid of checkpoints t (m,), increasing, t ≥ 0, in any unit of time.

    Examples
    --------
    >>> d = make(np.geomspace(1, 1000, 30))
    >>> bool((np.diff(np.log(d.null_time[1:])) <= 0.25 + 1e-9).all())
    True
    """
    t = np.asarray(t, dtype=np.float64)
    positive = t[t > 0]
    first, last = np.log(positive[0]), np.log(positive[-1])
    low, high = first - 2.5, last + 4.0
    times = np.exp(np.linspace(low, high, int(np.ceil((high - low) / _RATE_SPACING)) + 1))
    null_time = np.concatenate([[np.inf], times])
    null = np.concatenate([np.ones((1, t.size)), np.exp(-t / times[:, None])])
    centres = np.exp(np.linspace(first + 0.3, last - 0.05, 50))
    step_time = np.tile(centres, len(STEP_EXPONENTS))
    step_exponent = np.repeat(STEP_EXPONENTS, len(centres))
    steps = np.exp(-((t / step_time[:, None]) ** step_exponent[:, None]))
    x = np.log(np.maximum(t, 0.5 * positive[0]))
    pairs = [(centre, sd) for sd in _BUMP_WIDTHS for centre in np.arange(first, last, 0.6 * sd)]
    bump_centre, bump_width = np.array(pairs).T.copy()
    bumps = np.exp(-0.5 * ((x - bump_centre[:, None]) / bump_width[:, None]) ** 2)
    fine = np.exp(np.linspace(low, high, 320))
    return Dictionary(
        t,
        null,
        null_time,
        steps,
        step_time,
        step_exponent,
        bumps,
        bump_centre,
        bump_width,
        *_products(null, null),
        *_products(null, steps),
        *_products(null, bumps),
        fine,
        float(positive[0]),
    )
