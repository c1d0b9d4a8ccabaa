"""What all figures share: their inks, their frame, their labels and their axes of time."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

INK, GREY, PALE = "#222222", "#8a8a8a", "#e4e4e4"
ACCENT = "#d55e00"  # vermilion: told from viridis by every kind of colour vision
_NARROW = 100  # of frequencies: over less than this, powers of ten would be too few to read a scale by
_FAR = 4.0  # times its start: where a curve rises above this, all else would be flat


def figure(title: str, *, panels: int, ratios: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure nine inches wide, with its title wrapped above the panels."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        framed = Figure(figsize=(9, 4.8), layout="constrained")
        if title:
            entitle(framed, title)
        grid = framed.subplots(1, panels, squeeze=False, gridspec_kw={"width_ratios": ratios, "wspace": 0.06})
    return framed, list(grid[0])


def entitle(framed: Figure, sentence: str) -> None:
    """Write a sentence above the panels, below what is there already."""
    lines = [line for line in (framed.get_suptitle(), textwrap.fill(sentence, 108)) if line]
    framed.suptitle("\n".join(lines), x=0.01, ha="left", size=11, color=INK)


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


def heights(axes: Axes, low: float, start: float, top: float) -> None:
    """Heights from low to top: linear, but logarithmic above ``start`` where the top is far above it, which is said."""
    if top <= _FAR * start:
        axes.set_ylim(low, top)
        return
    axes.set_yscale("symlog", linthresh=start, linscale=2)
    axes.set_ylim(low, top * 1.3)
    first = int(np.floor(np.log10(20 * start)))
    last = max(first, int(np.floor(np.log10(top))))
    powers = 10.0 ** np.arange(first, last + 1, 1 + (last - first) // 6)
    few = [] if top > 10 * powers[0] else [number for number in round_numbers(2 * start, top) if number not in powers]
    axes.yaxis.set_major_locator(FixedLocator([0, start / 2, start, *few, *powers]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.axhline(start, color=GREY, lw=0.8, ls=":")
    axes.annotate(
        "logarithmic above the line", (0.99, start), (0, -3), xycoords=("axes fraction", "data"), color=GREY, size=9,
        textcoords="offset points", ha="right", va="top",
    )  # fmt: skip


def palette() -> Colormap:
    """Viridis without its lightest end, which is too pale for lines on white."""
    return ListedColormap(mpl.colormaps["viridis"](np.linspace(0.0, 0.88, 256)))


def by_frequency(record: xr.Dataset) -> tuple[np.ndarray, Normalize | None]:
    """Colours (n_subtasks, 4) by log frequency, and their scale; by place, without one, where it is not known."""
    frequency = record["frequency"].values if "frequency" in record else np.full(record.sizes["subtask"], np.nan)
    known = np.isfinite(frequency) & (frequency > 0)
    if not known.any() or np.ptp(frequency[known]) == 0:
        return palette()(np.linspace(0, 1, len(frequency))), None
    norm = LogNorm(frequency[known].min(), frequency[known].max())
    colours = palette()(norm(np.where(known, frequency, frequency[known].min())).filled())
    return colours, norm


def evenly(record: xr.Dataset, n: int) -> np.ndarray:
    """Up to n subtasks, spread evenly half by rank and half by the logarithm of the frequency."""
    count = record.sizes["subtask"]
    if count <= n:
        return np.arange(count)
    place = np.linspace(0, 1, count)
    order = np.arange(count)
    if "frequency" in record:
        p = np.nan_to_num(record["frequency"].values)
        log = np.log(np.maximum(p, p[p > 0].min(initial=1.0)))
        order = np.argsort(-log, kind="stable")
        place = place + (log[order[0]] - log[order]) / max(float(np.ptp(log)), 1e-12)
    return order[np.unique(np.searchsorted(place, np.linspace(0, place[-1], n)))]


def frequency_scale(framed: Figure, panels: Sequence[Axes], norm: Normalize, palette: Colormap) -> None:
    """The scale of colours by frequency, below the panels."""
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    narrow = high < _NARROW * low
    bar = framed.colorbar(
        ScalarMappable(norm, palette), ax=list(panels), location="bottom", aspect=60, shrink=0.5, pad=0.02,
        ticks=round_numbers(low, high) if narrow else None, format="%.4g" if narrow else None,
    )  # fmt: skip
    if narrow:
        bar.minorticks_off()
    bar.set_label("frequency of the subtask", size=9)
    bar.outline.set_visible(False)  # type: ignore[operator]


def round_numbers(low: float, high: float) -> list[float]:
    """A few between two numbers less than two decades apart: 1, 2 and 5 times powers of ten, else in even steps.

    Examples
    --------
    >>> round_numbers(0.03, 0.6), round_numbers(0.041, 0.049)
    ([0.05, 0.1, 0.2, 0.5], [0.042, 0.044, 0.046, 0.048])
    """
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    found = [number for number in found if low <= number <= high]
    if len(found) < 3:
        found = [float(f"{number:.12g}") for number in MaxNLocator(5).tick_values(low, high) if low <= number <= high]
    return found
