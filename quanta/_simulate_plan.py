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


def memory_needed(
    learner: AbstractLearner, n_subtasks: int, n_checkpoints: int, dynamics: str, batch_size: int = 1
) -> int:
    """Bytes that a run takes at its peak: the learner's, and curves in float32, realised counts among them."""
    n_curves = learner.n_measured + (dynamics == "sampled")
    return learner.memory_needed(n_subtasks, batch_size) + 4 * n_curves * n_checkpoints * n_subtasks


def check_memory(plans: Sequence[Plan], at_a_time: int = 1) -> None:
    """Refuse runs that would not fit into memory, so many at a time; the curves of all are kept."""
    working = sorted(plan.learner.memory_needed(plan.frequencies.size, plan.batch_size) for plan in plans)
    whole = [memory_needed(p.learner, p.frequencies.size, p.n_checkpoints, p.dynamics, p.batch_size) for p in plans]
    copies = 1 if len(plans) == 1 else 2  # records that are combined are there twice for a moment
    needed = copies * (sum(whole) - sum(working)) + sum(working[-at_a_time:])
    available = memory_available()
    if needed <= available:
        return
    first = plans[int(np.argmax(whole))]
    n, size = first.frequencies.size, first.batch_size
    batches = first.learner.memory_needed(n, size) > 2 * first.learner.memory_needed(n, 1)
    raise InputError(
        f"{n} subtasks at {first.n_checkpoints} checkpoints{f' in batches of {size}' if batches else ''} need about "
        f"{needed / 2**30:.1f} GiB of memory{f' for {len(plans)} runs, {at_a_time} at a time' if len(plans) > 1 else ''}; "
        f"{available / 2**30:.1f} GiB are available. "
        f"Take {'a smaller batch' if batches else 'fewer subtasks or checkpoints'}{', or fewer runs' if len(plans) > 1 else ''}."
    )


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
