"""Fits of scaling curves, as `benchmarks/parity_scaling.py` needs them: lines in log-log as published, and what is honest beside."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

LEVEL = 0.1 * np.log(2)  # nats: a subtask below .1 bits has converged, as in the published figure
CONFIDENCE = 0.95
STARTS = ((1.0, -5.0), (1.5, 0.0), (2.5, 2.0))  # of fits with a floor: none, half of what is left, most of it


class Fit(NamedTuple):
    """An exponent with its interval."""

    value: float
    low: float
    high: float
    n: int
    """Points that it is fitted to."""


def slope(x: np.ndarray, y: np.ndarray) -> Fit:
    """Slope of ln y on ln x by least squares, with the interval of independent errors; nan if there are not three points."""
    from scipy import stats

    if len(x) < 3:
        return Fit(np.nan, np.nan, np.nan, len(x))
    line = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * line.stderr
    return Fit(line.slope, line.slope - half, line.slope + half, len(x))


def resampled(value: float, draws: list[float], n: int) -> Fit:
    """An estimate with the quantiles of its bootstrap."""
    tail = (1 - CONFIDENCE) / 2
    return Fit(value, *np.nanquantile(draws, [tail, 1 - tail]), n)


def above_floor(x: np.ndarray, y: np.ndarray, starts: tuple[tuple[float, float], ...] = STARTS) -> tuple[float, float]:
    """Exponent and floor of y = E + A x^-a, 0 <= E < min y, by least squares of ln y.

    Each start has a factor to the slope without a floor, and the log odds of E / min y.
    """
    from scipy import optimize, special

    log_x, log_y, least = np.log(x), np.log(y), y.min()

    def errors(words: np.ndarray) -> np.ndarray:
        height, exponent, share = words
        return np.log(least * special.expit(share) + np.exp(height - exponent * log_x)) - log_y

    rough = -np.polyfit(log_x, log_y, 1)
    fits = [
        optimize.least_squares(errors, (-rough[1], factor * rough[0], share), bounds=((-50, 0, -30), (50, 5, 8)))
        for factor, share in starts
    ]
    best = min(fits, key=lambda fit: fit.cost).x
    return float(best[1]), float(least * special.expit(best[2]))


def floored(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, n_draws: int = 200) -> tuple[Fit, float]:
    """The exponent above a floor, with the interval of a bootstrap over points, and the floor; nan of fewer than five points."""
    if len(x) < 5:
        return Fit(np.nan, np.nan, np.nan, len(x)), np.nan
    exponent, floor = above_floor(x, y)
    draws = []
    while len(draws) < n_draws:
        some = rng.integers(len(x), size=len(x))
        if len(set(some.tolist())) >= 4:
            draws.append(above_floor(x[some], y[some], STARTS[1:2])[0])
    return resampled(exponent, draws, len(x)), floor


def converged_at(step: np.ndarray, loss: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Step at which each subtask is first below a level, between checkpoints by the line in log time; nan if it never is.

    Parameters
    ----------
    step : np.ndarray, shape (n_steps,)
        Positive, increasing.
    loss : np.ndarray, shape (n_subtasks, n_steps)
        In nats.
    """
    below = loss < level
    at = np.argmax(below, axis=1)
    found = np.full(len(loss), np.nan)
    for k in np.flatnonzero(below.any(axis=1) & (at > 0)):
        high, low = loss[k, at[k] - 1], loss[k, at[k]]
        share = (high - level) / (high - low)
        found[k] = np.exp((1 - share) * np.log(step[at[k] - 1]) + share * np.log(step[at[k]]))
    return found


def timing(p: np.ndarray, t: np.ndarray, rng: np.random.Generator, n_draws: int = 2000) -> Fit:
    """Slope of ln t on ln p over the subtasks that converged, with the interval of a bootstrap over them."""
    p, t = p[np.isfinite(t)], t[np.isfinite(t)]
    if len(p) < 3:
        return Fit(np.nan, np.nan, np.nan, len(p))
    x, y = np.log(p), np.log(t)
    some = rng.integers(len(p), size=(n_draws, len(p)))
    dx, dy = (values[some] - values[some].mean(axis=1, keepdims=True) for values in (x, y))
    return resampled(float(np.polyfit(x, y, 1)[0]), list((dx * dy).sum(axis=1) / (dx**2).sum(axis=1)), len(p))


def fall(step: np.ndarray, mean: np.ndarray, window: np.ndarray) -> float:
    """Minus the slope of ln L on ln t over the steps of a window, at each by the line in log-log between checkpoints."""
    x, y = np.log(window), np.interp(np.log(window), np.log(step), np.log(mean))
    return -float(np.polyfit(x, y, 1)[0])


def falls_of_subtasks(
    step: np.ndarray,
    loss: np.ndarray,
    p: np.ndarray,
    windows: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    n_draws: int = 200,
) -> dict[str, Fit]:
    """The fall of the mean loss in each window, with the interval of the chance in when each subtask is learned.

    Errors along one curve are no replicates. What varies from one set of subtasks to another is how far each comes
    from the law of timing: in each draw every curve is shifted in log time, so that its distance from the law is that of
    another subtask. Those that did not converge keep their curve, shifted likewise.
    """
    t = converged_at(step, loss)
    known = np.isfinite(t)
    residual = np.zeros(len(p))
    x, y = np.log(p[known]), np.log(t[known])
    residual[known] = y - np.polyval(np.polyfit(x, y, 1), x)
    scatter = residual[known] * np.sqrt(len(x) / (len(x) - 2))  # a line through few points passes too near them
    log_step = np.log(step)
    draws: dict[str, list[float]] = {name: [] for name in windows}
    for _ in range(n_draws):
        shift = rng.choice(scatter, size=len(p)) - residual
        mean = sum(
            share * np.interp(log_step - d, log_step, curve) for share, d, curve in zip(p, shift, loss, strict=True)
        )
        for name, window in windows.items():
            draws[name].append(fall(step, mean, window))
    return {name: resampled(fall(step, p @ loss, window), draws[name], len(window)) for name, window in windows.items()}


def stepped(p: np.ndarray, t: np.ndarray, window: np.ndarray) -> float:
    """The fall that a window would show, were each subtask learned at once at its time t."""
    return -slope(window, np.array([p[t > now].sum() for now in window])).value


def tail(p: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Frequency of all subtasks but the first n, for whole and broken n: the loss, in units of chance, when those are learned."""
    left = np.concatenate([[1.0], 1 - np.cumsum(p)])
    return np.interp(n, np.arange(len(left)), np.maximum(left, 0))
