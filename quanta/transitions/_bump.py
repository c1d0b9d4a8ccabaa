"""Compiled rivals of a step: a bump in log time (an interference), and steps of other shapes."""

import math

import numpy as np
from numba import njit

from quanta.transitions._fit import screen, solve


@njit(cache=True, nogil=True)
def best_bump(y, d, G_null, phi, x_null, self_plain, self_lag):
    """Null plus one bump in ln t (an interference): returns (rss, the rise of that fit, in loss units)."""
    n, m = d.null.shape[0], y.size
    x = x_null.copy()
    _, r, G = solve(y, d, G_null, phi, np.empty((0, m)), x)
    chosen = np.empty(5, np.int64)
    count = screen(d.bumps, d.null_bump, d.null_bump_lag, self_plain, self_lag, d, phi, G, x, r, 5, chosen)
    best_rss, best_rise = np.inf, 0.0
    best = -1
    for c in range(count):
        trial = np.zeros(n + 1)
        trial[:n] = x
        rss, r, _ = solve(y, d, G_null, phi, d.bumps[chosen[c] : chosen[c] + 1], trial)
        if rss < best_rss:
            best_rss, best_rise, best = rss, _rise(y, r), chosen[c]
    if best < 0:
        return best_rss, best_rise
    # The step was refined off its grid; so is the bump, or it would lose for that alone.
    centre, sd = d.bump_centre[best], d.bump_width[best]
    row = np.empty((1, m))
    for scale in (0.8, 0.8, 0.6, 0.6, 0.4):
        from_centre, from_sd = centre, sd
        for i in range(4):
            try_centre = from_centre + (0.4 * scale * from_sd * (1 - 2 * i) if i < 2 else 0.0)
            try_sd = from_sd * (np.exp(0.35 * scale * (5 - 2 * i)) if i >= 2 else 1.0)
            for p in range(m):
                u = (np.log(max(d.t[p], 0.5 * d.first)) - try_centre) / try_sd
                row[0, p] = np.exp(-0.5 * u * u)
            trial = np.zeros(n + 1)
            trial[:n] = x
            rss, r, _ = solve(y, d, G_null, phi, row, trial)
            if rss < best_rss:
                best_rss, best_rise, centre, sd = rss, _rise(y, r), try_centre, try_sd
    return best_rss, best_rise


@njit(cache=True, nogil=True)
def _rise(y, r):
    """Largest rise of the fitted curve y − r above its lowest point so far."""
    lowest, rise = np.inf, 0.0
    for i in range(y.size):
        lowest = min(lowest, y[i] - r[i])
        rise = max(rise, y[i] - r[i] - lowest)
    return rise


@njit(cache=True, nogil=True)
def _other_step(u, shape):
    """A unit step in u (nats from t50, in units of the 10–90 % width): Gompertz, logistic or Gaussian in log time."""
    if shape == 0:
        return 1.0 - np.exp(-np.log(2.0) * np.exp(min(-3.0843 * u, 50.0)))
    if shape == 1:
        return 1.0 / (1.0 + np.exp(min(4.3944 * u, 50.0)))
    return 0.5 * math.erfc(u * 2.5631 / np.sqrt(2.0))


@njit(cache=True, nogil=True)
def best_other_step(y, d, G_null, phi, x_null, log_onset, width):
    """Null plus one step of another shape, near a step's place and width: the weighted square of the best.

    A step that misfits Weibull's tails must not be taken for a bump.
    """
    n, m = d.null.shape[0], y.size
    row = np.empty((1, m))
    best = np.inf
    for shape in range(3):
        centre, scale = log_onset, width
        # A coarse look around, then finer looks around the best so far.
        for fineness in (1.0, 0.5, 0.25):
            from_centre, from_scale = centre, scale
            for i in range(3):
                for j in range(3):
                    try_centre = from_centre + (i - 1) * 0.2 * fineness * width
                    try_scale = from_scale * np.exp((j - 1) * 0.35 * fineness)
                    for p in range(m):
                        row[0, p] = 1.0
                        if d.t[p] > 0.0:
                            row[0, p] = _other_step((np.log(d.t[p]) - try_centre) / try_scale, shape)
                    x = np.zeros(n + 1)
                    x[:n] = x_null
                    rss, _, _ = solve(y, d, G_null, phi, row, x)
                    if rss < best:
                        best, centre, scale = rss, try_centre, try_scale
    return best
