"""Figures of a plan and of a discovery; they belong to :mod:`quanta.plot`, which shows them."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from quanta import plot

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
    figure, (left, right) = plot._figure(str(result.attrs["sentence"]), panels=2)
    knots = result["knot_onset"].values
    counts = result["knot_sharp"].values
    share = counts / counts.sum(axis=0)
    colours = [_STATUS[str(word)][1] for word in result["status_word"].values]
    names = [_STATUS[str(word)][0] for word in result["status_word"].values]
    left.stackplot(knots, share, colors=colours, labels=names, lw=0)
    onset = result["onset"].values
    inside = onset[(onset >= knots[0]) & (onset <= knots[-1])]
    left.plot(inside, np.full(inside.size, 1.03), "|", color=plot._INK, ms=7, mew=0.8, clip_on=False)
    left.set_xscale("log")
    left.set_xlim(knots[0], knots[-1])
    left.set_ylim(0, 1.06)
    for edge in result["step"].values[[1, -1]]:
        left.axvline(edge, color=plot._INK, lw=1, ls=":")
    seen = share.max(axis=1) > 0
    handles = [patch for patch, kept in zip(left.collections, seen, strict=False) if kept]
    left.legend(handles=handles, fontsize=9, loc="lower center", framealpha=0.92, edgecolor="none")
    plot._label(left, "onset (step); dotted: first and last checkpoint", "",
                "outcome for a sharp subtask; ticks: this run's")  # fmt: skip
    _power_by_rank(right, result)
    return figure


def _power_by_rank(axes: plot.Axes, result: xr.Dataset) -> None:
    """Power of every subtask, coloured by its likeliest status."""
    order = np.argsort(-result["frequency"].values, kind="stable")
    rank = np.arange(1, order.size + 1)
    power, status = result["power"].values[order], result["status"].values[order]
    axes.plot(rank, power, color=plot._PALE, lw=1.5, zorder=1)
    for word in result["status_word"].values:
        here = status == word
        name, colour = _STATUS[str(word)]
        if here.any():
            axes.scatter(
                rank[here], power[here], s=18, color=colour, edgecolor=plot._GREY, lw=0.3, label=f"{name}: {here.sum()}"
            )
    axes.axhline(0.8, color=plot._GREY, lw=1, ls=":")
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.06)
    axes.legend(frameon=False, fontsize=9, loc="best", title="likeliest outcome", title_fontsize=9)
    plot._label(axes, "rank of the subtask, most frequent first", "", "power: the chance that a sharp subtask is found")
