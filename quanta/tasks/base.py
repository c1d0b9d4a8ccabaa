"""What a task is: subtasks that one network learns side by side, and the batches that teach and test them."""

import abc
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from quanta._errors import InputError
from quanta.frequencies import AbstractFrequencies

MAX_LISTED = 2**20
"""Inputs of one subtask that may be listed; beyond, they are only drawn at random."""
MAX_EXHAUSTIVE = 256
"""Inputs of one subtask up to which evaluation uses all of them."""
N_EVALUATED = 64
"""Inputs of one subtask in the evaluation set where there are too many to use all of them."""
N_JOINT = 512
"""Sequences in the evaluation set of a task that asks all its subtasks in each."""
_PIECE = 8192  # sequences that are evaluated at a time


class Batch(NamedTuple):
    """Examples: sequences, what is asked at the readout positions, and which subtask each answer belongs to.

    ``case`` numbers what the answer depends on, from 0, within its subtask: the row that it has in a table that shares
    nothing; None where the cases are too many to list.
    """

    tokens: np.ndarray  # (n, length) int64
    targets: np.ndarray  # (n, n_readout) int64
    subtask: np.ndarray  # (n, n_readout) int64, −1 where nothing is asked
    case: np.ndarray | None  # (n, n_readout) int64

    def take(self, rows: np.ndarray | slice) -> "Batch":
        """Some of the examples."""
        return Batch(*(None if field is None else field[rows] for field in self))  # type: ignore[arg-type]

    @property
    def asked(self) -> np.ndarray:
        """Whether anything is asked, (n, n_readout) bool."""
        return self.subtask >= 0


class Probe(Protocol):
    """A network as it is now, in numpy arrays: what a task's own measures are taken from."""

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """At the readout positions, (n, n_readout, n_classes)."""

    def attention(self, tokens: np.ndarray) -> np.ndarray:
        """Attention probabilities, (depth, n, heads, n_queries, n_keys), all positions being queries."""

    def weights(self) -> dict[str, np.ndarray]:
        """Parameters by name."""


class AbstractTask(abc.ABC):
    """A family of distinct functions, one for each subtask.

    Most tasks ask one subtask in each sequence: input symbols, and then the task token ``n_symbols + k`` of subtask k;
    how often each occurs is chosen freely. A *joint* task asks several in each, and decides itself how often
    (:meth:`shares`).
    """

    @property
    @abc.abstractmethod
    def n_classes(self) -> int:
        """Number of answers that the network chooses from."""

    @property
    @abc.abstractmethod
    def n_symbols(self) -> int:
        """Number of input symbols; task tokens are numbered after them."""

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Tokens in a sequence, task token included."""

    @property
    @abc.abstractmethod
    def n_inputs(self) -> int:
        """Number of distinct inputs of a subtask (of the largest, where they differ)."""

    @property
    @abc.abstractmethod
    def n_distinct(self) -> int:
        """Number of distinct subtasks there are."""

    @property
    def n_default(self) -> int:
        """Number of subtasks where none is asked for."""
        return 32

    @abc.abstractmethod
    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Draw distinct subtasks without replacement: their rules, an array whose first dim is n_subtasks.

        Raises
        ------
        InputError
            If there are not so many.
        """

    @abc.abstractmethod
    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """One random example of each entry of ``subtask``, (n,); a joint task heeds its length alone."""

    @abc.abstractmethod
    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All examples of each entry of ``subtask``, in its order; of a joint task, all sequences once.

        Raises
        ------
        InputError
            If there are too many inputs to list.
        """

    def shares(self) -> AbstractFrequencies | None:
        """How often each subtask occurs, where the task itself decides it; None where it is chosen freely."""
        return None

    @property
    def joint(self) -> bool:
        """Whether each sequence asks several subtasks; a task may decide its frequencies and ask one, and says so here."""
        return self.shares() is not None

    @property
    def readout(self) -> tuple[int, ...]:
        """Positions at which answers are read."""
        return (self.length - 1,)

    @property
    def identity(self) -> str:
        """Names what the task asks, the content of files that it reads included."""
        return repr(self)

    @property
    def full_batch(self) -> int | None:
        """Examples of a batch where every batch is the same, the whole training set; else None."""
        return None

    @property
    def _lists_all(self) -> bool:
        """Whether a joint task is evaluated on every sequence: they are few, or some are tested and never trained on."""
        return self.full_batch is not None or self.n_inputs <= _PIECE

    def n_tokens(self, n_subtasks: int) -> int:
        """Size of the vocabulary: symbols, and a task token for each subtask where there are any."""
        return self.n_symbols + (0 if self.joint else n_subtasks)

    def n_cases(self, rules: np.ndarray) -> np.ndarray | None:
        """Number of cases of each subtask, (n_subtasks,); None where they are too many to list."""
        return np.full(len(rules), self.n_inputs) if self.n_inputs <= MAX_LISTED else None

    def chance(self, rules: np.ndarray) -> np.ndarray:
        """Loss in nats of the best answer that does not depend on the input, (n_subtasks,)."""
        return np.full(len(rules), math.log(self.n_classes))

    def weights(self) -> np.ndarray | None:
        """Share of each subtask in the mean loss, (n_subtasks,), where it is not how often it is trained on."""
        return None

    def labels(self, rules: np.ndarray) -> list[str] | None:
        """Names of the subtasks for people, where they have any."""
        return None

    def kinds(self, rules: np.ndarray) -> list[str] | None:
        """What sort each subtask is of, where there are several."""
        return None

    def partitions(self, rules: np.ndarray) -> dict[str, np.ndarray]:
        """Coarser partitions that a record of this task carries: name → label of each subtask, (n_subtasks,)."""
        return {}

    def evaluation(self, rules: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
        """The fixed evaluation set, in pieces: every input where they are few, else a sample."""
        if self.joint:
            joint = (
                self.exhaustive(rules, np.arange(len(rules)))
                if self._lists_all
                else self.batch(rules, np.zeros(N_JOINT, dtype=np.int64), rng)
            )
            yield from (joint.take(slice(i, i + _PIECE)) for i in range(0, len(joint.tokens), _PIECE))
            return
        listed = self.n_inputs <= MAX_EXHAUSTIVE
        piece = max(1, _PIECE // (self.n_inputs if listed else N_EVALUATED))
        for first in range(0, len(rules), piece):
            subtask = np.arange(first, min(first + piece, len(rules)))
            yield (
                self.exhaustive(rules, subtask) if listed else self.batch(rules, np.repeat(subtask, N_EVALUATED), rng)
            )

    def n_evaluated(self, n_subtasks: int) -> int:
        """Sequences in the evaluation set, at most."""
        if self.joint:
            return self.n_inputs if self._lists_all else N_JOINT
        return n_subtasks * (self.n_inputs if self.n_inputs <= MAX_EXHAUSTIVE else N_EVALUATED)

    def measures(self, rules: np.ndarray, probe: Probe) -> dict[str, float]:
        """What else to measure of a network that learns this task, at every checkpoint: name → number."""
        return {}

    def check_count(self, n_subtasks: int) -> None:
        """Refuse more subtasks than there are distinct ones."""
        if n_subtasks > self.n_distinct:
            raise InputError(
                f"{n_subtasks} subtasks were asked for, but {self!r} has only {self.n_distinct} distinct ones; "
                "ask for fewer subtasks, or for a larger task."
            )

    def check_listed(self, what: str) -> None:
        """Refuse ``what`` where the inputs are too many to list."""
        if self.n_inputs > MAX_LISTED:
            raise InputError(
                f"{self!r} has {self.n_inputs:.3g} inputs for each subtask; {what} needs all of them listed, "
                f"at most {MAX_LISTED}. Choose a smaller task."
            )


@dataclass(frozen=True, kw_only=True)
class Strings:
    """Uniform strings: the inputs of tasks whose symbols are drawn independently."""

    length: int
    n_symbols: int

    @property
    def count(self) -> int:
        """Number of strings."""
        return self.n_symbols**self.length

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Random strings, (n, length)."""
        return rng.integers(self.n_symbols, size=(n, self.length))

    def all(self) -> np.ndarray:
        """Every string, the last symbol changing fastest, (count, length)."""
        return np.stack(np.unravel_index(np.arange(self.count), (self.n_symbols,) * self.length), axis=1)

    def number(self, strings: np.ndarray) -> np.ndarray:
        """Place of each string in :meth:`all`, (n,)."""
        return strings @ self.n_symbols ** np.arange(self.length - 1, -1, -1)


def one_answer(tokens: np.ndarray, answers: np.ndarray, subtask: np.ndarray, case: np.ndarray) -> Batch:
    """Examples of one answer each: ``tokens`` (n, length), all else (n,)."""
    return Batch(tokens, answers[:, None], subtask[:, None], case[:, None])
