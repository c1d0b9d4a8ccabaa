"""The run record, ``quanta-record/1``: one schema for simulated, trained and imported runs.

A record is a plain :class:`xarray.Dataset`. Everything upstream makes one with :func:`new`; nothing
downstream asks where the curves came from. Records are combined, averaged, and kept on disk by the functions here.
"""

import hashlib
import inspect
import json
import os
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr

from quanta import _schema, _store
from quanta._errors import InputError, RecordError
from quanta._parts import brief
from quanta._schema import OPTIMIZERS, OUTCOMES, SCHEMA, SOURCES, UNITS, new, validate
from quanta._store import locate, remove

__all__ = [
    "OPTIMIZERS",
    "SCHEMA",
    "SOURCES",
    "UNITS",
    "RecordError",
    "Writer",
    "combine",
    "config_json",
    "design_id",
    "load",
    "locate",
    "mean_loss",
    "new",
    "remove",
    "save",
    "validate",
]


def mean_loss(ds: xr.Dataset) -> xr.DataArray:
    """Mean loss Σ_k weight_k · loss_k, dims (…, step), formed exactly in float64.

    It is never stored and never estimated by resampling a test set: at a Zipf exponent of 1.5, resampling
    leaves hundreds of rare subtasks without a point.

    Raises
    ------
    RecordError
        If the record has no loss.

    Examples
    --------
    >>> ds = new([[2.0, 1.0], [2.0, 1.5]], step=[1, 2], frequency=[0.75, 0.25], source="imported")
    >>> mean_loss(ds).values.tolist()
    [2.0, 1.125]
    """
    if "loss" not in ds:
        raise RecordError(f"the record has no loss, only {[n for n in OUTCOMES if n in ds]}; a mean loss needs one.")
    loss = ds["loss"].transpose(..., "subtask", "step")
    mean = np.einsum("...ks,k->...s", loss.values, ds["weight"].values, dtype=np.float64)
    coords = {name: coord for name, coord in loss.coords.items() if "subtask" not in coord.dims}
    dims = tuple(dim for dim in loss.dims if dim != "subtask")
    return xr.DataArray(mean, coords, dims, name="mean_loss", attrs={"units": loss.attrs.get("units", "")})


def combine(records: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Stack records of the same subtasks and checkpoints along a new leading dim, such as ``seed``.

    Curves and truth are stacked, and so are the clocks that differ (compute, say, in an ensemble over widths).

    Raises
    ------
    RecordError
        If the records differ in steps, subtasks, weights, unit, source or optimizer: says which one, and in what.
    """
    if not records:
        raise RecordError("there are no records to combine.")
    first = records[0]
    for i, other in enumerate(records):
        if dim in validate(other).dims:
            raise RecordError(f"record {i} has a dim {dim!r} already; combine along a new one.")
        if difference := _difference(first, other):
            raise RecordError(
                f"record {i} differs from record 0 in {difference}; only runs of one design can be combined."
            )
    clocks = [n for n in _schema.CLOCKS if n in first and all(first[n].equals(r[n]) for r in records)]
    shared = [n for n in first.data_vars if n in (*_schema.PER_SUBTASK, *_schema.WORDS, *clocks)]
    stacked = xr.concat(
        [r.drop_vars(shared) for r in records],
        dim=dim,
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    seeds = [int(r.attrs["seed"]) for r in records if "seed" in r.attrs]
    by_seed = dim == "seed" and len(set(seeds)) == len(records)  # replicates share theirs
    labels = seeds if by_seed else range(len(records))
    stacked = stacked.assign({name: first[name] for name in shared}).assign_coords({dim: list(labels)})
    stacked.attrs.setdefault("created", first.attrs.get("created", ""))
    return validate(stacked)


def _difference(first: xr.Dataset, other: xr.Dataset) -> str | None:
    """The first thing that keeps two records from being stacked."""
    if set(first.data_vars) != set(other.data_vars):
        return "what was measured: " + ", ".join(sorted(map(str, set(first.data_vars) ^ set(other.data_vars))))
    for name in ("step", "subtask", *_schema.PER_SUBTASK, *_schema.WORDS):
        if name in first.variables and not first[name].equals(other[name]):
            return str(name)
    if "loss" in first and first["loss"].attrs.get("units") != other["loss"].attrs.get("units"):
        return "the unit of loss"
    return next((name for name in ("source", "optimizer") if first.attrs[name] != other.attrs[name]), None)


def save(ds: xr.Dataset, path: str | os.PathLike[str], group: str | None = None, *, overwrite: bool = False) -> Path:
    """Write a record (or, with ``group``, an analysis of it) to ``.zarr`` or ``.nc``, whole or not at all.

    The store is written to a temporary name beside its place, flushed, and renamed.

    Parameters
    ----------
    ds : xr.Dataset
        A record; with ``group``, any dataset of numbers and strings.
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
    RecordError
        If the record is unsound.
    """
    path = Path(path)
    _store.check_suffix(path)
    if group is None:
        validate(ds)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already; choose another name, or overwrite it.")
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise FileNotFoundError(f"{path} does not exist; save the record itself before its {group}.")
    elif not group.isidentifier() or group in _store.names(path):
        raise InputError(f"group {group!r} cannot be the name of an analysis; choose another word.")
    _store.write(ds, path, group)
    return path


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
    ds = _store.read(path, group)
    try:
        return validate(ds) if group is None else ds
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


_LOGGED = {"step", *_schema.CURVES, *_schema.CLOCKS}
_FIELDS = {*inspect.signature(new).parameters, *_schema.OPTIONAL, *_schema.ATTRS} - {"loss", "step", "more"}


class Writer:
    """A record from inside somebody's own training loop, in three lines.

    Rows are kept in one checkpoint file beside the store (replaced atomically; writing it takes at most a
    tenth of the time), and the store is written whole by :meth:`close`. After a crash,
    ``Writer(path, resume=True, …)`` goes on with the rows of the checkpoint file, from :attr:`last_step`.

    Parameters
    ----------
    path : path-like
        Where the record goes: ``.zarr`` or ``.nc``.
    resume : bool
        Continue from the checkpoint file of an interrupted run, if there is one.
    **fields
        As for :func:`new`; ``source`` defaults to "trained".

    Raises
    ------
    FileExistsError
        If the record, or without ``resume`` the checkpoint file of an unfinished run, is there already.
    RecordError
        If a field is none of a record's, the run to be resumed had others, or its checkpoint file cannot be read.

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
        _store.check_suffix(self.path)
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists already; choose another name.")
        self.fields = {"source": "trained", **fields}
        _schema.refuse_unknown(fields, _FIELDS)
        self.partial = self.path.with_name(f"{self.path.name}.partial.npz")
        self.rows: dict[str, list[np.ndarray]] = {}
        self._due = 0.0
        if self.partial.exists():
            if not resume:
                raise FileExistsError(f"{self.partial} is left from an unfinished run; resume it, or delete it.")
            self._restore()

    @property
    def last_step(self) -> float | None:
        """The last step that has been logged, also by the run that is resumed; None before the first."""
        return self.rows["step"][-1].item() if self.rows else None

    def log(self, step: float, loss: Any = None, **more: Any) -> None:
        """Add one checkpoint: ``loss`` and other curves (n_subtasks,), clocks as numbers."""
        given = {"step": step, "loss": loss, **more}
        row = {name: np.asarray(value) for name, value in given.items() if value is not None}
        if not self.rows:
            _schema.refuse_unknown(row, _LOGGED)
        else:
            first = {name: values[0] for name, values in self.rows.items()}
            if set(row) != set(first):
                raise RecordError(f"this checkpoint has {sorted(row)}; the first had {sorted(first)}.")
            for name, value in row.items():
                if value.shape != first[name].shape:
                    raise RecordError(
                        f"{name} has shape {value.shape} at step {step}; it began as {first[name].shape}."
                    )
            if step <= self.rows["step"][-1]:
                raise RecordError(f"step {step} follows {self.last_step}; steps must increase.")
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)
        if time.monotonic() > self._due:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write the rows so far to the checkpoint file, atomically."""
        began = time.monotonic()
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.partial.with_name(f".{self.partial.name}.{os.getpid()}")
        try:
            with open(temporary, "wb") as file:
                stacked: dict[str, Any] = {name: np.stack(values) for name, values in self.rows.items()}
                np.savez(file, _fields=self._design(), **stacked)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.partial)
        finally:
            temporary.unlink(missing_ok=True)
        now = time.monotonic()
        self._due = now + max(1.0, 10 * (now - began))

    def record(self) -> xr.Dataset:
        """The record of the rows so far."""
        if not self.rows:
            raise RecordError("nothing has been logged; call log(step, loss) first.")
        curves: dict[str, Any] = {name: np.moveaxis(np.stack(values), 0, -1) for name, values in self.rows.items()}
        return new(**self.fields, **curves)

    def close(self) -> Path:
        """Write the store, then delete the checkpoint file; if the record is unsound, its rows stay there."""
        if self.rows:
            self.checkpoint()
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

    def _design(self) -> str:
        """The fields as text: a run is resumed with those that it began with."""
        return json.dumps(self.fields, default=lambda value: np.asarray(value).tolist(), sort_keys=True)

    def _restore(self) -> None:
        try:
            with open(self.partial, "rb") as file, np.load(file) as stored:
                rows = {name: list(stored[name]) for name in stored.files if name != "_fields"}
                design = stored["_fields"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RecordError(f"{self.partial} cannot be read ({error}); delete it to start anew.") from None
        if str(design) != self._design():
            raise RecordError(f"{self.partial} is of a run with other fields; resume with the same, or delete it.")
        self.rows = rows


def config_json(**parts: Any) -> str:
    """JSON of the parts' reprs, the longest cut short: the provenance that a record keeps in ``attrs['config']``."""
    return json.dumps(
        {name: part if isinstance(part, (int, float, str, bool)) else brief(repr(part)) for name, part in parts.items()}
    )


def design_id(**parts: Any) -> str:
    """Names a design: runs that share it differ at most in how often each subtask occurs, in length, and by chance."""
    return hashlib.sha256(config_json(**parts).encode()).hexdigest()[:16]
