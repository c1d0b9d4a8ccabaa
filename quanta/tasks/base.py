"""What a task is: a family of subtasks that one network learns side by side, told apart by a task token."""

import abc
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from quanta._errors import InputError

MAX_LISTED = 2**20
"""Inputs of one subtask that may be numbered; beyond, they are only drawn at random."""
MAX_EXHAUSTIVE = 256
"""Inputs of one subtask up to which evaluation uses all of them."""
N_EVALUATED = 64
"""Inputs of one subtask in the evaluation set where there are too many to use all of them."""


class Batch(NamedTuple):
    """Examples: sequences, what is asked at the readout positions, and which of those count.

    ``number`` is the place of each example's input among all inputs of a subtask (those of
    :meth:`AbstractTask.exhaustive`), or None where there are too many to list.
    """

    tokens: np.ndarray  # (n, length) int64
    targets: np.ndarray  # (n, n_readout) int64
    mask: np.ndarray  # (n, n_readout) bool
    subtask: np.ndarray  # (n,) int64
    number: np.ndarray | None  # (n,) int64

    def take(self, rows: np.ndarray) -> "Batch":
        """Some of the examples."""
        return Batch(*(None if field is None else field[rows] for field in self))  # type: ignore[arg-type]


class AbstractTask(abc.ABC):
    """A family of distinct functions, one for each subtask.

    Sequences are input symbols followed by the task token, ``n_symbols + k`` for subtask k. Answers are read
    at the positions ``readout``. All answers of a subtask are equally frequent, so that chance is ln n_classes.
    """

    @property
    @abc.abstractmethod
    def n_classes(self) -> int:
        """Number of answers."""

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
        """Number of distinct inputs of a subtask."""

    @property
    @abc.abstractmethod
    def n_distinct(self) -> int:
        """Number of distinct subtasks there are."""

    @abc.abstractmethod
    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Draw distinct subtasks without replacement: their rules, (n_subtasks, n_parameters).

        Raises
        ------
        InputError
            If there are not so many.
        """

    @abc.abstractmethod
    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """One random example of each entry of ``subtask``, (n,) numbers of subtasks."""

    @abc.abstractmethod
    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All examples of each entry of ``subtask``, inputs in the same order for each: (n · n_inputs, …).

        Raises
        ------
        InputError
            If there are too many inputs to list.
        """

    @property
    def readout(self) -> tuple[int, ...]:
        """Positions at which answers are read."""
        return (self.length - 1,)

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

    def number(self, strings: np.ndarray) -> np.ndarray | None:
        """Place of each string in :meth:`all`, (n,); None where there are too many to list."""
        if self.count > MAX_LISTED:
            return None
        return strings @ self.n_symbols ** np.arange(self.length - 1, -1, -1)


def assemble(strings: np.ndarray, answers: np.ndarray, subtask: np.ndarray, inputs: Strings) -> Batch:
    """Sequences [symbols, task token] that ask for one answer, at the task token."""
    tokens = np.concatenate([strings, inputs.n_symbols + subtask[:, None]], axis=1)
    targets = answers[:, None]
    return Batch(tokens, targets, np.ones(targets.shape, dtype=bool), subtask, inputs.number(strings))


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse a field that is not a whole number of at least ``least``."""
    if isinstance(value, bool) or not math.isfinite(value) or value != int(value) or value < least:
        raise InputError(f"{name} is {value}; expected a whole number of at least {least}.")
