"""Lone checkpoints far above or below their neighbours: one bad evaluation is no transition."""

import numpy as np

from quanta.transitions._compile import kernel


@kernel
def despike(y, limit, out):
    """Copy a curve (m,) with its lone spikes set to the median of their four neighbours; says whether it had one.

    A spike stands above both its neighbours, or below both, by more than ``limit`` robust deviations: a wall or a first
    checkpoint is no spike.
    """
    m = y.size
    away = np.empty(m)
    for i in range(m):
        # The point itself is left out: with it, the median is often the point, and every deviation looks large beside 0.
        a, b, c, d = y[max(i - 2, 0)], y[max(i - 1, 0)], y[min(i + 1, m - 1)], y[min(i + 2, m - 1)]
        middle = 0.5 * (a + b + c + d - max(a, b, c, d) - min(a, b, c, d))
        away[i] = y[i] - middle
        out[i] = y[i]
    scale = max(1.4826 * np.median(np.abs(away)), 1e-3 * (y.max() - y.min()) + 1e-300)
    found = False
    for i in range(1, m - 1):
        peak = y[i] > y[i - 1] and y[i] > y[i + 1]
        dip = y[i] < y[i - 1] and y[i] < y[i + 1]
        if (peak or dip) and abs(away[i]) > limit * scale:
            out[i] = y[i] - away[i]
            found = True
    return found


@kernel
def despike_all(Y, limit):
    """Curves (n, m) without their lone spikes, and which had one (n,)."""
    out, spike = np.empty(Y.shape), np.empty(Y.shape[0], np.bool_)
    for i in range(Y.shape[0]):
        spike[i] = despike(Y[i], limit, out[i])
    return out, spike
