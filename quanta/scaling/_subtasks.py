"""Subtasks drawn anew: what the curves of a record might have been."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from quanta._errors import InputError
from quanta.scaling.timing import timing

if TYPE_CHECKING:
    import xarray as xr

_REACH = 5  # ranks: whose curve a subtask may be given
_FINE = 4  # points of a grid in ln step for each checkpoint


def drawn_subtasks(
    record: "xr.Dataset", loss: np.ndarray, *, clocked: bool, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Curves with subtasks drawn anew, without end.

    Each subtask keeps its frequency and its weight, and gets the curve of one of the few next to it in frequency, itself among them, with
    time stretched by (p_j / p_k)^γ. So the law by which frequencies fall is kept, and what differs is how subtasks scatter about it.

    Parameters
    ----------
    record : xr.Dataset
        With ``frequency`` and ``step``; γ is that of :func:`~quanta.scaling.timing`, or 1 where there is none.
    loss : np.ndarray, shape (..., n_subtasks, n_steps)
        Its losses.
    clocked : bool
        Whether time is stretched.
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
    order, gamma = np.argsort(-p, kind="stable"), _gamma(record) if clocked else 0.0
    rank, last = np.argsort(order), p.size - 1
    reach = min(_REACH, last)
    at = np.log(np.maximum(record["step"].values.astype(np.float64), 0.5))
    while True:
        near = np.abs(rank + rng.integers(-reach, reach + 1, size=p.size))
        donor = order[np.where(near > last, 2 * last - near, near)]  # mirrored at both ends
        with np.errstate(divide="ignore", invalid="ignore"):
            later = np.nan_to_num(gamma * np.log(p / p[donor]), posinf=0.0, neginf=0.0)
        yield _shifted(loss[..., donor, :], at, later) if later.any() else loss[..., donor, :]


def _gamma(record: "xr.Dataset") -> float:
    """How onsets grow as frequencies fall: as measured, or 1."""
    try:
        found = timing(record, left=0.5)
    except InputError:
        return 1.0
    return found.exponent if np.isfinite(found.exponent) else 1.0


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
