"""Whether a control can calibrate the test, and what it says of its own."""

from typing import Any

import numpy as np
import xarray as xr

from quanta import record as records
from quanta import transitions
from quanta._errors import InputError

COUPLED = ("kernel", "linearised")  # kinds whose subtasks share the network's features
_FIRES = 0.05  # share of a control's tested subtasks that may be sharp


def judge(control: xr.Dataset, record: xr.Dataset, number: int) -> dict[str, Any]:
    """Whether a control can calibrate the test: {kind, state, reason}.

    States: ok; fires (more than 5 % sharp after its own S0); unfinished (evidence of its own, but no calibration);
    unstable (refused).
    """
    records.validate(control)
    kind = str(control.attrs.get("control_kind") or "given")
    if control.sizes["subtask"] != record.sizes["subtask"]:
        raise InputError(
            f"control {number + 1} ({kind}) has {control.sizes['subtask']} subtasks and the run has "
            f"{record.sizes['subtask']}; a control must see the same subtasks. Train it with the run's own settings."
        )
    mine, theirs = record.attrs.get("data_id"), control.attrs.get("data_id")
    if mine and theirs and mine != theirs:
        raise InputError(
            f"control {number + 1} ({kind}) was trained on other data (data_id {theirs}, the run's is {mine}): its task, "
            f"subtasks, frequencies, batch size or seed differ. Train it with the run's own settings."
        )
    mean = records.mean_loss(control).values.reshape(-1, control.sizes["step"])
    lowest_start = np.median(mean[:, :3], axis=1)
    smoothed = np.median(np.stack([mean[:, :-2], mean[:, 1:-1], mean[:, 2:]]), axis=0)
    if control.attrs.get("control_status") == "unstable" or np.any(smoothed.max(axis=1) > 1.1 * lowest_start):
        why = f"the {kind} control is unstable (its loss rises above its start) and is refused: it calibrates nothing"
        return {"kind": kind, "state": "unstable", "reason": why}
    found = transitions.detect(control)
    status, changed, complete = (found[name].values for name in ("status", "changed", "complete"))
    tested = complete & np.isin(status, ("sharp", "smooth"))
    n, k = int(tested.sum()), int((tested & (status == "sharp")).sum())
    size = status.size
    label = f"the {kind} control ({int(complete.sum())} of {size} subtasks finished"
    if n:
        label += f", {k} of {n} sharp, S median {float(np.nanmedian(found['sharpness'].values[tested])):.2f}"
    longer = _times_longer(control, record)
    label += f", in {longer:.0f} times the run's own time)" if longer > 1.5 else ")"
    if n and k > _FIRES * n:
        why = f"{label} fires: a model that cannot have phase changes looks sharp here, so sharpness proves nothing"
        return {"kind": kind, "state": "fires", "reason": why}
    if complete.sum() < max(size / 2, 1):
        moved = int(changed.sum())
        why = f"{label} is unfinished ({moved} changed): it cannot calibrate S0, but linear learning does not account for the drop"
        return {"kind": kind, "state": "unfinished", "reason": why}
    return {"kind": kind, "state": "ok", "reason": f"{label} could have refuted it, and did not"}


def _times_longer(control: xr.Dataset, record: xr.Dataset) -> float:
    """Time of a coupled control (its Σ learning rate) over the run's own; 1 where that says nothing."""
    if control.attrs.get("control_kind") not in COUPLED:
        return 1.0
    if not ("learning_rate_sum" in control and "learning_rate_sum" in record):
        return 1.0
    return float(control["learning_rate_sum"][-1] / record["learning_rate_sum"][-1])
