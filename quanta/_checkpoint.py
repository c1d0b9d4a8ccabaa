"""The one file that a training run in progress keeps: its state and its record so far, replaced atomically.

How a file is replaced, and when it is of another run, simulations share.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from quanta._errors import InputError
from quanta._settings import differing

_FORMAT = "quanta-checkpoint/1"


def save(path: Path, settings: Mapping[str, Any], rows: Mapping[str, list[Any]], **state: Any) -> None:
    """Write the file under another name, flush it to the disk, and rename it."""
    import torch

    stacked = {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}
    words = {name: str(value) for name, value in settings.items()}
    content = {"format": _FORMAT, "settings": words, "rows": stacked, **state}
    replace(path, lambda file: torch.save(content, file))


def replace(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Put a file in its place, whole or not at all: written under another name, flushed to the disk, renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, settings: Mapping[str, Any], device: str = "cpu") -> dict[str, Any]:
    """Read the file back: ``rows`` as lists of arrays, and the state as it was given.

    Raises
    ------
    InputError
        If it cannot be read, or belongs to a run with other settings, which are listed.
    """
    import torch

    try:
        found = torch.load(path, map_location=device, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever a torn file makes its reader raise
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); delete it, or start anew with --overwrite."
        ) from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise InputError(f"{path} is not a {_FORMAT} file; delete it, or start anew with --overwrite.")
    refuse_other(path, found["settings"], {name: str(value) for name, value in settings.items()})
    found["rows"] = {name: list(values.cpu().numpy()) for name, values in found["rows"].items()}
    return found


def refuse_other(path: Path, old: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Refuse a checkpoint of a run with other settings.

    Raises
    ------
    InputError
        That lists in what they differ.
    """
    if differ := differing(old, settings):
        raise InputError(
            f"{path} is of a run with other settings: {differ}. Resume with the old ones, or choose another --out."
        )
