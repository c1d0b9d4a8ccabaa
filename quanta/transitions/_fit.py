"""Compiled fits of one curve: completely monotone null, null + steps, null + bump.

The model is y = Σ_j c_j e^{-t/τ_j} + Σ_i h_i e^{-(t/t_i)^{n_i}} + AR(1) noise with c, h ≥ 0. Amplitudes are eliminated
(variable projection), so that only (ln t_i, ln n_i) are sought, by Levenberg–Marquardt with Kaufman's Jacobian.
"""

import math

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
def _screen(atoms, cross, cross_lag, self_plain, self_lag, d, phi, G, x, r, n_wanted, chosen):
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
def _tangents(t, theta, rows, V):
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
    _tangents(d.t, theta, rows, V)
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
            _tangents(d.t, trial, rows, V)
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
    count = _screen(d.steps, d.null_step, d.null_step_lag, self_plain, self_lag, d, phi, G, x, r, n_candidates, chosen)
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
def best_bump(y, d, G_null, phi, x_null, self_plain, self_lag):
    """Null plus one bump in ln t (an interference): returns (rss, the rise of that fit, in loss units)."""
    n, m = d.null.shape[0], y.size
    x = x_null.copy()
    _, r, G = solve(y, d, G_null, phi, np.empty((0, m)), x)
    chosen = np.empty(5, np.int64)
    count = _screen(d.bumps, d.null_bump, d.null_bump_lag, self_plain, self_lag, d, phi, G, x, r, 5, chosen)
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
    _tangents(d.t, theta, rows, V)
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
