"""Datasets on disk: written whole or not at all, and read back only if they are what was written."""

import io
import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import xarray as xr

from quanta._errors import InputError, RecordError

_CHUNK = 2**26  # bytes: one file for a usual curve, a dozen for a million subtasks
_CHECKSUM = "checksum"


def write(ds: xr.Dataset, path: Path, group: str | None = None) -> None:
    """Write to a temporary name beside ``path``, flush, and rename: ``path`` never holds half a store.

    Raises
    ------
    OSError
        Names ``path`` and what the system said: a full disk, a read-only one.
    """
    ds = _encode(ds)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    remove(temporary)
    try:
        if path.suffix == ".zarr":
            _write_zarr(ds, temporary)
            place = path / group if group else path
        else:
            _write_netcdf(ds, temporary, group, store=path.read_bytes() if group else b"")
            place = path
        _flush(temporary)
        _move(temporary, place)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:  # where the user interrupts, files may still be on their way there
        shutil.rmtree(temporary, ignore_errors=True)
        if temporary.is_file():
            temporary.unlink()


def read(path: Path, group: str | None = None) -> xr.Dataset:
    """Read a dataset into memory.

    Raises
    ------
    RecordError
        If it cannot be read, or its values are not those that were written (a store without one of its chunk
        files reads as zeros or nan, silently).
    """
    try:
        with _open(path, group) as opened:
            ds = opened.load()
        written = ds.attrs.pop(_CHECKSUM, None)
        if written is not None and written != _checksum(ds):
            raise RecordError(f"{path} is damaged: its values are not those that were written (chunks are missing?).")
        return _decode(ds)
    except (RecordError, MemoryError, ImportError):
        raise
    except Exception as error:  # whatever a torn store makes its reader raise
        what = f"has no analysis {group!r} that can be read" if group else "cannot be read as a record"
        reason = " ".join(str(error).split())[:200]
        raise RecordError(f"{path} {what} (truncated, or something else): {type(error).__name__}: {reason}") from error


def names(path: Path) -> set[str]:
    """Names of the variables in a store."""
    with _open(path, None) as opened:
        return {str(name) for name in opened.variables}


def check_suffix(path: Path) -> None:
    """Refuse any suffix but ``.zarr`` and ``.nc``."""
    if path.suffix not in (".zarr", ".nc"):
        raise InputError(f"{path} has suffix {path.suffix!r}; expected .zarr (default) or .nc (one file).")


def locate(path: str | os.PathLike[str]) -> Path:
    """Path of the store that ``path`` means: itself, or the ``record.*`` of a run's directory."""
    path = Path(path)
    if not path.exists():
        raise RecordError(f"{path} does not exist.{_traces(path)}")
    if path.suffix in (".zarr", ".nc"):
        return path
    for name in ("record.zarr", "record.nc"):
        if (path / name).exists():
            return path / name
    if (path / "train.checkpoint").exists():
        raise RecordError(f"{path} is an unfinished run; go on with it: the same command with --resume.")
    raise RecordError(
        f"{path} is not a record; expected a .zarr or .nc store, or a run's directory with record.zarr in it."
        f"{_traces(path / 'record.zarr')}"
    )


def remove(path: Path) -> None:
    """Delete a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _traces(path: Path) -> str:
    """What an interrupted run may have left where a store was looked for."""
    for partial in (path.with_name(f"{path.name}.partial.npz"), path / "record.zarr.partial.npz"):
        if partial.exists():
            return f" An unfinished run is there ({partial}); resume it."
    for aside in path.parent.glob(f".{path.name}.*.old"):
        return f" It was being replaced when a run was killed; the one before is {aside}: rename it."
    return ""


def _write_zarr(ds: xr.Dataset, path: Path) -> None:
    encoding = {name: {"chunks": _chunks(variable)} for name, variable in ds.variables.items() if variable.size}
    import zarr

    with zarr.config.set({"async.concurrency": 1}):  # each chunk under way takes memory, and a disk takes them in turn
        ds.to_zarr(path, mode="w", consolidated=False, zarr_format=3, encoding=encoding)


def _write_netcdf(ds: xr.Dataset, path: Path, group: str | None, store: bytes = b"") -> None:
    """One file, put together in memory: HDF5 writing to a full disk fails once more, noisily, as it closes."""
    buffer = io.BytesIO(store)
    if group:
        import h5py

        with h5py.File(buffer, "a") as file:
            file.pop(group, None)
    encoding = {name: {"zlib": True, "complevel": 4} for name in ds.data_vars if ds[name].size > 1}
    ds.to_netcdf(buffer, engine="h5netcdf", group=group, mode="a" if group else "w", encoding=encoding)
    path.write_bytes(buffer.getbuffer())


def _chunks(variable: xr.Variable) -> tuple[int, ...]:
    """Whole arrays up to 64 MiB; beyond, blocks of the longest dim."""
    blocks = -(-variable.nbytes // _CHUNK)
    longest = int(np.argmax(variable.shape)) if variable.ndim else 0
    return tuple(-(-n // blocks) if axis == longest else n for axis, n in enumerate(variable.shape))


def _flush(path: Path) -> None:
    """See a file, or all of a directory, onto the disk."""
    for item in (path, *path.rglob("*")):
        handle = os.open(item, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(temporary: Path, path: Path) -> None:
    """Rename into place. No call replaces a directory, so an old one is moved aside first and deleted last."""
    if temporary.is_dir() and path.exists():
        aside = path.with_name(f".{path.name}.{os.getpid()}.old")
        os.rename(path, aside)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(aside, path)
            raise
        remove(aside)
    else:
        os.replace(temporary, path)


def _open(path: Path, group: str | None) -> xr.Dataset:
    if path.suffix == ".nc":
        return xr.open_dataset(path, engine="h5netcdf", group=group, decode_times=False)
    return xr.open_zarr(path, group=group, consolidated=False, chunks=None, decode_times=False)


def _checksum(ds: xr.Dataset) -> str:
    """Names, shapes and values of all variables in eight hex digits."""
    crc = 0
    for name in sorted(map(str, ds.variables)):
        variable = ds.variables[name]
        crc = zlib.crc32(f"{name} {variable.dims} {variable.shape} {variable.dtype}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(variable.values).data, crc)
    return f"{crc:08x}"


def _encode(ds: xr.Dataset) -> xr.Dataset:
    """Strings as integers with flag_meanings; attributes as plain strings and numbers; a checksum."""
    ds = ds.copy()
    for name, variable in ds.variables.items():
        attrs = {key: _pack(value) for key, value in variable.attrs.items()}
        values = variable.values
        if values.dtype.kind in "UOT":
            words, codes = np.unique(values.astype(str), return_inverse=True)
            values = codes.reshape(values.shape).astype(np.int32)
            attrs["flag_meanings"] = " ".join(quote(word) or "%" for word in words)
        elif values.dtype.kind not in "biuf":
            raise RecordError(f"{name} has dtype {values.dtype}; a store keeps numbers and strings.")
        ds[name] = xr.Variable(variable.dims, values, attrs)
    ds.attrs = {key: _pack(value) for key, value in ds.attrs.items()}
    ds.attrs[_CHECKSUM] = _checksum(ds)
    return ds


def _decode(ds: xr.Dataset) -> xr.Dataset:
    for name, variable in list(ds.variables.items()):
        attrs = {key: _unpack(value) for key, value in variable.attrs.items()}
        values = variable.values
        if meanings := attrs.pop("flag_meanings", None):
            words = np.array(["" if word == "%" else unquote(word) for word in meanings.split(" ")])
            values = words[values]
        ds[name] = xr.Variable(variable.dims, values, attrs)
    ds.attrs = {key: _unpack(value) for key, value in ds.attrs.items()}
    ds.encoding = {}
    return ds


def _pack(value: Any) -> Any:
    """An attribute that both formats keep as it is: what is no string or number becomes JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    plain = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63
    if plain or (isinstance(value, str) and not value.startswith("json:")):
        return value
    return "json:" + json.dumps(value, default=lambda array: np.asarray(array).tolist())


def _unpack(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("json:"):
        return json.loads(value.removeprefix("json:"))
    return value.item() if isinstance(value, np.generic) else value
