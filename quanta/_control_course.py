"""The course of a control's mean loss: whether it still falls, how long it was followed, what it learned by heart."""

import numpy as np
import xarray as xr

from quanta.transitions import _gaps

_NEAR = 0.9  # of its start: what has fallen less has learned nothing to speak of
_STILL = (0.1, 0.03)  # of its start in a tenfold time: what falls faster is not done, near its start and below
_LONG = 10.0  # times the run's steps, where times of control and run do not compare
_HUNDRED = 30.0  # times the run's steps, up to which a hundred times is advice


def mean_loss(control: xr.Dataset, name: str = "loss", use: np.ndarray | None = None) -> np.ndarray:
    """Mean loss (n_copies, n_steps) with gaps bridged, of the subtasks that were measured at all.

    Parameters
    ----------
    control : xr.Dataset
        A record; leading dims are copies.
    name : str
        The loss: of the inputs that it learns, or ``held_out``.
    use : np.ndarray, optional
        Of which subtasks, (..., n_subtasks), bool.
    """
    loss = control[name].transpose(..., "subtask", "step").values.astype(float)
    curves = _gaps.fill(loss.reshape(-1, loss.shape[-1]), control["step"].values.astype(float)).reshape(loss.shape)
    known = np.isfinite(curves).all(axis=-1)
    weight = control["weight"].values * (known if use is None else known & use)
    if "frequency" in control:  # what is never trained on may well rise
        weight = weight * ~(control["frequency"].values == 0)
    mean = np.einsum("...ks,...k->...s", np.where(known[..., None], curves, 0.0), weight)
    return (mean / np.maximum(weight.sum(axis=-1), 1e-300)[..., None]).reshape(-1, loss.shape[-1])


def times(control: xr.Dataset, record: xr.Dataset) -> float:
    """Time of a control (Σ learning rate) over the run's own; nan where they do not compare."""
    if control.attrs["optimizer"] != record.attrs["optimizer"]:
        return np.nan
    if not ("learning_rate_sum" in control and "learning_rate_sum" in record):
        return _steps(control, record)
    return float(control["learning_rate_sum"][-1] / record["learning_rate_sum"][-1])


def _steps(control: xr.Dataset, record: xr.Dataset) -> float:
    return float(control["step"][-1] / record["step"][-1])


def unfinished(control: xr.Dataset, record: xr.Dataset, found: xr.Dataset, learning: str) -> tuple[str, str]:
    """What an unfinished control says, and how long it had, if it says that its ``learning`` explains nothing, else "".

    What still falls, or had too little time, is no evidence: it may well learn all. Only what was followed for the run's
    own time, or for ten times its steps where times do not compare, and has come to rest near chance, has not learned.
    """
    moved, open_ = int(found["changed"].sum()), ~found["complete"].values
    mean = mean_loss(control, use=open_).mean(axis=0)
    start, end = float(np.median(mean[:3])), float(np.median(mean[-3:]))
    ratio, steps = times(control, record), _steps(control, record)
    longer = f"run it longer{', about a hundred times the steps of the run' if steps < _HUNDRED else ' still'}"
    if _pace(mean, control["step"].values) > _STILL[end < _NEAR * start] * start:
        fell = f"the mean loss of what is unfinished fell from {start:.2g} to {end:.2g}{_of_others(control, open_)}"
        return f" and still falling ({moved} changed; {fell}): it says nothing yet; {longer}", ""
    if not (ratio > 0.99 or (np.isnan(ratio) and steps >= _LONG)):
        return f" ({moved} changed), in too short a time: it says nothing yet; {longer}", ""
    if end < _NEAR * start:
        part = f"it cannot calibrate S0, and {learning} may account for a part of the drop"
        return f", and settled at {end / start:.0%} of its start: {part}", ""
    lasting = _followed(ratio, steps)
    return (
        f" ({moved} changed): it cannot calibrate S0, but {learning} does not account for the drop in {lasting}",
        lasting,
    )


def _followed(ratio: float, steps: float) -> str:
    """For how long, in words."""
    if np.isnan(ratio):
        return f"{steps:.0f} times the run's steps"
    return f"{ratio:.0f} times the run's own time" if ratio > 1.5 else "the run's own time"


def _pace(mean: np.ndarray, step: np.ndarray) -> float:
    """Fall in a tenfold time at the pace of the last fourth of the time, or of the last five checkpoints."""
    late = (step >= step[-1] / 4) & (step > 0)
    late[-5:] = step[-5:] > 0
    return float(-np.log(10) * np.polyfit(np.log(step[late].astype(float)), mean[late], 1)[0])


def _of_others(control: xr.Dataset, use: np.ndarray | None = None) -> str:
    """How the loss went on inputs that it does not learn from, where this was measured."""
    if "held_out" not in control:
        return ""
    others = mean_loss(control, "held_out", use).mean(axis=0)
    return f" on its own inputs, from {np.median(others[:3]):.2g} to {np.median(others[-3:]):.2g} on others"


def by_heart(control: xr.Dataset) -> str:
    """What must be said of a control that finished on its own inputs and is near chance on others; else ""."""
    if "held_out" not in control:
        return ""
    own, others = (float(np.median(mean_loss(control, name).mean(axis=0)[-3:])) for name in ("loss", "held_out"))
    chance = float(np.median(mean_loss(control, "held_out").mean(axis=0)[:3]))
    if "chance_loss" in control:
        weight = control["weight"].values
        chance = float(np.nansum(weight * control["chance_loss"].values) / weight.sum())
    if not others > 0.5 * chance:
        return ""
    return (
        f"; but it learned its inputs by heart and not the subtasks (loss {own:.2g} on its own inputs, {others:.2g} on "
        f"others, chance {chance:.2g}): it shows how sharp linear learning with shared features is, and not that it learns "
        "what the run learns"
    )
