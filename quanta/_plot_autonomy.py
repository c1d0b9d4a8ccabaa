"""The figure of an intervention: the mean loss that was foretold, and how far each subtask moved."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quanta import _plot_style as style
from quanta._autonomy import Autonomy

_LINES = {  # of the mean loss: what it is, its colour, width and dashes
    "no change": ("the change ignored", style.GREY, 1.4, (0, (4, 2))),
    "(p'/p)^γ": (r"foretold by $(p'/p)^\gamma$", style.ACCENT, 1.4, (0, (1, 1.5))),
    "p'/p": ("foretold by $p'/p$", style.ACCENT, 2.0, "-"),
    "real": ("the run itself", style.INK, 2.2, "-"),
}


def intervention(found: Autonomy, title: str = "") -> Figure:
    """Two panels, or three where some subtasks were left alone; see :func:`quanta.plot.intervention`."""
    split = bool(found.unchanged.any())
    figure, axes = style.figure(title, panels=3 if split else 2)
    if split:
        figure.set_size_inches(12.5, 4.6)
        _draw_means(axes[1], found, found.mean_changed, "mean over the changed subtasks alone")
    _draw_means(axes[0], found, found.mean, "mean loss under the changed frequencies")
    axes[0].legend(frameon=False, loc="lower left", fontsize=9, reverse=True)
    _draw_shifts(axes[-1], found)
    return figure


def _draw_means(axes: Axes, found: Autonomy, mean: dict[str, np.ndarray], title: str) -> None:
    heights = [curve[np.isfinite(curve)] for curve in mean.values()]
    for name, (label, colour, width, dashes) in _LINES.items():
        if np.isfinite(mean[name]).any():
            axes.plot(found.step, mean[name], color=colour, lw=width, ls=dashes, label=label)
    style.log_axes(axes, found.step[np.isfinite(mean["real"])], None)
    axes.set_ylim(0, 1.05 * max([float(h.max()) for h in heights if h.size], default=1.0))
    style.label(axes, "training step", "", title)


def _draw_shifts(axes: Axes, found: Autonomy) -> None:
    """How much earlier each subtask came, by how much more frequent it was made; the law of independent subtasks."""
    seen = np.isfinite(found.shift) & np.isfinite(found.log_ratio)
    x, y = found.log_ratio[seen], -found.shift[seen]
    reach = np.array([min(x.min(), 0), max(x.max(), 0)]) if seen.any() else np.array([-1.0, 1.0])
    reach = reach + np.array([-0.08, 0.08]) * max(float(np.ptp(reach)), 0.5)
    spread = found.claims["reseed_spread"]
    if np.isfinite(spread):
        axes.fill_between(reach, reach - spread, reach + spread, color=style.PALE, lw=0, label="± sd of a re-seed")
    axes.plot(reach, reach, color=style.INK, lw=1.4, label="independent subtasks")
    g = found.claims["own_effect"]
    if np.isfinite(g):
        middle, height = x.mean(), y.mean()
        label = f"fit: $t \\propto p^{{{-g:.2f}}}$"
        axes.plot(reach, height + g * (reach - middle), color=style.ACCENT, lw=1.2, ls=(0, (4, 2)), label=label)
    alone = found.unchanged[seen]
    if alone.any():
        axes.scatter(x[alone], y[alone], s=22, color=style.GREY, lw=0, label="left alone", zorder=3)
    axes.scatter(x[~alone], y[~alone], s=26, color=style.ACCENT, lw=0, label="frequency changed", zorder=3)
    axes.set_xlim(*reach)
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    style.label(
        axes, "how much more frequent: ln $p'/p$", "how much earlier: ln $t/t'$", "when each subtask was half learned"
    )
