"""Runs as tasks of ``dask.distributed``: a cluster of this machine's processors, or one that is there already."""

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quanta import __version__
from quanta._errors import InputError
from quanta._sweep_run import Outcome, execute

if TYPE_CHECKING:
    from distributed import Client

_ANSWER = 2.5  # seconds in which a scheduler must answer
_WORKERS = 10.0  # seconds for which workers that are about to come are waited for
_BLAMED = 100  # lost workers for which a scheduler of ours may blame a task: runs count by themselves
_VERSION = "__import__('quanta').__version__"
_FORMS = "expected local, local:N, tcp://HOST:PORT, tls://HOST:PORT or file:PATH"


class Lost(Exception):
    """The scheduler is gone."""


@contextlib.contextmanager
def cluster(scheduler: str) -> Iterator["Client"]:
    """A cluster, for as long as the context lasts; what Dask computes meanwhile is computed there.

    Parameters
    ----------
    scheduler : str
        "local" or "local:4" for processes on this machine, as many as it has processors or four, each with one thread and
        none to be reached from elsewhere; or where a scheduler is: "tcp://HOST:PORT", "tls://HOST:PORT", "file:PATH".

    Yields
    ------
    distributed.Client

    Raises
    ------
    InputError
        If ``distributed`` is not installed, or no scheduler answers.
    """
    try:
        import distributed
    except ModuleNotFoundError:
        raise InputError(
            f"--scheduler {scheduler} needs dask.distributed, which is not installed; pip install 'quanta[cluster]'."
        ) from None
    for name in ("distributed", "tornado"):  # what they have to say of runs and workers, the sweep says
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with contextlib.ExitStack() as stack:
        local = re.fullmatch(r"local(?::([1-9]\d*))?", scheduler)
        address = _address(scheduler) if not local else ""
        try:
            here: Any = stack.enter_context(_local(int(local[1] or os.cpu_count() or 1))) if local else address
            client = stack.enter_context(distributed.Client(here, timeout=_ANSWER))
        except Exception as error:  # whatever somebody else's protocol makes of ours
            what = "no cluster can be started here" if local else "no Dask scheduler answers there"
            hint = "" if local else "; start one (dask scheduler), or take --scheduler local"
            raise InputError(f"--scheduler {scheduler}: {what} ({_reason(error)}){hint}.") from None
        yield client


def _reason(error: BaseException) -> str:
    """What an error says that was at the root of others, in brief."""
    while error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).rstrip('.')[:150]}"


def _local(n_workers: int) -> Any:
    """Processes of this machine that nobody else can reach."""
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": _BLAMED}):
        return LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, protocol="tcp", host="127.0.0.1",
            dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=logging.CRITICAL,
        )  # fmt: skip


def _address(scheduler: str) -> str:
    """Where a scheduler is, by what ``--scheduler`` says."""
    if re.match(r"(tcp|tls|ucx|ws|wss)://.+:\d+$", scheduler):
        return scheduler
    if not scheduler.startswith("file:"):
        raise InputError(f"--scheduler is {scheduler!r}; {_FORMS}.")
    path = Path(scheduler.removeprefix("file:").removeprefix("//"))
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["address"])
    except OSError as error:
        raise InputError(f"--scheduler {scheduler}: {path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"--scheduler {scheduler}: {path} is no scheduler file of Dask's.") from None


def check(client: "Client", folder: Path) -> None:
    """Ask all workers whether they have this version of the package, see this very directory, and run one thing at a time.

    Raises
    ------
    InputError
        If there are none, or one has not; says which.
    """
    with contextlib.suppress(TimeoutError):
        client.wait_for_workers(1, timeout=_WORKERS)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for worker, known in workers.items():
        if known["nthreads"] > 1:
            raise InputError(
                f"the worker at {worker} has {known['nthreads']} threads, and runs would share its process; "
                "start workers with --nthreads 1, and more of them (--nworkers)."
            )
    if not workers:
        address = client.scheduler_info()["address"]
        raise InputError(f"the scheduler at {address} has no workers; start some: dask worker {address} --nthreads 1.")
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".sweep-") as probe:
        # Builtins alone: what cannot import the package could not read a function of ours.
        versions = client.run(eval, _VERSION, on_error="return")
        seen = client.run(os.path.exists, str(Path(probe.name).resolve()), on_error="return")
    for worker, version in versions.items():
        if version != __version__:
            what = f"cannot import quanta ({version})" if isinstance(version, Exception) else f"has quanta {version}"
            raise InputError(f"the worker at {worker} {what}; install quanta {__version__} there, as here.")
    for worker, found in seen.items():
        if found is not True:
            raise InputError(
                f"the worker at {worker} does not see {folder.resolve()}; "
                "expected a directory that all machines share, such as a network file system's."
            )


def execute_all(client: "Client", tasks: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[int, Outcome]]:
    """Have all runs made; yields number and outcome of each as it ends.

    Raises
    ------
    Lost
        If the scheduler goes away.
    """
    from distributed import CancelledError, KilledWorker, as_completed

    numbers = {
        client.submit(execute, task, key=f"run-{i}-{os.path.basename(task['attempts'])}", pure=False): i
        for i, task in tasks.items()
    }
    for future in as_completed(list(numbers)):
        try:
            outcome = future.result()
        except (OSError, TimeoutError, CancelledError):  # what a run itself raises is in its outcome
            raise Lost from None
        except KilledWorker:
            outcome = Outcome(error="its workers were lost, again and again")
        except Exception as error:
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        future.release()
        yield numbers.pop(future), outcome
