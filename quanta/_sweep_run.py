"""One run of a sweep, wherever it is made: in this process, or on a worker of a cluster."""

import contextlib
import errno
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from quanta import __version__, _cli
from quanta._errors import InputError
from quanta._output import Output, Work

_ATTEMPTS = 2  # a run whose worker was lost is begun once more
_WAIT = 60.0  # seconds for another process to end with a run: mostly a worker whose scheduler is gone


class Run(NamedTuple):
    """One run: what it is, and where it goes."""

    command: str
    settings: dict[str, Any]  # all of them, as a file of --config has them
    values: dict[str, Any]  # those that are swept
    place: Output

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.values.items())

    def task(self, attempts: Path) -> dict[str, Any]:
        """Plain words for a worker, which may have been started elsewhere."""
        return {
            "command": self.command,
            "settings": self.settings | {"out": str(self.place.path)},
            "folder": str(Path.cwd()),
            "attempts": str(attempts / self.place.path.name),
            "version": __version__,
        }


class Outcome(NamedTuple):
    """How a run ended."""

    seconds: float = 0.0
    error: str = ""  # in a line; "" if it is done
    trace: str = ""  # of what nobody foresaw


def work(command: str, settings: Mapping[str, Any]) -> Work:
    """What the command of that name makes of the settings."""
    made: Work = import_module(f"quanta.{command}").work(settings)
    return made


def execute(task: Mapping[str, Any]) -> Outcome:
    """Make a run, or find it finished; whatever goes wrong is in the outcome."""
    began = time.perf_counter()
    try:
        _execute(task)
    except _cli.MENDABLE as error:
        return Outcome(time.perf_counter() - began, _cli.explained(error))
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return Outcome(time.perf_counter() - began, words, traceback.format_exc())
    return Outcome(time.perf_counter() - began)


def _execute(task: Mapping[str, Any]) -> None:
    if task["version"] != __version__:
        raise InputError(f"this worker has quanta {__version__}, and the sweep is of {task['version']}; install that.")
    if Path.cwd() != Path(task["folder"]):
        os.chdir(task["folder"])  # paths mean what they mean where the sweep was begun
    _count_attempt(task["attempts"])
    _one_thread_each()
    path = Path(task["settings"]["out"])
    with _held(path):
        begun = any(path.glob("*.checkpoint"))
        asked = work(task["command"], task["settings"] | {"resume": begun})
        if not asked.place.finished():
            planned = asked.plan()
            asked.make(asked.output(), planned)


def _count_attempt(path: str) -> None:
    """Mark that the run is begun, beside the sweep's results.

    A scheduler counts too, but blames a lost worker on runs that merely waited there.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        with contextlib.suppress(FileExistsError), open(f"{path}.{attempt}", "x"):
            return
    raise InputError(f"its worker was lost {_ATTEMPTS} times while it ran (out of memory?).")


def _one_thread_each() -> None:
    """As many threads as OMP_NUM_THREADS says, one by default: runs share the processors.

    Linear algebra has been told so when it was loaded, by the sweep or by the worker's nanny; PyTorch is told by the run.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import numba

    numba.set_num_threads(1)  # its own, of which it would take as many as there are processors


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """The directory of a run, for one writer at a time; the system lets go of it when the process ends, however it ends.

    Raises
    ------
    InputError
        If another process has it, and keeps it.
    """
    path.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        until = time.monotonic() + _WAIT
        while not _locked(handle):
            if time.monotonic() > until:
                raise InputError(f"{path} is being written by another process; wait until that ends.")
            time.sleep(0.5)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the lock is ours now; said to be, where there are no locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # on Windows
        return True
    except OSError as error:  # of another kind on file systems without locks
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
