"""What the command does with simulations: runs them, keeps what there is when they stop, has them analysed."""

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from quanta import _cli, _simulate_many, _simulate_report, _simulate_run
from quanta._errors import InputError
from quanta._simulate_many import Failed
from quanta._simulate_plan import Plan
from quanta.learners import Overflow

if TYPE_CHECKING:
    import xarray as xr

    from quanta._output import Output

_log = logging.getLogger("quanta.simulate")


class Job(NamedTuple):
    """What the command line asks for."""

    parsed: _cli.Parsed
    plans: list[Plan]
    tail_exponent: float

    @property
    def many(self) -> bool:
        """Whether its record has a dim ``seed``."""
        return self.parsed.options.seeds is not None

    def checkpoints(self, folder: Path) -> list[Path]:
        """The files of its runs in progress."""
        if not self.many:
            return [folder / "simulate.checkpoint"]
        return [_simulate_many.checkpoint(folder, i) for i in range(len(self.plans))]


def simulate_into(out: "Output", job: Job) -> None:
    """Simulate and analyse; write it all, mark the run as finished, and drop its checkpoints."""
    from quanta import record

    options, began = job.parsed.options, time.perf_counter()
    checkpoints = job.checkpoints(out.path)
    if options.resume and not any(path.exists() for path in checkpoints):
        _log.info("no unfinished run at %s; starting at step 0", out.path)
    try:
        ds = _simulate(out, job)
    except (Overflow, Failed, KeyboardInterrupt) as stopped:
        _stop(stopped, out, job)
    except InputError:
        _give_back(out, job)
        raise
    try:  # the checkpoints are there until all is in its place
        record.save(ds, out.record, overwrite=True)
        summary = _simulate_report.summarise(ds, job.plans, job.tail_exponent) | {"record": str(out.record)}
        if options.detect:
            summary = _simulate_report.analyse(ds, out, options.seed, known=job.plans[0].learner.foretold) | summary
        out.finish(job.parsed.configuration(), {**summary, "seconds": round(time.perf_counter() - began, 2)})
    except KeyboardInterrupt:
        how = "with --resume writes what is missing" if checkpoints[0].exists() else "makes it again"
        print(f"The run has ended. The same command {how}.", file=sys.stderr)
        raise
    for path in checkpoints:
        path.unlink(missing_ok=True)


def _simulate(out: "Output", job: Job) -> "xr.Dataset":
    """The record of all runs."""
    options = job.parsed.options
    how = {"resume": options.resume, "progress": not options.quiet}
    if not job.many:
        return _simulate_run.execute(job.plans[0], job.checkpoints(out.path)[0], **how)
    return _simulate_many.combine(_simulate_many.execute(job.plans, out.path, together=True, **how))


def _stop(stopped: Overflow | Failed | KeyboardInterrupt, out: "Output", job: Job) -> NoReturn:
    """Save what there is, and say where."""
    from quanta import record

    kept, what = _left(stopped)
    said = []
    if kept is None:
        _give_back(out, job)
    if kept is not None:
        record.save(kept, out.record, overwrite=True)
        said.append(f"The record {what} is {out.record}.")
    if isinstance(stopped, KeyboardInterrupt):
        if any(path.exists() for path in job.checkpoints(out.path)):
            said.append("The same command with --resume goes on.")
        print(*said, file=sys.stderr)
        raise stopped
    raise InputError(" ".join([str(stopped), *said])) from None


def _give_back(out: "Output", job: Job) -> None:
    """Leave no trace of a run that was refused, or had not begun."""
    if not any(path.exists() for path in job.checkpoints(out.path)):
        out.give_back()


def _left(stopped: Overflow | Failed | KeyboardInterrupt) -> "tuple[xr.Dataset | None, str]":
    """What is there of runs that stopped, and which part of them it is: those that ended, else all as far as they came."""
    if hasattr(stopped, "records"):
        records = {i: ds for i, ds in enumerate(stopped.records) if ds is not None}
        ended = [ds for i, ds in records.items() if i not in getattr(stopped, "errors", {})]
        if ended:
            return _simulate_many.combine(ended), f"of the {len(ended)} of {len(stopped.records)} seeds that ended"
        kept = _simulate_many.combine([*records.values()]) if records else None
    else:
        kept = getattr(stopped, "record", None)
    return kept, f"up to step {int(kept.step[-1])}" if kept is not None else ""
