"""Figures: a run and its pieces, one curve and its gates, a run beside the models that would explain it.

Every function takes records and results and returns a :class:`matplotlib.figure.Figure` that belongs to nobody: no
window opens and no global state changes. Nothing else in the package imports matplotlib.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quanta import _plot_style as style
from quanta._errors import InputError

__all__ = [
    "audit",
    "compare",
    "discovery",
    "explain",
    "granularity",
    "intervention",
    "kinds",
    "measures",
    "plan",
    "progress",
    "run",
    "save",
    "scaling",
    "seeds",
    "spectrum",
]

_MAX_CURVES = 60
_MAX_EDGES = 40  # more white lines between pieces would hide the pieces
_PASSED = {True: "✓", False: "✗"}
_METRICS = (("loss", "loss", 0.0), ("probability", "1 − probability", 1.0), ("accuracy", "error rate", 1.0))


def run(record: xr.Dataset, transitions: xr.Dataset | None = None, result: xr.Dataset | None = None) -> Figure:
    """A run in two panels: the curves of its subtasks, and their sum with its pieces.

    Parameters
    ----------
    record : xr.Dataset
        A record; of an ensemble the first member is drawn.
    transitions : xr.Dataset, optional
        What ``transitions.detect`` found: onsets are marked, and each detected step becomes a piece of the mean
        loss, Σ weight · step, stacked in order of onset upon all that is not step.
    result : xr.Dataset, optional
        What ``composition.test`` said: its sentence becomes the title.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from quanta import worlds
    >>> len(run(worlds.make("ordered_logistic")).axes)  # two panels and the scale of colours
    3
    """
    ensemble, record = record, _first(record)
    found = None if transitions is None else _first(transitions)
    curves, name = _metric(record)
    step = record["step"].values.astype(float)
    colours, norm = style.by_frequency(record)
    figure, (left, right) = style.figure(_sentence(result), panels=2)
    _say_which(figure, ensemble)
    _draw_subtasks(left, record, found, curves, colours)
    weight = record["weight"].values
    mean = weight @ curves
    if found is not None:
        pieces, onset = _pieces(found, weight)
        whole = weight @ found["fitted"].transpose("subtask", "step").values
        _draw_pieces(right, step, whole - pieces.sum(axis=0), pieces, onset, colours)
    right.plot(step, mean, color=style.INK, lw=2)
    # Linear heights, where they can be: the area of a piece is its part in the loss.
    style.log_axes(right, step, None)
    style.heights(right, 0, float(mean[0]) or 1.0, 1.05 * float(mean.max()))
    stepped = found is not None and bool((found["status"] == "sharp").any())
    pieces_too = ", its steps (grey: their tails, and the rest)" if stepped else ""
    style.label(right, "training step", "", f"the mean {name}{pieces_too}")
    style.label(left, "training step", "", f"the {name} of each subtask, as a share of {_whole(record)}")
    if norm is not None:
        style.frequency_scale(figure, [left, right], norm, style.palette())
    return figure


def explain(record: xr.Dataset, fit: Mapping[str, Any]) -> Figure:
    """One curve: its points, the best null, null + step, the onset, and every gate passed or failed.

    Parameters
    ----------
    record : xr.Dataset
        The record that the curve is from.
    fit : mapping
        ``null`` and ``fitted`` (n_steps,): the two fits. ``gates``: tuples (name, value, what is needed, whether it
        passed). ``title``: str. Either ``curve`` (n_steps,), or ``subtask`` (a label) with an optional ``metric``.
        Optional: ``onset`` in steps (nan for none), ``step`` (n_steps,), if other than the record's.

    Returns
    -------
    matplotlib.figure.Figure
    """
    step = np.asarray(fit.get("step", record["step"].values), dtype=float)
    curve = np.asarray(fit["curve"] if "curve" in fit else _one_curve(record, fit), dtype=float)
    null, fitted = (np.asarray(fit[name], dtype=float) for name in ("null", "fitted"))
    figure, (axes, text) = style.figure(str(fit["title"]), panels=2, ratios=(3, 2))
    axes.plot(step, curve, ".", color=style.GREY, ms=5, label="measured")
    axes.plot(step, null, color=style.INK, lw=1.5, ls=(0, (4, 2)), label="best smooth curve (null)")
    axes.plot(step, fitted, color=style.ACCENT, lw=2, label="smooth curve + one step")
    onset = float(fit.get("onset", np.nan))
    if np.isfinite(onset):
        axes.axvline(onset, color=style.ACCENT, lw=1, ls=":")
        axes.annotate(
            f" onset {onset:.4g}", (onset, 1), xycoords=("data", "axes fraction"), va="top", color=style.ACCENT
        )
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    style.log_axes(axes, step, None)
    style.label(axes, "training step", "", str(fit.get("metric", "loss")))
    _write_gates(text, fit["gates"])
    return figure


def compare(record: xr.Dataset, result: xr.Dataset) -> Figure:
    """The real mean loss, and over it the summed sequence of the best model with its pieces; the nulls as thin lines.

    Parameters
    ----------
    record : xr.Dataset
        The real run.
    result : xr.Dataset
        What ``compare.compare`` said of it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    ensemble, record = record, _first(record).sel(subtask=result["subtask"])
    step = result["step"].values.astype(float)
    weight = result["weight"].values
    real = weight @ record["loss"].sel(step=result["step"]).values
    best = str(result.attrs["best"])
    predicted = result["prediction"].sel(model=best).values
    order = result["onset"].sel(model=best).values
    colours, _ = style.by_frequency(record)
    figure, (axes,) = style.figure(str(result.attrs["headline"]), panels=1)
    _say_which(figure, ensemble)
    floor = result["floor_part"].sel(model=best).values
    pieces = weight[:, None] * (predicted - floor[:, None])
    _draw_pieces(axes, step, np.full(step.size, weight @ floor), pieces, order, colours)
    for name, dashes in {"permuted onsets": (0, (1, 1.5)), "exponential": (0, (5, 2))}.items():
        if name != best:
            curve = weight @ result["prediction"].sel(model=name).values
            axes.plot(step, curve, color=style.INK, lw=1, ls=dashes, label=f"null: {name}")
    axes.plot(step, weight @ predicted, color=style.ACCENT, lw=2, label=f"{best}: its subtasks, summed")
    axes.plot(step, real, color=style.INK, lw=2.4, label="the real run")
    style.log_axes(axes, step, real)
    axes.legend(loc="lower left", fontsize=9, reverse=True, framealpha=0.92, edgecolor="none")
    style.label(axes, "training step", "", "mean loss; each subtask was predicted from the other half of them")
    return figure


def discovery(result: xr.Dataset) -> Figure:
    """Unlabelled curves: the density of their onsets, and how sharp and how stable groups of them are.

    Parameters
    ----------
    result : xr.Dataset
        What ``discovery.discover`` said.
    """
    from quanta import _plot_search

    return _plot_search.discovery(result)


def audit(result: xr.Dataset) -> Figure:
    """What :func:`quanta.scaling.audit` found: a panel for each law, over windows and weightings."""
    from quanta import _plot_scaling

    return _plot_scaling.audit(result)


def scaling(fits: Mapping[str, Any], x: np.ndarray, y: np.ndarray) -> Figure:
    """Losses y at x, with fits (:class:`quanta.scaling.Fit`, by name) of laws of one variable, and their errors."""
    from quanta import _plot_scaling

    return _plot_scaling.scaling(fits, np.asarray(x, dtype=float), np.asarray(y, dtype=float))


def plan(result: xr.Dataset) -> Figure:
    """A run that is still to be made: what becomes of a subtask by its onset, and the power for each.

    Parameters
    ----------
    result : xr.Dataset
        What ``plan.plan`` said.
    """
    from quanta import _plot_search

    return _plot_search.plan(result)


def intervention(found: Any, title: str = "") -> Figure:
    """A run under changed frequencies: its losses as foretold and as they came, and how far each subtask moved.

    Parameters
    ----------
    found : quanta._autonomy.Autonomy
        What the intervention showed.
    title : str
        A sentence to stand above it.
    """
    from quanta import _plot_autonomy

    return _plot_autonomy.intervention(found, title)


def granularity(levels: xr.Dataset, deciles: xr.Dataset | None = None) -> Figure:
    """The share that is sharp at every granularity, and by frequency: from ``partition.levels``, ``.by_frequency``."""
    from quanta import _plot_views

    return _plot_views.granularity(levels, deciles)


def kinds(record: xr.Dataset, found: xr.Dataset, labels: np.ndarray, table: xr.Dataset) -> Figure:
    """The curves of each kind of subtask, ``labels`` (n_subtasks,), and its verdict: from ``composition.by``."""
    from quanta import _plot_views

    first, found = _first(record), _first(found)
    curves, name = _metric(first)
    share = curves / _start(first, curves)[:, None]
    figure = _plot_views.kinds(first["step"].values, share, name, found["status"].values, labels, table)
    _say_which(figure, record)
    return figure


def measures(record: xr.Dataset) -> list[str]:
    """Names of the measures of hidden progress that a record has: ``fourier_gap``, ``moved``."""
    from quanta import _plot_progress

    return _plot_progress.measures(record)


def progress(record: xr.Dataset) -> Figure:
    """What moves before and after a subtask is learned: hidden progress, or none.

    Parameters
    ----------
    record : xr.Dataset
        A record with ``fourier_gap`` or ``moved`` beside its loss, as a parity network has them; of an ensemble the first
        member is drawn.

    Raises
    ------
    InputError
        If it has none.
    """
    from quanta import _plot_progress

    first = _first(record)
    curves, _ = _metric(first)
    share = curves / _start(first, curves)[:, None]
    figure = _plot_progress.progress(first, share, style.by_frequency(first)[0], _whole(first))
    _say_which(figure, record)
    return figure


def seeds(result: xr.Dataset) -> Figure:
    """The onset of every subtask in every seed: from ``ensemble.seeds``."""
    from quanta import _plot_views

    return _plot_views.seeds(result)


def spectrum(result: xr.Dataset) -> Figure:
    """The learning-time spectrum, measured and rebuilt: from ``composition.spectrum``."""
    from quanta import _plot_views

    return _plot_views.spectrum(result)


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, 150 dots per inch."""
    path = Path(path)
    if path.suffix != ".png":
        raise InputError(f"{path} has suffix {path.suffix!r}; a figure is saved as .png.")
    # A constrained layout leaves nothing outside; cutting to what is drawn would draw everything twice.
    box = None if figure.get_layout_engine() else "tight"
    figure.savefig(path, dpi=150, bbox_inches=box, facecolor="white")
    return path


# ------------------------------------------------------------------------------------------ what is drawn


def _draw_subtasks(
    axes: Axes, record: xr.Dataset, found: xr.Dataset | None, curves: np.ndarray, colours: np.ndarray
) -> None:
    """Curves as shares of their start, and a dot at the onset of each sharp one."""
    step = record["step"].values.astype(float)
    share = curves / _start(record, curves)[:, None]
    drawn = style.evenly(record, _MAX_CURVES)
    for k in drawn:
        axes.plot(step, share[k], color=colours[k], lw=1.1, alpha=0.85)
    if found is not None:
        onset = np.where(found["status"].values == "sharp", found["onset"].values, np.nan)
        seen = [k for k in drawn if np.isfinite(onset[k]) and onset[k] > 0]
        smooth = found["fitted"].transpose("subtask", "step").values / _start(record, curves)[:, None]
        heights = [np.interp(np.log(onset[k]), np.log(step[step > 0]), smooth[k, step > 0]) for k in seen]
        axes.scatter(onset[seen], heights, s=16, color=style.ACCENT, zorder=3, lw=0)
        if seen:
            first = int(np.argmin(onset[seen]))
            axes.annotate(
                "onsets", (onset[seen][first], heights[first]), (-7, 0), textcoords="offset points",
                ha="right", va="center", color=style.ACCENT, size=9,
            )  # fmt: skip
    style.heights(axes, -0.03, 1.0, max(1.08, float(np.nanmax(share[drawn]))))
    style.log_axes(axes, step, None)


def _pieces(found: xr.Dataset, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted steps of the sharp subtasks (0 for the others), (n_subtasks, n_steps), and their onsets."""
    sharp = found["status"].values == "sharp"
    part = found["step_part"].transpose("subtask", "step").values
    pieces = np.where(sharp[:, None], weight[:, None] * np.nan_to_num(part), 0.0)
    return pieces, np.where(sharp, found["onset"].values, np.nan)


def _draw_pieces(
    axes: Axes, step: np.ndarray, rest: np.ndarray, pieces: np.ndarray, onset: np.ndarray, colours: np.ndarray
) -> None:
    """Pieces stacked in order of onset upon ``rest``, which is no step: the first to come lies on top."""
    below = np.maximum(rest, 0.0)
    axes.fill_between(step, 0, below, color=style.PALE, lw=0)
    order = np.array([k for k in np.argsort(-onset, kind="stable") if np.isfinite(onset[k])], dtype=int)
    groups = np.array_split(order, min(len(order), _MAX_CURVES)) if len(order) else []
    for group in groups:
        above = below + np.maximum(pieces[group].sum(axis=0), 0.0)
        axes.fill_between(step, below, above, color=colours[group].mean(axis=0), lw=0.3)
        if len(groups) <= _MAX_EDGES:
            axes.plot(step, above, color="white", lw=0.4)
        below = above


def _write_gates(axes: Axes, gates: Sequence[tuple[str, str, str, bool]]) -> None:
    """A column of gates: a mark, the name, and below it the value and what was needed."""
    axes.axis("off")
    spacing = 1 / max(len(gates), 6)
    for i, (name, value, needed, passed) in enumerate(gates):
        y = 1 - i * spacing
        colour = style.INK if passed else style.ACCENT
        axes.text(0, y, _PASSED[bool(passed)], color=colour, weight="bold", va="top", size=12)
        axes.text(0.08, y, name, color=colour, va="top", size=10)
        axes.text(0.08, y - 0.42 * spacing, f"{value}  (needed: {needed})", color=style.GREY, va="top", size=9)


# ------------------------------------------------------------------------------------------ how it is drawn


def _first(ds: xr.Dataset) -> xr.Dataset:
    """The first member of an ensemble."""
    return ds.isel({dim: 0 for dim in ds.dims if dim not in ("subtask", "step")})


def _say_which(figure: Figure, record: xr.Dataset) -> None:
    """Add to the title which member of an ensemble is drawn."""
    curves = record[next(name for name, *_ in _METRICS if name in record)]
    dims = [str(dim) for dim in curves.dims if dim not in ("subtask", "step") and curves.sizes[dim] > 1]
    if dims:
        said = (f"{dim} {record[dim].values[0] if dim in record.coords else 0}, of {curves.sizes[dim]}" for dim in dims)
        style.entitle(figure, f"Drawn: {'; '.join(said)}.")


def _metric(record: xr.Dataset) -> tuple[np.ndarray, str]:
    """Curves that fall as the subtask is learned, (n_subtasks, n_steps) float64, and their name."""
    for variable, name, top in _METRICS:
        if variable in record:
            values = record[variable].transpose("subtask", "step").values.astype(float)
            return (top - values if top else values), name
    raise InputError("the record has no loss, probability or accuracy; there is nothing to draw.")


def _start(record: xr.Dataset, curves: np.ndarray) -> np.ndarray:
    """Chance where it is known, else the first value, (n_subtasks,)."""
    start = np.where(curves[:, 0] > 0, curves[:, 0], 1.0)
    if "chance_loss" not in record or "loss" not in record:
        return start
    chance = record["chance_loss"].values
    return np.where(np.isfinite(chance) & (chance > 0), chance, start)


def _whole(record: xr.Dataset) -> str:
    """What the start of its curves is, in words."""
    known = "loss" in record and "chance_loss" in record and bool(np.isfinite(record["chance_loss"]).all())
    return "chance" if known else "its start"


def _one_curve(record: xr.Dataset, fit: Mapping[str, Any]) -> np.ndarray:
    curve = _first(record)[str(fit.get("metric", "loss"))].sel(subtask=fit["subtask"])
    return np.asarray(curve.values, dtype=float)


def _sentence(result: xr.Dataset | None) -> str:
    return "" if result is None else str(result.attrs.get("sentence", result.attrs.get("verdict", "")))
