"""Compiled rival of a step: a bump in log time (an interference)."""

import numpy as np

from quanta.transitions._compile import inner
from quanta.transitions._fit import best_atom, place_row, solve
from quanta.transitions._linear import copy


@inner
def best_bump(y, d, x_null, r_null, k):
    """Null plus one bump in ln t, the curve being posed in ``k``: weighted square."""
    m = y.size
    x, r = x_null.copy(), r_null.copy()
    best_rss, best = best_atom(y, d, d.bumps, np.int64(0), x, r, np.int64(5), k)
    if best < 0:
        return best_rss
    # The step was refined off its grid; so is the bump, or it would lose for that alone.
    centre, sd = d.bumps.place[best], np.exp(d.bumps.shape[best])
    trial = np.empty(x.size)
    for scale in (0.8, 0.6, 0.4):
        from_centre, from_sd = centre, sd
        for i in range(4):
            try_centre = from_centre + (0.4 * scale * from_sd * (1 - 2 * i) if i < 2 else 0.0)
            try_sd = from_sd * (np.exp(0.35 * scale * (5 - 2 * i)) if i >= 2 else 1.0)
            for p in range(m):
                u = (max(d.log_t[p], d.bumps.place[0] - 0.7) - try_centre) / try_sd
                k.rows[0, p] = np.exp(-0.5 * u * u)
            place_row(d, np.int64(0), k)
            copy(x, trial)
            rss = solve(y, d, np.int64(1), trial, r, k)
            if rss < best_rss:
                best_rss, centre, sd = rss, try_centre, try_sd
                copy(trial, x)
    return best_rss
