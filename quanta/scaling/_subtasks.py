"""Subtasks drawn anew: what the curves of a record might have been."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from quanta._errors import InputError
from quanta.scaling import _censored as censored
from quanta.scaling.timing import between

if TYPE_CHECKING:
    import xarray as xr

_REACH = 5  # ranks: whose curve a subtask may be given
_FEW = 8  # onsets, to tell when others are due
_FINE = 4  # points of a grid in ln step for each checkpoint


def drawn_subtasks(
    record: "xr.Dataset", loss: np.ndarray, *, clocked: bool, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Curves with subtasks drawn anew, without end.

    Each subtask keeps its frequency and its weight, and gets the curve of one of the few next to it in frequency, itself among them, as
    early or late as that one was for its own frequency. So what is learned when is kept, and what differs is how subtasks scatter about it.

    Parameters
    ----------
    record : xr.Dataset
        With ``frequency`` and ``step``. When a subtask is due is told by the onsets of all, the unlearned counted; without
        ``chance_loss``, or of a few, by 1/p.
    loss : np.ndarray, shape (..., n_subtasks, n_steps)
        Its losses.
    clocked : bool
        Whether curves are moved along steps.
    rng : np.random.Generator
        Of the draws.

    Yields
    ------
    np.ndarray, shape (..., n_subtasks, n_steps)

    Raises
    ------
    InputError
        If a frequency is not known.
    """
    if "frequency" not in record or not np.all(np.isfinite(record["frequency"].values)):
        raise InputError("the record has no frequencies, so that subtasks cannot be drawn anew; draw seeds or points.")
    p = np.asarray(record["frequency"].values, dtype=np.float64)
    order = np.argsort(-p, kind="stable")
    rank, last = np.argsort(order), p.size - 1
    reach = min(_REACH, last)
    due = _due(record, p) if clocked else np.zeros(p.size)
    at = np.log(np.maximum(record["step"].values.astype(np.float64), 0.5))
    while True:
        near = np.abs(rank + rng.integers(-reach, reach + 1, size=p.size))
        donor = order[np.where(near > last, 2 * last - near, near)]  # mirrored at both ends
        earlier = due[donor] - due
        yield _shifted(loss[..., donor, :], at, earlier) if earlier.any() else loss[..., donor, :]


def _due(record: "xr.Dataset", p: np.ndarray) -> np.ndarray:
    """When subtasks of these frequencies are learned, (n_subtasks,): a parabola of ln onset over ln p, or 1/p."""
    x = np.log(np.where(p > 0, p, p[p > 0].min()))
    if "chance_loss" not in record:
        return -x
    loss = record["loss"].transpose(..., "subtask", "step").values
    chance = np.broadcast_to(record["chance_loss"].values, loss.shape[:-1])
    after, by = between(record["step"].values, loss < 0.5 * chance[..., None])
    every = np.broadcast_to(x, by.shape)
    seen = np.isfinite(by) & (by > 0)
    if seen.sum() < _FEW or np.unique(every[seen]).size < _FEW:
        return -x
    middle = every[seen].mean()
    columns, own = (np.stack([np.ones_like(of), of - middle, (of - middle) ** 2], axis=1) for of in (every.ravel(), x))
    later = by.ravel() > 0  # what is learned at step 0 has no onset
    with np.errstate(divide="ignore"):
        data = censored.Data(np.log(after.ravel()[later]), np.log(by.ravel()[later]))
    return own @ censored.fit(columns[later], data).slopes


def _shifted(values: np.ndarray, at: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Curves at ``at + shift`` (n_subtasks,), straight between points and constant beyond, the same shape."""
    even = np.linspace(at[0], at[-1], _FINE * at.size)
    low = np.clip(np.searchsorted(at, even) - 1, 0, at.size - 2)
    share = (even - at[low]) / (at[low + 1] - at[low])
    fine = values[..., low] * (1 - share) + values[..., low + 1] * share
    where = np.clip((at + shift[:, None] - at[0]) / (even[1] - even[0]), 0, even.size - 1)  # (n_subtasks, n_steps)
    low = np.minimum(where.astype(np.int64), even.size - 2)
    share, low = where - low, np.broadcast_to(low, values.shape)
    return np.take_along_axis(fine, low, axis=-1) * (1 - share) + np.take_along_axis(fine, low + 1, axis=-1) * share
