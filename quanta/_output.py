"""Where the results of a command go: a directory that says which run it holds, and whether that is finished."""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from quanta import __version__
from quanta._errors import InputError
from quanta._parts import brief
from quanta._settings import differing

if TYPE_CHECKING:
    import xarray as xr

_RUNS = Path("runs")  # where runs go that were given no place


@dataclasses.dataclass(frozen=True)
class Output:
    """The directory of one run: ``record.zarr``, figures, and ``run.json``, which says whose it is and if it is done."""

    path: Path
    hash: str

    @property
    def record(self) -> Path:
        """Path of the record."""
        return self.path / "record.zarr"

    def finished(self) -> bool:
        """Whether the run of this very configuration is here, complete."""
        mark = self._mark()
        return mark.get("hash") == self.hash and mark.get("finished") is True

    def finish(self, configuration: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Mark the run as finished: to be called last."""
        self._write(finished=True, configuration=_as_text(configuration), summary=summary)

    def give_back(self) -> None:
        """Leave no trace of a run that was refused: the directory, where nothing else is in it, and that of all runs."""
        (self.path / "run.json").unlink(missing_ok=True)
        for folder in (self.path, *([_RUNS] if self.path.parent == _RUNS else [])):
            with contextlib.suppress(OSError):  # where something else is in it
                folder.rmdir()

    def summary(self) -> dict[str, Any]:
        """What the finished run reported."""
        return dict(self._mark().get("summary", {}))

    def version(self) -> str | None:
        """Of quanta, that wrote what is here; None where no run is."""
        return self._mark().get("quanta_version")

    def move_aside(self) -> None:
        """Give the place of what is here another name."""
        _move_aside(self.path)

    def _mark(self) -> dict[str, Any]:
        try:
            mark = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return mark if isinstance(mark, dict) and "hash" in mark else {}

    def _write(self, **mark: Any) -> None:
        text = json.dumps({"hash": self.hash, "quanta_version": __version__, **mark}, indent=1, default=str)
        temporary = self.path / ".run.json.tmp"
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, self.path / "run.json")

    def _admit(self, configuration: Mapping[str, Any], *, overwrite: bool, resume: bool) -> None:
        """Refuse what is at the path, or make way for the run."""
        if not self.path.is_dir():
            raise InputError(f"--out {self.path} exists and is a file; expected a directory. Choose another name.")
        mark = self._mark()
        if not mark:
            raise InputError(f"--out {self.path} exists and is not a quanta run; choose another name.")
        if overwrite:
            _move_aside(self.path)
        elif mark["hash"] != self.hash:
            differ = differing(mark.get("configuration", {}), _as_text(configuration))
            raise InputError(
                f"--out {self.path} holds a run with other settings{f' ({differ})' if differ else ''}; "
                "choose another name, or add --overwrite."
            )
        elif not self.finished():
            checkpoints = [p for p in self.path.glob("*checkpoint*") if not p.name.startswith(".")]
            if checkpoints and not resume:
                raise InputError(
                    f"--out {self.path} holds an unfinished run; add --resume to go on with it, or --overwrite."
                )
            for left in (self.record, *self.path.glob(".record.*")):  # by a run that was killed while it saved
                shutil.rmtree(left, ignore_errors=True)


class _Parsed(Protocol):
    @property
    def options(self) -> Any: ...
    def hash(self) -> str: ...
    def configuration(self) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True)
class Work:
    """A run whose flags have been read: where it belongs, what makes it, and what is said of it."""

    command: str
    what: str
    parsed: _Parsed
    plan: Callable[[], Any]
    """Checks all that is asked for, and raises InputError; returns what the next two want."""
    make: Callable[[Output, Any], None]
    report: Callable[[Output, Any], str]

    @property
    def place(self) -> Output:
        """Where it belongs; nothing is touched."""
        return _place(self.command, self.what, self.parsed)

    def output(self) -> Output:
        """Where it belongs, found or made; see :func:`output`."""
        return output(self.command, self.what, self.parsed, resume=self.parsed.options.resume)

    def run(self) -> int:
        """Make it, unless it is finished, and print what there is to say; returns the command's exit status."""
        options, planned = self.parsed.options, self.plan()
        out = self.output()
        if not out.finished():
            self.make(out, planned)
        elif not options.json:
            print(f"this very run is finished already: {out.path}")
        print(json.dumps(out.summary()) if options.json else self.report(out, planned))
        return 0


def _place(command: str, what: str, parsed: _Parsed) -> Output:
    path = Path(parsed.options.out or _RUNS / f"{command}-{what}-{parsed.hash()}")
    return Output(path, parsed.hash())


def output(command: str, what: str, parsed: _Parsed, *, resume: bool = False) -> Output:
    """Find or make the run's directory; touch nothing that is not a run of this configuration.

    Parameters
    ----------
    command, what : str
        They name the directory ``runs/<command>-<what>-<hash>`` where no ``--out`` was given.
    parsed : Parsed
        The command line.
    resume : bool
        Whether a checkpoint of an unfinished run may be gone on with.

    Returns
    -------
    Output
        Either :meth:`~Output.finished`, or marked as begun and without a record.

    Raises
    ------
    InputError
        If the path holds something else, or another run, or the disk is read-only or full.
    """
    options = parsed.options
    out = _place(command, what, parsed)
    path = out.path
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        out._admit(parsed.configuration(), overwrite=options.overwrite, resume=resume)
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise InputError(f"--out {path} cannot be written to (read-only); choose another place.")
    free = shutil.disk_usage(path).free
    if free < 2**20:
        raise InputError(
            f"--out {path} is on a full disk ({free} bytes free); free some space, or choose another place."
        )
    if not out.finished():
        out._write(finished=False, configuration=_as_text(parsed.configuration()))
    return out


def run_name(store: Path) -> str:
    """What a run is called: its directory, or its store if that has a name of its own."""
    store = store.resolve()
    return store.parent.name if store.stem == "record" else store.stem


def keep(analyses: "Mapping[str, xr.Dataset]", store: Path) -> None:
    """Save analyses of a run with its record, by name; where that cannot be, say so and go on."""
    from quanta import record

    for name, analysis in analyses.items():
        try:
            record.save(analysis, store, group=name)
        except OSError as error:
            print(f"the {name} could not be saved with the record: {error}", file=sys.stderr)


def _as_text(configuration: Mapping[str, Any]) -> dict[str, str]:
    return {name: brief(str(value)) for name, value in configuration.items()}


def _move_aside(path: Path) -> None:
    aside = next(p for i in range(1000) if not (p := path.with_name(f"{path.name}.old{i}")).exists())
    os.rename(path, aside)
