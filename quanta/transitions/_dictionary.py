"""The atoms of the detector on one grid of checkpoints, with every product that does not depend on the noise."""

from typing import NamedTuple

import numpy as np

STEP_EXPONENTS = (1.5, 2.0, 3.0, 5.0, 8.0, 14.0)
_RATE_SPACING = 0.25  # nats; coarser grids leave an error of .3 δ²/8 that reads as a spurious transition
_BUMP_WIDTHS = (0.2, 0.35, 0.6, 1.0)  # standard deviations in nats
_BEFORE_ALL = -1e4  # ln t of t = 0: every curve is at its start


class Atoms(NamedTuple):
    """Curves of one kind (rows), each at a place in ln t, and their products with the null atoms and themselves."""

    rows: np.ndarray  # (n, m)
    place: np.ndarray  # (n,): ln τ of a step, the centre of a bump
    shape: np.ndarray  # (n,): ln n of a step, ln sd of a bump
    cross: np.ndarray  # (n_null, n): plain and lag-1 products with the null
    cross_lag: np.ndarray
    norm: np.ndarray  # (n,): … and with itself
    norm_lag: np.ndarray
    first: np.ndarray  # (n,): rows[:, 0] and rows[:, -1]
    last: np.ndarray


class Dictionary(NamedTuple):
    """Atoms on the checkpoints t (m,): null (constant and e^{-t/τ}), steps e^{-(t/τ)^n}, bumps in ln t."""

    t: np.ndarray
    log_t: np.ndarray
    null: np.ndarray  # (n_null, m)
    null_time: np.ndarray  # (n_null,), inf for the constant
    first: np.ndarray  # null[:, 0] and null[:, -1]
    last: np.ndarray
    null_null: np.ndarray  # plain and lag-1 products, for the Gram matrix at any φ
    null_null_lag: np.ndarray
    steps: Atoms
    bumps: Atoms
    fine: np.ndarray  # (n_fine,) ln t, on which slopes and levels are sought
    null_fine: np.ndarray  # (n_null, n_fine): the null atoms there, and their slopes −d/dln t
    null_slope: np.ndarray
    counted: np.ndarray  # (n_null,): the share of each null atom that counts as drop
    search: int  # index into fine from which slopes are sought


def _products(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return u @ v.T, u[:, 1:] @ v[:, :-1].T + u[:, :-1] @ v[:, 1:].T


def _atoms(rows: np.ndarray, place: np.ndarray, shape: np.ndarray, null: np.ndarray) -> Atoms:
    norm, lag = np.sum(rows**2, axis=1), 2 * np.sum(rows[:, 1:] * rows[:, :-1], axis=1)
    ends = rows[:, 0].copy(), rows[:, -1].copy()
    return Atoms(np.ascontiguousarray(rows), place, shape, *_products(null, rows), norm, lag, *ends)


def make(t: np.ndarray) -> Dictionary:
    """Build the dictionary of a grid of checkpoints t (m,), increasing, t ≥ 0, in any unit of time.

    Examples
    --------
    >>> d = make(np.geomspace(1, 1000, 30))
    >>> bool((np.diff(np.log(d.null_time[1:])) <= 0.25 + 1e-9).all())
    True
    """
    t = np.asarray(t, dtype=np.float64)
    first, last = np.log(t[t > 0][0]), np.log(t[-1])
    log_t = np.where(t > 0, np.log(np.maximum(t, 1e-300)), _BEFORE_ALL)
    low, high = first - 2.5, last + 4.0
    log_times = np.linspace(low, high, int(np.ceil((high - low) / _RATE_SPACING)) + 1)
    null_time = np.concatenate([[np.inf], np.exp(log_times)])
    null = np.exp(-t / null_time[:, None])
    step_place, step_shape = _pairs(np.linspace(first + 0.3, last - 0.05, 50), np.log(STEP_EXPONENTS))
    steps = np.exp(-np.exp(np.minimum(np.exp(step_shape)[:, None] * (log_t - step_place[:, None]), 4.0)))
    x = np.maximum(log_t, first - np.log(2))
    bumps = [_pairs(np.arange(first, last, 0.6 * sd), np.log([sd])) for sd in _BUMP_WIDTHS]
    centre, width = (np.concatenate(parts) for parts in zip(*bumps, strict=True))
    bump_rows = np.exp(-0.5 * ((x - centre[:, None]) / np.exp(width)[:, None]) ** 2)
    fine = np.linspace(low, high, 320)
    age = np.exp(fine) / null_time[:, None]
    # Without a checkpoint at 0, what was over before the first one is not known: a trace of it, noise perhaps, would be
    # extrapolated to thousands of times the loss. It counts as at most e times what is left of it at the first checkpoint.
    seen_from_0 = bool(t[0] == 0)
    counted = np.ones(null_time.size) if seen_from_0 else np.minimum(1.0, np.exp(1.0 - t[0] / null_time))
    search = 0 if seen_from_0 else int(np.searchsorted(fine, first + 1.0))
    return Dictionary(
        t,
        log_t,
        null,
        null_time,
        null[:, 0].copy(),
        null[:, -1].copy(),
        *_products(null, null),
        _atoms(steps, step_place, step_shape, null),
        _atoms(bump_rows, centre, width, null),
        fine,
        np.exp(-age),
        age * np.exp(-age),
        counted,
        search,
    )


def _pairs(place: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every place with every shape, shape by shape."""
    return np.tile(place, len(shape)), np.repeat(shape, len(place))
