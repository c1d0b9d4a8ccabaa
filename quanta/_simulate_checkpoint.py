"""The one file that a simulation in progress keeps: its state and its curves so far, replaced atomically."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quanta import _checkpoint
from quanta._errors import InputError
from quanta._parts import brief

_FORMAT = "quanta-simulation/1"


def save(path: Path, settings: Mapping[str, Any], state: Any, rows: Mapping[str, np.ndarray]) -> None:
    """Write the file under another name, flush it to the disk, and rename it.

    Parameters
    ----------
    path : Path
        Of the file.
    settings : mapping
        All that decides the run: what resumes it must have the same.
    state : NamedTuple of np.ndarray
        Of the learner.
    rows : mapping
        Name → (done, n_subtasks), what was measured.
    """
    words = json.dumps([_FORMAT, {name: brief(str(value)) for name, value in settings.items()}])
    arrays = {f"state.{name}": value for name, value in state._asdict().items()}
    arrays |= {f"rows.{name}": value for name, value in rows.items()}
    _checkpoint.replace(path, lambda file: np.savez(file, settings=np.array(words), **arrays))


def load(path: Path, settings: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read the file back: the fields of the state, and the rows.

    Raises
    ------
    InputError
        If it cannot be read, or belongs to a run with other settings, which are listed.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            form, old = json.loads(str(stored["settings"]))
            arrays = {name: stored[name] for name in stored.files if name != "settings"}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:  # torn, or something else
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); delete it, or start anew with --overwrite."
        ) from error
    if form != _FORMAT:
        raise InputError(f"{path} is not a {_FORMAT} file; delete it, or start anew with --overwrite.")
    _checkpoint.refuse_other(path, old, {name: brief(str(value)) for name, value in settings.items()})
    found: dict[str, dict[str, np.ndarray]] = {"state": {}, "rows": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        found[kind][rest] = array
    return found["state"], found["rows"]
