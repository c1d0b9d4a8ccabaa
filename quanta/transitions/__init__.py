"""Detectors of a transition in one curve, and :func:`detect`, which runs one over a record."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from quanta._errors import InputError
from quanta.transitions import _clock, _status
from quanta.transitions.base import AbstractDetector
from quanta.transitions.likelihood_ratio import LikelihoodRatio
from quanta.transitions.null import base_sharpness, null_sharpness

__all__ = ["DETECTORS", "AbstractDetector", "LikelihoodRatio", "base_sharpness", "detect", "null_sharpness"]

DETECTORS: dict[str, type[AbstractDetector]] = {"likelihood_ratio": LikelihoodRatio}

MIN_CHECKPOINTS = 17
MIN_SPAN = 2.0  # nats of log time

_COPIED: tuple[str, ...] = (
    "height",
    "drop",
    "sharpness",
    "sharpness_low",
    "step_sharpness",
    "statistic",
    "statistic_needed",
)
_COPIED += ("n_steps", "sigma", "phi", "log_time_mean", "log_time_variance", "bump_statistic")
_GATES = ("gate_statistic", "gate_height", "gate_sharpness", "gate_bump")


def detect(
    record: xr.Dataset,
    detector: AbstractDetector | None = None,
    *,
    control: xr.Dataset | Sequence[xr.Dataset] | None = None,
) -> xr.Dataset:
    """Look for a transition in every subtask of a record.

    Parameters
    ----------
    record : xr.Dataset
        A run record with at least 17 checkpoints over at least 2 nats of log time.
    detector : AbstractDetector, optional
        By default :class:`LikelihoodRatio`.
    control : record or sequence of records, optional
        Runs whose answer is known to be "smooth": S0 is raised to 1.1 × the largest S that passes the gates in them.

    Returns
    -------
    xr.Dataset
        dims (…, subtask): ``status`` ∈ sharp, smooth, incomplete, early, never, unresolved; ``onset`` (t50, in steps),
        ``width`` (10–90 %, nats of log time), each with a 95 % interval ``_low``/``_high`` and nan where there is no
        step; ``height``, ``drop`` (loss units), ``share``, ``sharpness`` with its lower bound, the test's ``statistic``;
        flags; and ``fitted``, ``step_part`` (…, subtask, step).

    Raises
    ------
    InputError
        If the record is too short to tell.
    """
    from quanta import record as records

    records.validate(record)
    detector = detector or LikelihoodRatio()
    step = record["step"].values.astype(float)
    check_window(step)
    metric = next(name for name in ("loss", "probability", "accuracy") if name in record)
    clock, clock_name = _clock.values(record)
    curves, chance, shape = _flatten(record, metric)
    base = base_of(record, metric)
    if control is not None:
        base = np.maximum(base, _control_sharpness(control, detector))
    base = np.broadcast_to(base, shape).reshape(-1)

    found = detector.detect(curves, clock, base)
    found["sharp"] = found["sharp"].copy()
    level = {name: found[name].copy() for name in ("start", "end", "before_end", "sigma")}
    reference = _status.reference(curves, chance)
    above = curves.max(axis=1) > 1.05 * reference
    if above.any():
        # Sharp on the curve as it is and capped at chance: a start above chance, cut off, would look like a step.
        capped = detector.detect(np.minimum(curves[above], 1.05 * reference[above, None]), clock, base[above])
        found["sharp"][above] &= capped["sharp"]
        for name in _GATES:
            found[name] = found[name].copy()
            found[name][above] &= capped[name]
        for name in level:
            level[name][above] = capped[name]
    level["reference"] = reference

    to_steps = _back_to_steps(clock, step)
    onset, half_time = to_steps(found["onset"]), to_steps(found["half_time"])
    exposures = _exposures(record, shape)
    began = to_steps(found["onset"] * np.exp(-0.5 * found["width"]))
    decay = np.inf
    if "learning_rate" in record:
        decay = _status.decay_start(step, record["learning_rate"].values)
    flags = {
        "base": base,
        "few_exposures": _status.few_exposures(exposures, onset, step),
        "in_decay": np.isfinite(began) & (began > decay),
    }
    word, changed, complete = _status.status({**found, "onset": onset, "half_time": half_time}, level, step, flags)
    has_step = found["gate_statistic"] & found["gate_height"]
    spacing = np.interp(np.nan_to_num(onset, nan=step[-1]), step[1:], np.diff(np.log(np.maximum(step, 0.5 * step[1]))))
    out: dict[str, np.ndarray] = {name: found[name] for name in (*_COPIED, *_GATES)}
    out |= _intervals(found, to_steps, has_step)
    out |= {
        "status": word,
        "half_time": half_time,
        "share": np.where(found["drop"] > 0, found["height"] / np.maximum(found["drop"], 1e-300), np.nan),
        "base_sharpness": base,
        "changed": changed,
        "complete": complete,
        "start": level["start"],
        "end": level["end"],
        # One checkpoint inside a wall reads as a width of up to 2.5 spacings, however steep the wall is.
        "width_upper_limit": has_step & (found["width"] < 3 * spacing),
        "metric_only": _metric_only(record, metric, word, detector, clock, shape),
        "few_exposures": flags["few_exposures"] & has_step,
        "in_decay": flags["in_decay"] & has_step,
        "spike": found["spike"],
    }
    return _dataset(record, metric, shape, out, found, clock_name, detector)


def check_window(step: np.ndarray) -> None:
    """Refuse runs too short to tell: fewer than 17 checkpoints, or under 2 nats of log time."""
    positive = step[step > 0]
    if step.size < MIN_CHECKPOINTS:
        raise InputError(
            f"the record has {step.size} checkpoints; the test needs at least {MIN_CHECKPOINTS}. Log more, evenly in log time."
        )
    span = float(np.log(positive[-1] / positive[0]))
    if span < MIN_SPAN:
        raise InputError(
            f"the checkpoints span {span:.2f} nats of log time (steps {positive[0]:g} to {positive[-1]:g}); "
            f"the test needs at least {MIN_SPAN:g}. Start earlier or train longer."
        )


def base_of(record: xr.Dataset, metric: str) -> np.ndarray:
    """S0 of every subtask without a control, (n_subtasks,)."""
    n = record.sizes["subtask"]
    classes = record["n_classes"].values if "n_classes" in record else np.full(n, np.nan)
    if metric != "loss":
        # What a convex model does to an accuracy or a probability is not known in closed form: the widest bound.
        return base_sharpness("unknown", classes)
    return base_sharpness(record.attrs["optimizer"], classes, record["loss"].attrs.get("units", "nat"))


def _back_to_steps(clock: np.ndarray, step: np.ndarray) -> Any:
    def convert(value: np.ndarray) -> np.ndarray:
        if clock is step:
            return value
        return np.where(np.isfinite(value), np.interp(value, clock, step), np.nan)

    return convert


def _flatten(record: xr.Dataset, metric: str) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Curves (n, n_steps) of which smaller is better, level of chance (n,), and the shape (…, n_subtasks)."""
    values = record[metric].values.astype(np.float64)
    if metric != "loss":
        values = 1.0 - values
    shape = values.shape[:-1]
    chance = np.full(shape, np.nan)
    if metric == "loss" and "chance_loss" in record:
        chance = np.broadcast_to(record["chance_loss"].values, shape)
    elif metric != "loss" and "n_classes" in record:
        chance = np.broadcast_to(1.0 - 1.0 / record["n_classes"].values, shape)
    return values.reshape(-1, values.shape[-1]), chance.reshape(-1), shape


def _exposures(record: xr.Dataset, shape: tuple[int, ...]) -> np.ndarray | None:
    if "exposures" in record:
        seen = record["exposures"].values
        return np.broadcast_to(seen, (*shape, seen.shape[-1])).reshape(-1, seen.shape[-1])
    if "examples" in record and "frequency" in record:
        seen = record["frequency"].values[:, None] * record["examples"].values
        return np.broadcast_to(seen, (*shape, seen.shape[-1])).reshape(-1, seen.shape[-1])
    return None


def _control_sharpness(control: xr.Dataset | Sequence[xr.Dataset], detector: AbstractDetector) -> float:
    """1.1 × the largest S that passes T and height in the controls; 0 if none does."""
    largest = 0.0
    for run in [control] if isinstance(control, xr.Dataset) else control:
        found = detect(run, detector)
        gated = (found["gate_statistic"] & found["gate_height"] & found["complete"]).values
        if gated.any():
            largest = max(largest, float(np.nanmax(found["sharpness"].values[gated])))
    return 1.1 * largest


def _metric_only(
    record: xr.Dataset,
    metric: str,
    word: np.ndarray,
    detector: AbstractDetector,
    clock: np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Sharp in accuracy alone: a threshold metric makes steps of smooth curves."""
    if metric == "accuracy":
        return word == "sharp"
    flag = np.zeros(word.shape, dtype=bool)
    smooth = word == "smooth"
    if "accuracy" not in record or not smooth.any():
        return flag
    curves, _, _ = _flatten(record, "accuracy")
    base = np.broadcast_to(base_of(record, "accuracy"), shape).reshape(-1)
    flag[smooth] = detector.detect(curves[smooth], clock, base[smooth])["sharp"]
    return flag


def _intervals(found: dict[str, np.ndarray], to_steps: Any, has_step: np.ndarray) -> dict[str, np.ndarray]:
    """Onset and width with 95 % Gauss–Newton intervals, nan where there is no step."""
    # Under strong correlation the linearised error of the onset is too small by about this much.
    error = np.minimum(found["log_onset_error"] * np.where(found["phi"] > 0.6, 1.15, 1.0), 10.0)
    width_error = np.minimum(found["log_width_error"], 10.0)
    # The true step need not be Weibull: read as one, steps of other shapes are up to a fifth too narrow and lie up to
    # .03 widths off. That error does not shrink with the noise.
    error = np.hypot(error, 0.03 * np.nan_to_num(found["width"]))
    width_error = np.hypot(width_error, 0.15)
    out = {}
    for suffix, z in (("", 0.0), ("_low", -1.96), ("_high", 1.96)):
        out[f"onset{suffix}"] = np.where(has_step, to_steps(found["onset"] * np.exp(z * error)), np.nan)
        out[f"width{suffix}"] = np.where(has_step, found["width"] * np.exp(z * width_error), np.nan)
    out["height"] = np.where(has_step, found["height"], np.nan)
    return out


def _dataset(
    record: xr.Dataset,
    metric: str,
    shape: tuple[int, ...],
    out: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    clock: str,
    detector: AbstractDetector,
) -> xr.Dataset:
    dims = record[metric].dims
    variables: dict[str, Any] = {name: (dims[:-1], np.reshape(value, shape)) for name, value in out.items()}
    for name in ("fitted", "step_part"):
        variables[name] = (dims, found[name].astype(np.float32).reshape(*shape, -1))
    coords = {name: record[name] for name in dims if name in record.coords}
    ds = xr.Dataset(variables, coords=coords, attrs={"clock": clock, "metric": metric, "detector": repr(detector)})
    for name in ("height", "drop", "sigma", "fitted", "step_part", "start", "end"):
        ds[name].attrs["units"] = record[metric].attrs.get("units", "1")
    for name in ("width", "width_low", "width_high"):
        ds[name].attrs["units"] = "nat of log time"
    return ds
