"""Facts: every subtask a key with a value of its own, and nothing to generalise."""

from dataclasses import dataclass
from typing import final

import numpy as np

from quanta._checks import check_whole
from quanta.tasks.base import AbstractTask, Batch, one_answer

_MAX_KEYS = 10**6


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Facts(AbstractTask):
    """Subtask k asks for the value of key k, drawn uniformly at random; different keys may have one value.

    The sequence is [task token]: the token is the key, a subtask has one input, and one case. With nothing shared but
    the readout, facts are learned much as by a table: what they show of an optimiser is no phase change.

    References
    ----------
    Allen-Zhu, Li (2024), Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws (facts as key and value);
    Hutter (2021), Learning Curve Theory, section 3 (tables at power-law frequencies).

    Examples
    --------
    >>> task = Facts(values=4)
    >>> task.exhaustive(np.array([[3], [1]]), np.array([0, 1])).targets[:, 0].tolist()
    [3, 1]
    """

    values: int = 64
    """Number of different values."""

    def __post_init__(self) -> None:
        check_whole("values", self.values, 2)

    @property
    def n_classes(self) -> int:
        """The number of values."""
        return self.values

    @property
    def n_symbols(self) -> int:
        """None: the task token says it all."""
        return 0

    @property
    def length(self) -> int:
        """The task token alone."""
        return 1

    @property
    def n_inputs(self) -> int:
        """One."""
        return 1

    @property
    def n_distinct(self) -> int:
        """A million keys; no law sets a limit."""
        return _MAX_KEYS

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Values of the keys, (n_subtasks, 1)."""
        self.check_count(n_subtasks)
        return rng.integers(self.values, size=(n_subtasks, 1))

    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """The one example of each entry of ``subtask``."""
        return self.exhaustive(rules, subtask)

    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """The one example of each entry of ``subtask``."""
        return one_answer(subtask[:, None], rules[subtask, 0], subtask, np.zeros_like(subtask))
