"""Calibrate a template on some subtasks, predict others, and score the prediction."""

from typing import NamedTuple

import numpy as np

from quanta._compare_templates import Curves, Template

N_BOOTSTRAP = 400
N_PERMUTATIONS = 100
_SCAN = 0.5  # nats between the time scales that are tried first
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

    Times are scanned coarsely, between what single subtasks say, and then refined. The floor is what the subtasks that were learned first
    kept in the end, beyond what the template says was still to come.
    """
    from scipy import optimize

    share, p = curves.share[half], curves.log_frequency[half]
    span = span_weights(curves.log_time)
    first = _learned_first(curves, half)

    def fitted(template: Template, scale: float) -> tuple[float, float]:
        left = template.at(curves.log_time, scale - template.gamma * p)
        floor = _floor(share[first, -3:], left[first, -3:])
        return float(np.sum(span * (share - floor - (1 - floor) * left) ** 2)), floor

    def misfit(template: Template, scale: float) -> float:
        return fitted(template, scale)[0]

    best = (np.inf, shapes[0], 0.0)
    for template in shapes:
        scales = _scales(curves, half, template.gamma)
        middle = scales[int(np.argmin([misfit(template, scale) for scale in scales]))]
        found = optimize.minimize_scalar(
            lambda scale, template=template: misfit(template, scale),
            bounds=(middle - _SCAN, middle + _SCAN), method="bounded", options={"xatol": 1e-3},
        )  # fmt: skip
        if found.fun < best[0]:
            best = (float(found.fun), template, float(found.x))
    _, template, scale = best
    return Calibrated(template, scale, fitted(template, scale)[1])


def _scales(curves: Curves, half: np.ndarray, gamma: float) -> np.ndarray:
    """Time scales to try first: from before that of the subtask which says the earliest, to after the latest."""
    birth = gamma * curves.log_frequency[half]
    said = curves.half_time[half] + birth
    if not np.isfinite(said).any():
        said = np.concatenate([curves.log_time[0] + birth, curves.log_time[-1] + birth])
    return np.arange(np.nanmin(said) - 2 * _SCAN, np.nanmax(said) + 3 * _SCAN, _SCAN)


def _learned_first(curves: Curves, half: np.ndarray) -> np.ndarray:
    """Places in a half of the earlier of those that were learned."""
    times = curves.half_time[half]
    return np.flatnonzero(times <= np.nanmedian(times)) if np.isfinite(times).any() else np.empty(0, dtype=np.intp)


def _floor(end: np.ndarray, left: np.ndarray) -> float:
    """The floor that makes both ends agree, in the median; of a template that has hardly begun, no more than it shows."""
    if not end.size:
        return 0.0
    kept = np.ravel((end - left) / np.maximum(1 - left, 0.5))
    middle = kept.size // 2
    return min(max(float(np.partition(kept, middle)[middle]), 0.0), 1.0)


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
