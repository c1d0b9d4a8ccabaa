"""From a run record to an exponent: the mean loss along steps, widths or data, and how sure it is for subtasks drawn anew."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quanta._checks import check_choice, check_whole
from quanta._errors import InputError
from quanta.scaling._points import Window
from quanta.scaling._subtasks import drawn_subtasks
from quanta.scaling.base import AbstractScalingLaw
from quanta.scaling.fitting import Fit, fit

if TYPE_CHECKING:
    import xarray as xr

_BOOTSTRAPS = ("subtasks", "seeds", "points")


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
        What is drawn anew for the intervals. Of subtasks each keeps its frequency and its weight, and gets the curve of one of the few
        next to it in frequency, along a clock at the time that the frequency asks for.
    n_bootstrap, window, seed, **how
        As in :func:`~quanta.scaling.fit`; a window of several variables goes by the law's names.

    Returns
    -------
    Fit
        See there.

    Raises
    ------
    InputError
        As :func:`~quanta.scaling.fit`; or if the record has no such clock or dim, or a dim that is not asked for.
    """
    names = (along,) if isinstance(along, str) else tuple(along)
    if len(names) != len(law.variables):
        raise InputError(
            f"along is {', '.join(names)}; expected {len(law.variables)}, for the {', '.join(law.variables)} of {law}."
        )
    curve = _Curve(record, names)
    how |= {"window": window, "seed": seed, "n_bootstrap": n_bootstrap}
    if bootstrap is None:
        return fit(law, curve.x, curve.losses(), bootstrap=None, **how)
    check_choice("bootstrap", bootstrap, _BOOTSTRAPS)
    if bootstrap != "subtasks":
        return fit(law, curve.x, curve.losses(), bootstrap=bootstrap, **how)
    check_whole("n_bootstrap", n_bootstrap)
    again = curve.drawn_anew(n_bootstrap, np.random.default_rng(seed))
    return dataclasses.replace(fit(law, curve.x, curve.losses(), bootstrap=again, **how), resampled="subtasks")


class _Curve:
    """The mean loss of a record as a function of what it is fitted along."""

    def __init__(self, record: "xr.Dataset", along: tuple[str, ...]) -> None:
        import xarray as xr

        _check(record, along)
        self.record, self.clocked = record, any(record[name].dims == ("step",) for name in along)
        dims = [name for name in along if name in record.dims and name != "step"]
        loss = record["loss"] if "seed" in record["loss"].dims else record["loss"].expand_dims("seed")
        self.loss = loss.transpose("seed", *dims, "subtask", "step").values.astype(np.float64)
        self.weight = np.asarray(record["weight"].values, dtype=np.float64)
        rows = xr.broadcast(*(record[name].astype(np.float64) for name in along))
        points = np.stack([row.transpose(*dims, *(["step"] if self.clocked else [])).values.ravel() for row in rows])
        self.begun = (points > 0).all(axis=0)  # at step 0 there is no power of it
        self.x = points[:, self.begun]

    def losses(self, loss: np.ndarray | None = None) -> np.ndarray:
        """Mean over subtasks, (n_seeds, n), of its own or of other losses of the same shape."""
        mean = np.einsum("...ks,k->...s", self.loss if loss is None else loss, self.weight)
        return (mean if self.clocked else mean.min(axis=-1)).reshape(len(mean), -1)[:, self.begun]

    def drawn_anew(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Means over seeds too, with subtasks drawn anew, (n, n_points)."""
        drawn = drawn_subtasks(self.record, self.loss, clocked=self.clocked, rng=rng)
        return np.stack([self.losses(next(drawn)).mean(axis=0) for _ in range(n)])


def _check(record: "xr.Dataset", along: tuple[str, ...]) -> None:
    """Refuse a record without loss, or what it cannot be fitted along."""
    if "loss" not in record:
        raise InputError("the record has no loss; expected one. Of another measure give x and y to quanta.scaling.fit.")
    dims = [str(dim) for dim in record["loss"].dims if dim not in ("seed", "subtask", "step")]
    clocks = [str(name) for name in record.variables if record[name].dims == ("step",)]
    for name in along:
        if name not in (*clocks, *dims):
            raise InputError(f"the record has no {name}; expected a clock or a dim: {', '.join((*clocks, *dims))}.")
    others = [dim for dim in dims if dim not in along]
    if others:
        raise InputError(f"the record has a dim {others[0]}; choose one with .sel({others[0]}=…), or fit along it.")
