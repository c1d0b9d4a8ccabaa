"""Many simulations at once in one process, each on a thread of its own: their kernels leave the others free to run."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from quanta import _simulate_plan
from quanta._errors import InputError
from quanta._simulate_plan import Plan
from quanta._simulate_run import Run
from quanta.learners import Overflow, _threads

if TYPE_CHECKING:
    import xarray as xr

_LOOK = 0.2  # seconds between two looks at how far all are


class Failed(InputError):
    """Some of many runs failed.

    Attributes
    ----------
    errors : dict
        Number of a run → why it failed.
    records : list
        Of all runs; up to where it failed, or None, of one that did.
    """

    def __init__(
        self, errors: dict[int, InputError], records: "list[xr.Dataset | None]", plans: Sequence[Plan]
    ) -> None:
        number = min(errors)
        others = f" {len(errors) - 1} more of {len(plans)} runs failed." if len(errors) > 1 else ""
        super().__init__(f"run {number}, seed {plans[number].seed}: {errors[number]}{others}")
        self.errors, self.records = errors, records


def checkpoint(folder: Path, i: int) -> Path:
    """The file that run number i keeps."""
    return folder / f"run-{i}.checkpoint"


class _Stopped(Exception):
    """The user, or a fault in another run, wants all to stop."""


def execute(
    plans: Sequence[Plan],
    kept: Path | None = None,
    *,
    resume: bool = False,
    progress: bool = False,
    together: bool = False,
) -> "list[xr.Dataset]":
    """Take runs to their ends, as many at a time as there are threads; returns their records in the same order.

    Parameters
    ----------
    plans : sequence of Plan
        The runs.
    kept : Path, optional
        A directory for their checkpoint files, which are left there.
    resume : bool
        Go on from those.
    progress : bool
        Show progress on stderr.
    together : bool
        Of runs with patience, go on with each until all have stopped: then they have the same checkpoints.

    Raises
    ------
    Failed
        If any failed, when all have ended.
    KeyboardInterrupt
        With ``records``, None for a run that has not ended; their checkpoint files are saved.
    """
    if not plans:
        return []
    hold = together and any(plan.patience for plan in plans)
    at_a_time = min(len(plans), _threads.granted())
    _simulate_plan.check_memory(plans, len(plans) if hold else at_a_time)
    many = _Many(plans, at_a_time, kept, resume, hold)
    try:
        many.follow(shown=progress)
        if many.runs:  # held
            many.follow(until=max(run.done for run in many.runs.values()), shown=progress)
    except BaseException as stopped:
        stopped.records = many.records()  # type: ignore[attr-defined]
        raise
    if len(many.errors) == len(plans) and not any(isinstance(error, Overflow) for error in many.errors.values()):
        raise many.errors[0]  # they were refused, all alike mostly
    if many.errors:
        raise Failed(many.errors, many.records(), plans)
    return [many.made[i] for i in range(len(plans))]


class _Many:
    """Runs in progress, each on a thread; the main thread looks on. With ``hold``, they are to be gone on with."""

    def __init__(self, plans: Sequence[Plan], at_a_time: int, kept: Path | None, resume: bool, hold: bool) -> None:
        self.plans, self.at_a_time, self.kept, self.resume, self.hold = plans, at_a_time, kept, resume, hold
        self.share = max(1, _threads.granted() // at_a_time)
        self.runs: dict[int, Run] = {}
        self.made: dict[int, xr.Dataset] = {}
        self.errors: dict[int, InputError] = {}
        self.progress = [0] * len(plans)
        self.stop = threading.Event()

    def follow(self, *, until: int | None = None, shown: bool) -> None:
        """Take all to where each ends by itself, or to so many checkpoints."""
        from quanta._progress import Progress

        total = sum(plan.total for plan in self.plans)
        with Progress("quanta.simulate", total, shown=shown) as bar, ThreadPoolExecutor(self.at_a_time) as pool:
            pending = {pool.submit(self._follow, i, until) for i in range(len(self.plans)) if i not in self.errors}
            try:
                while pending:
                    done, pending = wait(pending, _LOOK, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    bar.update(sum(self.progress), self._note)
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                bar.update(sum(self.progress), self._note)  # some may have ended meanwhile
                raise

    def _note(self) -> str:
        return f"{len(self.made)} of {len(self.plans)} runs done"

    def _follow(self, i: int, until: int | None) -> None:
        """Take one there, on the thread that calls."""
        try:
            with _threads.grant(self.share):
                run = self.runs.get(i) or self._begin(i)
                run.follow(lambda run: self._listen(i, run), until)
        except _Stopped:
            return
        except InputError as error:
            self.errors[i] = error
            if isinstance(error, Overflow):
                self._end(i)
            return
        if until or not self.hold:
            self._end(i)

    def _begin(self, i: int) -> Run:
        self.runs[i] = Run(self.plans[i], self.kept and checkpoint(self.kept, i), resume=self.resume)
        return self.runs[i]

    def _listen(self, i: int, run: Run) -> None:
        self.progress[i] = run.progress
        if self.stop.is_set():
            run.save()
            raise _Stopped

    def _end(self, i: int) -> None:
        """Keep the record of a run, and no more of it in memory."""
        run = self.runs.pop(i)
        if i in self.errors:
            run.drop()
        else:
            run.save()
        if run.done:
            self.made[i] = run.record()

    def records(self) -> "list[xr.Dataset | None]":
        """Of each run that has ended, or failed with something to show."""
        return [self.made.get(i) for i in range(len(self.plans))]


def combine(records: "Sequence[xr.Dataset]") -> "xr.Dataset":
    """One record of runs that differ in their seeds alone, with a dim ``seed``, up to the last checkpoint that all have."""
    from quanta import record
    from quanta._schema import TRUTH

    n = min(ds.sizes["step"] for ds in records)
    cut = [ds.isel(step=slice(n)) for ds in records]
    end = cut[0]["step"].values[-1]
    cut = [ds.assign({name: ds[name].where(ds["true_onset"] <= end) for name in TRUTH}) for ds in cut]
    ds = record.combine(cut, "seed")
    seeds = [int(r.attrs["seed"]) for r in records]
    config = json.dumps(json.loads(records[0].attrs["config"]) | {"seed": seeds})
    lowest = [name for name in ("lowest_step", "lowest_mean_loss") if name in records[0].attrs]
    of_each = {name: [r.attrs[name] for r in records] for name in lowest}
    return ds.assign_coords(seed=seeds).assign_attrs(config=config, **of_each)
