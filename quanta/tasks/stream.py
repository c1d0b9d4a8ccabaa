"""The data of one run: its subtasks, and an endless stream of batches that any run, control or not, can replay."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.frequencies import AbstractFrequencies
from quanta.tasks.base import AbstractTask, Batch

_MAX_BYTES = 4 * 2**30
_RULES, _EVALUATION, _BATCHES, _WEIGHTS, _INPUTS = range(5)  # what a generator is for, second part of its key


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Batches of a task whose subtasks occur at given frequencies.

    The batch of step t is a function of the seed, the replicate and t alone: controls see the very batches that the
    network saw, and a resumed run needs no generator state. Subtasks and evaluation set depend on the seed alone:
    replicates are runs that differ in nothing but chance.
    """

    frequencies: AbstractFrequencies
    task: AbstractTask
    batch_size: int
    seed: int
    replicate: int = 0
    rules: np.ndarray = field(init=False, repr=False)  # (n_subtasks, n_parameters)
    probability: np.ndarray = field(init=False, repr=False)  # (n_subtasks,)
    edges: np.ndarray = field(init=False, repr=False)  # (n_subtasks,) of the intervals of [0, 1) that draw each subtask

    def __post_init__(self) -> None:
        check_whole("batch_size", self.batch_size, 1)
        check_whole("replicate", self.replicate, 0)
        self.task.check_count(self.n_subtasks)
        if self.task.full_batch not in (None, self.batch_size):
            raise InputError(
                f"batch_size is {self.batch_size}, but every batch of {self.task!r} is its whole training set; "
                f"expected {self.task.full_batch}. Leave it out."
            )
        needed = self.task.n_evaluated(self.n_subtasks) * (self.task.length + 4 * len(self.task.readout)) * 8
        if needed > _MAX_BYTES:
            raise InputError(
                f"{self.n_subtasks} subtasks need {needed / 2**30:.3g} GiB for their evaluation set alone; at most "
                f"{_MAX_BYTES / 2**30:.0f} GiB are allowed. Use fewer subtasks."
            )
        object.__setattr__(self, "rules", self.task.draw(self.frequencies.size, self._rng(_RULES)))
        object.__setattr__(self, "probability", self.frequencies.probabilities())
        edges = np.cumsum(self.probability)
        # They may end a rounding error below 1: what lies beyond is not a removed subtask's.
        edges[np.flatnonzero(self.probability)[-1] :] = 1.0
        object.__setattr__(self, "edges", edges)

    @property
    def n_subtasks(self) -> int:
        """Number of subtasks."""
        return self.frequencies.size

    @property
    def chance(self) -> np.ndarray:
        """Loss of guessing, in nats, (n_subtasks,)."""
        return self.task.chance(self.rules)

    @property
    def data_id(self) -> str:
        """Names the data: runs that share it saw the same subtasks in the same batches."""
        law = f"{self.frequencies!r} {self.task.identity} batch_size={self.batch_size} seed={self.seed}"
        law += f" replicate={self.replicate}" if self.replicate else ""
        return hashlib.sha256(law.encode()).hexdigest()[:16]

    @property
    def weight_seed(self) -> int:
        """Seed of the initial weights: the stream's own, or one that belongs to the replicate."""
        return int(self._rng(_WEIGHTS, self.replicate).integers(2**63)) if self.replicate else self.seed

    def batch(self, step: int) -> Batch:
        """The batch that takes the run from ``step`` to ``step + 1``."""
        rng = self._rng(_BATCHES, step, *([self.replicate] if self.replicate else []))
        if self.task.joint:
            return self.task.batch(self.rules, np.zeros(self.batch_size, dtype=np.int64), rng)
        subtask = np.searchsorted(self.edges, rng.random(self.batch_size), side="right")
        return self.task.batch(self.rules, subtask, rng)

    def evaluation(self) -> Iterator[Batch]:
        """The fixed evaluation set, in pieces."""
        return self.task.evaluation(self.rules, self._rng(_EVALUATION))

    def inputs(self, n: int = 0) -> Batch:
        """All inputs, or at most ``n`` different ones of each subtask (of a joint task: sequences), drawn from the seed."""
        subtasks = np.arange(self.n_subtasks)
        if not 0 < n < self.task.n_inputs:
            return self.task.exhaustive(self.rules, subtasks)
        asked = np.zeros(n, dtype=np.int64) if self.task.joint else subtasks.repeat(n)
        drawn = self.task.batch(self.rules, asked, self._rng(_INPUTS))
        return drawn.take(np.sort(np.unique(drawn.tokens, axis=0, return_index=True)[1]))

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])
