"""The figure of progress that a loss hides: what moves before it does, around the time when it is learned."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quanta import _plot_style as style
from quanta._errors import InputError
from quanta._schema import PROGRESS

_AGES = np.geomspace(0.02, 5, 120)  # steps, in units of the onset
_INKS = dict(zip(PROGRESS, (style.ACCENT, "#21918c"), strict=True))
_SHOWN = 12  # subtasks, in the panels by themselves


def measures(record: xr.Dataset) -> list[str]:
    """Names of the measures of hidden progress that it has."""
    return [name for name in PROGRESS if name in record and "subtask" in record[name].dims]


def progress(record: xr.Dataset, share: np.ndarray, colours: np.ndarray, whole: str) -> Figure:
    """Medians of all that are learned, in time by their onsets; and the first measure of some subtasks.

    ``share`` (n_subtasks, n_steps) is the loss over ``whole``, chance or its start, ``colours`` (n_subtasks, 4) those of the subtasks.
    """
    names = measures(record)
    if not names:
        raise InputError(
            f"the record has no measure of hidden progress; expected {' or '.join(PROGRESS)}. "
            "Simulate a parity network with --hidden-progress."
        )
    step = record["step"].values.astype(float)
    onset = halfway(step, share)
    title = "What moves while the loss does not: a plateau is not idle if a measure rises before the loss falls"
    figure, (left, right) = style.figure(title, panels=2)
    learned = np.isfinite(onset)
    _band(left, _aligned(step, share, onset)[learned], style.INK, f"loss, of {whole}")
    for name in names:
        values = _aligned(step, record[name].values.astype(float), onset)[learned]
        typical = np.nanmedian(values, axis=0) if learned.any() else np.ones(1)
        top = float(np.nanmax(typical, initial=0))
        _band(left, values / (top or 1.0), _INKS[name], f"{name}, of {top:.2g}")
    style.log_axes(left, _AGES, None)
    left.axvline(1, color=style.GREY, lw=1, ls=":")
    left.set_ylim(-0.05, 1.6)
    left.legend(frameon=False, fontsize=9, loc="upper left")
    style.label(
        left, "steps, in units of each onset", "", f"the {learned.sum()} that are learned: medians, and the middle half"
    )
    values = record[names[0]].values
    for k in np.unique(np.linspace(0, len(values) - 1, _SHOWN).round().astype(int)):
        right.plot(step, values[k], color=colours[k], lw=1, alpha=0.9)
        if learned[k]:
            right.plot(onset[k], np.interp(onset[k], step, values[k]), "o", color=colours[k], ms=5)
    style.log_axes(right, step, None)
    style.label(right, "training step", "", f"{names[0]} of some (dots: half learned)")
    return figure


def halfway(step: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Step at which each curve (n_subtasks, n_steps) first is below a half, (n_subtasks,); nan if never."""
    below = share < 0.5
    return np.where(below.any(axis=1), np.maximum(step[np.argmax(below, axis=1)], 1.0), np.nan)


def _aligned(step: np.ndarray, values: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Values at ages, (n_subtasks, n_ages); nan beyond the run, and for what is not learned."""
    found = np.full((len(values), _AGES.size), np.nan)
    for k in np.flatnonzero(np.isfinite(onset)):
        found[k] = np.interp(_AGES * onset[k], step, values[k], right=np.nan)
    return found


def _band(axes: Axes, values: np.ndarray, ink: str, name: str) -> None:
    """The median over subtasks at every age where most have one, and the quartiles."""
    seen = np.mean(np.isfinite(values), axis=0) > 0.5 if len(values) else np.zeros(_AGES.size, dtype=bool)
    low, middle, high = np.nanquantile(values[:, seen], (0.25, 0.5, 0.75), axis=0) if seen.any() else np.empty((3, 0))
    axes.fill_between(_AGES[seen], low, high, color=ink, alpha=0.15, lw=0)
    axes.plot(_AGES[seen], middle, color=ink, lw=2, label=name)
