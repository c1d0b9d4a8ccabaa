"""Fits of many logistic curves at once, in AR(1) noise: Gauss–Newton over arrays of curves.

The model of curve k is l = c + h s, s = 1/(1 + (t/t50)^b), with c, h ≥ 0. Parameters are θ = (ln t50, ln b), (n, 2); the
amplitudes (c, h), (n, 2), are linear and solved for.
"""

from typing import NamedTuple

import numpy as np

_LOG_STEEPNESS = (np.log(0.2), np.log(40.0))  # of b: widths of 22 and of .11 nats
_GRID_STEEPNESS = np.array([0.5, 0.9, 1.425, 2.2, 3.4, 5.5, 9.0, 16.0])
_MAX_ITERATIONS = 15


class Fit(NamedTuple):
    """n fitted curves."""

    theta: np.ndarray
    """(ln t50, ln b), (n, 2)."""
    amplitude: np.ndarray
    """(c, h), (n, 2)."""
    rss: np.ndarray
    """Weighted residual sum of squares, (n,)."""


def log_time(step: np.ndarray) -> np.ndarray:
    """Logarithm of the clock, (m,); 0 lies 20 nats before the first positive checkpoint, where nothing has happened."""
    first = step[step > 0][0]
    return np.log(np.maximum(step, first * np.exp(-20.0)))


def remaining(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fraction s that is left, and u = b (x - ln t50): s = 1/(1 + e^u); both (n, m)."""
    u = np.exp(theta[:, 1:]) * (x - theta[:, :1])
    u = np.clip(u, -60.0, 60.0)
    return 1.0 / (1.0 + np.exp(u)), u


def whiten(rows: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Rows (n, m) in units in which unit-variance AR(1) noise of the given φ (n,) is white."""
    phi = phi[:, None]
    out = np.empty_like(rows)
    out[:, 0] = rows[:, 0]
    out[:, 1:] = (rows[:, 1:] - phi * rows[:, :-1]) / np.sqrt(1 - phi**2)
    return out


def solve(y: np.ndarray, x: np.ndarray, theta: np.ndarray, phi: np.ndarray) -> Fit:
    """Amplitudes c, h ≥ 0 of least weighted squares at θ; y (n, m)."""
    one, s = whiten(np.ones_like(y), phi), whiten(remaining(x, theta)[0], phi)
    w = whiten(y, phi)
    oo, os, ss = (np.einsum("nm,nm->n", a, b) for a, b in ((one, one), (one, s), (s, s)))
    ow, sw = np.einsum("nm,nm->n", one, w), np.einsum("nm,nm->n", s, w)
    det = np.maximum(oo * ss - os**2, 1e-12 * oo * ss + 1e-300)
    c, h = (ss * ow - os * sw) / det, (oo * sw - os * ow) / det
    # At most one of two amplitudes can be negative where losses are positive; then the other is alone.
    c, h = (
        np.where(h < 0, ow / oo, np.where(c < 0, 0.0, c)),
        np.where(h < 0, 0.0, np.where(c < 0, sw / np.maximum(ss, 1e-300), h)),
    )
    left = w - c[:, None] * one - h[:, None] * s
    return Fit(theta=theta, amplitude=np.stack([c, h], axis=1), rss=np.einsum("nm,nm->n", left, left))


def first_guess(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The best θ of a grid, by correlation with the curves: (n, 2)."""
    centres = np.arange(x[x > x[0]][0] - 1.0, x[-1] + 1.01, 0.3)
    grid = np.array([(centre, b) for b in np.log(_GRID_STEEPNESS) for centre in centres])
    s = remaining(x, grid)[0]
    s -= s.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(s, axis=1)
    s /= np.maximum(norm, 1e-9)[:, None]
    return grid[np.argmax(np.where(norm > 1e-6, (y - y.mean(axis=1, keepdims=True)) @ s.T, -np.inf), axis=1)]


def jacobian(x: np.ndarray, fit: Fit, phi: np.ndarray) -> np.ndarray:
    """Whitened derivatives of the curves by (c, h, ln t50, ln b), (n, m, 4); 0 for a c at its bound."""
    s, u = remaining(x, fit.theta)
    steep, height = np.exp(fit.theta[:, 1:]), fit.amplitude[:, 1:]
    slope = s * (1 - s)
    columns = [(fit.amplitude[:, :1] > 0) * np.ones_like(s), s, height * steep * slope, -height * u * slope]
    return np.stack([whiten(column, phi) for column in columns], axis=2)


def refine(y: np.ndarray, x: np.ndarray, theta: np.ndarray, phi: np.ndarray, *, steepness: bool = True) -> Fit:
    """Least squares from θ on by Levenberg–Marquardt; without ``steepness`` at the given b."""
    best = solve(y, x, theta, phi)
    damping = np.full(len(y), 1e-2)
    todo = np.arange(len(y))
    for _ in range(_MAX_ITERATIONS):
        here = Fit(*(part[todo] for part in best))
        J = jacobian(x, here, phi[todo])
        if not steepness:
            J[:, :, 3] = 0.0
        residual = whiten(y[todo] - _curves(x, here), phi[todo])
        normal = np.einsum("nmi,nmj->nij", J, J)
        scale = np.einsum("nii->ni", normal) + 1e-12 * np.einsum("nii->n", normal)[:, None] + 1e-300
        normal += (damping[todo, None] * scale)[:, :, None] * np.eye(4)
        move = np.linalg.solve(normal, np.einsum("nmi,nm->ni", J, residual)[:, :, None])[:, 2:, 0]
        trial_theta = here.theta + np.clip(move, -0.7, 0.7)
        trial_theta[:, 0] = np.clip(trial_theta[:, 0], x[1] - 3.0, x[-1] + 3.0)
        trial_theta[:, 1] = np.clip(trial_theta[:, 1], *_LOG_STEEPNESS)
        if not steepness:
            trial_theta[:, 1] = here.theta[:, 1]
        trial = solve(y[todo], x, trial_theta, phi[todo])
        better = trial.rss < here.rss
        for whole, part in zip(best, trial, strict=True):
            whole[todo[better]] = part[better]
        damping[todo] *= np.where(better, 0.2, 6.0)
        done = (np.abs(move).max(axis=1) < 1e-3) | (damping[todo] > 1e5)
        todo = todo[~(done | (better & (here.rss - trial.rss < 1e-5 * here.rss)))]
        if not todo.size:
            break
    return best


def autocorrelation(y: np.ndarray, x: np.ndarray, fit: Fit) -> np.ndarray:
    """Lag-1 autocorrelation φ of the residuals, (n,), in [0, .95], with its small-sample bias put back.

    The least-squares estimate is too low by (1 + 3 φ)/m (Marriott and Pope, 1954) and by k (1 - φ)/m for k parameters.
    """
    r = y - _curves(x, fit)
    r -= r.mean(axis=1, keepdims=True)
    m = x.size
    phi = np.einsum("nm,nm->n", r[:, 1:], r[:, :-1]) / np.maximum(np.einsum("nm,nm->n", r, r), 1e-300)
    return np.clip(phi + (1 + 3 * phi) / m + 4 * (1 - phi) / m, 0.0, 0.95)


def errors(x: np.ndarray, fit: Fit, phi: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gauss–Newton standard errors of (c, h, ln t50, ln b), (n, 4); inf where the curve does not say."""
    J = jacobian(x, fit, phi)
    normal = np.einsum("nmi,nmj->nij", J, J)
    scale = np.sqrt(np.einsum("nii->ni", normal))
    scale = np.where(scale > 0, scale, np.inf)
    unit = normal / scale[:, :, None] / scale[:, None, :] + 1e-10 * np.eye(4)
    unit += (~np.isfinite(scale))[:, :, None] * np.eye(4)
    variance = np.einsum("nii->ni", np.linalg.inv(unit)) * (sigma[:, None] / scale) ** 2
    return np.where(np.isfinite(scale), np.sqrt(variance), np.inf)


def _curves(x: np.ndarray, fit: Fit) -> np.ndarray:
    return fit.amplitude[:, :1] + fit.amplitude[:, 1:] * remaining(x, fit.theta)[0]
