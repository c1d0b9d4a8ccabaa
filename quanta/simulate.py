"""Simulate a learner of many subtasks whose frequencies are known: frequencies + learner → record.

python -m quanta.simulate --n-subtasks 1000                       # the multilinear learner, and the test of it
python -m quanta.simulate --learner exponential                   # the smooth world with the same scaling law
python -m quanta.simulate --learner threshold --dynamics sampled  # one realisation
python -m quanta.simulate --counts counts.txt                     # frequencies as they were counted
python -m quanta.simulate --reweight changes.csv                  # the same learner at other frequencies
"""

import dataclasses
import functools
import json
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quanta import _cli, _simulate_report
from quanta._checks import check_whole
from quanta._curves import Curves
from quanta._errors import InputError
from quanta._grid import log_spaced
from quanta.frequencies import FREQUENCIES, AbstractFrequencies, Empirical, Reweighted, Zipf, read_changes, read_counts
from quanta.learners import LEARNERS, AbstractLearner, Overflow
from quanta.learners.base import LATEST, LEARNED

if TYPE_CHECKING:
    import xarray as xr

    from quanta._output import Output

_LARGEST = np.finfo(np.float32).max  # of the losses of a record
_MAX_CHECKPOINTS = 10_000
_HOW = ("steps", "n_checkpoints", "batch_size", "seed", "dynamics")  # flags that are arguments of simulate
DESIGN = ("learner", "batch_size", "dynamics")
"""What a run and an intervention on it share: all but the frequencies, the length, and chance."""
_WORKING = 300  # bytes for a subtask while it is simulated: its state before and after, truth, rows not yet written


def simulate(
    frequencies: AbstractFrequencies,
    learner: AbstractLearner,
    *,
    steps: int | None = None,
    seed: int = 0,
    dynamics: str | None = None,
    n_checkpoints: int = 200,
    batch_size: int = 1,
    progress: bool = False,
) -> "xr.Dataset":
    """Run a learner, and measure every subtask at log-spaced steps.

    Parameters
    ----------
    frequencies : AbstractFrequencies
        How often each subtask is drawn.
    learner : AbstractLearner
        How subtasks are learned.
    steps : int, optional
        Number of batches. By default until the learner's ``horizon``, mostly ten times the onset of the rarest subtask:
        all are learned, and seen to be.
    seed : int
        Seed of the draws.
    dynamics : {"expected", "sampled"}, optional
        The mean field, or subtasks drawn one by one: they may deserve different verdicts. By default the first that
        the learner has, mostly the mean field.
    n_checkpoints : int
        Number of log-spaced measurements, step 0 included (a few more or less, since steps are whole numbers).
    batch_size : int
        Examples in a step.
    progress : bool
        Show progress on stderr.

    Returns
    -------
    xr.Dataset
        A record with ``loss``, ``examples`` (but where a step is one of the whole gradient), ``true_onset`` (in steps)
        and ``true_width``; if sampled also the realised ``exposures`` (expected, they are frequency · examples). Its attr ``design_id`` is what an intervention
        must share with it.

    Raises
    ------
    InputError
        For what cannot work, before anything is allocated; :class:`~quanta.learners.Overflow`, with the record so far,
        if a loss stops being a number.

    Examples
    --------
    >>> from quanta.frequencies import Zipf
    >>> from quanta.learners import Threshold
    >>> ds = simulate(Zipf(n_subtasks=3, exponent=1.0), Threshold(hits=1), steps=100, dynamics="sampled")
    >>> ds["loss"].values[:, [0, -1]].tolist()
    [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    dynamics = dynamics or learner.dynamics[0]
    _check(frequencies.size, steps, n_checkpoints, batch_size, seed, dynamics)
    learner.check_count(frequencies.size)
    p = frequencies.probabilities()
    steps = steps or default_steps(p, learner, batch_size, dynamics)
    from quanta import record
    from quanta._schema import CURVES

    words = {
        "frequencies": frequencies, "learner": learner, "steps": steps, "n_checkpoints": n_checkpoints,
        "batch_size": batch_size, "seed": seed, "dynamics": dynamics,
    }  # fmt: skip
    design = {name: words[name] for name in DESIGN}
    run = _Run(p, learner, log_spaced(steps, n_checkpoints), seed, dynamics, batch_size)

    drawn = learner.clock == "examples" or dynamics == "sampled"  # or every step sees the whole gradient

    def so_far() -> "xr.Dataset":
        truth = learner.truth(run.state)
        curves = run.so_far()
        measures = {name: curves.pop(name) for name in {*curves} - {*CURVES}}
        step = run.step[: run.done]
        return record.new(
            curves.pop("loss"), step=step, frequency=p, units=learner.units, source="simulated",
            optimizer=learner.optimizer, chance_loss=learner.chance_loss, n_classes=learner.n_classes, examples=step * batch_size if drawn else None,
            measures=measures, **curves,
            true_onset=truth.onset / run.per_step, true_width=truth.width, kind=learner.kinds(p.size),
            seed=seed, dynamics=dynamics,
            config=record.config_json(**words),
            attrs={"design_id": record.design_id(n_subtasks=p.size, **design)},
        )  # fmt: skip

    try:
        run.follow(progress)
    except (Overflow, KeyboardInterrupt) as stopped:
        stopped.record = so_far() if run.done > 1 else None  # type: ignore[union-attr]
        raise
    return so_far()


def default_steps(p: np.ndarray, learner: AbstractLearner, batch_size: int = 1, dynamics: str | None = None) -> int:
    """Until the learner's horizon, in steps, to two digits; at most 2^53 examples."""
    sampled = (dynamics or learner.dynamics[0]) == "sampled"
    horizon = learner.sampled_horizon(p, batch_size) if sampled else learner.horizon(p)
    steps = min(horizon, float(LATEST)) / _per_step(learner, batch_size)
    return min(max(1, math.ceil(float(f"{steps:.1e}"))), LATEST // batch_size)


def _per_step(learner: AbstractLearner, batch_size: int) -> int:
    """By how much a step moves the learner's clock."""
    return batch_size if learner.clock == "examples" else 1


def memory_needed(n_subtasks: int, n_checkpoints: int, dynamics: str) -> int:
    """Bytes that a run takes at its peak: curves and realised counts, in float32."""
    return n_subtasks * (_WORKING + 4 * n_checkpoints * (2 if dynamics == "sampled" else 1))


def _check(n_subtasks: int, steps: int | None, n_checkpoints: int, batch_size: int, seed: int, dynamics: str) -> None:
    """Refuse what cannot work before anything is allocated."""
    check_whole("seed", seed, 0)
    check_whole("batch_size", batch_size, 1)
    check_whole("n_checkpoints", n_checkpoints, 3)
    if steps is not None:
        check_whole("steps", steps, 1)
    if n_checkpoints > _MAX_CHECKPOINTS:
        raise InputError(f"n_checkpoints is {n_checkpoints}; expected at most {_MAX_CHECKPOINTS}.")
    if (steps or 1) * batch_size > LATEST:
        raise InputError(f"{steps or 1} steps of {batch_size} examples are more than 2^53 examples; take fewer.")
    needed, available = memory_needed(n_subtasks, n_checkpoints, dynamics), _memory_available()
    if needed > available:
        raise InputError(
            f"{n_subtasks} subtasks at {n_checkpoints} checkpoints need about {needed / 2**30:.1f} GiB of memory; "
            f"{available / 2**30:.1f} GiB are available. Take fewer subtasks or checkpoints."
        )


def _memory_available() -> int:
    """Bytes that could be had now: of the machine, and of the container where it has a limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    group = Path("/sys/fs/cgroup")
    try:
        words = Path("/proc/meminfo").read_text(encoding="ascii").split()
        limits.append(1024 * int(words[words.index("MemAvailable:") + 1]))
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        limits.append(int(limit) - int((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):  # another system, or no limit ("max")
        pass
    return min(limits)


class _Run:
    """A learner on its way through the checkpoints: its state, and the curves so far (if sampled, counts among them)."""

    def __init__(
        self, p: np.ndarray, learner: AbstractLearner, step: np.ndarray, seed: int, dynamics: str, batch_size: int
    ) -> None:
        self.learner, self.step, self.per_step = learner, step, _per_step(learner, batch_size)
        rng = np.random.default_rng(seed)
        self.state: Any = learner.start(p, rng, dynamics=dynamics, batch_size=batch_size)
        self.sampled = dynamics == "sampled"
        self.curves: dict[str, Curves] = {}
        self.done = 0

    def follow(self, shown: bool) -> None:
        """Go through all checkpoints, or up to one where a loss is not finite."""
        from quanta._progress import Progress

        by_step = self.learner.stepwise
        total = int(self.step[-1]) if by_step else len(self.step)
        with Progress("quanta.simulate", total, shown=shown) as bar:
            for step in self.step:
                state = self.learner.advance(self.state, int(step) * self.per_step)
                measured = self.learner.measure(state) | ({"exposures": state.hits} if self.sampled else {})
                loss = measured["loss"]
                sound = np.abs(loss) <= _LARGEST
                if not sound.all():
                    raise Overflow(int(step), int(np.argmin(sound)), "Lower the learning rate.")
                self.state = state
                self._keep(measured)
                bar.update(int(step) if by_step else self.done, functools.partial(self._note, loss))

    def _keep(self, measured: dict[str, np.ndarray]) -> None:
        for name, values in measured.items():
            if name not in self.curves:
                self.curves[name] = Curves(values.size, len(self.step))
            self.curves[name].add(values)
        self.done += 1

    def so_far(self) -> dict[str, Any]:
        """Curves up to the last checkpoint."""
        return {name: curve.so_far() for name, curve in self.curves.items()}

    def _note(self, loss: np.ndarray) -> str:
        return f"learned {learned(loss, self.learner)} of {loss.size}"


def learned(loss: np.ndarray, learner: AbstractLearner) -> int:
    """How many subtasks are learned at these losses: less than a quarter of what there is to learn is left."""
    return int(np.sum(loss - learner.learned_loss < LEARNED * (learner.chance_loss - learner.learned_loss)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(_cli.Common):
    """Simulate a learner of many subtasks, and test whether its loss is a sum of sharp transitions."""

    counts: Path | None = None
    """A file of counts, in the place of --frequencies: one to a line, or CSV with the heading subtask,count."""
    reweight: Path | None = None
    """A CSV file that changes the frequencies: subtask,factor (those not named keep theirs) or subtask,frequency (all anew)."""
    steps: int | None = None
    """Number of batches; by default until all is learned and seen to be, mostly ten times the onset of the rarest subtask."""
    batch_size: int = 1
    """Examples in a batch."""
    dynamics: Literal["expected", "sampled"] | None = None
    """The mean field, or one realisation, subtasks drawn one by one; by default the mean field, where there is one."""
    n_checkpoints: int = 200
    """Number of log-spaced measurements, about, step 0 included."""
    detect: bool = True
    """Find the transitions, test composition and draw the figure; or only simulate."""


def run(argv: Sequence[str] | None = None) -> int:
    """Simulate, as the flags say, and write the record, its analyses and the figure."""
    laws: dict[str, type] = {name: law for name, law in FREQUENCIES.items() if law not in (Reweighted, Empirical)}
    families: _cli.Families = {"learner": (LEARNERS, "multilinear"), "frequencies": (laws, "zipf")}
    parsed = _cli.parse("simulate", Options, families, argv)
    options, learner = parsed.options, parsed.parts["learner"]
    if not options.quiet:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    law = _law(parsed)
    frequencies = read_changes(options.reweight, law) if options.reweight else law
    if options.counts:  # what a law of which nothing is used is made of decides nothing
        parsed = dataclasses.replace(parsed, parts={"learner": learner})
    if options.counts or options.reweight:
        parsed = parsed.with_content(frequencies=frequencies)
    how = _how(options, learner)
    _check(frequencies.size, **how)
    learner.check_count(frequencies.size)
    if options.detect:
        _check_testable(options, frequencies, learner)
    from quanta._output import output

    out = output("simulate", parsed.choices["learner"], parsed)
    if not out.finished():
        _simulate_into(out, parsed, frequencies, learner, how, law.tail_exponent)
    elif not options.json:
        print(f"this very run is finished already: {out.path}")
    summary = out.summary()
    print(json.dumps(summary) if options.json else _simulate_report.report(summary))
    return 0


def _how(options: Options, learner: AbstractLearner) -> dict[str, Any]:
    """The flags that are arguments of :func:`simulate`."""
    return {name: getattr(options, name) for name in _HOW} | {"dynamics": options.dynamics or learner.dynamics[0]}


def _law(parsed: _cli.Parsed) -> AbstractFrequencies:
    """The frequencies that the flags name: a law's, or those of a file of counts."""
    law: AbstractFrequencies = parsed.parts["frequencies"]
    if parsed.options.counts is None:
        return law
    if law != Zipf():
        raise InputError(f"--counts gives all frequencies, and the flags ask for {law} too; drop one of them.")
    return read_counts(parsed.options.counts)


def _check_testable(options: Options, frequencies: AbstractFrequencies, learner: AbstractLearner) -> None:
    """Refuse a run too short to be tested, before it is made."""
    from quanta.transitions import check_window

    steps = options.steps or default_steps(frequencies.probabilities(), learner, options.batch_size, options.dynamics)
    try:
        check_window(log_spaced(steps, options.n_checkpoints).astype(float))
    except InputError as error:
        raise InputError(f"{error} Or add --no-detect.") from None


def _simulate_into(
    out: "Output",
    parsed: _cli.Parsed,
    frequencies: AbstractFrequencies,
    learner: AbstractLearner,
    how: dict[str, Any],
    tail_exponent: float,
) -> None:
    """Simulate and analyse; write it all, and mark the run as finished."""
    from quanta import record

    options = parsed.options
    began = time.perf_counter()
    try:
        ds = simulate(frequencies, learner, **how, progress=not options.quiet)
    except (Overflow, KeyboardInterrupt) as stopped:
        kept = getattr(stopped, "record", None)
        if kept is None:
            out.give_back()
            raise
        record.save(kept, out.record, overwrite=True)
        where = f"The record up to step {int(kept.step[-1])} is {out.record}."
        if isinstance(stopped, Overflow):
            raise InputError(f"{stopped} {where}") from None
        print(where, file=sys.stderr)
        raise
    except InputError:
        out.give_back()
        raise
    record.save(ds, out.record, overwrite=True)
    summary = {
        "record": str(out.record),
        "learner": repr(learner),
        "dynamics": how["dynamics"],
        "steps": int(ds["step"][-1]),
        "learned": learned(ds["loss"].values[:, -1], learner),
        "n_subtasks": frequencies.size,
        **_simulate_report.slopes(ds, learner, tail_exponent),
    }
    if options.detect:
        summary = _simulate_report.analyse(ds, out, options.seed) | summary
    out.finish(parsed.configuration(), {**summary, "seconds": round(time.perf_counter() - began, 2)})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return _cli.main("simulate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
