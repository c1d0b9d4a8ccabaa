"""Which law foretells what it has not seen; and what a joint law says of how to spend compute."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quanta._errors import InputError
from quanta.scaling._points import X, arranged
from quanta.scaling.base import AbstractScalingLaw
from quanta.scaling.fitting import Fit, ends_of, fit

if TYPE_CHECKING:
    import xarray as xr

_FAR, _CLOSE = 60.0, 1e-7  # nats either side of an even split: where the search for the best begins, and ends
_GRID = 60  # splits at a time


def compare(
    laws: Mapping[str, AbstractScalingLaw],
    x: X,
    y: np.ndarray,
    *,
    held_out: float | np.ndarray = 0.25,
    **how: Any,
) -> "xr.Dataset":
    """Fit laws to the smaller runs, and see which foretells the largest.

    Parameters
    ----------
    laws : mapping
        Names → laws, all of the same variables.
    x, y
        As in :func:`~quanta.scaling.fit`.
    held_out : float or np.ndarray of bool, shape (n,)
        The share of points that are left out of the fits, those with the greatest product of all variables; or which.
    **how
        As in :func:`~quanta.scaling.fit`; without ``bootstrap`` there are no intervals.

    Returns
    -------
    xr.Dataset
        By law: ``error_inside`` and ``error_outside``, root mean squares of the error of ln loss on the points fitted and on those held
        out, ``bias_outside``, its mean (above 0: the loss was foretold too high), ``aic``, ``bic``, ``converged``. The attr ``best`` names
        the law of the least ``error_outside``, ``best_inside`` that of the least AIC.

    Raises
    ------
    InputError
        As :func:`~quanta.scaling.fit`; or if nothing is held out, or laws have other variables.
    """
    import xarray as xr

    if not laws:
        raise InputError("there are no laws; expected one or more, by name.")
    first = next(iter(laws.values()))
    for name, law in laws.items():
        if law.variables != first.variables:
            raise InputError(
                f"the law {name!r} depends on {', '.join(law.variables)}, others on {', '.join(first.variables)}."
            )
    at, losses = arranged(first, x), np.atleast_2d(np.asarray(y, dtype=np.float64))
    outside = _held_out(at, held_out)
    rows, how = [], {"bootstrap": None} | how
    true = losses.mean(axis=0)
    for law in laws.values():
        found = fit(law, at[:, ~outside], losses[:, ~outside], **how)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.log(found.predict(at)) - np.log(true)
        inside, beyond = error[~outside], error[outside]
        rows.append([_rms(inside), _rms(beyond), float(beyond.mean()), found.aic, found.bic, found.converged])
    names = ("error_inside", "error_outside", "bias_outside", "aic", "bic", "converged")
    ds = xr.Dataset(
        {name: ("law", list(column)) for name, column in zip(names, zip(*rows, strict=True), strict=True)},
        {"law": list(laws)},
    )
    best = {"best": "error_outside", "best_inside": "aic"}
    return ds.assign_attrs(
        n_held_out=int(outside.sum()),
        **{word: str(ds["law"].values[int(np.argmin(ds[of].fillna(np.inf).values))]) for word, of in best.items()},
    )


def frontier(
    found: Fit, compute: np.ndarray, *, cost: float = 6.0, fixed: Mapping[str, float] | None = None
) -> "xr.Dataset":
    r"""The best split of a compute budget between two resources, C = cost · N · D.

    Parameters
    ----------
    found : Fit
        Of a law of two variables, or more of which ``fixed`` leaves two.
    compute : np.ndarray, shape (n,)
        Budgets above 0, in the units of ``cost``.
    cost : float
        Of a unit of one with a unit of the other: 6 floating-point operations for a parameter and a token (Kaplan et al. 2020).
    fixed : mapping, optional
        Values of the other variables.

    Returns
    -------
    xr.Dataset
        Over ``compute``: the two by name, and ``loss``; each with ``…_low`` and ``…_high`` if the fit has a bootstrap. The attrs
        ``exponent_…`` are the slopes of ln of each over ln compute.

    Raises
    ------
    InputError
        If there are not two left, or a budget is not above 0.
    """
    import xarray as xr

    fixed, budget = dict(fixed or {}), np.atleast_1d(np.asarray(compute, dtype=np.float64))
    free = [name for name in found.law.variables if name not in fixed]
    if len(free) != 2:
        raise InputError(
            f"{found.law} has {', '.join(free) or 'nothing'} to spend on; expected two. Give the others as fixed."
        )
    if not (np.all(np.isfinite(budget)) and np.all(budget > 0) and budget.size and cost > 0):
        raise InputError("budgets and cost must be finite numbers above 0.")
    values = np.vstack([np.array([*found.estimate.values()]), found.replicates])  # the estimate first
    split = _splits(found.law, values, budget / cost, free, fixed)
    data = {name: ("compute", row) for name, row in zip((*free, "loss"), split[:, 0], strict=True)}
    if len(found.replicates):
        low, high = np.quantile(split[:, 1:], ends_of(found.confidence), axis=1)
        for i, name in enumerate((*free, "loss")):
            data |= {f"{name}_low": ("compute", low[i]), f"{name}_high": ("compute", high[i])}
    attrs = {}
    if budget.size > 1:
        slopes = np.polyfit(np.log(budget), np.log(split[:2, 0]).T, 1)[0]
        attrs = {f"exponent_{name}": float(slope) for name, slope in zip(free, slopes, strict=True)}
    return xr.Dataset(data, {"compute": budget}, attrs)


def _splits(
    law: AbstractScalingLaw, values: np.ndarray, products: np.ndarray, free: list[str], fixed: dict[str, float]
) -> np.ndarray:
    """Of sets of parameters (n_sets, n_parameters) and products of the two (n,): the best of either, and the loss, (3, n_sets, n)."""
    columns, root = values.T[:, :, None, None], np.sqrt(products)[:, None]

    def loss(log_ratio: np.ndarray) -> np.ndarray:
        """Of splits that broadcast with (n_sets, n, n_splits)."""
        given = {free[0]: root * np.exp(log_ratio), free[1]: root * np.exp(-log_ratio)} | fixed
        return law.loss(columns, np.stack(np.broadcast_arrays(*(given[name] for name in law.variables))))

    middle, width = np.zeros((len(values), products.size, 1)), _FAR
    while width > _CLOSE:
        grid = middle + np.linspace(-width, width, _GRID)
        middle = np.take_along_axis(grid, np.nanargmin(loss(grid), axis=-1)[..., None], axis=-1)
        width *= 3 / _GRID
    return np.stack([root * np.exp(middle), root * np.exp(-middle), loss(middle)])[..., 0]


def _held_out(x: np.ndarray, held_out: float | np.ndarray) -> np.ndarray:
    """Which points are, (n,)."""
    n = x.shape[1]
    if isinstance(held_out, np.ndarray):
        mask = held_out.astype(bool)
        if mask.shape != (n,):
            raise InputError(f"held_out has shape {mask.shape}; expected ({n},), as many as points.")
    else:
        if not 0 < held_out < 1:
            raise InputError(f"held_out is {held_out}; expected a share between 0 and 1.")
        mask = np.zeros(n, dtype=bool)
        mask[np.argsort(np.log(x).sum(axis=0), kind="stable")[n - max(1, round(held_out * n)) :]] = True
    if mask.all() or not mask.any():
        raise InputError(f"{int(mask.sum())} of {n} points are held out; expected some, and some to fit.")
    return mask


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))
