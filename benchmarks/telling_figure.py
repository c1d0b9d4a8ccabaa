"""The figure of `benchmarks/identifiability.py`: one mean loss, the single curves behind it, and what tells them apart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure


def draw(
    time: np.ndarray, means: Mapping[str, np.ndarray], age: np.ndarray, singles: Mapping[str, np.ndarray],
    counts: Mapping[tuple[str, str], int | None], most: int, title: str, path: Path,
) -> None:  # fmt: skip
    """Draw and save it; theories from slow to sharp, whatever their order.

    Parameters
    ----------
    time, age : np.ndarray
        Of the mean losses, and nats since half-way of the single ones.
    means, singles : mapping
        Theory → the mean loss, and the loss of one subtask, in units of chance.
    counts : mapping
        (theory, theory) → curves needed, both ways round; None where more than ``most``.
    """
    names = sorted(singles, key=lambda name: _within_a_nat(age, singles[name]))
    colours = dict(zip(names, mpl.colormaps["viridis"](np.linspace(0, 0.92, len(names))), strict=True))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 7.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 2))
        macro, single, square = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (slice(None), 1)))
        inset = macro.inset_axes((0.13, 0.12, 0.4, 0.3))
    common = np.exp(np.mean([np.log(mean) for mean in means.values()], axis=0))
    for name in names:
        macro.plot(time / time[0], means[name], color=colours[name], lw=1)
        inset.plot(time / time[0], 100 * np.log(means[name] / common), color=colours[name], lw=0.8)
        single.plot(np.exp(age), singles[name], color=colours[name], lw=1.3)
    macro.set(xscale="log", yscale="log", xlabel="time, from the start of the window", ylabel="mean loss / chance")
    macro.set_title(f"{len(names)} theories, one mean loss", loc="left", fontsize=10)
    inset.set(xscale="log", ylim=(-1.3, 1.3))
    inset.set_title("difference, %", loc="left", fontsize=8)
    inset.tick_params(labelsize=7)
    single.set(xscale="log", xlabel="time / time of half the loss", ylabel="loss of one subtask / chance")
    single.set_title("their subtasks", loc="left", fontsize=10)
    _square(square, counts, most, names, colours)
    square.set_title(title, loc="left", fontsize=10)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")


def _within_a_nat(age: np.ndarray, left: np.ndarray) -> float:
    return float(np.max(left - np.interp(age + 1, age, left)))


def _square(
    axes: Any, counts: Mapping[tuple[str, str], int | None], most: int, names: list[str], colours: Mapping[str, Any]
) -> None:
    """The table of pairs, as colours and numbers; each name in the colour of its curve."""
    size = np.array([[np.nan if a == b else counts[a, b] or 2 * most for b in names] for a in names], dtype=float)
    axes.imshow(np.log(size), cmap="Oranges", vmin=-0.7, vmax=np.log(2 * most) * 1.1)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            if i == j:
                continue
            n = counts[a, b]
            ink = "white" if (n or 2 * most) >= most / 2 else "#222222"
            text = f">{most}" if n is None else str(n)
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5 if n is None else 8, color=ink)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(0.8 * colours[name][:3])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
