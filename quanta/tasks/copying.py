"""Copying: every subtask asks for the symbol at its own place in a string."""

from dataclasses import dataclass
from typing import final

import numpy as np

from quanta._checks import check_whole
from quanta.tasks.base import AbstractTask, Batch, Strings, one_answer


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Copying(AbstractTask):
    r"""Subtask k asks for the symbol at position :math:`\pi_k` of a random string, π_k all different.

    The sequence is [string, task token]. An answer's case is the symbol itself.

    Examples
    --------
    >>> task = Copying(string=2, vocabulary=3)
    >>> task.exhaustive(np.array([[1]]), np.array([0])).targets[:, 0].tolist()
    [0, 1, 2, 0, 1, 2, 0, 1, 2]
    """

    string: int = 32
    """Symbols in the string: also the greatest number of subtasks."""
    vocabulary: int = 8
    """Number of different symbols, and of answers."""

    def __post_init__(self) -> None:
        check_whole("string", self.string, 1)
        check_whole("vocabulary", self.vocabulary, 2)

    @property
    def n_classes(self) -> int:
        """The number of symbols."""
        return self.vocabulary

    @property
    def n_symbols(self) -> int:
        """The number of symbols."""
        return self.vocabulary

    @property
    def length(self) -> int:
        """The string and the task token."""
        return self.string + 1

    @property
    def n_inputs(self) -> int:
        """Number of strings."""
        return self._inputs().count

    @property
    def n_distinct(self) -> int:
        """As many as there are positions."""
        return self.string

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Distinct positions π_k, (n_subtasks, 1)."""
        self.check_count(n_subtasks)
        return rng.permutation(self.string)[:n_subtasks, None]

    def n_cases(self, rules: np.ndarray) -> np.ndarray:
        """As many as symbols, each."""
        return np.full(len(rules), self.vocabulary)

    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """One random string of each entry of ``subtask``."""
        return self._examples(rules, subtask, self._inputs().draw(len(subtask), rng))

    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All strings of each entry of ``subtask``."""
        self.check_listed("evaluating on every input")
        strings = np.tile(self._inputs().all(), (len(subtask), 1))
        return self._examples(rules, np.repeat(subtask, self.n_inputs), strings)

    def _examples(self, rules: np.ndarray, subtask: np.ndarray, strings: np.ndarray) -> Batch:
        answers = strings[np.arange(len(subtask)), rules[subtask, 0]]
        tokens = np.column_stack([strings, self.n_symbols + subtask])
        return one_answer(tokens, answers, subtask, answers)

    def _inputs(self) -> Strings:
        return Strings(length=self.string, n_symbols=self.vocabulary)
