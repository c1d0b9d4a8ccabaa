"""Figures of a run at other granularities, over its seeds, and as a spectrum; :mod:`quanta.plot` shows them."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quanta import _plot_style as style

_SHARP, _OPEN, _SMOOTH = "#21918c", "#d3d3d3", "#b8de29"
_NUMBERED = 50  # rows, at most, that have room for a number each


def granularity(levels: xr.Dataset, deciles: xr.Dataset | None = None) -> Figure:
    """The share that is sharp at every level, beside shuffled labels, and its bounds by decile of frequency."""
    title = "How much is sharp depends on the partition: what is smooth of groups is said of that partition only"
    figure, axes = style.figure(title, panels=1 if deciles is None else 2)
    left = axes[0]
    y = -np.arange(levels.sizes["level"], dtype=float)
    known = levels["n_tested"].values > 0
    value, low, high = (levels[f"fraction_sharp{end}"].values for end in ("", "_low", "_high"))
    left.hlines(y[known], low[known], high[known], color=style.ACCENT, lw=1.5)
    left.plot(value[known], y[known], "o", color=style.ACCENT, ms=7, label="as labelled, with 95 % interval")
    shuffled = levels["shuffled_fraction_sharp"].values
    left.plot(shuffled, y, "x", color=style.GREY, ms=8, mew=1.6, label="labels shuffled")
    names = {"subtask": "each subtask", "whole": "the whole"}
    sizes = levels["n_subtasks"].values.astype(int)
    left.set_yticks(
        y, [f"{names.get(str(n), str(n))} ({k})" for n, k in zip(levels["level"].values, sizes, strict=True)]
    )
    left.set_ylim(y[-1] - 0.6, 0.6)
    left.set_xlim(-0.03, 1.03)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)
    style.label(left, "share of the tested that is sharp", "", "by granularity (number of subtasks)")
    if deciles is not None:
        _deciles(axes[1], deciles)
    return figure


def _deciles(axes: Axes, parts: xr.Dataset) -> None:
    """What is sharp, what could be, and what is smooth, of the fall of each decile."""
    x = parts["decile"].values
    low, high = (np.nan_to_num(parts[f"sharp_weight_{end}"].values) for end in ("low", "high"))
    whole = np.where(np.isfinite(parts["sharp_weight_low"]), 1.0, 0.0)
    axes.bar(x, low, color=_SHARP, width=0.8, label="sharp")
    axes.bar(x, high - low, bottom=low, color=_OPEN, width=0.8, label="cannot tell")
    axes.bar(x, whole - high, bottom=high, color=_SMOOTH, width=0.8, label="smooth")
    axes.set_xticks(x)
    axes.set_ylim(0, 1)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=9)
    style.label(axes, "decile of frequency (1: the most frequent)", "", "share of the fall of the loss in each decile")


def kinds(
    step: np.ndarray, share: np.ndarray, name: str, status: np.ndarray, labels: np.ndarray, table: xr.Dataset
) -> Figure:
    """The curves (n_subtasks, n_steps) of each kind in a panel of its own, coloured by what was found of each."""
    title = f"Each kind of subtask by itself: the {name} as a share of its start, and the verdict"
    figure, panels = style.figure(title, panels=table.sizes["kind"])
    inks = {"sharp": _SHARP, "smooth": style.ACCENT}
    for axes, kind in zip(panels, table["kind"].values, strict=True):
        for k in np.flatnonzero(labels == kind):
            axes.plot(step, share[k], color=inks.get(status[k], style.GREY), lw=1.1, alpha=0.85)
        style.log_axes(axes, step, None)
        style.label(axes, "training step", "", f"{kind}:\n{table['verdict'].sel(kind=kind).item()}")
        axes.sharey(panels[0])
    style.heights(panels[0], -0.03, 1.0, max(1.08, float(np.nanmax(share))))
    for name, ink in {**inks, "other": style.GREY}.items():
        panels[0].plot([], [], color=ink, label=name)
    panels[0].legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def seeds(result: xr.Dataset) -> Figure:
    """The onset of every subtask in every seed, the earliest subtask on top; in colour those of two modes."""
    figure, (axes,) = style.figure(str(result.attrs["sentence"]), panels=1)
    onsets = result["onset"].transpose(..., "subtask").values
    order = np.argsort(result["onset_median"].values, kind="stable")
    order = order[np.isfinite(result["onset_median"].values[order])]
    learned, bimodal = result["n_learned"].values.astype(int), _two_modes(result)
    for row, k in enumerate(order):
        colour = style.ACCENT if bimodal[k] else style.INK
        low, median, high = (float(result[f"onset_{end}"][k]) for end in ("low", "median", "high"))
        axes.hlines(row, low, high, color=style.PALE, lw=4, zorder=1)
        axes.plot(onsets[:, k], np.full(onsets.shape[0], row), ".", color=colour, ms=5, alpha=0.6, lw=0)
        axes.plot(median, row, "|", color=colour, ms=9, mew=1.5)
        if learned[k] < len(onsets):
            axes.plot(1, row, "<", color=style.ACCENT, ms=4, transform=axes.get_yaxis_transform(), clip_on=False)
            if len(order) <= _NUMBERED:
                axes.annotate(
                    f"{learned[k]} of {len(onsets)}", (1, row), (5, 0), xycoords=axes.get_yaxis_transform(),
                    textcoords="offset points", va="center", size=7, color=style.ACCENT,
                )  # fmt: skip
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_yticks([])
    between, within = (float(result[f"variance_between_{of}"]) ** 0.5 for of in ("subtasks", "seeds"))
    said = f"sd of ln onset: {between:.2f} between subtasks, {within:.2f} between seeds"
    if np.any(learned[order] < len(onsets)):
        said += f"; ◂ timed in fewer than all {len(onsets)} seeds"
    if never := len(learned) - len(order):
        said += f"; {never} subtasks in none"
    style.label(
        axes,
        "onset (training step): a dot for each seed, a line for 80 % of them",
        "subtasks, the first to be learned on top",
        said,
    )
    return figure


def _two_modes(result: xr.Dataset) -> np.ndarray:
    """The subtasks that are called bimodal: the n_bimodal smallest p values, (n_subtasks,)."""
    p = result["dip_p"].values
    chosen = np.zeros(p.size, dtype=bool)
    chosen[np.argsort(p)[: int(result["n_bimodal"])]] = True
    return chosen


def spectrum(result: xr.Dataset) -> Figure:
    """The measured spectrum, and over it the two that were rebuilt."""
    title = "When the loss falls, measured and rebuilt; of smooth curves it is rebuilt as well: no evidence by itself"
    figure, (axes,) = style.figure(title, panels=1)
    step = result["step"].values
    axes.fill_between(step, 0, result["measured"].values, color=style.PALE, lw=0)
    axes.plot(step, result["measured"].values, color=style.INK, lw=2, label="measured (smoothed)")
    for name, words, colour, dashes in (
        ("rebuilt", "rebuilt from onsets, heights and widths", style.ACCENT, "-"),
        ("smooth", "exponentials at the same half-times", style.GREY, (0, (4, 2))),
    ):
        label = f"{words}: Q² = {float(result[f'{name}_q2']):.2f}"
        axes.plot(step, result[name].values, color=colour, lw=1.8, ls=dashes, label=label)
    style.log_axes(axes, step, None)
    axes.legend(frameon=False, fontsize=9)
    style.label(axes, "training step", "", f"-dL/d ln t, {result['measured'].attrs['units']}")
    return figure
