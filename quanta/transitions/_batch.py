"""The compiled test, curve by curve: which of null, one step, several steps or a bump explains it."""

import numpy as np
from numba import njit

from quanta.transitions._bump import best_bump, best_other_step
from quanta.transitions._fit import (
    add_step,
    autocorrelation,
    null_gram,
    refine,
    self_products,
    solve,
    step_curve,
)
from quanta.transitions._sharpness import log_sharpness_error, slope_and_drop

MAX_STEPS = 3

# Columns of the table that `fit_curves` returns; one row a curve.
FIELDS = (
    "statistic",  # T = m ln(RSS_null / RSS_alternative), floor-corrected
    "statistic_needed",
    "bump_statistic",
    "bump_rise",
    "n_steps",
    "phi",
    "sigma",
    "drop",  # f(0) − f(∞) of the fitted curve
    "height",  # of all steps that count
    "sharpness",
    "log_sharpness_error",
    "onset",  # t50 of the highest step
    "log_onset_error",
    "step_sharpness",  # its exponent n
    "log_width_error",
    "height_error",
    "start",  # fitted curve at the first and last checkpoint, and .7 nats before the last
    "end",
    "before_end",
    "half_time",  # where the fitted curve is half-way down
    "log_time_mean",  # moments of −df/dln t, seen as a density
    "log_time_variance",
    "gate_statistic",
    "gate_height",
    "gate_sharpness",
    "gate_bump",
    "sharp",
    "null_rss",
    "rss",
)
(
    _STATISTIC,
    _NEEDED,
    _BUMP,
    _RISE,
    _N_STEPS,
    _PHI,
    _SIGMA,
    _DROP,
    _HEIGHT,
    _SHARPNESS,
    _SHARPNESS_ERROR,
    _ONSET,
    _ONSET_ERROR,
    _STEP_SHARPNESS,
    _WIDTH_ERROR,
    _HEIGHT_ERROR,
    _START,
    _END,
    _BEFORE,
    _HALF,
    _MEAN,
    _VARIANCE,
    _GATE_T,
    _GATE_H,
    _GATE_S,
    _GATE_B,
    _SHARP,
    _NULL_RSS,
    _RSS,
) = range(len(FIELDS))


_N_FIELDS = len(FIELDS)


@njit(cache=True, nogil=True)
def _value(d, theta, x, t):
    """The fitted curve at time t."""
    n = d.null.shape[0]
    f = x[0]
    for j in range(1, n):
        if x[j] > 0.0:
            f += x[j] * np.exp(-t / d.null_time[j])
    for i in range(theta.shape[0]):
        if t > 0.0:
            z = np.exp(min(np.exp(theta[i, 1]) * (np.log(t) - theta[i, 0]), 50.0))
            f += x[n + i] * np.exp(-z)
        else:
            f += x[n + i]
    return f


@njit(cache=True, nogil=True)
def _describe(d, theta, x, out):
    """Level, half-time and spread of the fitted curve within the window."""
    m = d.t.size
    last = d.t[m - 1]
    start, end = _value(d, theta, x, d.t[0]), _value(d, theta, x, last)
    out[_START], out[_END] = start, end
    out[_BEFORE] = _value(d, theta, x, last * np.exp(-0.7))
    previous, previous_log = start, 0.0
    first = True
    mass = mean = square = 0.0
    half = np.nan
    for p in range(d.fine.size):
        if d.fine[p] > last:
            break
        log_t = np.log(d.fine[p])
        f = _value(d, theta, x, d.fine[p])
        if not first:
            fall = max(previous - f, 0.0)
            centre = 0.5 * (previous_log + log_t)
            mass += fall
            mean += fall * centre
            square += fall * centre * centre
            middle = 0.5 * (start + end)
            if previous > middle >= f:
                half = np.exp(previous_log + (log_t - previous_log) * (previous - middle) / (previous - f))
        previous, previous_log, first = f, log_t, False
    out[_HALF] = half
    if mass > 0.0:
        out[_MEAN] = mean / mass
        out[_VARIANCE] = max(square / mass - (mean / mass) ** 2, 0.0)


@njit(cache=True, nogil=True)
def _judge(y, d, G, x_null, phi, theta, x, rss, null_rss, bump_rss, rise, floor_rss, floored, rules, base, out):
    """Fill `out` for one model and say whether every gate is passed."""
    threshold, share, z_low = rules[0], rules[1], rules[2]
    n, q, m = d.null.shape[0], theta.shape[0], y.size
    k = 2 * q
    for j in range(n + q):
        if x[j] > 0.0:
            k += 1
    noise = (rss + floor_rss) / max(m - k, 1)
    sigma = np.sqrt(noise)
    T = m * np.log((null_rss + floor_rss) / (rss + floor_rss)) * (1.0 - floored)
    T_bump = m * np.log((null_rss + floor_rss) / (bump_rss + floor_rss)) * (1.0 - floored)
    out[_STATISTIC] = T
    out[_NEEDED] = threshold + 10.0 * max(0.0, phi - 0.5) + 12.0 * (q - 1)
    out[_BUMP], out[_RISE] = T_bump, rise
    out[_N_STEPS], out[_PHI], out[_SIGMA] = q, phi, sigma
    out[_NULL_RSS], out[_RSS] = null_rss, rss
    slope, drop = slope_and_drop(d, theta, x)
    out[_DROP] = drop
    if drop <= 0.0:
        return False
    out[_SHARPNESS] = np.e * slope / drop
    error, errors, covariances = log_sharpness_error(d, phi, theta, x, noise)
    out[_SHARPNESS_ERROR] = error
    main = 0
    counted = 0
    total = 0.0
    least = share * drop if q == 1 else (share - 0.1) * drop
    least = max(least, (3.0 if q == 1 else 1.8) * sigma)
    for i in range(q):
        if x[n + i] > x[n + main]:
            main = i
        if x[n + i] >= least:
            counted += 1
            total += x[n + i]
    exponent = np.exp(theta[main, 1])
    # t50 = τ (ln 2)^{1/n}
    out[_ONSET] = np.exp(theta[main, 0] + np.log(np.log(2.0)) / exponent)
    pull = -np.log(np.log(2.0)) / exponent  # d ln t50 / d ln n
    out[_ONSET_ERROR] = np.sqrt(
        max(errors[main, 0] ** 2 + (pull * errors[main, 1]) ** 2 + 2.0 * pull * covariances[main], 0.0)
    )
    out[_STEP_SHARPNESS], out[_WIDTH_ERROR] = exponent, errors[main, 1]
    out[_HEIGHT] = total if counted else x[n + main]
    out[_HEIGHT_ERROR] = errors[main, 2]
    out[_GATE_T] = out[_NEEDED] < T
    out[_GATE_H] = drop > 4.0 * sigma and (counted >= 1 if q == 1 else counted >= 2 and total >= 2.0 * share * drop)
    out[_GATE_S] = out[_SHARPNESS] * np.exp(-z_low * error) > base
    step_statistic = T - 12.0 * (q - 1)
    if q == 1 and out[_NEEDED] < T and T_bump > T - 10.0:
        other = best_other_step(y, d, G, phi, x_null, np.log(out[_ONSET]), 3.0843 / exponent)
        other_T = m * np.log((null_rss + floor_rss) / (other + floor_rss)) * (1.0 - floored)
        step_statistic = max(T, other_T)
    bumpy = T_bump > step_statistic
    out[_GATE_B] = not bumpy
    sharp = out[_GATE_T] > 0 and out[_GATE_H] > 0 and out[_GATE_S] > 0 and out[_GATE_B] > 0
    out[_SHARP] = sharp
    _describe(d, theta, x, out)
    return sharp


@njit(cache=True, nogil=True)
def _one(y, d, pool, max_steps, rules, base, step_plain, step_lag, bump_plain, bump_lag, out, theta_out, x_out):
    n, m = d.null.shape[0], y.size
    high, low = y.max(), y.min()
    floor_rss = m * (rules[3] * (high - low)) ** 2 + 1e-30
    floored = 0.0
    for i in range(m):
        if y[i] <= 1e-9 * high:
            floored += 1.0
    # A floor only matters where there is noise above it.
    floored = floored / m if floored < m else 0.0
    none = np.empty((0, 2))
    no_rows = np.empty((0, m))

    # Ordinary least squares first: its residual gives φ.
    G0 = null_gram(d, 0.0)
    x = np.zeros(n)
    solve(y, d, G0, 0.0, no_rows, x)
    _, theta_ols, x_ols = add_step(y, d, G0, 0.0, none, x.copy(), 4, 4, step_plain, step_lag)
    # One step too few would leave structure in the residual, and read as correlated noise.
    _, theta_two, x_two = add_step(y, d, G0, 0.0, theta_ols, x_ols.copy(), 3, 4, step_plain, step_lag)
    r = _residual(y, d, theta_two, x_two)
    own = autocorrelation(r, _count(x_two) + 4)
    phi = min(max(own, pool), 0.95)
    if pool < 0.0 and max_steps == 0:  # only φ was asked for
        out[_PHI] = own
        return
    G = null_gram(d, phi)
    x_null = np.zeros(n)
    null_rss, _, _ = solve(y, d, G, phi, no_rows, x_null)
    rss, theta, xs = add_step(y, d, G, phi, none, x_null.copy(), 6, 12, step_plain, step_lag)
    x_again = x_ols.copy()
    theta_again = theta_ols.copy()
    rss_again = refine(y, d, G, phi, theta_again, x_again, 12)
    if rss_again < rss:
        rss, theta, xs = rss_again, theta_again, x_again
    T1 = m * np.log((null_rss + floor_rss) / (rss + floor_rss))

    first = np.zeros(out.size)
    bump_rss, rise = null_rss, 0.0
    if rules[0] - 2.0 < T1:
        bump_rss, rise = best_bump(y, d, G, phi, x_null, bump_plain, bump_lag)
    passed_first = _judge(
        y, d, G, x_null, phi, theta, xs, rss, null_rss, bump_rss, rise, floor_rss, floored, rules, base, first
    )
    theta_first, x_first = theta, xs

    # More steps, re-estimating φ each time: one step too few leaves its residual correlated.
    q = 1
    phi_q, G_q, null_q, rss_q = phi, G, null_rss, rss
    while T1 > 6.0 and q < max_steps:
        rss_new, theta_new, x_new = add_step(y, d, G_q, phi_q, theta, xs.copy(), 6, 12, step_plain, step_lag)
        if not m * np.log((rss_q + floor_rss) / (rss_new + floor_rss)) > 6.0:
            break
        r = _residual(y, d, theta_new, x_new)
        phi_new = min(max(autocorrelation(r, _count(x_new) + 2 * q + 2), pool), 0.95)
        if phi_new < phi_q - 0.02:
            G_new = null_gram(d, phi_new)
            x_null = np.zeros(n)
            null_new, _, _ = solve(y, d, G_new, phi_new, no_rows, x_null)
            theta_old, x_old = theta.copy(), xs.copy()
            rss_old = refine(y, d, G_new, phi_new, theta_old, x_old, 12)
            rss_new = refine(y, d, G_new, phi_new, theta_new, x_new, 12)
        else:
            phi_new, G_new, null_new, rss_old = phi_q, G_q, null_q, rss_q
        if not m * np.log((rss_old + floor_rss) / (rss_new + floor_rss)) > 10.0:
            break
        q += 1
        phi_q, G_q, null_q, rss_q, theta, xs = phi_new, G_new, null_new, rss_new, theta_new, x_new
    chosen_theta, chosen_x = theta_first, x_first
    out[:] = first
    if q > 1:
        more = np.zeros(out.size)
        bump_rss, rise = best_bump(y, d, G_q, phi_q, x_null, bump_plain, bump_lag)
        passed = _judge(
            y, d, G_q, x_null, phi_q, theta, xs, rss_q, null_q, bump_rss, rise, floor_rss, floored, rules, base, more
        )
        if passed and not passed_first:
            out[:] = more
            chosen_theta, chosen_x = theta, xs
    if not out[_GATE_T] > 0:
        # Nothing speaks against the null: describe the null itself.
        sharpness_statistics = out.copy()
        x_null = np.zeros(n)
        solve(y, d, G, phi, no_rows, x_null)
        slope, drop = slope_and_drop(d, none, x_null)
        out[_DROP] = drop
        out[_SHARPNESS] = np.e * slope / drop if drop > 0.0 else np.nan
        out[_SHARPNESS_ERROR] = sharpness_statistics[_SHARPNESS_ERROR]
        _describe(d, none, x_null, out)
        out[_N_STEPS] = 0
        x_out[:n] = x_null
        return
    x_out[: chosen_x.size] = chosen_x
    theta_out[: chosen_theta.shape[0]] = chosen_theta


@njit(cache=True, nogil=True)
def _count(x):
    k = 0
    for j in range(x.size):
        if x[j] > 0.0:
            k += 1
    return k


@njit(cache=True, nogil=True)
def _residual(y, d, theta, x):
    n, m = d.null.shape[0], y.size
    r = y.copy()
    for j in range(n):
        if x[j] > 0.0:
            for i in range(m):
                r[i] -= x[j] * d.null[j, i]
    s = np.empty(m)
    z = np.empty(m)
    for q in range(theta.shape[0]):
        step_curve(d.t, theta[q, 0], theta[q, 1], s, z)
        for i in range(m):
            r[i] -= x[n + q] * s[i]
    return r


@njit(cache=True, nogil=True)
def fit_curves(Y, d, pool, max_steps, rules, base):
    """Test every curve.

    Parameters
    ----------
    Y : (n, m)
        Curves, in loss units.
    d : Dictionary
    pool : float
        φ of the run, used where a curve's own is smaller; negative for none.
    max_steps : int
        Most steps in one curve; 0 estimates φ alone.
    rules : (4,)
        T threshold, least share of the drop in the step, normal quantile of S's lower bound, and the misfit (as a
        share of the drop) that counts as numerical.
    base : (n,)
        S0 of each curve.

    Returns
    -------
    (n, len(FIELDS)), (n, 3, 2), (n, n_null + 3)
        The table; (ln τ, ln n) of the steps; the amplitudes.
    """
    n = Y.shape[0]
    out = np.full((n, _N_FIELDS), np.nan)
    theta = np.full((n, 3, 2), np.nan)
    x = np.zeros((n, d.null.shape[0] + 3))
    step_plain, step_lag = self_products(d.steps)
    bump_plain, bump_lag = self_products(d.bumps)
    for i in range(n):
        if Y[i].max() - Y[i].min() <= 1e-12 * max(abs(Y[i].max()), 1e-300):
            out[i, _SHARP] = 0.0
            out[i, _STATISTIC] = 0.0
            out[i, _PHI] = 0.0
            out[i, _SIGMA] = 0.0
            out[i, _DROP] = 0.0
            out[i, _START] = Y[i, 0]
            out[i, _END] = Y[i, 0]
            out[i, _BEFORE] = Y[i, 0]
            continue
        _one(
            Y[i], d, pool, max_steps, rules, base[i], step_plain, step_lag, bump_plain, bump_lag, out[i], theta[i], x[i]
        )
    return out, theta, x
