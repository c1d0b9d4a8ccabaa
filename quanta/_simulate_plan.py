"""All that decides a simulation, checked before anything is allocated, and how much memory it will need."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta._grid import log_spaced
from quanta.frequencies import AbstractFrequencies
from quanta.learners import AbstractLearner
from quanta.learners.base import LATEST

_MAX_CHECKPOINTS = 10_000
DESIGN = ("learner", "batch_size", "dynamics")
"""What a run and an intervention on it share: all but the frequencies, the length, and chance."""


class Plan(NamedTuple):
    """Everything that decides a run, checked."""

    frequencies: AbstractFrequencies
    learner: AbstractLearner
    steps: int
    n_checkpoints: int
    batch_size: int
    seed: int
    dynamics: str
    patience: int | None

    @property
    def words(self) -> dict[str, Any]:
        """All of it by name: the record's provenance, and what a checkpoint must agree with."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def per_step(self) -> int:
        """By how much a step moves the learner's clock."""
        return _per_step(self.learner, self.batch_size)

    @property
    def grid(self) -> np.ndarray:
        """Steps at which all is measured."""
        return log_spaced(self.steps, self.n_checkpoints)

    @property
    def total(self) -> int:
        """How much there is to do: steps, where each takes its time; else checkpoints."""
        return self.steps if self.learner.stepwise else len(self.grid)


def plan(
    frequencies: AbstractFrequencies,
    learner: AbstractLearner,
    *,
    steps: int | None = None,
    seed: int = 0,
    dynamics: str | None = None,
    n_checkpoints: int = 200,
    batch_size: int | None = None,
    patience: int | None = None,
) -> Plan:
    """Fill in what was left open, and refuse what cannot work before anything is allocated; see ``simulate.simulate``."""
    dynamics = dynamics or learner.dynamics[0]
    batch_size = learner.usual_batch if batch_size is None else batch_size
    check_whole("seed", seed, 0)
    check_whole("batch_size", batch_size)
    check_whole("n_checkpoints", n_checkpoints, 3)
    if steps is not None:
        check_whole("steps", steps, 1)
    if patience is not None:
        check_whole("patience", patience, 1)
    if n_checkpoints > _MAX_CHECKPOINTS:
        raise InputError(f"n_checkpoints is {n_checkpoints}; expected at most {_MAX_CHECKPOINTS}.")
    if (steps or 1) * batch_size > LATEST:
        raise InputError(f"{steps or 1} steps of {batch_size} examples are more than 2^53 examples; take fewer.")
    planned = Plan(frequencies, learner, steps or 1, n_checkpoints, batch_size, seed, dynamics, patience)
    learner.check(frequencies.size, batch_size, dynamics)
    check_memory([planned])
    if steps is None:
        planned = planned._replace(steps=default_steps(frequencies.probabilities(), learner, batch_size, dynamics))
    return planned


def default_steps(p: np.ndarray, learner: AbstractLearner, batch_size: int = 1, dynamics: str | None = None) -> int:
    """Until the learner's horizon, in steps, to two digits; at most 2^53 examples."""
    sampled = (dynamics or learner.dynamics[0]) == "sampled"
    horizon = learner.sampled_horizon(p, batch_size) if sampled else learner.horizon(p)
    steps = min(horizon, float(LATEST)) / _per_step(learner, batch_size)
    return min(max(1, math.ceil(float(f"{steps:.1e}"))), LATEST // batch_size)


def _per_step(learner: AbstractLearner, batch_size: int) -> int:
    return batch_size if learner.clock == "examples" else 1


class Extent(NamedTuple):
    """What the memory of a run grows with."""

    learner: AbstractLearner
    n_subtasks: int
    n_checkpoints: int
    batch_size: int
    dynamics: str

    @property
    def working(self) -> int:
        """Bytes of the learner."""
        return self.learner.memory_needed(self.n_subtasks, self.batch_size)

    @property
    def curves(self) -> int:
        """Bytes of what is measured, in float32, realised counts among them."""
        n_curves = self.learner.n_measured + (self.dynamics == "sampled")
        return 4 * n_curves * self.n_checkpoints * self.n_subtasks

    def smaller(self) -> "dict[str, Extent]":
        """What it would be with one thing at its least, by what a user can do about that thing."""
        return {
            "fewer subtasks": self._replace(n_subtasks=1),
            "fewer checkpoints": self._replace(n_checkpoints=3),
            "a smaller batch": self._replace(batch_size=1),
            **{
                f"a smaller {name} than {value}": self._replace(learner=less)
                for name, (value, less) in self.learner.smaller().items()
            },
        }


def memory_needed(
    learner: AbstractLearner, n_subtasks: int, n_checkpoints: int, dynamics: str, batch_size: int = 1
) -> int:
    """Bytes that a run takes at its peak."""
    run = Extent(learner, n_subtasks, n_checkpoints, batch_size, dynamics)
    return run.working + run.curves


def check_memory(plans: Sequence[Plan], at_a_time: int = 1) -> None:
    """Refuse runs that would not fit into memory, so many at a time; the curves of all are kept."""
    runs = [Extent(p.learner, p.frequencies.size, p.n_checkpoints, p.batch_size, p.dynamics) for p in plans]
    needed, available = _together(runs, at_a_time), memory_available()
    if needed <= available:
        return
    largest = max(runs, key=lambda run: run.working + run.curves)
    batches = f" in batches of {largest.batch_size}" if largest.batch_size > 1 else ""
    together = f" for {len(plans)} runs, {at_a_time} at a time" if len(plans) > 1 else ""
    raise InputError(
        f"{largest.n_subtasks} subtasks at {largest.n_checkpoints} checkpoints{batches} need about "
        f"{needed / 2**30:.1f} GiB of memory{together}; {available / 2**30:.1f} GiB are available. "
        f"Take {' and '.join(_remedies(runs, at_a_time, available))}."
    )


def _together(runs: Sequence[Extent], at_a_time: int) -> int:
    """Bytes that runs need, so many at a time."""
    copies = 1 if len(runs) == 1 else 2  # records that are combined are there twice for a moment
    working = sorted(run.working for run in runs)
    return copies * sum(run.curves for run in runs) + sum(working[-at_a_time:])


def _remedies(runs: list[Extent], at_a_time: int, available: int) -> list[str]:
    """What must be less for runs to fit: what spares most, and as long as that is not enough, what then spares most."""
    said: list[str] = []
    while _together(runs, at_a_time) > available:
        ways = [run.smaller() for run in runs]
        options = {
            name: [way.get(name, run) for way, run in zip(ways, runs, strict=True)] for way in ways for name in way
        }
        if len(runs) > 1:
            options["fewer runs"] = [max(runs, key=lambda run: run.working + run.curves)]
        name, less = min(options.items(), key=lambda option: _together(option[1], at_a_time))
        if _together(less, at_a_time) >= _together(runs, at_a_time):
            break
        said, runs = [*said, name], less
    return said or ["a machine with more"]


def memory_available() -> int:
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
