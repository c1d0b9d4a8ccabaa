"""The run record, ``quanta-record/1``: one schema for simulated, trained and imported runs.

A record is a plain :class:`xarray.Dataset`. Everything upstream makes one with :func:`new`; nothing
downstream asks where the curves came from.
"""

import json
import os
import shutil
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import xarray as xr

from quanta import __version__
from quanta._errors import InputError

SCHEMA = "quanta-record/1"
UNITS = ("nat", "bit", "bit/byte", "squared error")
SOURCES = ("simulated", "trained", "imported")
OPTIMIZERS = ("sgd", "momentum", "adam", "unknown")

_CURVES = ("loss", "accuracy", "probability", "exposures")  # (..., subtask, step)
_CLOCKS = ("examples", "tokens", "compute", "learning_rate", "learning_rate_sum")  # (step)
_PER_SUBTASK = ("n_classes", "chance_loss")  # (subtask)
_TRUTH = ("true_onset", "true_width")  # (..., subtask)
_ATTRS = ("dynamics", "config", "seed", "run_id", "control_kind", "control_of")


class RecordError(InputError):
    """A record that is not one, or not a sound one; the message lists every fault."""


def new(
    loss: Any = None,
    *,
    step: Any,
    frequency: Any = None,
    weight: Any = None,
    units: str = "nat",
    source: str,
    optimizer: str | None = None,
    n_classes: Any = None,
    chance_loss: Any = None,
    dims: Sequence[str] | None = None,
    attrs: Mapping[str, Any] | None = None,
    **more: Any,
) -> xr.Dataset:
    """Make a run record.

    Parameters
    ----------
    loss : array_like, shape (..., n_subtasks, n_steps), optional
        Mean loss of every subtask at every checkpoint; a run may have only ``accuracy`` or ``probability``.
    step : array_like, shape (n_steps,)
        Optimiser steps (or the learner's own time), strictly increasing.
    frequency : array_like, shape (n_subtasks,), optional
        How often each subtask is trained on; nan where unknown.
    weight : array_like, shape (n_subtasks,), optional
        Share of each subtask in the mean loss, summing to 1. Defaults to ``frequency`` where all of it is
        known, else uniform (with a warning).
    units : {"nat", "bit", "bit/byte", "squared error"}
        Unit of ``loss``.
    source : {"simulated", "trained", "imported"}
        Where the curves came from.
    optimizer : {"sgd", "momentum", "adam", "unknown"}, optional
        Decides the sharpness that a convex model could show; "unknown" if not given.
    n_classes, chance_loss : float or array_like, shape (n_subtasks,), optional
        Number of answers; loss of the prior output, in ``units``.
    dims : sequence of str, optional
        Names of all the dims of ``loss``; by default (subtask, step), with ``seed`` ahead of a third.
    attrs : mapping, optional
        Further attributes (strings and numbers).
    **more
        ``accuracy``, ``probability``, ``exposures`` (as ``loss``); ``examples``, ``tokens``, ``compute``,
        ``learning_rate``, ``learning_rate_sum`` (n_steps,); ``true_onset``, ``true_width`` (..., n_subtasks);
        ``dynamics``, ``config``, ``seed``, ``run_id``, ``control_kind``, ``control_of``.

    Returns
    -------
    xr.Dataset
        A valid record.

    Raises
    ------
    RecordError
        If anything is out of order; all faults in one message.

    Examples
    --------
    >>> ds = new([[2.0, 1.0], [2.0, 1.5]], step=[1, 2], frequency=[0.75, 0.25], source="imported")
    >>> mean_loss(ds).values.tolist()
    [2.0, 1.125]
    """
    unknown = set(more) - {*_CURVES, *_CLOCKS, *_TRUTH, *_ATTRS}
    if unknown:
        raise RecordError(
            f"unknown field {sorted(unknown)}; expected one of {sorted({*_CURVES, *_CLOCKS, *_TRUTH, *_ATTRS})}."
        )
    curves = {"loss": loss, **{name: more[name] for name in _CURVES if more.get(name) is not None}}
    curves = {name: np.asarray(value) for name, value in curves.items() if value is not None}
    if not any(name in curves for name in ("loss", "accuracy", "probability")):
        raise RecordError("no curves; give loss, accuracy or probability, shape (n_subtasks, n_steps).")
    first = next(iter(curves.values()))
    if dims is None:
        if not 2 <= first.ndim <= 3:
            raise RecordError(f"curves have {first.ndim} dims; name them with dims=(…, 'subtask', 'step').")
        dims = ("seed", "subtask", "step")[-first.ndim :]
    dims = tuple(dims)
    if dims[-2:] != ("subtask", "step") or len(dims) != first.ndim:
        raise RecordError(f"dims are {dims} for curves of shape {first.shape}; the last two must be 'subtask', 'step'.")
    n_subtasks = first.shape[-2]

    variables: dict[str, Any] = {}
    for name, value in curves.items():
        dtype = np.float64 if name == "exposures" else np.float32
        variables[name] = (dims, value.astype(dtype))
    for name in _CLOCKS:
        if more.get(name) is not None:
            variables[name] = ("step", np.asarray(more[name], dtype=np.float64))
    if frequency is not None:
        variables["frequency"] = ("subtask", np.asarray(frequency, dtype=np.float64))
    for name, value in (("n_classes", n_classes), ("chance_loss", chance_loss)):
        if value is not None:
            value = np.asarray(value, dtype=np.float64)
            variables[name] = (
                "subtask",
                np.broadcast_to(value, (n_subtasks,)).copy() if value.ndim == 0 else value,
            )
    for name in _TRUTH:
        if more.get(name) is not None:
            value = np.asarray(more[name], dtype=np.float64)
            variables[name] = (dims[:-1][-value.ndim :], value)
    all_attrs: dict[str, Any] = {
        "schema": SCHEMA,
        "source": source,
        "optimizer": optimizer or "unknown",
        "quanta_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: more[name] for name in _ATTRS if more.get(name) is not None},
        **(attrs or {}),
    }
    try:
        step = np.asarray(step)
        ds = xr.Dataset(variables, coords={"step": ("step", step), "subtask": np.arange(n_subtasks)}, attrs=all_attrs)
    except ValueError as error:
        raise RecordError(f"the fields do not fit together: {error}") from None
    if weight is None:
        known = frequency is not None and bool(np.all(np.isfinite(ds["frequency"].values)))
        if known:
            weight = ds["frequency"].values / ds["frequency"].values.sum()
        else:
            if n_subtasks > 1:
                warnings.warn("no frequency and no weight: the mean loss weighs all subtasks alike", stacklevel=2)
            weight = np.full(n_subtasks, 1.0 / n_subtasks)
    ds["weight"] = ("subtask", np.asarray(weight, dtype=np.float64))
    if "loss" in ds:
        ds["loss"].attrs["units"] = units
    return validate(ds)


def _curve_faults(ds: xr.Dataset) -> Iterable[str]:
    present = [name for name in ("loss", "accuracy", "probability") if name in ds]
    if not present:
        yield "there is no loss, accuracy or probability"
    for name in present:
        curve = ds[name]
        if curve.dims[-2:] != ("subtask", "step"):
            yield f"{name} has dims {curve.dims}; expected (…, 'subtask', 'step')"
            continue
        low, high = float(curve.min()), float(curve.max())
        if bool(curve.isnull().any()) or not np.isfinite(high):
            yield f"{name} has {int((~np.isfinite(curve)).sum())} values that are nan or infinite; drop those checkpoints"
        elif low < 0:
            yield f"{name} has negative values (lowest {low:.4g}); a loss is 0 or more: subtract its floor first"
        if name != "loss" and high > 1:
            yield f"{name} reaches {high:.4g}; expected values from 0 to 1"
    if "loss" in ds and ds["loss"].attrs.get("units") not in UNITS:
        yield f"loss has units {ds['loss'].attrs.get('units')!r}; expected one of {', '.join(UNITS)} in loss.attrs['units']"


def _subtask_faults(ds: xr.Dataset) -> Iterable[str]:
    n_subtasks = ds.sizes.get("subtask", 0)
    for name in ("weight", "frequency", *_PER_SUBTASK):
        if name in ds and ds[name].dims != ("subtask",):
            yield f"{name} has dims {ds[name].dims}; expected ('subtask',)"
    if "weight" not in ds:
        yield "there is no weight"
    elif ds["weight"].dims == ("subtask",):
        weight = ds["weight"].values
        if not np.all(np.isfinite(weight)) or np.any(weight < 0):
            yield "weight must be finite and 0 or more"
        elif abs(weight.sum() - 1) > 1e-6:
            yield f"weight sums to {weight.sum():.6g}, not 1; divide by its sum, or pass counts to frequencies.Empirical"
    if "frequency" in ds and np.any(ds["frequency"].values < 0):
        yield "frequency must be 0 or more (nan where unknown)"
    if n_subtasks == 0:
        yield "there are no subtasks"


def _step_faults(ds: xr.Dataset) -> Iterable[str]:
    if "step" not in ds.coords or ds["step"].dims != ("step",):
        yield "there is no coordinate step with dims ('step',)"
        return
    step = ds["step"].values
    if step.dtype.kind not in "iuf":
        yield f"step has dtype {step.dtype}; expected numbers"
        return
    if not np.all(np.isfinite(step)) or (step.size and step.min() < 0):
        yield "step must be finite and 0 or more"
    drops = np.flatnonzero(np.diff(step) <= 0)
    if drops.size:
        i = int(drops[0])
        yield f"step does not increase: {step[i]} is followed by {step[i + 1]} (checkpoint {i + 1}); sort and drop repeats"


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return the record, or raise one :class:`RecordError` that lists every fault.

    Parameters
    ----------
    ds : xr.Dataset
        A run record.

    Raises
    ------
    RecordError
        With all faults in one line.
    """
    if not isinstance(ds, xr.Dataset):
        raise RecordError(f"a {type(ds).__name__} is not a record; make one with record.new(loss, step=…, source=…).")
    schema = ds.attrs.get("schema")
    if schema is None:
        raise RecordError("this is not a quanta record: it has no schema attribute; make one with quanta.record.new.")
    if schema != SCHEMA:
        raise RecordError(
            f"the record has schema {schema!r}; this version of quanta reads {SCHEMA!r}. Convert it, or use the quanta that wrote it."
        )
    faults = [*_step_faults(ds), *_curve_faults(ds), *_subtask_faults(ds)]
    for name, allowed in (("source", SOURCES), ("optimizer", OPTIMIZERS)):
        if ds.attrs.get(name) not in allowed:
            faults.append(f"{name} is {ds.attrs.get(name)!r}; expected one of {', '.join(allowed)}")
    if faults:
        raise RecordError("; ".join(faults) + ".")
    return ds


def mean_loss(ds: xr.Dataset) -> xr.DataArray:
    """Mean loss Σ_k weight_k · loss_k, dims (…, step), formed exactly in float64.

    It is never stored and never estimated by resampling a test set: at a Zipf exponent of 1.5, resampling
    leaves hundreds of rare subtasks without a point.
    """
    mean = (ds["loss"].astype(np.float64) * ds["weight"]).sum("subtask")
    return mean.rename("mean_loss").assign_attrs(units=ds["loss"].attrs.get("units", ""))


def combine(records: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Stack records of the same subtasks and checkpoints along a new leading dim, such as ``seed``.

    Raises
    ------
    RecordError
        If the records differ in steps, subtasks, weights or unit: says which one, and where.
    """
    if not records:
        raise RecordError("there are no records to combine.")
    first = validate(records[0])
    for i, other in enumerate(records[1:], start=1):
        validate(other)
        for name in ("step", "weight", "frequency"):
            a, b = first.get(name), other.get(name)
            if (a is None) != (b is None) or (a is not None and b is not None and not a.equals(b)):
                raise RecordError(
                    f"record {i} differs from record 0 in {name}; only runs of one design can be combined."
                )
        if first["loss"].attrs != other["loss"].attrs or set(first.data_vars) != set(other.data_vars):
            raise RecordError(f"record {i} has other variables or units than record 0.")
    shared = [n for n in first.data_vars if first[n].dims in (("subtask",), ("step",)) and n not in _TRUTH]
    stacked = xr.concat([r.drop_vars(shared) for r in records], dim=dim, combine_attrs="drop_conflicts")
    stacked = stacked.assign({name: first[name] for name in shared}).assign_coords({dim: np.arange(len(records))})
    if dim == "seed" and all("seed" in r.attrs for r in records):
        stacked = stacked.assign_coords(seed=[int(r.attrs["seed"]) for r in records])
    stacked.attrs.setdefault("created", first.attrs["created"])
    return validate(stacked)


# ---------------------------------------------------------------------------------------------- on disk


def _encode(ds: xr.Dataset) -> xr.Dataset:
    """Strings to integers with flag_meanings, None and bool out of the attributes."""
    ds = ds.copy()
    for name, variable in ds.variables.items():
        if variable.dtype.kind not in "UOT" or variable.ndim == 0:
            continue
        words, codes = np.unique(variable.values.astype(str), return_inverse=True)
        flags = {
            "flag_values": list(range(len(words))),
            "flag_meanings": " ".join(quote(w) or "%" for w in words),
        }
        ds[name] = (
            variable.dims,
            codes.reshape(variable.shape).astype(np.int32),
            {**variable.attrs, **flags},
        )
    ds.attrs = {k: int(v) if isinstance(v, bool) else v for k, v in ds.attrs.items() if v is not None}
    return ds


def _decode(ds: xr.Dataset) -> xr.Dataset:
    for name, variable in list(ds.variables.items()):
        if "flag_meanings" in variable.attrs:
            words = np.array([unquote(w) if w != "%" else "" for w in str(variable.attrs["flag_meanings"]).split(" ")])
            attrs = {k: v for k, v in variable.attrs.items() if k not in ("flag_meanings", "flag_values")}
            ds[name] = (variable.dims, words[variable.values], attrs)
    return ds


def _write(ds: xr.Dataset, path: Path) -> None:
    """Write a whole dataset to a path that nobody else knows yet."""
    ds = _encode(ds)
    for variable in ds.variables.values():
        variable.encoding = {}
    if path.suffix == ".nc":
        compressed = {name: {"zlib": True, "complevel": 4} for name in ds.data_vars if ds[name].size > 1}
        ds.to_netcdf(path, engine="h5netcdf", encoding=compressed)
    else:
        ds.to_zarr(path, mode="w", consolidated=False, zarr_format=3)


def _sync(path: Path) -> None:
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with open(file, "rb") if file.is_file() else _directory(file) as handle:
            os.fsync(handle if isinstance(handle, int) else handle.fileno())


class _directory:
    """An open directory, for fsync."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        self.fd = os.open(self.path, os.O_RDONLY)
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def remove(path: Path) -> None:
    """Delete a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _suffix(path: Path) -> str:
    if path.suffix not in (".zarr", ".nc"):
        raise InputError(f"{path} has suffix {path.suffix!r}; expected .zarr (default) or .nc (one file).")
    return path.suffix


def save(ds: xr.Dataset, path: str | os.PathLike[str], group: str | None = None, *, overwrite: bool = False) -> Path:
    """Write a record (or, with ``group``, an analysis of it) to ``.zarr`` or ``.nc``, whole or not at all.

    The store is written to a temporary name beside its place, flushed, and renamed.

    Parameters
    ----------
    ds : xr.Dataset
        A record; with ``group``, any dataset.
    path : path-like
        Ends in ``.zarr`` or ``.nc``.
    group : str, optional
        Save into this group of an existing store; a group of that name is replaced.
    overwrite : bool
        Replace an existing store (its old content is moved aside first, and deleted last).

    Raises
    ------
    FileExistsError
        If ``path`` exists, without ``overwrite``.
    """
    path = Path(path)
    suffix = _suffix(path)
    if group is None:
        validate(ds)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already; choose another name, or overwrite it.")
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise FileNotFoundError(f"{path} does not exist; save the record itself before its {group}.")
    temporary = path.parent / f".{path.stem}.{os.getpid()}.tmp{suffix}"
    remove(temporary)
    try:
        if group is None:
            _write(ds, temporary)
            _sync(temporary)
            _swap(temporary, path)
        elif suffix == ".nc":
            shutil.copy2(path, temporary)
            encoded = _encode(ds)
            _delete_group(temporary, group)
            encoded.to_netcdf(temporary, engine="h5netcdf", group=group, mode="a")
            _sync(temporary)
            os.replace(temporary, path)
        else:
            _write(ds, temporary)
            _sync(temporary)
            _swap(temporary, path / group)
    finally:
        remove(temporary)
    return path


def _delete_group(path: Path, group: str) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        if group in file:
            del file[group]


def _swap(temporary: Path, path: Path) -> None:
    """Rename into place; what was there is moved aside first and deleted last."""
    aside = path.parent / f".{path.name}.{os.getpid()}.old"
    had = path.exists()
    if had:
        os.rename(path, aside)
    os.rename(temporary, path)
    if had:
        remove(aside)
    with _directory(path.parent) as fd:
        os.fsync(fd)


def load(path: str | os.PathLike[str], group: str | None = None) -> xr.Dataset:
    """Read a record, or one of the analyses saved with it, into memory.

    Parameters
    ----------
    path : path-like
        A ``.zarr`` or ``.nc`` store, or the directory of a run that holds ``record.zarr`` or ``record.nc``.
    group : str, optional
        Name of an analysis saved in the store.

    Raises
    ------
    RecordError
        If it cannot be read as a record: truncated, something else, another schema, or unsound.
    """
    path = locate(path)
    try:
        if path.suffix == ".nc":
            with xr.open_dataset(path, engine="h5netcdf", group=group) as opened:
                ds = opened.load()
        else:
            with xr.open_zarr(path, group=group, consolidated=False, chunks=None) as opened:
                ds = opened.load()
        for variable in ds.variables.values():
            variable.encoding = {}
        ds = _decode(ds)
    except RecordError:
        raise
    except Exception as error:  # whatever a torn store makes its reader raise
        reason = " ".join(str(error).split())[:200]
        what = "group" if group else "record"
        raise RecordError(
            f"{path} cannot be read as a {what} (truncated, or something else): {type(error).__name__}: {reason}"
        ) from error
    return validate(ds) if group is None else ds


def locate(path: str | os.PathLike[str]) -> Path:
    """Path of the store that ``path`` means: itself, or the ``record.*`` of a run's directory."""
    path = Path(path)
    if not path.exists():
        partial = [p for p in (path.with_name(f"{path.name}.partial.npz"), path / "record.partial.npz") if p.exists()]
        hint = f" An unfinished run is there ({partial[0]}); resume it." if partial else ""
        raise RecordError(f"{path} does not exist.{hint}")
    if path.suffix in (".zarr", ".nc"):
        return path
    for name in ("record.zarr", "record.nc"):
        if path.is_dir() and (path / name).exists():
            return path / name
    raise RecordError(
        f"{path} is not a record; expected a .zarr or .nc store, or a run's directory with record.zarr in it."
    )


class Writer:
    """A record from inside somebody's own training loop, in three lines.

    Rows are kept in one checkpoint file beside the store (replaced atomically, at most once a second), and
    the store is written whole by :meth:`close`. After a crash, ``Writer(path, resume=True, …)`` goes on with
    the rows of the checkpoint file.

    Parameters
    ----------
    path : path-like
        Where the record goes: ``.zarr`` or ``.nc``.
    resume : bool
        Continue from the checkpoint file of an interrupted run.
    **fields
        As for :func:`new`; ``source`` defaults to "trained".

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Writer(f"{folder}/run.zarr", frequency=[0.75, 0.25]) as writer:
    ...         for step in (1, 2, 4):
    ...             writer.log(step, [2.0 / step, 2.0])
    ...     load(f"{folder}/run.zarr").sizes["step"]
    3
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = False, **fields: Any) -> None:
        self.path = Path(path)
        _suffix(self.path)
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists already; choose another name.")
        self.fields = {"source": "trained", **fields}
        self.partial = self.path.with_name(f"{self.path.name}.partial.npz")
        self.rows: dict[str, list[np.ndarray]] = {}
        self._saved = 0.0
        if self.partial.exists():
            if not resume:
                raise FileExistsError(f"{self.partial} is left from an unfinished run; resume it, or delete it.")
            with np.load(self.partial) as stored:
                self.rows = {name: list(stored[name]) for name in stored.files}

    def log(self, step: float, loss: Any = None, **more: Any) -> None:
        """Add one checkpoint: ``loss`` and other curves (n_subtasks,), clocks as numbers."""
        row = {"step": step, **({"loss": loss} if loss is not None else {}), **more}
        if self.rows and set(row) != set(self.rows):
            raise RecordError(f"this checkpoint has {sorted(row)}; the first had {sorted(self.rows)}.")
        if self.rows and step <= self.rows["step"][-1]:
            raise RecordError(f"step {step} follows {self.rows['step'][-1]}; steps must increase.")
        for name, value in row.items():
            self.rows.setdefault(name, []).append(np.asarray(value))
        if time.monotonic() - self._saved > 1.0:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write the rows so far to the checkpoint file, atomically."""
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.partial.with_name(f".{self.partial.name}.{os.getpid()}")
        with open(temporary, "wb") as file:
            np.savez(file, **{name: np.stack(values) for name, values in self.rows.items()})
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.partial)
        self._saved = time.monotonic()

    def record(self) -> xr.Dataset:
        """The record of the rows so far."""
        if not self.rows:
            raise RecordError("nothing has been logged; call log(step, loss) first.")
        fields: dict[str, Any] = dict(self.fields)
        for name, values in self.rows.items():
            stacked = np.stack(values)
            fields[name] = np.moveaxis(stacked, 0, -1) if stacked.ndim > 1 else stacked
        return new(**fields)

    def close(self) -> Path:
        """Write the store, then delete the checkpoint file."""
        save(self.record(), self.path)
        self.partial.unlink(missing_ok=True)
        return self.path

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self.rows:
            self.checkpoint()


def config_json(**parts: Any) -> str:
    """JSON of the parts' reprs: the provenance that a record keeps in ``attrs['config']``."""
    return json.dumps(
        {name: part if isinstance(part, (int, float, str, bool)) else repr(part) for name, part in parts.items()}
    )
