"""Calibrate a template on some subtasks, predict others, and score the prediction."""

from typing import NamedTuple

import numpy as np

from quanta._compare_templates import Curves, Template

N_BOOTSTRAP = 400
N_PERMUTATIONS = 100
SCORES = ("error", "q2_macro", "q2_curves", "onset_error")


class Calibrated(NamedTuple):
    """A template with its clock set: all that is taken from the calibration half."""

    template: Template
    log_scale: float
    """ln of the onset at frequency 1."""
    floor: float
    """Share of its start that a subtask keeps in the end."""

    def log_onset(self, log_frequency: np.ndarray) -> np.ndarray:
        """Log of the half-time, (n_subtasks,): from the frequency alone."""
        return self.log_scale - self.template.gamma * log_frequency

    def predict(self, log_onset: np.ndarray, log_time: np.ndarray) -> np.ndarray:
        """Curves as shares of their start, (n_subtasks, n_steps)."""
        return self.floor + (1 - self.floor) * self.template.at(log_time, log_onset)


def calibrate(shapes: list[Template], curves: Curves, half: np.ndarray) -> Calibrated:
    """The shape and time scale with the least squared error on a half of the subtasks, each counted alike.

    Times are scanned on a grid of 0.25 nats and then refined. The floor is where the subtasks ended that were learned
    first: the median of the earlier half of those that were learned.
    """
    from scipy import optimize

    share, p = curves.share[half], curves.log_frequency[half]
    span = span_weights(curves.log_time)

    floor = _floor(curves, half)

    def misfit(template: Template, scale: float) -> float:
        left = template.at(curves.log_time, scale - template.gamma * p)
        return float(np.sum(span * (share - floor - (1 - floor) * left) ** 2))

    best = (np.inf, shapes[0], 0.0)
    for template in shapes:
        birth = template.gamma * p
        grid = np.arange(curves.log_time[0] + birth.min(), curves.log_time[-1] + birth.max(), 0.25)
        middle = min(grid, key=lambda scale, template=template: misfit(template, scale))  # type: ignore[misc]
        found = optimize.minimize_scalar(
            lambda scale, template=template: misfit(template, scale),
            bounds=(middle - 0.25, middle + 0.25), method="bounded", options={"xatol": 1e-3},
        )  # fmt: skip
        if found.fun < best[0]:
            best = (float(found.fun), template, float(found.x))
    _, template, scale = best
    return Calibrated(template, scale, floor)


def _floor(curves: Curves, half: np.ndarray) -> float:
    times = curves.half_time[half]
    done = half[times <= np.nanmedian(times)] if np.isfinite(times).any() else half[:0]
    return float(np.median(curves.share[done, -3:])) if done.size else 0.0


def span_weights(log_time: np.ndarray) -> np.ndarray:
    """Share of the log time that each checkpoint stands for, (n_steps,): the trapezoidal rule."""
    edges = np.concatenate([log_time[:1], (log_time[1:] + log_time[:-1]) / 2, log_time[-1:]])
    return np.diff(edges) / (log_time[-1] - log_time[0])


def resamples(n: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap draws of n subtasks, (1 + N_BOOTSTRAP, n); the first is the sample itself."""
    return np.vstack([np.arange(n), rng.integers(n, size=(N_BOOTSTRAP, n))])


def scores(
    curves: Curves, half: np.ndarray, share: np.ndarray, log_onset: np.ndarray, draws: np.ndarray
) -> dict[str, np.ndarray]:
    """Every score of a prediction of the held-out subtasks, for each resample of them, (n_draws,).

    Parameters
    ----------
    curves : Curves
        The real run.
    half : np.ndarray, shape (n_held,)
        The held-out subtasks.
    share, log_onset : np.ndarray, shapes (n_held, n_steps), (n_held,)
        What was predicted of them.
    draws : np.ndarray, shape (n_draws, n_held)
        Resamples, as places in ``half``: the same for every model, so that models can be compared in pairs.

    Returns
    -------
    dict
        ``error``: root mean square over log time of the error of the macro curve, in units of its drop.
        ``q2_macro``, ``q2_curves``: 1 - squared error / squared deviation from the mean over log time (of the macro
        curve; of all curves from their common mean). ``onset_error``: median |Δ ln half-time|.
    """
    span = span_weights(curves.log_time)
    counts = np.zeros(draws.shape)
    np.add.at(counts, (np.arange(len(draws))[:, None], draws), 1.0)
    importance = counts * curves.weight[half] * curves.start[half]
    importance /= (counts * curves.weight[half]).sum(axis=1, keepdims=True)
    real = importance @ curves.share[half]
    wrong = (importance @ (share - curves.share[half])) ** 2 @ span
    drop = real.max(axis=1) - real.min(axis=1)
    spread = (real - (real @ span)[:, None]) ** 2 @ span
    centre = float(np.mean(curves.share[half] @ span))
    squares, total = ((share - curves.share[half]) ** 2 @ span, (curves.share[half] - centre) ** 2 @ span)
    late = np.abs(log_onset - curves.half_time[half])
    return {
        "error": np.sqrt(wrong) / drop,
        "q2_macro": 1 - wrong / spread,
        "q2_curves": 1 - (counts @ squares) / (counts @ total),
        "onset_error": _median(late[draws]),
    }


def _median(values: np.ndarray) -> np.ndarray:
    """Medians of rows, of what is known in each; nan where nothing is."""
    ordered = np.sort(values, axis=1)  # nan last
    n = np.sum(np.isfinite(values), axis=1)
    rows = np.arange(len(values))
    low, high = ordered[rows, np.maximum(n - 1, 0) // 2], ordered[rows, np.minimum(n // 2, values.shape[1] - 1)]
    return np.where(n > 0, (low + high) / 2, np.nan)
