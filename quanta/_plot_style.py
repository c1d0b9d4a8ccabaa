"""What all figures share: their inks, their frame, their labels and their axes of time."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, GREY, PALE = "#222222", "#8a8a8a", "#e4e4e4"
ACCENT = "#d55e00"  # vermilion: told from viridis by every kind of colour vision


def figure(title: str, *, panels: int, ratios: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure nine inches wide, with its title wrapped above the panels."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        framed = Figure(figsize=(9, 4.8), layout="constrained")
        if title:
            lines = textwrap.fill(title, 108)
            framed.suptitle(lines, x=0.01, ha="left", size=11, color=INK)
        grid = framed.subplots(1, panels, squeeze=False, gridspec_kw={"width_ratios": ratios, "wspace": 0.06})
    return framed, list(grid[0])


def label(axes: Axes, x: str, y: str, title: str) -> None:
    """Name the axes, and the panel above its left corner."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left", size=10, color=INK)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=9)


def log_axes(axes: Axes, step: np.ndarray, height: np.ndarray | None) -> None:
    """Logarithmic steps; if heights are given, logarithmic too, over at most three decades."""
    axes.set_xscale("log")
    positive = step[step > 0]
    axes.set_xlim(positive.min(), positive.max())
    if height is not None and np.any(height > 0):
        axes.set_yscale("log")
        top, low = float(height.max()), float(height[height > 0].min())
        axes.set_ylim(max(low / 1.3, top * 1e-3), top * 1.3)
