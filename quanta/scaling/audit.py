"""How far an exponent depends on what nobody asked about: the window, the law, how points are weighed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quanta._checks import check_choice, check_whole
from quanta._errors import InputError
from quanta.scaling._objective import OBJECTIVES
from quanta.scaling._points import arrange, check_usable
from quanta.scaling.base import AbstractScalingLaw
from quanta.scaling.fitting import Fit, fit
from quanta.scaling.power_law import PowerLaw

if TYPE_CHECKING:
    import xarray as xr

WEIGHTINGS = ("points", "log x")
_LAWS = {
    "free offset": PowerLaw(),
    "positive offset": PowerLaw(offset="positive"),
    "no offset": PowerLaw(offset="none"),
}


def audit(
    x: np.ndarray,
    y: np.ndarray,
    *,
    laws: Mapping[str, AbstractScalingLaw] | None = None,
    weightings: Sequence[str] = WEIGHTINGS,
    objectives: Sequence[str] = ("huber-log",),
    n_windows: int = 4,
) -> "xr.Dataset":
    """The exponent over fit windows, laws, weightings and objectives.

    Parameters
    ----------
    x : np.ndarray, shape (n,)
        What the loss depends on, above 0.
    y : np.ndarray, shape (n,)
        Losses above 0.
    laws : mapping, optional
        Names → laws of one variable, each with an exponent; by default power laws with an offset of either sign, with one of 0 or
        more, and without.
    weightings : sequence of str
        Of "points", where each counts once, and "log x", where each counts for the stretch of ln x that is its own.
    objectives : sequence of str
        As in :func:`~quanta.scaling.fit`.
    n_windows : int
        So many starts, in the first half of ln x, and as many ends, in the second.

    Returns
    -------
    xr.Dataset
        ``exponent`` (law, weighting, objective, start, end): nan where there are no more points than parameters; ``trusted``, whether
        the fit came to rest and away from all bounds. ``least``, ``median`` and ``greatest`` (law,) of what is trusted.

    Raises
    ------
    InputError
        As :func:`~quanta.scaling.fit`; or if a law has no exponent, or no window holds enough points.
    """
    import xarray as xr

    laws = dict(laws or _LAWS)
    for name, law in laws.items():
        if len(law.variables) != 1 or _exponent(law) is None:
            raise InputError(f"the law {name!r}, {law}, has no exponent of one variable; an audit is about one.")
    for names, known, what in ((weightings, WEIGHTINGS, "weighting"), (objectives, OBJECTIVES, "objective")):
        for name in names:
            check_choice(what, name, known)
    check_whole("n_windows", n_windows)
    first = next(iter(laws.values()))
    points = arrange(first, x, y, None)
    check_usable(first, points, np.ones(points.weights.size, dtype=bool))
    x, y = points.x[0], points.y
    low, high = np.log(x.min()), np.log(x.max())
    middle = (low + high) / 2
    start = np.exp(np.linspace(low, middle, n_windows, endpoint=False))
    end = np.exp(np.linspace(high, middle, n_windows, endpoint=False)[::-1])
    shape = (len(laws), len(weightings), len(objectives), n_windows, n_windows)
    exponent, trusted = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for i, law in enumerate(laws.values()):
        for j, k, a, b in np.ndindex(*shape[1:]):
            window = (float(start[a]) * (1 - 1e-9), float(end[b]) * (1 + 1e-9))
            found = _fitted(law, x, y, weightings[j], objectives[k], window)
            if found is not None:
                exponent[i, j, k, a, b] = found.estimate[str(_exponent(law))]
                trusted[i, j, k, a, b] = found.converged and not found.at_bound
    if np.isnan(exponent).all():
        raise InputError(
            f"{x.size} points over {(high - low) / np.log(10):.1f} decades: no window holds enough of them."
        )
    dims = ("law", "weighting", "objective", "start", "end")
    ds = xr.Dataset(
        {"exponent": (dims, exponent), "trusted": (dims, trusted)},
        {"law": list(laws), "weighting": list(weightings), "objective": list(objectives), "start": start, "end": end},
    )
    of_law = ds["exponent"].where(ds["trusted"])
    others = dims[1:]
    return ds.assign(least=of_law.min(others), greatest=of_law.max(others), median=of_law.median(others))


def _exponent(law: AbstractScalingLaw) -> str | None:
    """Name of the first exponent of a law."""
    return next((parameter.name for parameter in law.parameters if parameter.exponent), None)


def _fitted(
    law: AbstractScalingLaw, x: np.ndarray, y: np.ndarray, weighting: str, objective: str, window: tuple[float, float]
) -> Fit | None:
    """A fit without intervals; None where there are no more points than parameters."""
    inside = (x >= window[0]) & (x <= window[1])
    if inside.sum() <= len(law.parameters):
        return None
    weights = None
    if weighting == "log x":
        weights = np.zeros_like(x)
        weights[inside] = _stretch(np.log(x[inside]))
    return fit(law, x, y, weights=weights, objective=objective, window=window, bootstrap=None)  # type: ignore[arg-type]


def _stretch(at: np.ndarray) -> np.ndarray:
    """Half the way from each to its neighbours on either side, in any order; 1 on average."""
    order = np.argsort(at)
    edges = np.concatenate([at[order][:1], (at[order][1:] + at[order][:-1]) / 2, at[order][-1:]])
    found = np.empty_like(at)
    found[order] = np.diff(edges)
    return found / found.mean()
