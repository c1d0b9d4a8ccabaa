"""Whether a control can calibrate the test, and what it says of its own."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from quanta import _claims, _control_course, transitions
from quanta import record as records
from quanta._errors import InputError

COUPLED = ("kernel", "linearised")  # kinds whose subtasks share the network's features
_FLOWS = ("kernel",)
_LEARNING = {"readout": "the output layer alone", "tabular": "a table without shared features"}  # what else is linear
_BATCHES = ("task", "frequencies", "batch_size")
_OFF_COURSE = 0.1  # of the largest rate
_FIRES = 0.05  # share of a control's tested subtasks that may be sharp


def judge(
    control: xr.Dataset,
    record: xr.Dataset,
    number: int,
    clock: str | None = None,
    detector: transitions.AbstractDetector | None = None,
) -> dict[str, Any]:
    """Whether a control can calibrate the test: {kind, state, reason, caveat, lasting}.

    States: ok; fires (more than 5 % sharp after its own S0); unfinished (no calibration); unstable (refused). The caveat
    is what makes it less than the run's own linear limit; "" where nothing does. ``lasting`` is of an unfinished one that
    has come to rest near chance: how long it was followed, and so did not learn; else "", and it is evidence of nothing.
    """
    check(control, record, number)
    kind = _kind(control)
    if _unstable(control):
        why = f"the {kind} control is unstable (its loss rises above its start) and is refused: it calibrates nothing"
        return _said(kind, "unstable", why)
    found = transitions.detect(control, detector, clock=clock, curves=False)
    counted, size = _claims.sharpness(_claims.evidence(control, found)), found["status"].size
    n, k, finished = (int(counted[name]) for name in ("n_tested", "n_sharp", "n_complete"))
    part = f"on {control.attrs['inputs']}; " if control.attrs.get("inputs") else ""
    label = f"the {kind} control ({part}{finished} of {size} subtasks finished"
    if n:
        label += f", {k} of {n} sharp, S median {counted['sharpness_median']:.2f}"
    longer = _control_course.times(control, record) if kind in COUPLED else np.nan
    label += f", in {longer:.0f} times the run's own time)" if longer > 1.5 else ")"
    if n and k > _FIRES * n:
        why = f"{label} fires: a model that cannot have phase changes looks sharp here, so sharpness proves nothing"
        return _said(kind, "fires", why)
    if finished < max(size / 2, 1):
        why, lasting = _control_course.unfinished(control, record, found, _LEARNING.get(kind, "linear learning"))
        return _said(kind, "unfinished", f"{label} is unfinished{why}", lasting=lasting)
    heart = _control_course.by_heart(control)
    caveat = _caveat(control, record, by_heart=bool(heart))
    return _said(kind, "ok", f"{label} could have refuted it, and did not{heart}", caveat)


def _said(kind: str, state: str, reason: str, caveat: str = "", lasting: str = "") -> dict[str, Any]:
    return {"kind": kind, "state": state, "reason": reason, "caveat": caveat, "lasting": lasting}


def _unstable(control: xr.Dataset) -> bool:
    """Whether its mean loss rises above its start."""
    if control.attrs.get("control_status") == "unstable":
        return True
    mean = _control_course.mean_loss(control)
    smoothed = np.median(np.stack([mean[:, :-2], mean[:, 1:-1], mean[:, 2:]]), axis=0)
    return bool(np.any(smoothed.max(axis=1) > 1.1 * np.median(mean[:, :3], axis=1)))


def check(control: xr.Dataset, record: xr.Dataset, number: int) -> None:
    """Refuse the control of another run.

    Raises
    ------
    InputError
        That says what they do not share.
    """
    records.validate(control)
    if differences := list(_differences(control, record, _kind(control))):
        raise InputError(
            f"control {number + 1} ({_kind(control)}) {'; and '.join(differences)}. Train it with the run's own settings."
        )


def _kind(control: xr.Dataset) -> str:
    return str(control.attrs.get("control_kind") or "given")


def _caveat(control: xr.Dataset, record: xr.Dataset, *, by_heart: bool) -> str:
    """What makes a control less than the linear limit of the run itself."""
    parts = ["under gradient flow"] if control.attrs["optimizer"] != record.attrs["optimizer"] else []
    inputs = "a part of its inputs" if control.attrs.get("inputs") else "its inputs"
    if by_heart:
        parts.append(f"learning {inputs} by heart, not the subtasks")
    elif control.attrs.get("inputs"):
        parts.append(f"on {inputs}")
    return ", ".join(parts)


def _differences(control: xr.Dataset, record: xr.Dataset, kind: str) -> Iterator[str]:
    """What a control does not share with the run, of what it must: subtasks, batches, optimiser, course of the rate."""
    if control.sizes["subtask"] != record.sizes["subtask"]:
        sizes = (control.sizes["subtask"], record.sizes["subtask"])
        yield f"has {sizes[0]} subtasks and the run has {sizes[1]}; a control must see the same subtasks"
        return
    theirs, mine = (_settings(ds) for ds in (control, record))
    both = [name for name in _BATCHES if name in mine and name in theirs]
    batches = [f"{name} {theirs[name]}, not {mine[name]}" for name in both if mine[name] != theirs[name]]
    ids = [ds.attrs.get("data_id") for ds in (control, record)]
    if all(ids) and ids[0] != ids[1]:
        what = ", ".join(batches) or "its task, subtasks, frequencies, batch size or seed differ"
        yield f"was trained on other data (data_id {ids[0]}, the run's is {ids[1]}): {what}"
    elif batches and not all(ids):
        yield f"was trained on other data: {', '.join(batches)}"
    if control.attrs.get("network") and not control.attrs.get("control_kind"):
        yield "is a run of the network, and no control"
    networks = [ds.attrs.get("network") for ds in (control, record)]
    if all(networks) and networks[0] != networks[1]:
        yield f"is of another network ({networks[0]}, the run's is {networks[1]})"
    its, own = _decay(control), _decay(record)
    if its is not None and own is not None and not np.isclose(its, own):
        yield (
            f"has rate × weight decay {its:g}, and the run {own:g}: decay alone can sharpen a linear model"
            + (" (a flow has none: use --model linearised)" if kind in _FLOWS else "")
        )
    if kind in _FLOWS:
        return  # gradient flow has neither optimiser nor schedule
    optimizers = {control.attrs["optimizer"], record.attrs["optimizer"]}
    if len(optimizers - {"unknown"}) > 1:
        yield f"was trained by {control.attrs['optimizer']} and the run by {record.attrs['optimizer']}"
    if _course(control, record) > _OFF_COURSE:
        yield "has a learning rate that takes another course than the run's (constant, or decaying elsewhere)"


def _settings(ds: xr.Dataset) -> dict[str, Any]:
    """The settings of a run, as far as its record says."""
    try:
        known = json.loads(ds.attrs.get("config", "{}"))
    except (TypeError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _decay(ds: xr.Dataset) -> float | None:
    """What share of a weight decays in a step; None where the record does not say."""
    try:
        known = _settings(ds)
        return float(known["learning_rate"]) * float(known.get("weight_decay", 0.0))
    except (KeyError, TypeError, ValueError):
        return None


def _course(control: xr.Dataset, record: xr.Dataset) -> float:
    """Largest difference of the learning rates, each as a share of its largest, at the control's steps; 0 if unknown."""
    if not ("learning_rate" in control and "learning_rate" in record):
        return 0.0
    steps, rates = [], []
    for ds in (control, record):
        use = ds["step"].values > 0
        rate = ds["learning_rate"].values[..., use].reshape(-1, int(use.sum()))[0]
        steps.append(ds["step"].values[use].astype(float))
        rates.append(rate / max(rate.max(), 1e-300))
    return float(np.abs(rates[0] - np.interp(steps[0], steps[1], rates[1])).max())
