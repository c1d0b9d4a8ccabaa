"""Many runs of one command, over a grid of its fields: one after the other, or on a Dask cluster.

    python -m quanta.sweep sweep.toml                          # one run after the other
    python -m quanta.sweep sweep.toml --dry-run                # which runs these are
    python -m quanta.sweep sweep.toml --scheduler local:8      # eight at a time, on this machine
    python -m quanta.sweep sweep.toml --scheduler tcp://10.0.0.1:8786

A sweep file says which command, what all its runs share, and what is swept (all combinations)::

    command = "simulate"                       # or "train"
    [set]                                      # flags, as --print-config of that command writes them
    n_subtasks = 200
    steps = 100000
    [sweep]
    learner = ["multilinear", "exponential"]
    exponent = [1.3, 1.5, 1.8]
    seed = "0:10"                              # 0 to 9
    [[zip]]                                    # fields that go together, one dim (may be repeated)
    n_checkpoints = [100, 200]
    batch_size = [1, 4]

A run is the run that the command itself makes, in the same directory ``runs/<command>-<what>-<hash>``: what is finished
there is not made again, whether the command made it, this sweep or another; what is unfinished is gone on with. A run that
fails is reported, and the others go on; the exit status is then 1. The same sweep again makes what is missing.

The result, in ``runs/sweep-<file>-<hash>``: ``runs.csv`` and ``runs.json``, a list of all runs; and where they fit together
``record.zarr``, with what is swept as dims (:func:`load`). What does not change along a dim does not have it: a sweep of
seeds is a record like any other; of a sweep of exponents, which change frequencies, ``load(path).sel(exponent=1.3)`` is one.
Runs of different lengths (say steps, if exponents are swept) or subtasks stay a list.

Clusters
--------
Runs are tasks of ``dask.distributed`` (``pip install 'quanta[cluster]'``), each in one process, with one thread unless
OMP_NUM_THREADS says more. Only a few words travel: workers need this very version of quanta, and the directory from which
the sweep is begun, on a file system that all share. A run whose worker is lost is begun once more, from its checkpoint. ::

    dask scheduler --host 127.0.0.1 --port 8786
    dask worker tcp://127.0.0.1:8786 --nworkers 4 --nthreads 1

**Whoever reaches a scheduler can run anything in your name**: Dask asks for no password. ``local`` binds to 127.0.0.1, and
so should a scheduler of your own. Between machines use TLS: certificates in Dask's configuration, then a ``tls://`` address ::

    # ~/.config/dask/tls.yaml, on all machines
    distributed:
      comm:
        require-encryption: true
        tls:
          ca-file: ca.pem
          scheduler: {cert: cluster.pem, key: cluster-key.pem}
          worker: {cert: cluster.pem, key: cluster-key.pem}
          client: {cert: cluster.pem, key: cluster-key.pem}

On SLURM, `dask-jobqueue` writes the job scripts; the scheduler lives as long as the script that starts it ::

    from dask_jobqueue import SLURMCluster
    from quanta import sweep

    cluster = SLURMCluster(cores=1, processes=1, memory="4GB", walltime="08:00:00", scheduler_options={"host": "10.0.0.1"})
    cluster.scale(32)
    sweep.main(["sweep.toml", "--scheduler", cluster.scheduler_address])

or start ``dask scheduler --scheduler-file s.json`` and ``srun dask worker --scheduler-file s.json --nthreads 1`` in one
batch script, and give ``--scheduler file:s.json``.

Analyses use the cluster, too: those of a record opened with chunks are worked on chunk by chunk, by all its workers ::

    ds = xr.open_zarr("runs/…/record.zarr", chunks={}, consolidated=False)  # stored in chunks of up to 64 MiB
    with sweep.cluster("local:8"):
        found = transitions.detect(ds, curves=False).compute()
"""

import contextlib
import dataclasses
import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from quanta import _cli, _sweep_all, _sweep_report
from quanta._errors import InputError
from quanta._sweep_all import Sweep
from quanta._sweep_cluster import cluster
from quanta._sweep_grid import Grid, read
from quanta._sweep_run import Run, work

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["cluster", "load", "main", "run"]

_MANY = 200  # runs, whose check takes a while
_log = logging.getLogger("quanta.sweep")


def load(path: str | os.PathLike[str]) -> "xr.Dataset":
    """Read the dataset of a sweep: its directory, or ``record.zarr`` in it.

    Returns
    -------
    xr.Dataset
        With the swept fields as dims ahead of those of a record. Where runs differ in frequencies, weights or chance, these
        have dims too, and it becomes a record when one place on those dims is selected.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    from quanta import _store

    if (Path(path) / "runs.csv").exists() and not (Path(path) / "record.zarr").exists():
        raise InputError(
            f"{path} has no record of all its runs, which do not fit together or are not done; see runs.csv."
        )
    return _store.read(_store.locate(path))


def _options() -> type:
    import tyro

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(_cli.Common):
        """Run a command over a grid of its fields, one run after the other or on a Dask cluster."""

        file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.toml")]
        """Says what to run: command = "simulate" or "train"; [set] with what all runs share, as --print-config of the command
        writes it; [sweep] with lists of values, of which all combinations are run (whole numbers also as "0:8"); [[zip]] with
        lists of values that go together."""
        scheduler: str | None = None
        """Run on Dask: local or local:N for N processes here, tcp://HOST:PORT, tls://HOST:PORT or file:PATH for a scheduler
        that is there. Whoever reaches one that has no TLS can run anything in your name."""
        runs: Path = Path("runs")
        """Where the runs' own directories are, those of earlier sweeps and commands among them."""
        dry_run: bool = False
        """Only say which runs these are, and which of them are finished."""
        overwrite: bool = False
        """Move aside what is there of all these runs, and of the sweep, and start anew."""
        seed: int = 0
        """Seed of runs for which the file names none."""

    return Options


def run(argv: Sequence[str] | None = None) -> int:
    """Sweep, as the flags say; returns 1 if any run failed."""
    options = _cli.parse("sweep", _options(), {}, argv).options
    if not options.quiet:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before linear algebra is loaded
    grid = read(options.file)
    if options.dry_run:
        print(_sweep_report.dry_run(_planned(grid, options)))
        return 0
    with cluster(options.scheduler) if options.scheduler else contextlib.nullcontext() as client:
        sweep = _planned(grid, options)
        out, summary = _sweep_all.make(sweep, client)
    print(json.dumps(summary) if options.json else _sweep_report.report(summary, out.path))
    return 0 if summary["status"] == "done" else 1


def _planned(grid: Grid, options: Any) -> Sweep:
    """The runs of a grid, checked: all their flags, and where they are to be made on this machine, all else.

    Raises
    ------
    InputError
        For the first that cannot be made; names the file and the run.
    """
    here = options.scheduler is None or options.scheduler.startswith("local")
    n, runs = math.prod(grid.shape), list[Run]()
    if n > _MANY:
        _log.info("checking %d runs", n)
    for values in grid.points():
        settings = {"seed": options.seed} | grid.settings | values | {"quiet": True}
        try:
            asked = work(grid.command, settings)
            place = dataclasses.replace(asked.place, path=options.runs / asked.place.path.name)
            if here and not place.finished():
                asked.plan()
        except InputError as error:
            said = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise InputError(f"{options.file}, the run of {said}: {error}") from None
        runs.append(Run(grid.command, settings, values, place))
    return Sweep(options, grid, runs)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return _cli.main("sweep", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
