"""Simulate a learner of many subtasks whose frequencies are known: frequencies + learner → record.

python -m quanta.simulate --n-subtasks 1000                       # the multilinear learner, and the test of it
python -m quanta.simulate --learner exponential                   # the smooth world with the same scaling law
python -m quanta.simulate --learner threshold --dynamics sampled  # one realisation
python -m quanta.simulate --learner threshold --dynamics sampled --seeds 0:8  # eight, in one record
python -m quanta.simulate --counts counts.txt                     # frequencies as they were counted
python -m quanta.simulate --reweight changes.csv                  # the same learner at other frequencies
python -m quanta.simulate --learner parity_network --steps 20000 --control kernel  # a network's control
"""

import collections
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quanta import (
    _cli,
    _simulate_checkpoint,
    _simulate_into,
    _simulate_many,
    _simulate_plan,
    _simulate_report,
    _simulate_run,
)
from quanta._errors import InputError
from quanta._output import Work
from quanta._simulate_many import Failed
from quanta._simulate_plan import DESIGN, default_steps, memory_needed
from quanta.frequencies import FREQUENCIES, AbstractFrequencies, Empirical, Reweighted, Zipf, read_changes, read_counts
from quanta.learners import LEARNERS, AbstractLearner

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DESIGN", "Failed", "default_steps", "main", "memory_needed", "run", "simulate", "simulate_many", "work"]

_HOW = ("steps", "n_checkpoints", "batch_size", "dynamics", "patience")  # flags that are arguments of simulate


def simulate(
    frequencies: AbstractFrequencies,
    learner: AbstractLearner,
    *,
    steps: int | None = None,
    seed: int = 0,
    dynamics: str | None = None,
    n_checkpoints: int = 200,
    batch_size: int | None = None,
    patience: int | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
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
    batch_size : int, optional
        Examples in a step; by default 1, and as many as is usual of a network.
    patience : int, optional
        Stop when the mean loss has not fallen below its lowest for so many checkpoints; those at the start, while it is
        within 2 % of chance, do not count.
    checkpoint : Path, optional
        A file that holds the run while it is in progress, written every half minute or less often, and when it is
        interrupted; it is left in place.
    resume : bool
        Go on from that file, if it is there; the result is the same to the last bit.
    progress : bool
        Show progress on stderr.

    Returns
    -------
    xr.Dataset
        A record with ``loss``, ``examples`` (but where a step is one of the whole gradient), ``true_onset`` (in steps)
        and ``true_width``; if sampled also the realised ``exposures`` (expected, they are frequency · examples). Its attr
        ``design_id`` is what an intervention must share with it; with patience, ``lowest_step`` and ``lowest_mean_loss`` say
        where its mean loss was lowest.

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
    plan = _simulate_plan.plan(
        frequencies, learner, steps=steps, seed=seed, dynamics=dynamics, n_checkpoints=n_checkpoints,
        batch_size=batch_size, patience=patience,
    )  # fmt: skip
    return _simulate_run.execute(plan, checkpoint, resume=resume, progress=progress)


def simulate_many(
    runs: Sequence[Mapping[str, Any]],
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: bool = False,
    **shared: Any,
) -> "list[xr.Dataset]":
    """Simulate many at once in this process, each on a thread of its own: seeds × widths × exponents.

    As many run at a time as OMP_NUM_THREADS says, else as there are processors. Each gives the very record that it
    gives alone.

    Parameters
    ----------
    runs : sequence of mappings
        Arguments of :func:`simulate`, of each run.
    checkpoints : Path, optional
        A directory for a file of each run, finished ones too; they are left there.
    resume : bool
        Go on from those files.
    progress : bool
        Show progress on stderr.
    **shared
        Arguments of :func:`simulate` that all runs have.

    Returns
    -------
    list of xr.Dataset
        Their records, in the same order.

    Raises
    ------
    InputError
        For what cannot work, before any is begun. :class:`Failed`, with ``records`` and ``errors``, if any failed later: the
        others are finished first. On KeyboardInterrupt that exception has the ``records`` of what was finished.

    Examples
    --------
    >>> from quanta.frequencies import Zipf
    >>> from quanta.learners import Threshold
    >>> some = [{"seed": seed, "learner": Threshold(hits=hits)} for hits in (1, 4) for seed in range(2)]
    >>> found = simulate_many(some, frequencies=Zipf(n_subtasks=3), steps=100, dynamics="sampled")
    >>> [ds.attrs["seed"] for ds in found]
    [0, 1, 0, 1]
    """
    plans = [_simulate_plan.plan(**{**shared, **run}) for run in runs]
    return _simulate_many.execute(plans, checkpoints, resume=resume, progress=progress)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(_cli.Common):
    """Simulate a learner of many subtasks, and test whether its loss is a sum of sharp transitions."""

    counts: Path | None = None
    """A file of counts, in the place of --frequencies: one to a line, or CSV with the heading subtask,count."""
    reweight: Path | None = None
    """A CSV file that changes the frequencies: subtask,factor (those not named keep theirs) or subtask,frequency (all anew)."""
    steps: int | None = None
    """Number of batches; by default until all is learned and seen to be, mostly ten times the onset of the rarest subtask."""
    batch_size: int | None = None
    """Examples in a batch; by default 1, and of the parity network 20000."""
    dynamics: Literal["expected", "sampled"] | None = None
    """The mean field, or one realisation, subtasks drawn one by one; by default the mean field, where there is one."""
    n_checkpoints: int = 200
    """Number of log-spaced measurements, about, step 0 included."""
    patience: int | None = None
    """Stop when the mean loss has not fallen below its lowest for so many checkpoints (while it is within 2 % of chance at
    the start, none counts); with --seeds, when that is so of all."""
    seeds: str | None = None
    """Several runs in one record with a dim seed: 0:8 for seeds 0 to 7, or 0,3,5. A seed decides all that is drawn: of a
    parity network also which bits each subtask is about. As many at a time as OMP_NUM_THREADS says, else as there are
    processors."""
    control: str | None = None
    """Simulate a control of the learner in its place, for the test to weigh it beside: of the parity network kernel,
    linearised or tabular, with fields such as "kernel(n_inputs=8)"."""
    detect: bool = True
    """Find the transitions, test composition and draw the figure; or only simulate."""
    resume: bool = False
    """Go on with an unfinished run, to the very result it would have had; where that is of linear algebra, with as many
    threads as before."""


def run(argv: Sequence[str] | None = None) -> int:
    """Simulate, as the flags say, and write the record, its analyses and the figure."""
    return work(argv).run()


def work(argv: Sequence[str] | Mapping[str, Any] | None = None) -> Work:
    """What the flags ask for (or settings, as in a file of --config): where it belongs, and how it is made."""
    laws: dict[str, type] = {name: law for name, law in FREQUENCIES.items() if law not in (Reweighted, Empirical)}
    families: _cli.Families = {"learner": (LEARNERS, "multilinear"), "frequencies": (laws, "zipf")}
    parsed = _cli.parse("simulate", Options, families, argv)
    options, learner, what = parsed.options, parsed.parts["learner"], parsed.choices["learner"]
    if options.control is not None:
        learner, what = learner.control(options.control), f"{what}-{options.control.partition('(')[0].strip()}"
    if not options.quiet:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    law = _law(parsed)
    frequencies = read_changes(options.reweight, law) if options.reweight else law
    if options.counts:  # what a law of which nothing is used is made of decides nothing
        parsed = dataclasses.replace(parsed, parts={"learner": learner})
    if options.counts or options.reweight:
        parsed = parsed.with_content(frequencies=frequencies)
    seeds = _seeds(options)
    if options.seeds is not None:  # however they were written
        parsed = parsed.with_content(**parsed.content, seeds=seeds)
    how = {name: getattr(options, name) for name in _HOW}

    def job() -> _simulate_into.Job:
        plans = [_simulate_plan.plan(frequencies, learner, seed=seed, **how) for seed in seeds]
        return _checked(_simulate_into.Job(parsed, plans, law.tail_exponent))

    return Work(
        "simulate",
        what,
        parsed,
        plan=job,
        make=_simulate_into.simulate_into,
        report=lambda out, job: _simulate_report.report(out.summary()),
    )


def _checked(job: _simulate_into.Job) -> _simulate_into.Job:
    """The same, if its runs can be tested where they are to be, and gone on with where they have begun."""
    options = job.parsed.options
    if options.detect:
        _check_testable(job.plans[0])
    if options.resume and options.out:
        for file, plan in zip(job.checkpoints(options.out), job.plans, strict=True):
            if file.exists():
                _simulate_checkpoint.load(file, plan.words)
    return job


def _seeds(options: Options) -> list[int]:
    """The seeds that the flags name: ``0:8`` as a range of Python's, ``0,3,5`` as they are.

    Raises
    ------
    InputError
        If they cannot be read, are none, come twice, or --seed is there too.
    """
    text = options.seeds
    if text is None:
        return [options.seed]
    if options.seed:
        raise InputError(f"--seed is {options.seed}, and --seeds {text} names them all; drop one of them.")
    first, colon, end = text.partition(":")
    try:
        seeds = list(range(int(first), int(end))) if colon else [int(word) for word in text.split(",")]
    except ValueError:
        seeds, colon = [], ""
    fault = ""
    if colon and not seeds:
        fault = ", which is empty"
    elif twice := [seed for seed, n in collections.Counter(seeds).items() if n > 1]:
        fault = f", with {twice[0]} twice"
    if fault or not seeds or min(seeds) < 0 or text.isdecimal():
        raise InputError(
            f"--seeds is {text!r}{fault}; expected a range such as 0:8, for 0 to 7, or several such as 0,3,5."
        )
    return seeds


def _law(parsed: _cli.Parsed) -> AbstractFrequencies:
    """The frequencies that the flags name: a law's, or those of a file of counts."""
    law: AbstractFrequencies = parsed.parts["frequencies"]
    if parsed.options.counts is None:
        return law
    if law != Zipf():
        raise InputError(f"--counts gives all frequencies, and the flags ask for {law} too; drop one of them.")
    return read_counts(parsed.options.counts)


def _check_testable(plan: _simulate_plan.Plan) -> None:
    """Refuse a run too short to be tested, before it is made."""
    from quanta.transitions import check_window

    try:
        check_window(plan.grid.astype(float))
    except InputError as error:
        raise InputError(f"{error} Or add --no-detect.") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return _cli.main("simulate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
