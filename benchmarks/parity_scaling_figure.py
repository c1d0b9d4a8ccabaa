"""The figure of `benchmarks/parity_scaling.py`: subtasks and their mean, onsets, widths, data."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import parity_scaling_fits as fits
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quanta._plot_style import ACCENT, GREY, INK, PALE, label

BIT = np.log(2)  # losses are kept in nats and shown in bits, as published


def draw(ds: xr.Dataset, rows: list[dict[str, Any]], found: list[dict[str, Any]], path: Path) -> None:
    """Draw and save it.

    Parameters
    ----------
    ds : xr.Dataset
        The run of the published figure.
    rows, found : list of dict
        Runs of the sweeps, and the table of exponents.
    path : Path
        Where the figure goes.
    """
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 8), layout="constrained")
        figure.get_layout_engine().set(wspace=0.04, hspace=0.05)
        (subtasks, onsets), (widths, data) = figure.subplots(2, 2)
    _draw_subtasks(subtasks, ds, found)
    _draw_onsets(onsets, ds, found)
    _draw_sweep(widths, rows, found, "widths", "alpha_N")
    _draw_sweep(data, rows, found, "data", "alpha_D")
    label(subtasks, "steps", "test loss, bits", "60 of 500 subtasks (light: frequent), and the mean of all")
    label(onsets, "frequency of the subtask", "steps until below .1 bits", "When subtasks converge")
    widths.set_xticks([10, 30, 100, 300], ["10", "30", "100", "300"])
    label(widths, "width", "mean test loss, bits", "Widths, one network each, 25,000 steps of 4000")
    title = "Data, one network each (hollow: falling to its last step)"
    label(data, "training examples", "lowest mean test loss, bits", title)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")


def _of(found: list[dict[str, Any]], quantity: str, alpha: float) -> dict[str, Any] | None:
    return next((row for row in found if row["quantity"] == quantity and row["alpha"] == alpha), None)


def _draw_subtasks(axes: Axes, ds: xr.Dataset, found: list[dict[str, Any]]) -> None:
    """The most frequent subtasks, and the mean with the line of its published window."""
    later = ds.isel(step=ds["step"].values >= 100)
    step, loss, p = later["step"].values, later["loss"].values / BIT, later["frequency"].values
    colours = mpl.colormaps["viridis"](np.linspace(0.95, 0, 60))
    for k in range(59, -1, -1):
        axes.plot(step, np.maximum(loss[k], 1e-3), color=colours[k], lw=0.7, alpha=0.8)
    mean = p @ loss
    axes.plot(step, mean, color=INK, lw=2.2)
    axes.set(xscale="log", yscale="log", xlim=(step[0], step[-1]), ylim=(0.01, 1.6))
    axes.axhline(0.1, color=GREY, ls=":", lw=1)
    if row := _of(found, "alpha_S, 400 to 9000", 0.4):
        window = np.array([400, 9000])
        middle = np.log(window).mean()
        height = np.exp(np.interp(middle, np.log(step), np.log(mean)))
        axes.plot(window, 1.35 * height * (window / np.exp(middle)) ** -row["ours"], color=ACCENT, lw=1.5, ls="--")
        text = f"$t^{{-{row['ours']:.2f}}}$, published $t^{{-0.45}}$"
        axes.annotate(text, (0.03, 0.05), xycoords="axes fraction", color=ACCENT, fontsize=9)


def _draw_onsets(axes: Axes, ds: xr.Dataset, found: list[dict[str, Any]]) -> None:
    """Steps against frequency, with lines; those that never converge at the upper edge."""
    step, p = ds["step"].values, ds["frequency"].values
    later = step >= 100
    t = fits.converged_at(step[later], ds["loss"].values[:, later].astype(float))
    known = np.isfinite(t)
    axes.scatter(
        p[~known], np.full((~known).sum(), step[-1]), marker="|", s=14, color=GREY, lw=0.6, label="never, in this run"
    )
    axes.scatter(p[known], t[known], s=18, color=INK, label="converged")
    x = np.array([p[known].min(), p.max()])
    middle = np.log(p[known]).mean()
    height = np.exp(np.log(t[known]).mean())
    if row := _of(found, "onset", 0.4):
        y = height * (x / np.exp(middle)) ** -row["ours"]
        axes.plot(x, y, color=ACCENT, lw=1.5, label=f"$p^{{-{row['ours']:.2f}}}$, least squares")
    axes.plot(
        x, height * (x / np.exp(middle)) ** -0.81, color=ACCENT, lw=1.5, ls="--", label="$p^{-0.81}$, published slope"
    )
    axes.plot(x, 80 / x, color=GREY, lw=1.2, ls=":", label="80/p, published reference")
    axes.set(xscale="log", yscale="log")
    axes.legend(frameon=False, fontsize=8)


def _draw_sweep(axes: Axes, rows: list[dict[str, Any]], found: list[dict[str, Any]], kind: str, quantity: str) -> None:
    """Loss against size for each alpha, joined, with the line of the published window and its slope beside theirs."""
    axes.set(xscale="log", yscale="log")
    for alpha in sorted({row["alpha"] for row in rows if row["kind"] == kind}):
        colour = mpl.colormaps["viridis"](1.7 * alpha - 0.24)
        size, loss, full = _points(rows, kind, alpha)
        axes.plot(size, loss, color=colour, lw=0.7, alpha=0.6)
        row, name = _of(found, quantity, alpha), f"α = {alpha:g}"
        if row is not None:
            name += f": {row['ours']:.2f} ours, {row['published']:.2f} published, {row['theory']:.2f} theory"
            used = slice(len(size) - int(row["n"]), None)
            line = np.polyfit(np.log(size[used]), np.log(loss[used]), 1)
            axes.plot(size[used], np.exp(np.polyval(line, np.log(size[used]))), color=colour, lw=1.4, ls="--")
        axes.plot(size[full], loss[full], "o", ms=5, color=colour, label=name)
        axes.plot(size[~full], loss[~full], "o", ms=5, color=colour, mfc="white")
        larger, row = _points(rows, "batch 20000", alpha), _of(found, "alpha_N, 10,000 steps of 20000", alpha)
        if kind == "widths" and row is not None:
            name = f"α = {alpha:g}, 10,000 steps of 20000: {row['ours']:.2f}"
            axes.plot(*larger[:2], "s-", ms=5, lw=0.7, color=colour, mfc="white", label=name)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    ticks = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(which="major", color=PALE, lw=0.6)


def _points(rows: list[dict[str, Any]], kind: str, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, losses in bits, and whether each had stopped falling before its last step, as only those of data do."""
    some = [row for row in rows if row["kind"] == kind and row["alpha"] == alpha]
    size, loss = (np.array([row[key] for row in some]) for key in ("size", "loss"))
    return size, loss / BIT, np.array([kind != "data" or row["step"] < row["last"] for row in some], dtype=bool)
