"""Compiled linear algebra of the detector: AR(1) weighting and non-negative least squares on a Gram matrix."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def apply_precision(v, phi, out):
    """``out`` = Ω v, with Ω the precision of a unit-variance AR(1) process; v and out (m,)."""
    m = v.size
    a = 1.0 / (1.0 - phi * phi)
    inner = a * (1.0 + phi * phi)
    out[0] = a * (v[0] - phi * v[1])
    out[m - 1] = a * (v[m - 1] - phi * v[m - 2])
    for i in range(1, m - 1):
        out[i] = inner * v[i] - a * phi * (v[i - 1] + v[i + 1])


@njit(cache=True, nogil=True)
def quadratic(v, phi):
    """V' Ω v."""
    a = 1.0 / (1.0 - phi * phi)
    total = v[0] * v[0]
    for i in range(1, v.size):
        d = v[i] - phi * v[i - 1]
        total += a * d * d
    return total


@njit(cache=True, nogil=True)
def gram_at(phi, plain, lagged, first_u, last_u, first_v, last_v):
    """U Ω V' at any φ from stored products: plain = U V', lagged = its symmetrised lag-1 twin."""
    a = 1.0 / (1.0 - phi * phi)
    out = np.empty_like(plain)
    for i in range(plain.shape[0]):
        for j in range(plain.shape[1]):
            out[i, j] = first_u[i] * first_v[j] * (1.0 - a) + a * (
                (1.0 + phi * phi) * plain[i, j] - phi * phi * last_u[i] * last_v[j] - phi * lagged[i, j]
            )
    return out


@njit(cache=True, nogil=True)
def cholesky(G, which, k, L):
    """Lower Cholesky factor of G[which, which] into L[:k, :k]; a pivot that vanishes is floored."""
    for i in range(k):
        for j in range(i + 1):
            s = G[which[i], which[j]]
            for p in range(j):
                s -= L[i, p] * L[j, p]
            if i == j:
                L[i, i] = np.sqrt(max(s, 1e-11 * G[which[i], which[i]] + 1e-300))
            else:
                L[i, j] = s / L[j, j]


@njit(cache=True, nogil=True)
def forward(L, k, v):
    """V ← L⁻¹ v in place."""
    for i in range(k):
        s = v[i]
        for p in range(i):
            s -= L[i, p] * v[p]
        v[i] = s / L[i, i]


@njit(cache=True, nogil=True)
def backward(L, k, v):
    """V ← L⁻ᵀ v in place."""
    for i in range(k - 1, -1, -1):
        s = v[i]
        for p in range(i + 1, k):
            s -= L[p, i] * v[p]
        v[i] = s / L[i, i]


@njit(cache=True, nogil=True)
def nnls(G, b, x):
    """Minimise x'Gx/2 − b'x over x ≥ 0 (Lawson–Hanson), from the support of x, in place.

    Parameters
    ----------
    G : (n, n), b : (n,)
        Gram matrix and right-hand side.
    x : (n,)
        In: a warm start (only its support matters). Out: the solution.

    References
    ----------
    Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23.
    """
    n = b.size
    which = np.empty(n, np.int64)
    k = 0
    for i in range(n):
        if x[i] > 0.0:
            which[k] = i
            k += 1
        else:
            x[i] = 0.0
    L = np.empty((n, n))
    z = np.empty(n)
    scale = 0.0
    for i in range(n):
        scale = max(scale, abs(b[i]))
    tolerance = 1e-10 * scale
    banned = -1
    entered = -1
    for _ in range(4 * n):
        # Solve on the passive set, stepping back to the boundary while a coefficient is negative.
        while k > 0:
            cholesky(G, which, k, L)
            for i in range(k):
                z[i] = b[which[i]]
            forward(L, k, z)
            backward(L, k, z)
            step = 1.0
            for i in range(k):
                if z[i] <= 0.0:
                    old = x[which[i]]
                    step = min(step, old / (old - z[i])) if old - z[i] > 0.0 else 0.0
            if step >= 1.0:
                for i in range(k):
                    x[which[i]] = z[i]
                break
            kept = 0
            for i in range(k):
                j = which[i]
                value = x[j] + step * (z[i] - x[j])
                if z[i] <= 0.0 and value <= 1e-14 * scale:
                    x[j] = 0.0
                    if j == entered:
                        banned = j
                else:
                    x[j] = max(value, 0.0)
                    which[kept] = j
                    kept += 1
            if kept == k:  # rounding: drop the most negative one
                worst = 0
                for i in range(1, k):
                    if z[i] < z[worst]:
                        worst = i
                x[which[worst]] = 0.0
                for i in range(worst, k - 1):
                    which[i] = which[i + 1]
                kept = k - 1
            k = kept
        best = -1
        gain = tolerance
        for j in range(n):
            if x[j] > 0.0 or j == banned:
                continue
            w = b[j]
            for i in range(k):
                w -= G[j, which[i]] * x[which[i]]
            w /= np.sqrt(G[j, j]) + 1e-300
            if w > gain:
                gain = w
                best = j
        if best < 0:
            break
        if best != banned:
            banned = -1
        entered = best
        x[best] = 1e-300
        which[k] = best
        k += 1
    for i in range(n):
        if x[i] <= 1e-290:
            x[i] = 0.0
