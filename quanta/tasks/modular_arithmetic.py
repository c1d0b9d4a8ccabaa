"""Modular arithmetic: every subtask its own affine function of two numbers."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.tasks.base import AbstractTask, Batch, Strings, one_answer


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ModularArithmetic(AbstractTask):
    r"""Subtask k asks for

    .. math:: u_k x + v_k y + w_k \bmod m, \qquad x, y = 0 \dots m - 1

    with u, v coprime to m (nonzero, for a prime m), so that all answers are equally frequent. Triples (u, v, w)
    that differ give functions that differ, at (0, 0), (1, 0) or (0, 1); they are drawn without replacement,
    since a network learns two copies of a subtask at the time of the more frequent one. The sequence is
    [x, y, task token]. An answer's case is the pair.

    References
    ----------
    Power, Burda, Edwards, Babuschkin, Misra (2022), Grokking, table A.2 (single functions of this kind).

    Examples
    --------
    >>> task = ModularArithmetic(modulus=5)
    >>> task.n_distinct
    80
    >>> task.exhaustive(np.array([[2, 1, 3]]), np.array([0])).targets[:6, 0].tolist()
    [3, 4, 0, 1, 2, 0]
    """

    modulus: int = 5
    """The modulus m: the number of answers."""

    def __post_init__(self) -> None:
        check_whole("modulus", self.modulus, 2)
        if self.modulus > 10_000:
            raise InputError(f"modulus is {self.modulus}; expected at most 10000.")

    @property
    def n_classes(self) -> int:
        """The modulus."""
        return self.modulus

    @property
    def n_symbols(self) -> int:
        """The modulus."""
        return self.modulus

    @property
    def length(self) -> int:
        """Three: x, y, task token."""
        return 3

    @property
    def n_inputs(self) -> int:
        """Number of pairs (x, y)."""
        return self._inputs().count

    @property
    def n_distinct(self) -> int:
        """φ(m)² m triples (u, v, w), φ being Euler's totient."""
        return len(self._units()) ** 2 * self.modulus

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Distinct triples (u, v, w), (n_subtasks, 3)."""
        self.check_count(n_subtasks)
        units = self._units()
        chosen = rng.choice(self.n_distinct, size=n_subtasks, replace=False)
        u, v, w = np.unravel_index(chosen, (len(units), len(units), self.modulus))
        return np.stack([units[u], units[v], w], axis=1)

    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """One random pair (x, y) of each entry of ``subtask``."""
        return self._examples(rules, subtask, self._inputs().draw(len(subtask), rng))

    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All pairs (x, y) of each entry of ``subtask``."""
        self.check_listed("evaluating on every input")
        pairs = np.tile(self._inputs().all(), (len(subtask), 1))
        return self._examples(rules, np.repeat(subtask, self.n_inputs), pairs)

    def _examples(self, rules: np.ndarray, subtask: np.ndarray, pairs: np.ndarray) -> Batch:
        u, v, w = rules[subtask].T
        answers = (u * pairs[:, 0] + v * pairs[:, 1] + w) % self.modulus
        tokens = np.column_stack([pairs, self.n_symbols + subtask])
        return one_answer(tokens, answers, subtask, self._inputs().number(pairs))

    def _inputs(self) -> Strings:
        return Strings(length=2, n_symbols=self.modulus)

    def _units(self) -> np.ndarray:
        return np.array([a for a in range(1, self.modulus) if math.gcd(a, self.modulus) == 1])
