"""Compiled linear algebra of the detector: AR(1) weighting and non-negative least squares on a Gram matrix."""

import numpy as np

from quanta.transitions._compile import kernel

_PIVOT = 1e-11  # exponentials a quarter of a nat apart are nearly collinear: smaller pivots are rounding


@kernel
def apply_precision(v, phi, out):
    """``out`` = Ω v, with Ω the precision of a unit-variance AR(1) process; v and out (m,)."""
    m = v.size
    a = 1.0 / (1.0 - phi * phi)
    inner = a * (1.0 + phi * phi)
    side = a * phi
    out[0] = a * (v[0] - phi * v[1])
    out[m - 1] = a * (v[m - 1] - phi * v[m - 2])
    for i in range(1, m - 1):
        out[i] = inner * v[i] - side * (v[i - 1] + v[i + 1])


@kernel
def quadratic(v, phi):
    """V' Ω v."""
    a = 1.0 / (1.0 - phi * phi)
    total = 0.0
    for i in range(1, v.size):
        d = v[i] - phi * v[i - 1]
        total += d * d
    return v[0] * v[0] + a * total


@kernel
def gram_at(phi, plain, lagged, first_u, last_u, first_v, last_v, out):
    """``out`` = U Ω V' at any φ from stored products: plain = U V', lagged = its symmetrised lag-1 twin."""
    a = 1.0 / (1.0 - phi * phi)
    inner, side = a * (1.0 + phi * phi), a * phi
    for i in range(plain.shape[0]):
        first, last = first_u[i] * (1.0 - a), last_u[i] * a * phi * phi
        for j in range(plain.shape[1]):
            out[i, j] = first * first_v[j] + inner * plain[i, j] - last * last_v[j] - side * lagged[i, j]


@kernel
def factor(G, which, begin, k, L):
    """Rows ``begin`` to k of the lower Cholesky factor of G[which, which]; a pivot that vanishes is floored."""
    for i in range(begin, k):
        g = which[i]
        pivot = G[g, g]
        for j in range(i):
            s = G[g, which[j]]
            for p in range(j):
                s -= L[i, p] * L[j, p]
            s /= L[j, j]
            L[i, j] = s
            pivot -= s * s
        L[i, i] = np.sqrt(max(pivot, _PIVOT * G[g, g] + 1e-300))


@kernel
def forward(L, k, v):
    """V ← L⁻¹ v in place."""
    for i in range(k):
        s = v[i]
        for p in range(i):
            s -= L[i, p] * v[p]
        v[i] = s / L[i, i]


@kernel
def backward(L, k, v):
    """V ← L⁻ᵀ v in place."""
    for i in range(k - 1, -1, -1):
        s = v[i]
        for p in range(i + 1, k):
            s -= L[p, i] * v[p]
        v[i] = s / L[i, i]


@kernel
def solve_positive(A, b, k):
    """Solve A z = b in place of b for a small positive definite A, (k, k); A is overwritten by its factor."""
    for i in range(k):
        for j in range(i + 1):
            s = A[i, j]
            for p in range(j):
                s -= A[i, p] * A[j, p]
            A[i, j] = np.sqrt(max(s, 1e-300)) if i == j else s / A[j, j]
    forward(A, k, b)
    backward(A, k, b)


@kernel
def copy(source, target):
    """``target`` = ``source``; a slice assignment would compile its error messages with it."""
    for i in range(source.size):
        target[i] = source[i]


@kernel
def support(x, n, which):
    """List the positive entries of x[:n] in ``which``; returns how many."""
    k = 0
    for i in range(n):
        if x[i] > 0.0:
            which[k] = i
            k += 1
    return k


@kernel
def nnls(G, b, scale, usable, x, n, which, L, z, gradient):
    """Minimise x'Gx/2 − b'x over x ≥ 0 (Lawson–Hanson), from the support of x, in place.

    Parameters
    ----------
    G : (≥ n, ≥ n), b : (≥ n,)
        Gram matrix and right-hand side; the first n are used.
    scale : (≥ n,)
        1/√diag(G).
    usable : (≥ n,) of bool
        Which may enter.
    x : (≥ n,)
        In: a warm start (only its support matters). Out: the solution.
    which, L, z, gradient : work arrays (≥ n,), (≥ n, ≥ n), (≥ n,), (≥ n,)
        Out: the positive ones, and their Cholesky factor.

    Returns
    -------
    int
        How many are positive.

    References
    ----------
    Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23.
    """
    k = support(x, n, which)
    known = 0  # rows of L that are up to date
    largest = 0.0
    for i in range(n):
        largest = max(largest, abs(b[i]) * scale[i])
    tolerance = 1e-10 * largest
    banned = -1
    entered = -1
    for _ in range(4 * n):
        # Solve on the passive set, stepping back to the boundary while a coefficient is negative.
        while k > 0:
            factor(G, which, known, k, L)
            known = k
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
            worst = 0
            for i in range(k):
                j = which[i]
                if z[i] < z[worst]:
                    worst = i
                value = x[j] + step * (z[i] - x[j])
                if z[i] <= 0.0 and value <= 1e-14 * largest * scale[j]:
                    x[j] = 0.0
                    if j == entered:
                        banned = j
                    if kept < known:
                        known = kept
                else:
                    x[j] = max(value, 0.0)
                    which[kept] = j
                    kept += 1
            if kept == k:  # rounding: drop the most negative one
                x[which[worst]] = 0.0
                for i in range(worst, k - 1):
                    which[i] = which[i + 1]
                known = worst
                kept = k - 1
            k = kept
        for j in range(n):
            gradient[j] = b[j]
        for i in range(k):
            c, row = x[which[i]], G[which[i]]
            for j in range(n):
                gradient[j] -= c * row[j]
        best = -1
        gain = tolerance
        for j in range(n):
            w = gradient[j] * scale[j]
            if w > gain and x[j] <= 0.0 and j != banned and usable[j]:
                gain = w
                best = j
        if best < 0:
            break
        banned = -1
        entered = best
        x[best] = 1e-300
        which[k] = best
        k += 1
    for i in range(n):
        if x[i] <= 1e-290:
            x[i] = 0.0
    return support(x, n, which) if k > 0 and x[which[k - 1]] <= 0.0 else k
