"""A simulation on its way from checkpoint to checkpoint, and the record that it leaves."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quanta import _simulate_checkpoint
from quanta._curves import Curves
from quanta._simulate_plan import DESIGN, Plan
from quanta.learners import AbstractLearner, Overflow, _threads
from quanta.learners.base import LEARNED

if TYPE_CHECKING:
    import xarray as xr

_LARGEST = np.finfo(np.float32).max  # of the losses of a record
_SAVE_EVERY = 30.0  # seconds, at least, between two checkpoint files
_SAVING = 0.1  # of the time, at most
_LONG = 1.0  # seconds of a run that nobody wants to lose
_STRIDE = 2.0  # seconds for which a learner that goes step by step is left alone
_COPIED = 2.0**30 / 20  # bytes of a state for which it is left alone a second longer: each stride copies them
_PLATEAU = 0.02  # of chance: where the mean loss is so near to it, nothing has been learned that could be unlearned


def learned(loss: np.ndarray, learner: AbstractLearner) -> int:
    """How many subtasks are learned at these losses: less than a quarter of what there is to learn is left."""
    return int(np.sum(loss - learner.learned_loss < LEARNED * (learner.chance_loss - learner.learned_loss)))


class Run:
    """A learner on its way through the checkpoints: its state, and the curves so far (if sampled, counts among them).

    Parameters
    ----------
    plan : Plan
        What is run.
    kept : Path, optional
        Of a file that holds the run while it is in progress: written every now and then, if the run takes long.
    resume : bool
        Begin with what that file holds, if it is there.
    """

    def __init__(self, plan: Plan, kept: Path | None = None, *, resume: bool = False) -> None:
        self.plan, self.learner, self.kept = plan, plan.learner, kept
        self.p = plan.frequencies.probabilities()
        self.step = plan.grid
        rng = np.random.default_rng(plan.seed)
        self.state: Any = self.learner.start(self.p, rng, dynamics=plan.dynamics, batch_size=plan.batch_size)
        self.curves: dict[str, Curves] = {}
        self.means: list[float] = []
        self.done = 0
        self._plateau = 0  # checkpoints before anything was learned
        self._began = time.monotonic()
        self._due, self._pace = self._began + _SAVE_EVERY, 1.0
        if resume and kept is not None and kept.exists():
            self._restore(kept)

    @property
    def at(self) -> int:
        """Steps made."""
        moment = self.state.step if hasattr(self.state, "step") else self.state.examples
        return int(moment) // self.plan.per_step

    @property
    def _settings(self) -> dict[str, Any]:
        """All that decides its bits, which whoever resumes it must have alike: of linear algebra, the threads too."""
        threads = {} if self.learner.bitwise else {"OMP_NUM_THREADS": _threads.of_linear_algebra()}
        return self.plan.words | threads

    @property
    def progress(self) -> int:
        """How much of the plan's ``total`` is done."""
        return self.at if self.learner.stepwise else self.done

    @property
    def lowest(self) -> int:
        """The checkpoint at which the mean loss was lowest."""
        return int(np.argmin(self.means))

    @property
    def waited(self) -> int:
        """For how many checkpoints the mean loss has not fallen below its lowest; those on the first plateau do not count."""
        return self.done - max(self.lowest + 1, self._plateau)

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused
    def follow(self, tell: Callable[["Run"], None], until: int | None = None) -> None:
        """Go on until patience is out, or the last checkpoint; with ``until``, until so many checkpoints are done.

        Parameters
        ----------
        tell : callable
            Called every few seconds and at every checkpoint.
        until : int, optional
            Checkpoints.

        Raises
        ------
        Overflow
            If a loss is not finite; the run is then as it was at a checkpoint before.
        """
        patience = self.plan.patience if until is None else None
        while self.done < (until or len(self.step)) and not (patience and self.done and self.waited >= patience):
            target = int(self.step[self.done])
            while self.at < target:
                self._stride(target)
                tell(self)
            measured = self.learner.measure(self.state)
            if self.plan.dynamics == "sampled":
                measured["exposures"] = self.state.hits
            sound = np.abs(measured["loss"]) <= _LARGEST
            if not sound.all():
                raise Overflow(target, int(np.argmin(sound)) if sound.any() else None, self._lower)
            self._keep(measured)
            self._save_if_due()
            tell(self)

    @property
    def _lower(self) -> str:
        """What to do about a loss that is not finite."""
        rate = self.learner.learning_rate
        return "Lower the rate." if rate is None else f"Lower the rate, which is {rate}."

    def _stride(self, target: int) -> None:
        """Go on to a checkpoint, or if each step takes its time, for a few seconds."""
        before, began = self.at, time.monotonic()
        if self.learner.stepwise:
            seconds = _STRIDE + sum(array.nbytes for array in self.state) / _COPIED
            target = min(target, before + max(1, int(self._pace * seconds)))
        self.state = self.learner.advance(self.state, target * self.plan.per_step)
        self._pace = (target - before) / max(time.monotonic() - began, 1e-6)
        self._save_if_due()

    def _keep(self, measured: dict[str, np.ndarray]) -> None:
        for name, values in measured.items():
            if name not in self.curves:
                self.curves[name] = Curves(values.size, len(self.step))
            self.curves[name].put(self.done, values)
        self._count()

    def _count(self) -> None:
        """One more checkpoint is there, whole. Its mean is that of what is kept: the same after it was read back."""
        loss = self.curves["loss"].so_far(self.done + 1)[:, -1]
        self.means.append(float(self.p @ loss.astype(np.float64)))
        self.done = len(self.means)
        chance = self.learner.chance_loss
        if self._plateau == self.done - 1 and abs(self.means[-1] - chance) <= _PLATEAU * chance:
            self._plateau = self.done

    def so_far(self) -> dict[str, np.ndarray]:
        """Curves up to the last checkpoint, (n_subtasks, done)."""
        return {name: curve.so_far(self.done) for name, curve in self.curves.items()}

    def save(self) -> None:
        """Write the checkpoint file, if there is to be one; at most a tenth of the time goes into that."""
        if self.kept is None or self.done < 2:
            return
        began = time.monotonic()
        rows = {name: curve.T for name, curve in self.so_far().items()}
        _simulate_checkpoint.save(self.kept, self._settings, self.state, rows)
        now = time.monotonic()
        self._due = now + max(_SAVE_EVERY, (1 / _SAVING - 1) * (now - began))

    def _save_if_due(self) -> None:
        if time.monotonic() > self._due:
            self.save()

    def keep(self) -> None:
        """Write the checkpoint file of a run that is over, if it took its time: nobody else has it yet."""
        if self.kept is not None and (self.kept.exists() or time.monotonic() - self._began > _LONG):
            self.save()

    def drop(self) -> None:
        """Delete the checkpoint file: nobody is to go on with it."""
        if self.kept is not None:
            self.kept.unlink(missing_ok=True)

    def _restore(self, path: Path) -> None:
        state, rows = _simulate_checkpoint.load(path, self._settings)
        self.state = type(self.state)(**state)
        for name, values in rows.items():
            self.curves[name] = Curves(self.p.size, len(self.step))
            for i, row in enumerate(values):
                self.curves[name].put(i, row)
        for _ in rows.get("loss", ()):
            self._count()

    def record(self) -> "xr.Dataset":
        """The record up to the last checkpoint."""
        from quanta import record
        from quanta._schema import CURVES

        learner, words, p = self.learner, self.plan.words, self.p
        curves: dict[str, Any] = dict(self.so_far())
        measures = {name: curves.pop(name) for name in {*curves} - {*CURVES}}
        step = self.step[: self.done]
        truth = learner.truth(self.state)
        onset = truth.onset / self.plan.per_step
        seen = onset <= step[-1]  # the state may be past the last checkpoint
        # or every step sees the whole gradient
        drawn = learner.clock == "examples" or self.plan.dynamics == "sampled"
        best = {"lowest_step": int(step[self.lowest]), "lowest_mean_loss": self.means[self.lowest]}
        ds = record.new(
            curves.pop("loss"), step=step, frequency=p, units=learner.units, source="simulated",
            optimizer=learner.optimizer, chance_loss=learner.chance_loss, n_classes=learner.n_classes,
            examples=step * self.plan.batch_size if drawn else None,
            measures=measures, **curves,
            true_onset=np.where(seen, onset, np.nan), true_width=np.where(seen, truth.width, np.nan),
            kind=learner.kinds(p.size), seed=self.plan.seed, dynamics=self.plan.dynamics,
            config=record.config_json(**words), **self._rates(step),
            attrs={
                "design_id": record.design_id(n_subtasks=p.size, **{name: words[name] for name in DESIGN}),
                **(best if self.plan.patience else {}), **self._provenance(),
            },
        )  # fmt: skip
        ds = ds.assign({name: (("subtask", dim), known) for name, (dim, known) in learner.facts(self.state).items()})
        for name in learner.meanings.keys() & {*map(str, ds.data_vars)}:
            ds[name].attrs["long_name"] = learner.meanings[name]
        return ds

    def _rates(self, step: np.ndarray) -> dict[str, Any]:
        """The schedule, where there is one: constant."""
        rate = self.learner.learning_rate
        return {} if rate is None else {"learning_rate": np.full(step.shape, rate), "learning_rate_sum": rate * step}

    def _provenance(self) -> dict[str, str]:
        """What a run and its controls share, and what a control is."""
        from quanta import record

        said = dict(self.learner.provenance)
        if "data" in said:
            chance = {name: self.plan.words[name] for name in ("frequencies", "batch_size", "seed")}
            said["data_id"] = record.design_id(data=said.pop("data"), **chance)
        return said


def execute(plan: Plan, kept: Path | None = None, *, resume: bool = False, progress: bool = False) -> "xr.Dataset":
    """Take a run to its end, from its checkpoint if asked to; returns its record.

    Raises
    ------
    Overflow, KeyboardInterrupt
        With the ``record`` so far, None if there is none; what was interrupted has saved its checkpoint.
    """
    from quanta._progress import Progress

    run = Run(plan, kept, resume=resume)
    try:
        with Progress("quanta.simulate", plan.total, run.progress, shown=progress) as bar:
            run.follow(lambda run: bar.update(run.progress, lambda: note(run)))
        run.keep()
        return run.record()
    except (Overflow, KeyboardInterrupt) as stopped:
        if isinstance(stopped, Overflow):
            run.drop()
        else:
            run.save()
        least = 1 if isinstance(stopped, Overflow) else 2  # what was interrupted so early had not begun
        stopped.record = run.record() if run.done >= least else None  # type: ignore[union-attr]
        raise


def note(run: Run) -> str:
    """How far a run is, in words."""
    if not run.done:
        return "learned none"
    return f"learned {learned(run.so_far()['loss'][:, -1], run.learner)} of {run.p.size}"
