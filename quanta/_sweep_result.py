"""What a sweep leaves where its runs fit together: one dataset with the swept fields as dims."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quanta._simulate_plan import memory_available
from quanta._sweep_grid import Axis, Grid

if TYPE_CHECKING:
    import xarray as xr

_FEW = 0.5  # of a run's checkpoints: if all have fewer in common, they are not one record


class Ragged(Exception):
    """Why runs are no one dataset, in a clause."""


def combine(grid: Grid, records: Sequence[Path]) -> "xr.Dataset":
    """One dataset of all runs: a dim for each axis ahead of a record's own, and at each place exactly what its run has.

    What does not change along an axis, such as the frequencies of runs that differ in their seeds, has no dim of it; what
    does, such as the frequencies of several exponents, has. Selecting one place on each such axis leaves a record.

    Parameters
    ----------
    grid : Grid
        What was swept.
    records : sequence of Path
        Of all runs, in the order of the grid.

    Returns
    -------
    xr.Dataset
        With coordinates of what was swept, and in ``attrs["sweep"]`` the fields of each dim.

    Raises
    ------
    Ragged
        If they differ in subtasks, checkpoints, unit or what was measured, or do not fit into memory.
    """
    import xarray as xr

    from quanta import record

    steps = _common_steps(records)
    merged: _Stack | None = None
    attrs: dict[str, Any] = {}
    configs: list[dict[str, Any]] = []
    for i, path in enumerate(records):
        ds = record.load(path).sel(step=steps)
        if merged is None:
            merged, attrs = _Stack.like(ds, len(records)), dict(ds.attrs)
        merged.put(i, ds)
        configs.append(json.loads(ds.attrs["config"]))
        attrs = {name: value for name, value in attrs.items() if ds.attrs.get(name) == value}
    assert merged is not None
    dims = {_dim(axis, merged.first): axis for axis in grid.axes}
    variables = merged.variables(tuple(dims), grid.shape)
    coords = {k: v for k, v in merged.first.coords.items() if k in merged.first.dims}
    for dim, axis in dims.items():
        for j, (field, values) in enumerate(zip(axis.fields, axis.values, strict=True)):
            coords[dim if j == 0 else _free(field, merged.first)] = (dim, _labels(values))
    attrs["created"] = merged.first.attrs["created"]
    attrs["config"] = json.dumps({name: _each(name, configs) for name in configs[0]})
    attrs["sweep"] = json.dumps({dim: axis.fields for dim, axis in dims.items()})
    return xr.Dataset(variables, coords, attrs)


def is_record(ds: "xr.Dataset") -> bool:
    """Whether it is a record as it is: of runs that share frequencies, weights and chance."""
    from quanta._schema import PER_SUBTASK, WORDS

    return all(ds[name].dims == ("subtask",) for name in (*PER_SUBTASK, *WORDS) if name in ds)


def save(ds: "xr.Dataset", path: Path) -> None:
    """Write it as a record is written; what is none until some of its dims are selected, too."""
    from quanta import _store, record

    if is_record(ds):
        record.save(ds, path, overwrite=True)
    else:
        _store.write(ds, path)


class _Stack(NamedTuple):
    """Datasets with the same variables, one array for each variable."""

    first: "xr.Dataset"
    arrays: dict[str, np.ndarray]  # (n, …)

    @classmethod
    def like(cls, ds: "xr.Dataset", n: int) -> "_Stack":
        """Room for so many."""
        needed = 2 * n * ds.nbytes  # they are written from a copy
        if needed > memory_available():
            raise Ragged(f"together they need about {needed / 2**30:.1f} GiB of memory")
        names = {str(name): ds[name].values for name in ds.data_vars}
        return cls(
            ds, {k: np.empty((n, *v.shape), object if v.dtype.kind == "U" else v.dtype) for k, v in names.items()}
        )

    def put(self, i: int, ds: "xr.Dataset") -> None:
        """Put one in its place.

        Raises
        ------
        Ragged
            If it is not like the first.
        """
        if difference := _difference(self.first, ds):
            raise Ragged(f"run {i} differs from run 0 in {difference}")
        for name, array in self.arrays.items():
            array[i] = ds[name].values

    def variables(self, dims: tuple[str, ...], shape: tuple[int, ...]) -> dict[str, Any]:
        """Dims, values and attrs of each; curves with all the dims, other variables with those along which they change."""
        from quanta._schema import TRUTH

        made = {}
        for name, array in self.arrays.items():
            of = self.first[name]
            along, values = list(dims), array.reshape(*shape, *array.shape[1:])
            if not {"subtask", "step"} <= {*of.dims} and name not in TRUTH:
                for axis in reversed(range(len(dims))):
                    one = np.take(values, [0], axis)
                    if np.all((values == one) | ((values != values) & (one != one))):  # nan is like nan
                        values = one.squeeze(axis)
                        along.pop(axis)
            made[name] = ((*along, *of.dims), values.astype(str) if values.dtype == object else values, of.attrs)
        return made


def _difference(first: "xr.Dataset", other: "xr.Dataset") -> str:
    """What keeps two records from being put side by side."""
    if unlike := {*map(str, first.data_vars)} ^ {*map(str, other.data_vars)}:
        return f"what was measured: {', '.join(sorted(unlike))}"
    for name in first.dims:
        if name not in other.dims or not first[name].equals(other[name]):
            return f"{name}s"
    for name, variable in first.data_vars.items():
        if variable.dims != other[name].dims:
            return f"the dims of {name}"
        if variable.attrs.get("units") != other[name].attrs.get("units"):
            return f"the unit of {name}"
    return next((name for name in ("source", "optimizer") if first.attrs[name] != other.attrs[name]), "")


def _common_steps(records: Sequence[Path]) -> np.ndarray:
    """The checkpoints that all runs have: those of a training run are closer where a loss drops.

    Raises
    ------
    Ragged
        If the runs have other ends, or few checkpoints in common.
    """
    import xarray as xr

    found = []
    for path in records:
        with xr.open_zarr(path, consolidated=False, chunks=None, decode_times=False) as opened:
            found.append(opened["step"].values)
    common = found[0]
    for i, steps in enumerate(found):
        if (steps[0], steps[-1]) != (found[0][0], found[0][-1]):
            raise Ragged(f"run 0 ends at step {found[0][-1]}, and run {i} at step {steps[-1]}")
        common = np.intersect1d(common, steps)
        if len(common) < _FEW * max(len(steps), len(found[0])):
            raise Ragged(f"runs 0 to {i} have only {len(common)} of up to {len(steps)} checkpoints in common")
    return common


def _each(name: str, configs: Sequence[dict[str, Any]]) -> Any:
    """The value that all have, or all the values there are."""
    values = list({str(config.get(name)): config.get(name) for config in configs}.values())
    return values[0] if len(values) == 1 else values


def _dim(axis: Axis, ds: "xr.Dataset") -> str:
    """The first of its fields, under a name that is free."""
    return _free(axis.fields[0], ds)


def _free(name: str, ds: "xr.Dataset") -> str:
    """A name for a field, also where a record has a variable of that name: ``learning_rate`` is its course, too."""
    return f"set_{name}" if name in ds.variables or name in ds.dims else name


def _labels(values: Sequence[Any]) -> np.ndarray:
    """Values of a field as coordinates: numbers or words as they are, others in writing."""
    plain = np.asarray(values) if not any(isinstance(value, list) for value in values) else np.empty(0, object)
    if plain.dtype.kind in "biuf" or all(isinstance(value, str) for value in values):
        return plain
    return np.array([value if isinstance(value, str) else json.dumps(value, default=str) for value in values])
