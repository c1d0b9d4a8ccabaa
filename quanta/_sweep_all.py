"""All runs of a sweep: those that are missing are made, here or on a cluster, and what there is is put together."""

import dataclasses
import hashlib
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quanta import __version__, _cli, _sweep_cluster, _sweep_report, _sweep_result
from quanta._errors import InputError
from quanta._output import Output, output
from quanta._sweep_grid import Grid
from quanta._sweep_run import Outcome, Run, execute

_log = logging.getLogger("quanta.sweep")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep whose file has been read: its runs, in the order of the grid."""

    options: Any
    grid: Grid
    runs: list[Run]

    def hash(self) -> str:
        """Ten hex digits that name all its runs."""
        return hashlib.sha256("\n".join(run.place.path.name for run in self.runs).encode()).hexdigest()[:10]

    def configuration(self) -> dict[str, Any]:
        """What decides the runs, by name: what they share, and values of what is swept."""
        swept = {name: given for axis in self.grid.axes for name, given in zip(axis.fields, axis.values, strict=True)}
        return {"command": self.grid.command, **self.grid.settings, **swept}

    def missing(self) -> list[int]:
        """Numbers of the runs that are not finished."""
        return [i for i, run in enumerate(self.runs) if not run.place.finished()]


def make(sweep: Sweep, client: Any) -> tuple[Output, dict[str, Any]]:
    """Make what is missing, on a cluster if there is a client; returns where the results are, and what there is to say.

    Raises
    ------
    InputError
        If workers cannot do it, or what is there is of another version.
    """
    began = time.perf_counter()
    _admit(sweep)
    out = output("sweep", sweep.options.file.stem, sweep, resume=True)
    missing = sweep.missing()
    if not missing and out.finished():
        return out, out.summary() | {"made": 0, "retried": 0}
    if client is not None and missing:
        try:
            _sweep_cluster.check(client, out.path)
        except InputError:
            out.give_back()
            raise
    attempts = out.path / "attempts"
    shutil.rmtree(attempts, ignore_errors=True)
    attempts.mkdir()
    outcomes, stopped = _make_all(sweep, missing, attempts, client)
    retried = len([*attempts.glob("*.2")])
    shutil.rmtree(attempts, ignore_errors=True)
    _sweep_report.save_list(sweep.runs, outcomes, out.path)
    summary = _sweep_report.count(sweep.runs, missing, outcomes) | {"retried": retried, "record": None, "why": stopped}
    summary["status"] = "unfinished"
    if summary["done"] == summary["runs"]:
        summary |= _put_together(sweep, out)
    summary["seconds"] = round(time.perf_counter() - began, 2)
    if summary["status"] == "done":
        out.finish(sweep.configuration(), summary)
    return out, summary


def _admit(sweep: Sweep) -> None:
    """Refuse runs of another version of quanta; or give their places other names, if asked to."""
    there = [run.place for run in sweep.runs if run.place.version() is not None]
    if sweep.options.overwrite:
        for place in there:
            place.move_aside()
        return
    if other := [place for place in there if place.version() != __version__]:
        raise InputError(
            f"{len(other)} of these {len(sweep.runs)} runs were made by quanta {other[0].version()}, and this is "
            f"{__version__}: {other[0].path}{', …' if len(other) > 1 else ''}. Take other --runs, or --overwrite to make "
            "all anew."
        )


def _make_all(sweep: Sweep, missing: list[int], attempts: Path, client: Any) -> tuple[dict[int, Outcome], str]:
    """Make these runs, telling how far it is; returns how each ended that did, and what stopped the rest."""
    from quanta._progress import Progress

    tasks = {i: sweep.runs[i].task(attempts) for i in missing}
    ends = _sweep_cluster.execute_all(client, tasks) if client is not None else _one_by_one(tasks)
    outcomes: dict[int, Outcome] = {}
    n, before = len(sweep.runs), len(sweep.runs) - len(missing)
    if before:
        _log.info("%d of %d runs are finished already", before, n)
    with Progress("quanta.sweep", n, before, unit="run", shown=not sweep.options.quiet) as progress:
        try:
            for i, outcome in ends:
                outcomes[i] = outcome
                if outcome.error:
                    _log.warning("the run of %s failed: %s", sweep.runs[i], outcome.error)
                progress.update(before + len(outcomes), lambda: f"{_failed(outcomes)} failed")
        except _sweep_cluster.Lost:
            return outcomes, "the scheduler was lost"
        except KeyboardInterrupt:
            print(f"\n{len(outcomes) + before} of {n} runs have ended; the same command goes on.", file=sys.stderr)
            raise
    return outcomes, ""


def _failed(outcomes: Mapping[int, Outcome]) -> int:
    return sum(bool(outcome.error) for outcome in outcomes.values())


def _one_by_one(tasks: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[int, Outcome]]:
    for i, task in tasks.items():
        yield i, execute(task)


def _put_together(sweep: Sweep, out: Output) -> dict[str, Any]:
    """Save the dataset of all runs, if they fit together."""
    try:
        ds = _sweep_result.combine(sweep.grid, [run.place.record for run in sweep.runs])
        _sweep_result.save(ds, out.record)
    except _sweep_result.Ragged as ragged:
        return {"status": "done", "why": str(ragged)}
    except _cli.MENDABLE as error:
        return {"why": _cli.explained(error)}
    return {"status": "done", "record": str(out.record), "dims": {str(dim): ds.sizes[dim] for dim in ds["loss"].dims}}
