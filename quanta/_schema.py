"""The fields of ``quanta-record/1``: making a record, and everything that can be wrong with one."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from quanta import __version__
from quanta._errors import RecordError, quoted

SCHEMA = "quanta-record/1"
UNITS = ("nat", "bit", "bit/byte", "squared error")
SOURCES = ("simulated", "trained", "imported")
OPTIMIZERS = ("sgd", "momentum", "adam", "unknown")

OUTCOMES = ("loss", "accuracy", "probability")  # at least one of them, (…, subtask, step)
CURVES = (*OUTCOMES, "exposures")  # (…, subtask, step)
PROGRESS = ("fourier_gap", "moved")  # (…, subtask, step): measures of what moves while a loss does not
CLOCKS = ("examples", "tokens", "compute", "learning_rate", "learning_rate_sum")  # (step), or (…, step) when combined
PER_SUBTASK = ("frequency", "weight", "n_classes", "chance_loss")  # (subtask)
TRUTH = ("true_onset", "true_width")  # (…, subtask)
WORDS = ("label", "kind")  # (subtask), strings: names for people, and sorts of subtasks
ATTRS = ("dynamics", "config", "seed", "run_id", "control_kind", "control_of")
OPTIONAL = {*CURVES, *CLOCKS, *TRUTH, *WORDS} - {"loss"}


def new(
    loss: Any = None,
    *,
    step: Any,
    frequency: Any = None,
    weight: Any = None,
    units: str = "nat",
    source: str,
    optimizer: str | None = None,
    n_classes: Any = None,
    chance_loss: Any = None,
    dims: Sequence[str] | None = None,
    measures: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
    **more: Any,
) -> xr.Dataset:
    """Make a run record.

    Parameters
    ----------
    loss : array_like, shape (..., n_subtasks, n_steps), optional
        Mean loss of every subtask at every checkpoint, nan where it was not measured; a run may have only ``accuracy`` or
        ``probability``.
    step : array_like, shape (n_steps,)
        Optimiser steps (or the learner's own time), strictly increasing.
    frequency : array_like, shape (n_subtasks,), optional
        How often each subtask is trained on; nan where unknown.
    weight : array_like, shape (n_subtasks,), optional
        Share of each subtask in the mean loss, summing to 1. Defaults to ``frequency`` where all of it is
        known, else uniform (with a warning).
    units : {"nat", "bit", "bit/byte", "squared error"}
        Unit of ``loss``.
    source : {"simulated", "trained", "imported"}
        Where the curves came from.
    optimizer : {"sgd", "momentum", "adam", "unknown"}, optional
        Decides the sharpness that a convex model could show; "unknown" if not given.
    n_classes, chance_loss : float or array_like, shape (n_subtasks,), optional
        Number of answers; loss of the prior output, in ``units``.
    dims : sequence of str, optional
        Names of all the dims of ``loss``; by default (subtask, step), with ``seed`` ahead of a third.
    measures : mapping, optional
        Whatever else was measured, such as progress measures: name → (..., n_steps) of the whole model, or, with as many
        dims as ``loss``, of every subtask.
    attrs : mapping, optional
        Further attributes (strings and numbers).
    **more
        ``accuracy``, ``probability``, ``exposures`` (as ``loss``); ``examples``, ``tokens``, ``compute``,
        ``learning_rate``, ``learning_rate_sum`` (n_steps,); ``true_onset``, ``true_width`` (..., n_subtasks);
        ``label``, ``kind``: strings (n_subtasks,); ``dynamics``, ``config``, ``seed``, ``run_id``, ``control_kind``, ``control_of``.

    Returns
    -------
    xr.Dataset
        A valid record.

    Raises
    ------
    RecordError
        If anything is out of order; all faults in one message.

    Examples
    --------
    >>> ds = new([[2.0, 1.0], [2.0, 1.5]], step=[1, 2], frequency=[0.75, 0.25], source="imported")
    >>> ds.sizes["subtask"], ds.sizes["step"]
    (2, 2)
    """
    given = {"loss": loss, "frequency": frequency, "n_classes": n_classes, "chance_loss": chance_loss, **more}
    fields = {name: value for name, value in given.items() if value is not None and name not in ATTRS}
    refuse_unknown(more, {*OPTIONAL, *ATTRS})
    first = next((name for name in OUTCOMES if name in fields), None)
    if first is None:
        raise RecordError("no curves; give loss, accuracy or probability, shape (n_subtasks, n_steps).")
    shape = np.shape(fields[first])
    dims = _dims(shape, dims)
    variables = {name: _variable(name, value, dims, shape[-2]) for name, value in fields.items()}
    if taken := set(measures or {}) & {*CURVES, *CLOCKS, *TRUTH, *WORDS, *PER_SUBTASK, "step", "subtask"}:
        raise RecordError(f"measures {sorted(taken)} have the names of fields of every record; rename them.")
    for name, value in (measures or {}).items():
        variables[name] = _measure(value, dims)
    if weight is None:
        weight = _default_weight(variables["frequency"][1] if "frequency" in variables else None, shape[-2])
    variables["weight"] = _variable("weight", weight, dims, shape[-2])
    if "loss" in variables:
        variables["loss"] = (*variables["loss"], {"units": units})
    all_attrs = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **(attrs or {}),
        "schema": SCHEMA,
        "source": source,
        "optimizer": optimizer or "unknown",
        "quanta_version": __version__,
        **{name: more[name] for name in ATTRS if more.get(name) is not None},
    }
    coords = {"step": ("step", np.asarray(step)), "subtask": np.arange(shape[-2])}
    try:
        ds = xr.Dataset(variables, coords=coords, attrs=all_attrs)
    except ValueError as error:
        raise RecordError(f"the fields do not fit together: {quoted(error)}.") from None
    return validate(ds)


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that are none of the known fields."""
    if unknown := {*given} - {*known}:
        raise RecordError(f"unknown field {sorted(unknown)}; expected one of {sorted(known)}.")


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return the record, or raise one :class:`RecordError` that lists every fault.

    Parameters
    ----------
    ds : xr.Dataset
        A run record.

    Raises
    ------
    RecordError
        With all faults in one line.

    Examples
    --------
    >>> validate(xr.Dataset(attrs={"schema": "quanta-record/0"}))
    Traceback (most recent call last):
    quanta._errors.RecordError: the record has schema 'quanta-record/0'; this version of quanta reads ...
    """
    if not isinstance(ds, xr.Dataset):
        raise RecordError(f"a {type(ds).__name__} is not a record; make one with record.new(loss, step=…, source=…).")
    schema = ds.attrs.get("schema")
    if schema is None:
        raise RecordError("this is not a quanta record: it has no schema attribute; make one with quanta.record.new.")
    if schema != SCHEMA:
        raise RecordError(
            f"the record has schema {schema!r}; this version of quanta reads {SCHEMA!r}. "
            "Convert it, or use the quanta that wrote it."
        )
    faults = [*_size_faults(ds)]
    if not faults:  # the values of misshapen fields cannot be judged
        faults = [*_step_faults(ds), *_curve_faults(ds), *_subtask_faults(ds), *_clock_faults(ds)]
    for name, allowed in (("source", SOURCES), ("optimizer", OPTIMIZERS)):
        if ds.attrs.get(name) not in allowed:
            faults.append(f"{name} is {ds.attrs.get(name)!r}; expected one of {', '.join(allowed)}")
    if faults:
        raise RecordError("; ".join(faults) + ".")
    return ds


def _dims(shape: tuple[int, ...], dims: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the dims of the curves."""
    if dims is None:
        if not 2 <= len(shape) <= 3:
            raise RecordError(f"curves have {len(shape)} dims; name them with dims=(…, 'subtask', 'step').")
        return ("seed", "subtask", "step")[-len(shape) :]
    if tuple(dims[-2:]) != ("subtask", "step") or len(dims) != len(shape):
        raise RecordError(f"dims are {dims} for curves of shape {shape}; the last two must be 'subtask', 'step'.")
    return tuple(dims)


def _variable(name: str, value: Any, dims: tuple[str, ...], n_subtasks: int) -> tuple[Any, ...]:
    """Dims and values of a field: curves in float32, words as strings, all else in float64."""
    if name in WORDS:
        return "subtask", np.asarray(value, dtype=str)
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and validate says so
            values = np.asarray(value).astype(np.float32 if name in CURVES else np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f"{name} cannot be read as an array of numbers: {quoted(error)}.") from None
    if name in CURVES:
        return dims, values
    if name in CLOCKS:
        return "step", values
    if name in TRUTH:
        return dims[:-1][-max(values.ndim, 1) :], values
    return "subtask", np.full(n_subtasks, values) if values.ndim == 0 else values


def _measure(value: Any, dims: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """Dims and values of what else was measured: of every subtask in float32, as curves are, of the whole in float64."""
    if np.ndim(value) == len(dims):
        return dims, np.asarray(value).astype(np.float32, copy=False)
    return (*dims[:-2], "step")[-np.ndim(value) :], np.asarray(value, dtype=np.float64)


def _default_weight(frequency: np.ndarray | None, n_subtasks: int) -> np.ndarray:
    """The frequency where all of it is known, else uniform, said aloud."""
    if frequency is not None and np.all(np.isfinite(frequency)) and frequency.sum() > 0:
        return frequency / frequency.sum()
    if n_subtasks > 1:
        warnings.warn("no frequency and no weight: the mean loss weighs all subtasks alike", stacklevel=3)
    return np.full(n_subtasks, 1.0 / max(n_subtasks, 1))


def _size_faults(ds: xr.Dataset) -> Iterator[str]:
    """Fields that are missing, or have other dims than theirs."""
    if not any(name in ds for name in OUTCOMES):
        yield "there is no loss, accuracy or probability"
    if "weight" not in ds:
        yield "there is no weight"
    if "step" not in ds.coords:
        yield "there is no coordinate step"
    endings = (
        *((name, ("subtask", "step")) for name in CURVES),
        *((name, ("step",)) for name in CLOCKS),
        *((name, ("subtask",)) for name in TRUTH),
    )
    for name, ending in endings:
        if name in ds and (ds[name].dims[-len(ending) :] != ending or {*ending} & {*ds[name].dims[: -len(ending)]}):
            yield f"{name} has dims {ds[name].dims}; expected (…, {', '.join(map(repr, ending))})"
    for name in (*PER_SUBTASK, *WORDS):
        if name in ds and ds[name].dims != ("subtask",):
            yield f"{name} has dims {ds[name].dims}; expected ('subtask',)"
    for name in ("subtask", "step"):
        if ds.sizes.get(name) == 0:
            yield f"there are no {name}s: the dim {name} has length 0"
    for name in (*CURVES, *CLOCKS, *PER_SUBTASK, *TRUTH):
        if name in ds and ds[name].dtype.kind not in "iuf":
            yield f"{name} has dtype {ds[name].dtype}; expected numbers"


def _step_faults(ds: xr.Dataset) -> Iterator[str]:
    step = ds["step"].values
    if step.dtype.kind not in "iuf":
        yield f"step has dtype {step.dtype}; expected numbers"
        return
    if not np.all(np.isfinite(step)) or step.min() < 0:
        yield "step must be finite and 0 or more"
    drops = np.flatnonzero(np.diff(step) <= 0)
    if drops.size:
        i = int(drops[0])
        yield f"step does not increase: {step[i]} is followed by {step[i + 1]} (checkpoint {i + 1}); sort and drop repeats"


def _curve_faults(ds: xr.Dataset) -> Iterator[str]:
    for name in CURVES:
        if name not in ds:
            continue
        gaps = name in OUTCOMES  # nan is an outcome that was not measured
        low, high = float(ds[name].min(skipna=gaps)), float(ds[name].max(skipna=gaps))  # chunk by chunk, if it has any
        if np.isinf(low) or np.isinf(high) or (np.isnan(low) and not gaps):
            what, wrong = ("infinite", np.isinf(ds[name])) if gaps else ("nan or infinite", ~np.isfinite(ds[name]))
            yield f"{name} has {int(wrong.sum())} values that are {what}; drop those checkpoints"
        elif low < 0:
            advice = ": subtract its floor first" if name == "loss" else ""
            yield f"{name} has negative values (lowest {low:.4g}); expected 0 or more{advice}"
        elif name in ("accuracy", "probability") and high > 1:
            yield f"{name} reaches {high:.4g}; expected values from 0 to 1"
    if "loss" in ds and ds["loss"].attrs.get("units") not in UNITS:
        units = ds["loss"].attrs.get("units")
        why = ": bits would be taken for nats" if units is None else ""
        yield f"loss has units {units!r}{why}; expected one of {', '.join(UNITS)} in loss.attrs['units']"


def _subtask_faults(ds: xr.Dataset) -> Iterator[str]:
    weight = ds["weight"].values
    if not np.all(np.isfinite(weight)) or np.any(weight < 0):
        yield "weight must be finite and 0 or more"
    elif abs(weight.sum() - 1) > 1e-6:
        yield f"weight sums to {weight.sum():.6g}, not 1; divide by its sum, or pass counts to frequencies.Empirical"
    for name in ("frequency", "n_classes", "chance_loss", *TRUTH):
        if name in ds and (np.any(ds[name].values < 0) or np.any(np.isinf(ds[name].values))):
            yield f"{name} must be finite and 0 or more (nan where unknown)"


def _clock_faults(ds: xr.Dataset) -> Iterator[str]:
    for name in CLOCKS:
        if name in ds and not (np.all(np.isfinite(ds[name].values)) and np.all(ds[name].values >= 0)):
            yield f"{name} must be finite and 0 or more"
