"""Compiled fits of one curve: completely monotone null, null + steps, null + bump.

The model is y = Σ_j c_j e^{-t/τ_j} + Σ_i h_i e^{-(t/t_i)^{n_i}} + AR(1) noise with c, h ≥ 0. Amplitudes are eliminated
(variable projection), so that only (ln t_i, ln n_i) are sought, by Levenberg–Marquardt with Kaufman's Jacobian.
"""

import numpy as np
from numba import njit

from quanta.transitions._linear import apply_precision, cholesky, forward, gram_at, nnls, quadratic

_EXPONENT_LOW, _EXPONENT_HIGH = 1.25, 60.0


@njit(cache=True, nogil=True)
def step_curve(t, log_time, log_exponent, s, z):
    """S = e^{-z}, z = (t/τ)^n."""
    n = np.exp(log_exponent)
    for i in range(t.size):
        if t[i] > 0.0:
            z[i] = np.exp(min(n * (np.log(t[i]) - log_time), 50.0))
            s[i] = np.exp(-z[i])
        else:
            z[i] = 0.0
            s[i] = 1.0


@njit(cache=True, nogil=True)
def solve(y, d, G_null, phi, extra, x):
    """Amplitudes x (n_null + k,) ≥ 0 of null and extra rows (k, m), residual r, and its weighted square.

    Returns (rss, residual, Gram matrix).
    """
    n, k, m = d.null.shape[0], extra.shape[0], y.size
    G = np.empty((n + k, n + k))
    G[:n, :n] = G_null
    b = np.empty(n + k)
    w = np.empty(m)
    apply_precision(y, phi, w)
    for j in range(n):
        b[j] = np.dot(d.null[j], w)
    for i in range(k):
        b[n + i] = np.dot(extra[i], w)
    for i in range(k):
        apply_precision(extra[i], phi, w)
        for j in range(n):
            g = np.dot(d.null[j], w)
            G[j, n + i] = g
            G[n + i, j] = g
        for p in range(k):
            G[n + i, n + p] = np.dot(extra[p], w)
    nnls(G, b, x)
    r = y.copy()
    for j in range(n):
        if x[j] > 0.0:
            for i in range(m):
                r[i] -= x[j] * d.null[j, i]
    for p in range(k):
        if x[n + p] > 0.0:
            for i in range(m):
                r[i] -= x[n + p] * extra[p, i]
    return quadratic(r, phi), r, G


@njit(cache=True, nogil=True)
def screen(atoms, cross, cross_lag, self_plain, self_lag, d, phi, G, x, r, n_wanted, chosen):
    """Indices of the atoms that best explain the residual once the active null atoms are projected out."""
    n, m = d.null.shape[0], r.size
    w = np.empty(m)
    apply_precision(r, phi, w)
    active = np.empty(n, np.int64)
    k = 0
    for j in range(n):
        if x[j] > 0.0:
            active[k] = j
            k += 1
    L = np.empty((k, k))
    cholesky(G, active, k, L)
    a = 1.0 / (1.0 - phi * phi)
    score = np.empty(atoms.shape[0])
    v = np.empty(k)
    for j in range(atoms.shape[0]):
        f, last = atoms[j, 0], atoms[j, m - 1]
        norm = f * f * (1.0 - a) + a * ((1.0 + phi * phi) * self_plain[j] - phi * phi * last * last - phi * self_lag[j])
        for i in range(k):
            u = active[i]
            v[i] = d.null[u, 0] * f * (1.0 - a) + a * (
                (1.0 + phi * phi) * cross[u, j] - phi * phi * d.null[u, m - 1] * last - phi * cross_lag[u, j]
            )
        forward(L, k, v)
        left = norm
        for i in range(k):
            left -= v[i] * v[i]
        score[j] = np.dot(atoms[j], w) / np.sqrt(left) if left > 1e-4 * norm else 0.0
    count = 0
    while count < n_wanted:
        best = -1
        for j in range(score.size):
            if score[j] > 0.0 and (best < 0 or score[j] > score[best]):
                best = j
        if best < 0:
            break
        chosen[count] = best
        count += 1
        score[best] = 0.0
        # Neighbours on the grid say the same thing; leave room for other explanations.
        for other in (best - 1, best + 1):
            if 0 <= other < score.size:
                score[other] = 0.0
    return count


@njit(cache=True, nogil=True)
def tangents(t, theta, rows, V):
    """Steps (q, m) and their derivatives in (ln τ, ln n), V (2q, m)."""
    z = np.empty(t.size)
    for i in range(theta.shape[0]):
        step_curve(t, theta[i, 0], theta[i, 1], rows[i], z)
        n = np.exp(theta[i, 1])
        for p in range(t.size):
            V[2 * i, p] = n * z[p] * rows[i, p]
            V[2 * i + 1, p] = -z[p] * np.log(z[p]) * rows[i, p] if z[p] > 1e-300 else 0.0


@njit(cache=True, nogil=True)
def refine(y, d, G_null, phi, theta, x, n_iterations):
    """Improve theta (q, 2) = (ln τ, ln n) and the amplitudes x in place; returns the weighted square."""
    q, m, n = theta.shape[0], y.size, d.null.shape[0]
    rows = np.empty((q, m))
    V = np.empty((2 * q, m))
    tangents(d.t, theta, rows, V)
    rss, r, G = solve(y, d, G_null, phi, rows, x)
    lowest = np.log(d.step_time[0]) - 1.0
    highest = np.log(d.t[m - 1]) + 0.7
    damping = 1e-3
    w = np.empty(m)
    which = np.empty(n + q, np.int64)
    for _ in range(n_iterations):
        k = 0
        for j in range(n + q):
            if x[j] > 0.0:
                which[k] = j
                k += 1
        L = np.empty((k, k))
        cholesky(G, which, k, L)
        S = np.empty((2 * q, 2 * q))
        grad = np.empty(2 * q)
        proj = np.empty((2 * q, k))
        for i in range(2 * q):
            h = x[n + i // 2]
            for p in range(m):
                V[i, p] *= h
            apply_precision(V[i], phi, w)
            grad[i] = np.dot(w, r)
            for c in range(k):
                u = which[c]
                proj[i, c] = np.dot(w, d.null[u]) if u < n else np.dot(w, rows[u - n])
            for j in range(i + 1):
                S[i, j] = np.dot(w, V[j])
            forward(L, k, proj[i])
        for i in range(2 * q):
            for j in range(i + 1):
                S[i, j] -= np.dot(proj[i], proj[j])
                S[j, i] = S[i, j]
        improved = False
        move = 0.0
        gain = 0.0
        for _trial in range(6):
            damped = S.copy()
            for i in range(2 * q):
                damped[i, i] = S[i, i] * (1.0 + damping) + 1e-12 + 1e-9 * S[i, i]
            delta = np.linalg.solve(damped, grad)
            trial = theta.copy()
            move = 0.0
            for i in range(q):
                a = min(max(delta[2 * i], -0.7), 0.7)
                c = min(max(delta[2 * i + 1], -0.7), 0.7)
                trial[i, 0] = min(max(theta[i, 0] + a, lowest), highest)
                trial[i, 1] = min(max(theta[i, 1] + c, np.log(_EXPONENT_LOW)), np.log(_EXPONENT_HIGH))
                move = max(move, abs(trial[i, 0] - theta[i, 0]), abs(trial[i, 1] - theta[i, 1]))
            x_trial = x.copy()
            tangents(d.t, trial, rows, V)
            rss_trial, r_trial, G_trial = solve(y, d, G_null, phi, rows, x_trial)
            if rss_trial < rss:
                gain = m * np.log((rss + 1e-300) / (rss_trial + 1e-300))
                theta[:] = trial
                x[:] = x_trial
                rss, r, G = rss_trial, r_trial, G_trial
                damping = max(damping * 0.2, 1e-9)
                improved = True
                break
            damping *= 8.0
        if not improved:
            break
        if move < 2e-3 or gain < 6e-4:
            break
    return rss


@njit(cache=True, nogil=True)
def add_step(y, d, G_null, phi, theta, x, n_candidates, n_iterations, self_plain, self_lag):
    """Best fit with one more step than theta (q, 2): returns (rss, theta (q+1, 2), x)."""
    n, m, q = d.null.shape[0], y.size, theta.shape[0]
    rows = np.empty((q + 1, m))
    z = np.empty(m)
    for i in range(q):
        step_curve(d.t, theta[i, 0], theta[i, 1], rows[i], z)
    _, r, G = solve(y, d, G_null, phi, rows[:q], x)
    chosen = np.empty(n_candidates, np.int64)
    count = screen(d.steps, d.null_step, d.null_step_lag, self_plain, self_lag, d, phi, G, x, r, n_candidates, chosen)
    best_rss = np.inf
    best = -1
    best_x = np.zeros(n + q + 1)
    for c in range(count):
        trial = np.zeros(n + q + 1)
        trial[: n + q] = x
        rows[q] = d.steps[chosen[c]]
        rss, _, _ = solve(y, d, G_null, phi, rows, trial)
        if rss < best_rss:
            best_rss = rss
            best = chosen[c]
            best_x = trial
    wider = np.empty((q + 1, 2))
    wider[:q] = theta
    if best < 0:
        wider[q, 0] = np.log(d.step_time[0])
        wider[q, 1] = np.log(2.0)
        return np.inf, wider, best_x
    wider[q, 0] = np.log(d.step_time[best])
    wider[q, 1] = np.log(d.step_exponent[best])
    rss = refine(y, d, G_null, phi, wider, best_x, n_iterations)
    return rss, wider, best_x


@njit(cache=True, nogil=True)
def autocorrelation(r, n_parameters):
    """AR(1) φ of a residual, with small-sample and degrees-of-freedom corrections (Marriott & Pope 1954)."""
    m = r.size
    mean = 0.0
    for i in range(m):
        mean += r[i]
    mean /= m
    top = bottom = 0.0
    for i in range(m):
        bottom += (r[i] - mean) ** 2
        if i:
            top += (r[i] - mean) * (r[i - 1] - mean)
    if bottom <= 0.0:
        return 0.0
    phi = top / bottom
    phi = phi + (1.0 + 3.0 * phi) / m + n_parameters * (1.0 - phi) / m
    return min(max(phi, 0.0), 0.95)


@njit(cache=True, nogil=True)
def null_gram(d, phi):
    """Gram matrix of the null atoms at φ."""
    m = d.t.size
    first, last = d.null[:, 0].copy(), d.null[:, m - 1].copy()
    return gram_at(phi, d.null_null, d.null_null_lag, first, last, first, last)


@njit(cache=True, nogil=True)
def self_products(atoms):
    """Plain and lag-1 products of each atom with itself."""
    n = atoms.shape[0]
    plain = np.empty(n)
    lag = np.empty(n)
    for j in range(n):
        plain[j] = np.dot(atoms[j], atoms[j])
        lag[j] = 2.0 * np.dot(atoms[j, 1:], atoms[j, :-1])
    return plain, lag
