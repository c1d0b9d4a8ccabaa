"""Figures of a plan and of a discovery; they belong to :mod:`quanta.plot`, which shows them."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from quanta import _plot_style as style

_STATUS = {
    "sharp": ("tested: found sharp", "#21918c"),
    "smooth": ("tested: called smooth", "#b8de29"),
    "unresolved": ("unresolved", "#c9a9c9"),
    "incomplete": ("incomplete", "#bdbdbd"),
    "early": ("early", "#8f8f8f"),
    "never": ("no change seen", "#e4e4e4"),
}


def plan(result: xr.Dataset) -> Figure:
    """A planned run: what becomes of a subtask by its onset, and the power for each subtask; see :func:`plot.plan`."""
    figure, (left, right) = style.figure(str(result.attrs["sentence"]), panels=2)
    knots = result["knot_onset"].values
    counts = result["knot_sharp"].values
    share = counts / counts.sum(axis=0)
    colours = [_STATUS[str(word)][1] for word in result["status_word"].values]
    names = [_STATUS[str(word)][0] for word in result["status_word"].values]
    left.stackplot(knots, share, colors=colours, labels=names, lw=0)
    onset = result["onset"].values
    inside = onset[(onset >= knots[0]) & (onset <= knots[-1])]
    left.plot(inside, np.full(inside.size, 1.03), "|", color=style.INK, ms=7, mew=0.8, clip_on=False)
    left.set_xscale("log")
    left.set_xlim(knots[0], knots[-1])
    left.set_ylim(0, 1.06)
    for edge in result["step"].values[[1, -1]]:
        left.axvline(edge, color=style.INK, lw=1, ls=":")
    seen = share.max(axis=1) > 0
    handles = [patch for patch, kept in zip(left.collections, seen, strict=False) if kept]
    figure.legend(handles=handles, fontsize=9, loc="outside lower center", ncols=len(handles), frameon=False)
    style.label(left, "onset (step); dotted: first and last checkpoint", "",
                "outcome for a sharp subtask; ticks: this run's")  # fmt: skip
    _power_by_rank(right, result)
    return figure


def _power_by_rank(axes: Axes, result: xr.Dataset) -> None:
    """Power of every subtask, coloured by its likeliest status."""
    order = np.argsort(-result["frequency"].values, kind="stable")
    rank = np.arange(1, order.size + 1)
    power, status = result["power"].values[order], result["status"].values[order]
    axes.plot(rank, power, color=style.PALE, lw=1.5, zorder=1)
    for word in result["status_word"].values:
        here = status == word
        name, colour = _STATUS[str(word)]
        if here.any():
            axes.scatter(
                rank[here], power[here], s=18, color=colour, edgecolor=style.GREY, lw=0.3, label=f"{name}: {here.sum()}"
            )
    axes.axhline(0.8, color=style.GREY, lw=1, ls=":")
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.06)
    axes.legend(frameon=False, fontsize=9, loc="best", title="likeliest outcome", title_fontsize=9)
    style.label(axes, "rank of the subtask, most frequent first", "", "power: the chance that a sharp subtask is found")


_KINDS = {
    "cluster": ("groups of like curves", style.ACCENT, "o"),
    "random": ("random groups of the same sizes", style.GREY, "s"),
    "surrogate": ("noise alone, grouped alike", style.INK, "x"),
}


def discovery(result: xr.Dataset) -> Figure:
    """Unlabelled curves: when they change, and how sharp and stable their groups are; see :func:`plot.discovery`."""
    figure, (left, middle, right) = style.figure(str(result.attrs["sentence"]), panels=3, ratios=(5, 4, 3))
    time = result["time"].values
    left.fill_between(time, result["density_low"], result["density_high"], color=style.ACCENT, alpha=0.3, lw=0)
    left.plot(time, result["density"], color=style.ACCENT, lw=1.8)
    left.set_xscale("log")
    left.set_xlim(time[0], time[-1])
    left.set_ylim(0, None)
    n_sharp = int((result["status"] == "sharp").sum())
    title = f"density of {n_sharp:,} onsets, per nat"
    style.label(
        left,
        "training step",
        "",
        title if np.isfinite(result["density"]).any() else "too few sharp curves for a density",
    )
    if "n_groups" not in result.dims:
        for axes in (middle, right):
            axes.axis("off")
        return figure
    _sharpness_by_groups(middle, result)
    _stability_by_groups(right, result)
    return figure


def _sharpness_by_groups(axes: Axes, result: xr.Dataset) -> None:
    """Median S of groups of every kind, and of single curves at the right end."""
    k = result["n_groups"].values
    for kind, (name, colour, marker) in _KINDS.items():
        axes.plot(k, result["group_sharpness"].sel(kind=kind), marker, ls="-", lw=1, ms=6, color=colour, label=name)
    tested = np.isin(result["status"].values, ("sharp", "smooth"))
    if tested.any():
        low, middle, high = np.quantile(result["sharpness"].values[tested], [0.1, 0.5, 0.9])
        at = 3.0 * k.max()
        axes.errorbar([at], [middle], [[middle - low], [high - middle]], fmt="D", ms=5, color=style.PALE, ecolor=style.GREY,
                      mec=style.GREY, lw=1, label="single curves (10 to 90 %)")  # fmt: skip
    axes.axhline(1, color=style.INK, lw=1, ls=":")
    _count_axis(axes, k)
    axes.set_yscale("log")
    top = axes.get_ylim()[1]
    axes.set_ylim(min(0.4, axes.get_ylim()[0]), max(top, 3.0) ** 1.7)  # room for the legend
    axes.set_yticks([v for v in (0.5, 1, 2, 5, 10, 20, 50) if v <= max(top, 3.0)], minor=False)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    style.label(axes, "number of groups", "", "sharpness S of mean curves")


def _count_axis(axes: Axes, k: np.ndarray) -> None:
    """Numbers of groups, spaced as their logarithms, and each of them named."""
    axes.set_xscale("log")
    axes.set_xticks(k, [str(v) for v in k])
    axes.xaxis.set_minor_locator(NullLocator())


def _stability_by_groups(axes: Axes, result: xr.Dataset) -> None:
    """Agreement of the groups found on two halves, beside that of noise."""
    groups = result.isel(n_groups=result["n_groups"].values > 1)
    if "stability" in groups:
        for name, kind in (("stability", "cluster"), ("stability_surrogate", "surrogate")):
            label, colour, marker = _KINDS[kind]
            axes.plot(groups["n_groups"], groups[name], marker, ls="-", lw=1, ms=6, color=colour, label=label)
        _count_axis(axes, groups["n_groups"].values)
    axes.set_ylim(-0.05, 1.05)
    style.label(axes, "number of groups", "", "agreement of two halves")
