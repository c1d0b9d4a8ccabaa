"""Figures of scaling laws: a fit with its errors, and an exponent over all that might have been chosen otherwise."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from quanta import _plot_style as style

if TYPE_CHECKING:
    from quanta.scaling import Fit

_FINE = 300  # points of a curve
_BEYOND = 8.0  # times what was fitted: so far around it is shown
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))
_MARKERS = ("o", "s", "D")


def scaling(fits: "Mapping[str, Fit]", x: np.ndarray, y: np.ndarray) -> Figure:
    """Losses with fits of laws of one variable to them, and what each is wrong by."""
    figure, (left, right) = style.figure("", panels=2)
    inks = mpl.colormaps["viridis"](np.linspace(0, 0.75, len(fits))) if len(fits) > 1 else [style.ACCENT]
    (low, high), *_ = next(iter(fits.values())).window.values()
    shown = (x >= low / _BEYOND) & (x <= high * _BEYOND)
    x, y = x[shown], y[shown]
    at = np.geomspace(x.min(), x.max(), _FINE)
    left.plot(x, y, ".", color=style.GREY, ms=5, label="given")
    for (name, found), ink, dash in zip(fits.items(), inks, itertools.cycle(_DASHES), strict=False):
        left.fill_between(at, *found.band(at), color=ink, alpha=0.2, lw=0)
        left.plot(at, found.predict(at), color=ink, lw=1.8, ls=dash, label=name)
        with np.errstate(invalid="ignore", divide="ignore"):
            right.plot(x, np.log(found.predict(x) / y), color=ink, lw=1.4, ls=dash, label=name)
    for axes in (left, right):
        axes.set_xscale("log")
        for end in (low, high):
            axes.axvline(end, color=style.GREY, lw=0.8, ls=":")
    left.set_yscale("log")
    fitted = y[(x >= low) & (x <= high)]
    left.set_ylim(max(0.5 * y.min(), fitted.min() / _BEYOND), 1.4 * y.max())
    if left.get_ylim()[1] < 100 * left.get_ylim()[0]:  # powers of ten alone would be too few
        left.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        for which in (left.yaxis.set_major_formatter, left.yaxis.set_minor_formatter):
            which("{x:g}")
    right.axhline(0, color=style.INK, lw=0.8)
    inside = np.concatenate([found.errors for found in fits.values()])
    reach = 1.5 * float(np.abs(inside).max()) or 1.0
    right.set_ylim(-reach, reach)
    left.legend(frameon=False, fontsize=9, loc="lower left")
    style.label(left, "x", "", "loss; fitted between the dotted lines")
    style.label(right, "x", "", "error of ln loss, fitted less given")
    return figure


def audit(result: xr.Dataset) -> Figure:
    """A panel for each law: the exponent over where the window begins, coloured by where it ends."""
    figure, panels = style.figure("The exponent, had one chosen otherwise", panels=result.sizes["law"])
    for axes, law in zip(panels, result["law"].values, strict=True):
        _law(axes, result.sel(law=law))
        median, least, greatest = (float(result[name].sel(law=law)) for name in ("median", "least", "greatest"))
        said = f"{median:.3g} ({least:.3g} to {greatest:.3g})" if np.isfinite(median) else "never trusted"
        style.label(axes, "window begins at x", "exponent" if axes is panels[0] else "", f"{law}: {said}")
        axes.sharey(panels[0])
    trusted = result["exponent"].where(result["trusted"]).values
    shown = trusted[np.isfinite(trusted)]
    if shown.size:
        room = 0.1 * max(float(np.ptp(shown)), 0.1 * float(shown.max()))
        panels[0].set_ylim(shown.min() - room, shown.max() + room)
    _legend(figure, panels[0], result)
    return figure


def _law(axes: Axes, result: xr.Dataset) -> None:
    """Lines over starts, one for each end, weighting and objective; hollow where the fit is not trusted."""
    inks = mpl.colormaps["viridis"](np.linspace(0, 0.9, result.sizes["end"]))
    for i, objective in enumerate(result["objective"].values):
        for j, weighting in enumerate(result["weighting"].values):
            for k, ink in enumerate(inks):
                line = result.sel(objective=objective, weighting=weighting).isel(end=k)
                value, trusted = line["exponent"].values, line["trusted"].values
                axes.plot(line["start"], value, color=ink, lw=1, ls=_DASHES[j % 3])
                axes.plot(line["start"], value, _MARKERS[i % 3], color=ink, mfc="white", ms=4)
                axes.plot(line["start"], np.where(trusted, value, np.nan), _MARKERS[i % 3], color=ink, ms=4)
    axes.set_xscale("log")
    axes.set_xticks(result["start"].values, [_short(start) for start in result["start"].values])
    axes.xaxis.set_minor_locator(NullLocator())


def _short(value: float) -> str:
    """Two digits, and a power of ten if it is far from 1: 1.4e3."""
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}e{int(power)}" if abs(int(power)) > 2 else f"{float(f'{value:.2g}'):g}"


def _legend(figure: Figure, axes: Axes, result: xr.Dataset) -> None:
    """What colours, dashes, markers and hollow ones are."""
    inks = mpl.colormaps["viridis"](np.linspace(0, 0.9, result.sizes["end"]))
    for ink, end in zip(inks, result["end"].values, strict=True):
        axes.plot([], [], color=ink, lw=3, label=f"ends at {_short(end)}")
    if result.sizes["weighting"] > 1:
        for dash, weighting in zip(_DASHES, result["weighting"].values, strict=False):
            axes.plot([], [], color=style.INK, lw=1, ls=dash, label=f"weighed by {weighting}")
    if result.sizes["objective"] > 1:
        for marker, objective in zip(_MARKERS, result["objective"].values, strict=False):
            axes.plot([], [], marker, color=style.INK, ms=4, label=str(objective))
    axes.plot([], [], "o", color=style.INK, mfc="white", ms=4, label="not trusted")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
