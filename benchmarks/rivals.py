"""Other ways to find a step in a learning curve, as they are commonly used: what `benchmarks/detectors.py` compares with.

Each takes curves (n, m), the checkpoints (m,) and S0 (n,), which most of them ignore, and returns which curves it calls
sharp, (n,). None is a part of the package: the table shows what each gets wrong.
"""

import numpy as np

from quanta.transitions import _logistic_fit as logistic

_QUARTERS = np.log(np.log(4) / np.log(4 / 3))  # from 3/4 to 1/4 of its drop an exponential takes 1.573 nats


def break_time(curves: np.ndarray, step: np.ndarray, base_sharpness: np.ndarray) -> np.ndarray:
    """Two breaks: flat, falling, flat in ln t fits better (by BIC) than one straight line, and falls by half in between.

    It answers whether the curve bends.
    """
    x = logistic.log_time(step)[1:]
    y = curves[:, 1:]
    m = x.size
    best = np.full(len(y), np.inf)
    for i in range(2, m - 4, 2):
        for j in range(i + 2, m - 2, 2):
            ramp = np.clip((x - x[i]) / (x[j] - x[i]), 0, 1)
            best = np.minimum(best, _line_rss(y, ramp))
    line = _line_rss(y, x)
    return m * np.log(np.maximum(line, 1e-300) / np.maximum(best, 1e-300)) > 2 * np.log(m)


def level_crossing(curves: np.ndarray, step: np.ndarray, base_sharpness: np.ndarray) -> np.ndarray:
    """Where a running median crosses 3/4 and 1/4 of its drop: closer together than in an exponential, by S0."""
    x = logistic.log_time(step)
    padded = np.pad(curves, ((0, 0), (2, 2)), mode="edge")
    smooth = np.median([padded[:, i : i + x.size] for i in range(5)], axis=0)
    high, low = smooth[:, :5].mean(axis=1, keepdims=True), smooth[:, -5:].mean(axis=1, keepdims=True)
    noise = 1.4826 * np.median(np.abs(curves - smooth), axis=1)
    left = (smooth - low) / np.maximum(high - low, 1e-12)
    last_above, first_below = _last(left > 0.75), np.argmax(left < 0.25, axis=1)
    width = x[first_below] - x[np.minimum(last_above, x.size - 1)]
    return ((high - low)[:, 0] > 4 * noise) & (first_below > 0) & (width < _QUARTERS / base_sharpness)


def change_point(curves: np.ndarray, step: np.ndarray, base_sharpness: np.ndarray) -> np.ndarray:
    """Change points of the mean: the exact optimum that PELT seeks (l2 cost, penalty 3 σ² ln m); sharp if there is one.

    Killick, Fearnhead, Eckley (2012), Optimal detection of changepoints with a linear computational cost, eq. 2-3. It
    answers whether the mean is constant.
    """
    n, m = curves.shape
    variance = np.median(np.abs(np.diff(curves, axis=1)), axis=1) ** 2 * (1.4826**2 / 2)
    penalty = 3 * np.maximum(variance, 1e-12) * np.log(m)
    sums = np.concatenate([np.zeros((n, 1)), np.cumsum(curves, axis=1)], axis=1)
    squares = np.concatenate([np.zeros((n, 1)), np.cumsum(curves**2, axis=1)], axis=1)
    best, changes = np.zeros((n, m + 1)), np.zeros((n, m + 1), dtype=int)
    best[:, 0] = -penalty
    for end in range(1, m + 1):
        start = np.arange(end)
        cost = (
            squares[:, [end]] - squares[:, start] - (sums[:, [end]] - sums[:, start]) ** 2 / (end - start)
        )  # of the piece from start to end
        total = best[:, start] + cost + penalty[:, None]
        chosen = np.argmin(total, axis=1)
        best[:, end] = total[np.arange(n), chosen]
        changes[:, end] = np.where(chosen > 0, changes[np.arange(n), chosen] + 1, 0)
    return changes[:, m] > 0


def naive_sigmoid(curves: np.ndarray, step: np.ndarray, base_sharpness: np.ndarray) -> np.ndarray:
    """A sigmoid in ln t fits better, by 6 units of BIC, than a power law, a line in ln t and a constant (independent noise).

    It answers whether a sigmoid fits.
    """
    x = logistic.log_time(step)
    m, white = x.size, np.zeros(len(curves))
    sigmoid = logistic.refine(curves, x, logistic.first_guess(curves, x), white).rss
    taus, exponents = np.exp(np.arange(x[1] - 1, x[-1] + 2, 0.2)), np.geomspace(0.05, 20, 30)
    shapes = np.stack([(1 + step / tau) ** -exponent for tau in taus for exponent in exponents])
    shapes = shapes[np.ptp(shapes, axis=1) > 1e-6]
    shapes -= shapes.mean(axis=1, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    centred = curves - curves.mean(axis=1, keepdims=True)
    power = m * curves.var(axis=1) - np.max(np.maximum(centred @ shapes.T, 0), axis=1) ** 2
    line, constant = _line_rss(curves, x.clip(x[1] - 1)), m * curves.var(axis=1)
    score = [
        m * np.log(np.maximum(rss, 1e-300) / m) + k * np.log(m)
        for rss, k in ((sigmoid, 4), (power, 4), (line, 2), (constant, 1))
    ]
    return score[0] < np.min(score[1:], axis=0) - 6


RIVALS = {
    "break_time": break_time,
    "level_crossing": level_crossing,
    "change_point": change_point,
    "naive_sigmoid": naive_sigmoid,
}


def _line_rss(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Residual sum of squares of y (n, m) regressed on z (m,) and a constant, (n,)."""
    z = z - z.mean()
    centred = y - y.mean(axis=1, keepdims=True)
    return np.einsum("nm,nm->n", centred, centred) - (centred @ z) ** 2 / (z @ z)


def _last(true: np.ndarray) -> np.ndarray:
    """Index of the last True before the first False after it has begun, (n,)."""
    return true.shape[1] - 1 - np.argmax(true[:, ::-1], axis=1)
