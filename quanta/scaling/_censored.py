r"""Linear regression where a response is known to lie between two values: maximum likelihood, by Newton's method.

With θ = 1/σ and g = θ β the log-likelihood, a sum of ln[Φ(θ high - X g) - Φ(θ low - X g)], is concave, so that what is
found is the maximum (Olsen 1978, Note on the uniqueness of the maximum likelihood estimator for the Tobit model).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

_LEAST_SCATTER = 0.1  # of the median width of the intervals: where a line goes through all of them, none is the best
_MOST_STEPS = 200
_FAR = 1e4  # standard deviations of a slope: an interval that reaches so far has no end


class Fit(NamedTuple):
    """Maximum of the likelihood."""

    slopes: np.ndarray
    """(n_columns,) β."""
    scatter: float
    """σ."""
    log_likelihood: float


class Data(NamedTuple):
    """Responses, each known to be above the one and at most the other; the same where it is known exactly."""

    low: np.ndarray
    """(n,), or -inf."""
    high: np.ndarray
    """(n,), or inf."""

    def least_scatter(self) -> float:
        """Below what no σ is believed."""
        seen = np.isfinite(self.high)
        width = np.where(np.isfinite(self.low), self.high - self.low, 0.0)[seen]
        return max(_LEAST_SCATTER * float(np.median(width)), 1e-6)


def fit(columns: np.ndarray, data: Data, near: Fit | None = None) -> Fit:
    """Slopes and scatter of the greatest likelihood.

    Parameters
    ----------
    columns : np.ndarray, shape (n, n_columns)
        Of full rank among the rows whose ``high`` is finite.
    data : Data
        Of n rows.
    near : Fit, optional
        Where to begin.

    Returns
    -------
    Fit
        See there.
    """
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    columns, most = columns / scale, 1 / data.least_scatter()
    at = np.append(near.slopes * scale, 1) / near.scatter if near else _begin(columns, data, most)
    at[-1] = min(at[-1], most)
    value, slope, bend = _likelihood(at, columns, data)
    for _ in range(_MOST_STEPS):
        free = np.ones(at.size, dtype=bool)
        free[-1] = not (at[-1] >= most and slope[-1] > 0)
        move = np.zeros(at.size)
        move[free] = np.linalg.lstsq(-bend[np.ix_(free, free)], slope[free], rcond=1e-14)[0]
        gain = float(move @ slope)
        if gain < 1e-10:
            break
        at, (value, slope, bend) = _along(at, move, most, value, gain, columns, data)
    return Fit(at[:-1] / at[-1] / scale, 1 / at[-1], value)


def _begin(columns: np.ndarray, data: Data, most: float) -> np.ndarray:
    """Least squares of what is known on both sides, and a generous scatter."""
    low = np.where(np.isfinite(data.low), data.low, data.high)
    seen = np.isfinite(data.high)
    middle = ((low + np.where(seen, data.high, low)) / 2)[seen]
    beta = np.linalg.lstsq(columns[seen], middle, rcond=None)[0]
    theta = min(most, 1 / (0.1 + float(np.std(middle - columns[seen] @ beta))))
    return np.append(theta * beta, theta)


def _along(
    at: np.ndarray, move: np.ndarray, most: float, value: float, gain: float, columns: np.ndarray, data: Data
) -> tuple[np.ndarray, tuple[float, np.ndarray, np.ndarray]]:
    """A step in that direction, as long as it gains what it should."""
    length = 1.0
    while True:
        new = at + length * move
        new[-1] = np.clip(new[-1], at[-1] / 10, most)
        found = _likelihood(new, columns, data)
        if found[0] >= value + 1e-4 * length * gain or length < 1e-9:
            return new, found
        length /= 2


def _likelihood(at: np.ndarray, columns: np.ndarray, data: Data) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood at (g, θ), its gradient and its Hessian."""
    theta, line = at[-1], columns @ at[:-1]
    exact = data.low == data.high
    u, v = theta * data.high - line, theta * data.low - line
    log_mass = np.where(exact, math.log(theta) - u**2 / 2, _log_between(v, np.where(exact, np.inf, u)))
    by_u, by_v = _ratio(u, log_mass), -_ratio(v, log_mass)
    finite_u, finite_v = np.where(np.isfinite(u), u, 0), np.where(np.isfinite(v), v, 0)
    uu, vv, uv = -finite_u * by_u - by_u**2, -finite_v * by_v - by_v**2, -by_u * by_v
    by_u, by_v = np.where(exact, -u, by_u), np.where(exact, 0, by_v)
    uu, vv, uv = np.where(exact, -1, uu), np.where(exact, 0, vv), np.where(exact, 0, uv)
    high, low = np.where(np.isfinite(data.high), data.high, 0), np.where(np.isfinite(data.low), data.low, 0)
    to_u, to_v = np.column_stack([-columns, high]), np.column_stack([-columns, low])
    slope = by_u @ to_u + by_v @ to_v
    cross = to_u.T @ (uv[:, None] * to_v)
    bend = to_u.T @ (uu[:, None] * to_u) + to_v.T @ (vv[:, None] * to_v) + cross + cross.T
    slope[-1] += exact.sum() / theta
    bend[-1, -1] -= exact.sum() / theta**2
    return float(log_mass.sum()), slope, bend


def _log_between(v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """ln[Φ(u) - Φ(v)] of v < u, without loss in either tail."""
    upper = v > 0
    small, large = np.where(upper, -u, v), np.where(upper, -v, u)
    top = special.log_ndtr(large)
    return top + np.log(-np.expm1(np.minimum(special.log_ndtr(small) - top, -1e-300)))


def _ratio(u: np.ndarray, log_mass: np.ndarray) -> np.ndarray:
    """Density at u over the mass of the interval."""
    ends = np.isfinite(u)  # where it does not, the density is 0, however small the mass
    log_density = np.where(ends, -(np.where(ends, u, 0) ** 2) / 2 - 0.5 * math.log(2 * math.pi), -np.inf)
    return np.exp(log_density - log_mass)


def profile(columns: np.ndarray, data: Data, best: Fit, drop: float) -> tuple[float, float]:
    """Between which values of the last slope twice the log-likelihood is within ``drop`` of its maximum."""
    others, last, middle = columns[:, :-1], columns[:, -1], float(best.slopes[-1])

    near = [best._replace(slopes=best.slopes[:-1])]

    def excess(value: float) -> float:
        given = Data(data.low - value * last, data.high - value * last)
        near.append(fit(others, given, near[-1]))
        return 2 * (best.log_likelihood - near[-1].log_likelihood) - drop

    unit = max(best.scatter, data.least_scatter()) / float(np.sqrt(np.sum((last - last.mean()) ** 2)))
    return _edge(excess, middle, -unit), _edge(excess, middle, unit)


def _edge(excess, middle: float, step: float) -> float:  # type: ignore[no-untyped-def]
    inner, reach = middle, step
    while excess(middle + reach) < 0:
        inner, reach = middle + reach, 2 * reach
        if abs(reach) > _FAR * abs(step):
            return math.copysign(math.inf, step)
    return float(optimize.brentq(excess, inner, middle + reach, xtol=1e-4 * abs(step)))
