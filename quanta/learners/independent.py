"""Learners whose subtasks do not meet: each is one function of how often it has been seen."""

import abc

import numpy as np

from quanta.learners import _hits
from quanta.learners.base import AbstractLearner, Truth, checked, no_steps, seen_so_far


class AbstractIndependent(AbstractLearner):
    """A learner of which every subtask is the same function of its own clock.

    That clock counts hits, the examples of the subtask: p_k · t expected, a realised count if sampled. Where
    ``onset_exponent`` is not 1 it runs at the speed p_k^γ instead, and there are no sampled dynamics.

    A member gives ``loss`` and its inverse ``hits_at``; all else follows. One whose mean over runs is not the loss at
    the mean count overrides ``expected`` and ``crossing`` too.
    """

    @property
    def has_steps(self) -> bool:
        """Whether the mean field makes steps, as truth: not so in a smooth world."""
        return True

    @property
    def onset_exponent(self) -> float:
        """γ in onset ∝ p^-γ: 1 where only hits count."""
        return 1.0

    @abc.abstractmethod
    def loss(self, hits: np.ndarray) -> np.ndarray:
        """Loss after so many hits, a real number of them; falls from ``chance_loss``."""

    @abc.abstractmethod
    def hits_at(self, left: float) -> float:
        """Hits at which this share of ``chance_loss`` is left, 0 < left < 1."""

    def levels(self) -> np.ndarray:
        """Whole counts, ascending (3,), by which 10, 50 and 90 % of the loss are gone; (0,) without steps."""
        if not self.has_steps:
            return np.empty(0, dtype=np.int64)
        return np.maximum(np.ceil([self.hits_at(left) for left in (0.9, 0.5, 0.1)]), 1).astype(np.int64)

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> _hits.Hits:
        """State before the first example; see the base."""
        return _hits.start(checked(self, frequencies, dynamics), rng, dynamics, self.levels())

    def advance(self, state: _hits.Hits, time: int) -> _hits.Hits:
        """State after that many examples in all."""
        return _hits.advance(state, time)

    def measure(self, state: _hits.Hits) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        if state.sampled:
            return {"loss": self.loss(state.hits)}
        return {"loss": self.expected(state.frequencies, float(state.examples))}

    def truth(self, state: _hits.Hits) -> Truth:
        """Onset and width of the steps made so far."""
        if state.sampled and state.levels.size:
            return _hits.realised(state)
        if not self.has_steps:
            return no_steps(state.frequencies.size)
        return seen_so_far(int(state.examples), *(self.crossing(state.frequencies, left) for left in (0.9, 0.5, 0.1)))

    def speed(self, frequencies: np.ndarray) -> np.ndarray:
        """Speed of each subtask's clock: p^γ, and 0 for what never occurs."""
        p = np.asarray(frequencies, dtype=np.float64)
        gamma = self.onset_exponent
        return p if gamma == 1 else np.where(p > 0, p**gamma, 0.0)

    def expected(self, frequencies: np.ndarray, examples: np.ndarray | float) -> np.ndarray:
        """Loss of the mean field; ``frequencies`` and ``examples`` broadcast."""
        return self.loss(self.speed(frequencies) * examples)

    def crossing(self, frequencies: np.ndarray, left: float) -> np.ndarray:
        """Examples at which this share of the mean-field loss is left; inf for what never occurs."""
        with np.errstate(divide="ignore"):
            return self.hits_at(left) / self.speed(frequencies)

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Examples at half loss."""
        return self.crossing(frequencies, 0.5)
