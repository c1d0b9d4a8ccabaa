"""Compiled description of a fit: its sharpness, and the errors of its parameters."""

import numpy as np
from numba import njit

from quanta.transitions._fit import tangents
from quanta.transitions._linear import apply_precision


@njit(cache=True, nogil=True)
def slope_and_drop(d, theta, x):
    """Largest −df/dln t of the fitted curve, and its total drop f(0) − f(∞)."""
    n, q = d.null.shape[0], theta.shape[0]
    drop = 0.0
    for j in range(1, n):
        drop += x[j]
    for i in range(q):
        drop += x[n + i]
    steepest = 0.0
    # The fine grid, and each step's own steepest point, which the grid could miss.
    for p in range(d.fine.size + q):
        t = d.fine[p] if p < d.fine.size else np.exp(theta[p - d.fine.size, 0])
        slope = 0.0
        for j in range(1, n):
            if x[j] > 0.0:
                u = t / d.null_time[j]
                if u < 50.0:
                    slope += x[j] * u * np.exp(-u)
        for i in range(q):
            e = np.exp(theta[i, 1])
            z = np.exp(min(e * (np.log(t) - theta[i, 0]), 50.0))
            slope += x[n + i] * e * z * np.exp(-z)
        steepest = max(steepest, slope)
    return steepest, drop


@njit(cache=True, nogil=True)
def covariance(d, phi, theta, x, noise):
    """Gauss–Newton covariance of (active amplitudes, ln τ_1, ln n_1, …); noise is the innovations' variance.

    Returns (which amplitudes are active, covariance (k + 2q, k + 2q)).
    """
    n, q, m = d.null.shape[0], theta.shape[0], d.t.size
    which = np.empty(n + q, np.int64)
    k = 0
    slow = x[0] > 0.0
    for j in range(n + q):
        if x[j] > 0.0:
            # Within the window, exponentials slower than it and the constant cannot be told apart; one stands for all.
            if 0 < j < n and d.null_time[j] > d.t[m - 1]:
                if slow:
                    continue
                slow = True
            which[k] = j
            k += 1
    rows = np.empty((q, m))
    V = np.empty((2 * q, m))
    tangents(d.t, theta, rows, V)
    J = np.empty((k + 2 * q, m))
    for c in range(k):
        J[c] = d.null[which[c]] if which[c] < n else rows[which[c] - n]
    for i in range(2 * q):
        J[k + i] = V[i] * x[n + i // 2]
    H = np.empty((k + 2 * q, k + 2 * q))
    w = np.empty(m)
    for i in range(k + 2 * q):
        apply_precision(J[i], phi, w)
        for j in range(i + 1):
            H[i, j] = np.dot(w, J[j])
            H[j, i] = H[i, j]
    scale = np.empty(k + 2 * q)
    for i in range(k + 2 * q):
        scale[i] = np.sqrt(H[i, i]) + 1e-150
    for i in range(k + 2 * q):
        for j in range(k + 2 * q):
            H[i, j] /= scale[i] * scale[j]
        H[i, i] += 1e-9
    C = np.linalg.inv(H)
    for i in range(k + 2 * q):
        for j in range(k + 2 * q):
            C[i, j] *= noise / (scale[i] * scale[j])
    return which[:k], C


@njit(cache=True, nogil=True)
def log_sharpness_error(d, phi, theta, x, noise):
    """Standard errors of ln S (delta method), and of (ln τ, ln n, h) of every step: (float, (q, 3))."""
    n, q = d.null.shape[0], theta.shape[0]
    which, C = covariance(d, phi, theta, x, noise)
    k = which.size
    slope, drop = slope_and_drop(d, theta, x)
    base = np.log(slope / drop)
    g = np.empty(k + 2 * q)
    for c in range(k + 2 * q):
        x_moved = x.copy()
        moved = theta.copy()
        if c < k:
            size = 1e-4 * drop
            x_moved[which[c]] += size
        else:
            size = 1e-4
            moved[(c - k) // 2, (c - k) % 2] += size
        s, h = slope_and_drop(d, moved, x_moved)
        g[c] = (np.log(s / h) - base) / size
    variance = 0.0
    for i in range(k + 2 * q):
        for j in range(k + 2 * q):
            variance += g[i] * g[j] * C[i, j]
    errors = np.full((q, 3), np.nan)
    for i in range(q):
        errors[i, 0] = np.sqrt(max(C[k + 2 * i, k + 2 * i], 0.0))
        errors[i, 1] = np.sqrt(max(C[k + 2 * i + 1, k + 2 * i + 1], 0.0))
        for c in range(k):
            if which[c] == n + i:
                errors[i, 2] = np.sqrt(max(C[c, c], 0.0))
    onset_cov = np.zeros(q)
    for i in range(q):
        onset_cov[i] = C[k + 2 * i, k + 2 * i + 1]
    return np.sqrt(max(variance, 0.0)), errors, onset_cov
