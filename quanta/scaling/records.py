"""From a run record to an exponent: the mean loss along steps, widths or data, and how sure it is for subtasks drawn anew."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from quanta._checks import check_choice, check_whole
from quanta._errors import InputError
from quanta.scaling.base import AbstractScalingLaw
from quanta.scaling.fitting import Fit, Window, fit
from quanta.scaling.timing import timing

if TYPE_CHECKING:
    import xarray as xr

_BOOTSTRAPS = ("subtasks", "seeds", "points")
_REACH = 5  # ranks: whose curve a subtask may be given
_FINE = 4  # points of a grid in ln x for each checkpoint


class Curve(NamedTuple):
    """Losses of a record, as a law sees them."""

    x: np.ndarray
    """(n_variables, n)."""
    y: np.ndarray
    """(n_seeds, n); one seed where the record has no such dim."""
    again: np.ndarray | None
    """(n_bootstrap, n) with subtasks drawn anew, if asked for."""


def fit_record(
    law: AbstractScalingLaw,
    record: "xr.Dataset",
    *,
    along: str | Sequence[str] = "step",
    bootstrap: Literal["subtasks", "seeds", "points"] | None = "subtasks",
    n_bootstrap: int = 200,
    window: Window | None = None,
    seed: int = 0,
    **how: Any,
) -> Fit:
    """Fit a law to the mean loss of a record.

    Parameters
    ----------
    law : AbstractScalingLaw
        Which.
    record : xr.Dataset
        With ``loss``; a dim ``seed`` is averaged over.
    along : str or sequence of str
        What the law's variables are, in their order: a clock (step, examples, tokens, compute) or a leading dim with numbers
        for coordinates, such as width. Without a clock the loss counts where it is lowest in training (early stopping).
    bootstrap : {"subtasks", "seeds", "points"}, optional
        What is drawn anew for the intervals; :func:`curve` says how subtasks are.
    n_bootstrap, window, seed, **how
        As in :func:`~quanta.scaling.fit`; a window of several variables goes by the law's names.

    Returns
    -------
    Fit
        See there.

    Raises
    ------
    InputError
        If the record has no such clock or dim, or a dim that is not asked for.
    """
    if bootstrap is not None:
        check_choice("bootstrap", bootstrap, _BOOTSTRAPS)
    names = (along,) if isinstance(along, str) else tuple(along)
    if len(names) != len(law.variables):
        raise InputError(
            f"along is {', '.join(names)}; expected {len(law.variables)} for the {', '.join(law.variables)} of {law}."
        )
    found = curve(record, names, n_bootstrap=n_bootstrap if bootstrap == "subtasks" else 0, seed=seed)
    if bootstrap == "subtasks":
        how |= {"bootstrap": found.again, "resampled": "subtasks"}
    else:
        how |= {"bootstrap": bootstrap, "n_bootstrap": n_bootstrap}
    return fit(law, found.x, found.y, window=window, seed=seed, **how)


def curve(record: "xr.Dataset", along: Sequence[str], *, n_bootstrap: int = 0, seed: int = 0) -> Curve:
    """Mean losses of a record, and what they might have been.

    Parameters
    ----------
    record : xr.Dataset
        As :func:`fit_record` takes it.
    along : sequence of str
        Clocks or dims.
    n_bootstrap : int
        How many times subtasks are drawn anew: each keeps its frequency and its weight, and gets the curve of one of the few that are
        next to it in frequency, itself among them, with time stretched by (p_j / p_k)^γ along a clock. So the law by which frequencies
        fall is kept, and what differs is how subtasks of a frequency scatter. γ is of :func:`timing`, or 1.
    seed : int
        Of the draws.
    """
    clocks = [name for name in along if name not in record.dims or name == "step"]
    for name in clocks:
        if name not in record or record[name].dims != ("step",):
            raise InputError(
                f"the record has no {name}; expected a clock or a dim of it: {', '.join(_possible(record))}."
            )
    others = [str(dim) for dim in record["loss"].dims if dim not in (*along, "seed", "subtask", "step")]
    if others:
        raise InputError(f"the record has a dim {others[0]}; choose one with .sel({others[0]}=…), or fit along it.")
    dims = [name for name in along if name not in clocks]
    loss = record["loss"].transpose(..., *dims, "subtask", "step")
    loss = loss if "seed" in loss.dims else loss.expand_dims("seed")
    values, weight = loss.values.astype(np.float64), np.asarray(record["weight"].values, dtype=np.float64)
    usable = np.logical_and.reduce([record[name].values > 0 for name in clocks]) if clocks else slice(None)
    columns = {name: record[name].values.astype(np.float64)[usable] for name in clocks}
    columns |= {name: record[name].values.astype(np.float64) for name in dims}
    shape = [len(columns[name]) for name in dims] + ([len(columns[clocks[0]])] if clocks else [])
    rows = [columns[name].reshape([-1 if dim == (name if name in dims else "step") else 1 for dim in (*dims, *(["step"] if clocks else []))])
            for name in along]  # fmt: skip
    x = np.stack([np.broadcast_to(row, shape).ravel() for row in rows])

    def mean(of: np.ndarray) -> np.ndarray:
        total = np.einsum("...ks,k->...s", of, weight)
        total = total[..., usable] if clocks else total.min(axis=-1)
        return total.reshape(len(of), -1)

    again = None
    if n_bootstrap:
        check_whole("n_bootstrap", n_bootstrap)
        drawn = _drawn(record, values, bool(clocks), np.random.default_rng(seed))
        again = np.stack([mean(next(drawn)).mean(axis=0) for _ in range(n_bootstrap)])
    return Curve(x, mean(values), again)


def _possible(record: "xr.Dataset") -> list[str]:
    """Along what a record could be fitted."""
    clocks = [str(name) for name in record.variables if record[name].dims == ("step",)]
    return clocks + [str(dim) for dim in record["loss"].dims if dim not in ("seed", "subtask", "step")]


def _drawn(record: "xr.Dataset", values: np.ndarray, clocked: bool, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Curves with subtasks drawn anew, (n_seeds, …, n_subtasks, n_steps), without end."""
    n = values.shape[-2]
    if "frequency" not in record or not np.all(np.isfinite(record["frequency"].values)):
        raise InputError("the record has no frequencies, so that subtasks cannot be drawn anew; draw seeds or points.")
    p = np.asarray(record["frequency"].values, dtype=np.float64)
    order = np.argsort(-p, kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    gamma = _gamma(record) if clocked else 0.0
    step = np.log(np.maximum(record["step"].values.astype(np.float64), 0.5))
    while True:
        near = place + rng.integers(-_REACH, _REACH + 1, size=n)
        donor = order[
            np.where(near < 0, -near, np.where(near >= n, 2 * (n - 1) - near, near)) % n
        ]  # mirrored at the ends
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.nan_to_num(gamma * np.log(p / p[donor]), posinf=0.0, neginf=0.0)
        yield _shifted(values[..., donor, :], step, shift)


def _gamma(record: "xr.Dataset") -> float:
    """How onsets grow as frequencies fall: as measured, or 1."""
    try:
        found = timing(record, left=0.5)
    except InputError:
        return 1.0
    return found.exponent if np.isfinite(found.exponent) else 1.0


def _shifted(values: np.ndarray, at: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Curves at ``at + shift`` (n_subtasks,), straight between points and constant beyond, the same shape."""
    if not shift.any():
        return values
    fine = np.linspace(at[0], at[-1], _FINE * at.size)
    place = np.clip(np.searchsorted(at, fine) - 1, 0, at.size - 2)
    share = (fine - at[place]) / (at[place + 1] - at[place])
    even = values[..., place] * (1 - share) + values[..., place + 1] * share
    where = np.clip((at + shift[:, None] - at[0]) / (fine[1] - fine[0]), 0, fine.size - 1)  # (n_subtasks, n_steps)
    low = np.minimum(where.astype(np.int64), fine.size - 2)
    share = where - low
    low = np.broadcast_to(low, values.shape)
    return np.take_along_axis(even, low, axis=-1) * (1 - share) + np.take_along_axis(even, low + 1, axis=-1) * share
