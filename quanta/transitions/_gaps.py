"""Curves with gaps, and curves with clocks of their own: each is tested on the checkpoints that it has."""

from collections.abc import Iterator

import numpy as np

from quanta._errors import InputError
from quanta.transitions._clock import to_steps
from quanta.transitions.base import AbstractDetector

MIN_CHECKPOINTS = 17
MIN_SPAN = 2.0  # nats of log time
CURVES = ("fitted", "step_part")  # what a detector may draw, (n, n_steps)


def check_window(step: np.ndarray) -> None:
    """Refuse runs too short to tell: fewer than 17 checkpoints, or under 2 nats of log time."""
    if step.size < MIN_CHECKPOINTS:
        raise InputError(
            f"the record has {step.size} checkpoints; the test needs at least {MIN_CHECKPOINTS}. Log more, evenly in log time."
        )
    positive = step[step > 0]
    if (span := _span(step)) < MIN_SPAN:
        raise InputError(
            f"the checkpoints span {span:.2f} nats of log time (steps {positive[0]:g} to {positive[-1]:g}); "
            f"the test needs at least {MIN_SPAN:g}. Start earlier or train longer."
        )


def detect(
    detector: AbstractDetector, curves: np.ndarray, clock: np.ndarray, step: np.ndarray, base: np.ndarray
) -> dict[str, np.ndarray]:
    """Run a detector on curves that need not share their checkpoints.

    Parameters
    ----------
    curves : (n, n_steps)
        nan where not measured.
    clock : (n_steps,) or (n, n_steps)
        Of checkpoints at which a curve's own clock has not advanced, all but the first are left out.
    step : (n_steps,)
    base : (n,)
        S0.

    Returns
    -------
    dict of arrays (n,) or (n, n_steps)
        What the detector found, times in steps, with ``first``, the first checkpoint after 0, and ``testable``: fewer than 17 checkpoints, or under 2 nats, leave
        a curve untested (everything is nan or False). Fitted curves are nan where there is no checkpoint.
    """
    parts = [
        (rows, kept, _one_grid(detector, curves, clock, step, base, rows, kept)) for rows, kept in groups(curves, clock)
    ]
    if len(parts) == 1 and parts[0][1].all():
        return parts[0][2]
    out: dict[str, np.ndarray] = {}
    for name, value in parts[0][2].items():
        shape = curves.shape[: value.ndim]
        out[name] = np.zeros(shape, dtype=bool) if value.dtype == bool else np.full(shape, np.nan)
    for rows, kept, found in parts:
        for name, value in found.items():
            out[name][rows if value.ndim == 1 else np.ix_(rows, kept)] = value
    return out


def groups(curves: np.ndarray, clock: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Curves that can be tested together: (rows, mask of the checkpoints they have), on clocks alike but for a factor."""
    kept = np.isfinite(curves) & np.isfinite(clock)
    if clock.ndim == 1 and kept.all():
        yield np.arange(len(curves)), np.ones(clock.size, dtype=bool)
        return
    key = kept.astype(np.float32)
    if clock.ndim == 2:
        latest = np.maximum.accumulate(np.where(kept, clock, -np.inf), axis=1)
        kept[:, 1:] &= clock[:, 1:] > latest[:, :-1]
        last = np.maximum(latest[:, -1:], 1e-300)
        key = np.where(kept, clock / last, -1).astype(np.float32)
    member = np.unique(key, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(member, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(member[order])) + 1):
        yield rows, kept[rows[0]]


def fill(curves: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Curves (n, n_steps) with their gaps bridged linearly in log time; all-nan curves stay so."""
    x = np.log(np.maximum(step, 0.5 * step[step > 0][0]))
    out = curves.copy()
    for row in np.flatnonzero(np.isnan(curves).any(axis=1) & ~np.isnan(curves).all(axis=1)):
        known = np.isfinite(curves[row])
        out[row] = np.interp(x, x[known], curves[row, known])
    return out


def _span(clock: np.ndarray) -> float:
    positive = clock[clock > 0]
    return float(np.log(positive[-1] / positive[0])) if positive.size else 0.0


def _one_grid(
    detector: AbstractDetector,
    curves: np.ndarray,
    clock: np.ndarray,
    step: np.ndarray,
    base: np.ndarray,
    rows: np.ndarray,
    kept: np.ndarray,
) -> dict[str, np.ndarray]:
    """Test the curves of one group."""
    own = (clock if clock.ndim == 1 else clock[rows[0]])[kept]
    testable = own.size >= MIN_CHECKPOINTS and _span(own) >= MIN_SPAN
    if testable:
        found = _in_steps(detector.detect(curves[np.ix_(rows, kept)], own, base[rows]), own, step[kept])
        first = step[kept][np.argmax(own > 0)]
        return found | {"first": np.full(rows.size, first), "testable": np.ones(rows.size, dtype=bool)}
    # Zeros stand in for the curves, so that there is an answer with every field, of which nothing is kept.
    stand_in = np.geomspace(1, 100, MIN_CHECKPOINTS)
    found = _in_steps(detector.detect(np.zeros((rows.size, stand_in.size)), stand_in, base[rows]), stand_in, stand_in)
    found |= {"first": np.full(rows.size, np.nan), "testable": np.zeros(rows.size, dtype=bool)}
    return {name: _nothing(value, kept) for name, value in found.items()}


def _nothing(value: np.ndarray, kept: np.ndarray) -> np.ndarray:
    shape = value.shape if value.ndim == 1 else (len(value), int(kept.sum()))
    return np.zeros(shape, dtype=bool) if value.dtype == bool else np.full(shape, np.nan)


def _in_steps(found: dict[str, np.ndarray], clock: np.ndarray, step: np.ndarray) -> dict[str, np.ndarray]:
    """Times on a clock as steps, the onset with its 95 % interval; widths and variances stay in nats of the clock."""
    error = onset_error(found)
    times = {"onset": found["onset"], "half_time": found["half_time"]}
    times["onset_low"], times["onset_high"] = (found["onset"] * np.exp(z * error) for z in (-1.96, 1.96))
    # As late as the width allows: a step that a decay made must not seem to have begun before it.
    narrow = found["width"] * np.exp(-1.96 * np.minimum(found["log_width_error"], 10.0))
    times["began"] = found["onset"] * np.exp(-0.5 * narrow)
    times["mean_time"] = np.exp(found["log_time_mean"])
    spacing = np.diff(np.log(np.maximum(clock, 0.5 * clock[clock > 0][0])))
    at_onset = np.interp(np.nan_to_num(found["onset"], nan=clock[-1]), clock[1:], spacing)
    # A detector that was told to draw nothing returns curves of no checkpoints.
    found = {name: value for name, value in found.items() if value.ndim == 1 or (name in CURVES and value.size)}
    found |= {name: to_steps(value, clock, step) for name, value in times.items()}
    with np.errstate(divide="ignore"):
        found["log_time_mean"] = np.log(found.pop("mean_time"))
    return found | {"spacing": at_onset}


def onset_error(found: dict[str, np.ndarray]) -> np.ndarray:
    """Standard error of the log onset."""
    # Under strong correlation the linearised error of the onset is too small by about this much.
    return np.minimum(found["log_onset_error"] * np.where(found["phi"] > 0.6, 1.15, 1.0), 10.0)
