"""What the composition command adds where it applies: clocks, granularity, deciles, seeds, the spectrum."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from quanta import _clocks, _intervention, _spectrum, ensemble, partition, plot, transitions
from quanta._autonomy import Autonomy
from quanta._composition_report import called
from quanta._verdict import LEAST_TESTED
from quanta.transitions import _gaps
from quanta.transitions.base import metrics_of


class View(NamedTuple):
    """One further look at a run."""

    name: str
    """Its key in the summary, of its figure, and of the group that is saved with the record."""
    analysis: xr.Dataset
    lines: list[str]
    """For the report."""
    figure: Any
    """A matplotlib figure, or None."""


def across_clocks(
    result: xr.Dataset, record: xr.Dataset, clocks: Sequence[str], controls: Sequence[xr.Dataset], seed: int
) -> tuple[xr.Dataset, View]:
    """The result, undetermined if clocks contradict each other, and the table of the clocks."""
    table = _clocks.across(record, clocks, controls, seed, known={clocks[0]: result})
    agreed = table.attrs["verdict"] == result.attrs["verdict"]
    changes = {} if agreed else {"verdict": "undetermined", "sentence": table.attrs["sentence"]}
    if not agreed:
        changes["row"] = "5: the verdict is not the same on every clock"
    reasons = [*table.attrs["reasons"], *result.attrs["reasons"]]
    lines = [f"    {'clock':<18} {'sharp':>11} {'S':>6}  verdict"]
    for name in table["clock"].values:
        row = table.sel(clock=name)
        sharp = f"{int(row['n_sharp'])} of {int(row['n_tested'])}"
        lines.append(f"    {name!s:<18} {sharp:>11} {float(row['sharpness_median']):6.2f}  {row['verdict'].item()}")
    return result.assign_attrs(reasons=reasons, **changes), View("clocks", table, lines, None)


def views(
    record: xr.Dataset, found: xr.Dataset, groups: Sequence[str], controls: Sequence[xr.Dataset], seed: int
) -> Iterator[View]:
    """The further looks that the record allows."""
    deciles = _deciles(record, found)
    if deciles is not None:
        yield View("deciles", deciles, [_by_decile(deciles)], None)
    if groups:
        labels = {name: partition.labels(record, name) for name in groups}
        table = partition.levels(record, labels, seed=seed, controls=controls)
        yield View("levels", table, _listed(table), plot.granularity(table, deciles))
    if record.sizes.get("seed", 1) > 1 and {*found["status"].dims} == {"seed", "subtask"}:
        over = ensemble.seeds(record, found)
        lines = [f"  seeds: {over.attrs['sentence']}.", *_listed(over)]
        yield View("seeds", over, lines, plot.seeds(over) if np.isfinite(over["onset"]).any() else None)
    if "loss" in record and int(found["changed"].sum()) >= LEAST_TESTED:
        rebuilt = _spectrum.spectrum(*bridged(record, found))
        yield View("spectrum", rebuilt, _listed(rebuilt), plot.spectrum(rebuilt))


def one_run(record: xr.Dataset, found: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The first run of an ensemble, and what was found in it."""
    first, shown = (ds.isel({dim: 0 for dim in ds.dims if dim not in ("subtask", "step")}) for ds in (record, found))
    return first, shown


def bridged(record: xr.Dataset, found: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Both with gaps bridged, for what needs whole curves: pictures and sums; subtasks never measured are left out."""
    metrics = metrics_of(record)
    if not any(bool(record[name].isnull().any()) for name in metrics):
        return record, found
    known = record[metrics[0]].notnull().any([dim for dim in record[metrics[0]].dims if dim != "subtask"]).values
    record, found = (ds.isel(subtask=np.flatnonzero(known)) for ds in (record, found))
    step = record["step"].values.astype(float)

    def fill(array: xr.DataArray) -> xr.DataArray:
        values = array.transpose(..., "step")
        flat = _gaps.fill(values.values.reshape(-1, step.size).astype(float), step)
        return values.copy(data=flat.reshape(values.shape))

    record = record.assign({name: fill(record[name]) for name in metrics})
    weight = record["weight"] / record["weight"].sum()
    return record.assign(weight=weight), found.assign(
        {name: fill(found[name]) for name in _gaps.CURVES if name in found}
    )


def bootstrapped(
    record: xr.Dataset, found: xr.Dataset, detector: transitions.AbstractDetector, n: int, seed: int
) -> View:
    """P-values and intervals of the borderline subtasks, by the mirrored bootstrap."""
    table = transitions.bootstrap(record, found, detector, n=n, seed=seed).rename(subtask="borderline")
    if not table.sizes["borderline"]:
        return View("bootstrap", table, ["  bootstrap: no subtask's T is within 8 of what it needs"], None)
    lines = [f"  bootstrap of the {table.sizes['borderline']} borderline subtasks, {n} curves each"]
    for k in table["borderline"].values:
        row = table.sel(borderline=k)
        onset = f"onset {float(row['onset_low']):.4g} to {float(row['onset_high']):.4g}"
        lines.append(
            f"    {called(record, int(k))}: p = {float(row['p_value']):.3f}, {onset}, found again in {int(row['n_found'])}"
        )
    return View("bootstrap", table, lines, None)


def draw_intervention(path: Path, found: Autonomy) -> Path:
    """Draw what a run foretold of itself under other frequencies."""
    title = _intervention.reasons(found.claims)[0].partition(". ")[0]
    return plot.save(plot.intervention(found, title), path)


def typical(found: xr.Dataset) -> int:
    """The subtask of median sharpness among the sharp, else among all."""
    s = found["sharpness"].values.reshape(-1, found.sizes["subtask"])[0]
    sharp = (found["status"].values.reshape(-1, found.sizes["subtask"])[0] == "sharp") & np.isfinite(s)
    pool = np.flatnonzero(sharp if sharp.any() else np.isfinite(s))
    if pool.size == 0:
        return 0
    return int(pool[np.argsort(s[pool])[pool.size // 2]])


def as_json(view: View) -> Any:
    """A table as a list of rows, scalars as one object; nan as null, and no curves."""
    ds = view.analysis
    kept = ds[[n for n in ds.data_vars if "step" not in ds[n].dims and ds[n].ndim < 2]]
    dims = [dim for dim in ("clock", "kind", "level", "decile", "borderline") if dim in kept.dims]
    if not dims:
        words = {name: ds.attrs[name] for name in ("word", "sentence", "reasons") if name in ds.attrs}
        return words | {str(n): _plain(kept[n].item()) for n in kept.data_vars if kept[n].ndim == 0}
    names = [dims[0], *map(str, kept.data_vars)]
    return [{n: _plain(kept[n].values[i].item()) for n in names} for i in range(kept.sizes[dims[0]])]


def _plain(value: Any) -> Any:
    return None if value != value else value


def _listed(ds: xr.Dataset) -> list[str]:
    return [f"  · {reason}" for reason in ds.attrs["reasons"]]


def _deciles(record: xr.Dataset, found: xr.Dataset) -> xr.Dataset | None:
    """Bounds by decile, where frequencies are known and differ."""
    frequency = record["frequency"].values if "frequency" in record else np.full(1, np.nan)
    if not np.all(np.isfinite(frequency)) or np.ptp(frequency) <= 1e-9 * frequency.max():
        return None
    return partition.by_frequency(record, found)


def _by_decile(deciles: xr.Dataset) -> str:
    low, high = (deciles[f"sharp_weight_{end}"].values for end in ("low", "high"))
    parts = [
        "none changed" if np.isnan(a) else f"{a:.0%}" if round(b - a, 2) == 0 else f"{a:.0%}–{b:.0%}"
        for a, b in zip(low, high, strict=True)
    ]
    return f"  · of the fall, sharp, by decile of frequency, the most frequent first: {', '.join(parts)}"
