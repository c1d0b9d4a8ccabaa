"""Learners whose subtasks do not meet: each is one function of how often it has been seen."""

import abc
import math

import numpy as np

from quanta.learners import _hits
from quanta.learners._axes import Split, best_split, room
from quanta.learners.base import LATEST, AbstractLearner, Truth, checked, no_steps, seen_so_far


class AbstractIndependent(AbstractLearner):
    """A learner of which every subtask is the same function of its own clock.

    That clock counts hits, the examples of the subtask: p_k · t expected, a realised count if sampled. Where
    ``onset_exponent`` is not 1 it runs at the speed p_k^γ instead, and there are no sampled dynamics.

    A member gives ``loss`` and its inverse ``hits_at``; all else follows. One whose mean over runs is not the loss at
    the mean count overrides ``expected`` and ``crossing`` too.

    Along the other ``axes`` of its theory, parameters hold so many subtasks and no more, data are examples seen once,
    and compute is examples × parameters, split for the least mean loss; override ``with_parameters`` and ``with_data``
    where a paper says more.
    """

    parameters_per_subtask: float
    """Parameters that a subtask takes: a field of those whose ``axes`` have parameters."""

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
        """Loss after so many hits, a real number of them; falls from ``chance_loss`` to ``learned_loss``."""

    @abc.abstractmethod
    def hits_at(self, left: float) -> float:
        """Hits at which this share of the drop is left, 0 < left < 1."""

    def levels(self) -> np.ndarray:
        """Whole counts, ascending (3,), by which 10, 50 and 90 % of the drop are done; (0,) without steps."""
        if not self.has_steps:
            return np.empty(0, dtype=np.int64)
        hits = np.array([self.hits_at(left) for left in (0.9, 0.5, 0.1)])
        return np.clip(np.ceil(hits), 1, float(LATEST)).astype(np.int64)

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> _hits.Hits:
        """State before the first example; see the base."""
        return _hits.start(checked(self, frequencies, dynamics, batch_size), rng, dynamics, self.levels())

    def advance(self, state: _hits.Hits, time: int) -> _hits.Hits:
        """State after that many examples in all."""
        return _hits.advance(state, time)

    def measure(self, state: _hits.Hits) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        if state.sampled:
            return {"loss": _hits.in_blocks(self.loss, state.hits)}
        examples = float(state.examples)
        return {"loss": _hits.in_blocks(lambda p: self.expected(p, examples), state.frequencies)}

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
        """Examples at which this share of the mean-field drop is left; inf for what never occurs."""
        with np.errstate(divide="ignore"):
            return self.hits_at(left) / self.speed(frequencies)

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Examples at half of the drop."""
        return self.crossing(frequencies, 0.5)

    def horizon(self, frequencies: np.ndarray) -> float:
        """Ten times the last onset; where curves have long tails, until a hundredth is left."""
        end = np.maximum(10 * self.onset(frequencies), self.crossing(frequencies, 0.01))
        return float(np.max(end[np.isfinite(end)], initial=10.0))

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        r"""Exponent of the distance of the mean loss to its floor, along a resource.

        With :math:`\alpha = s - 1`, and onsets ∝ p^-γ:

        .. math::
            t^{-\alpha/(\gamma s)}, \qquad N^{-\alpha}, \qquad D^{-\alpha/s}, \qquad C^{-\alpha/(\gamma s + 1)}

        The last is at the best split, :math:`N \propto C^{1/(\gamma s + 1)}`, t = C/N, where the first two are equal.

        References
        ----------
        Steps, parameters, data: Michaud et al. (2023), section 2; Nam et al. (2024), theorems on scaling. Compute: Nam
        et al. (2024), corollary 4 (γ = 1: :math:`C^{-\alpha/(\alpha + 2)}`); Ren et al. (2025) (γ = ½).
        """
        s, gamma = zipf_exponent, self.onset_exponent
        if axis not in self.axes or not s > 1 or not gamma > 0:
            return math.nan
        slowness = {"steps": gamma * s, "parameters": 1, "data": s, "compute": gamma * s + 1}
        return -(s - 1) / slowness[axis]

    def limited(self, axis: str, frequencies: np.ndarray, amount: float) -> np.ndarray:
        """Loss of every subtask, (n_subtasks,), with so much of a resource and as much as it needs of the others.

        Along "compute", at the split of least mean loss. A subtask short of two resources is as bad as of the shorter.

        Raises
        ------
        InputError
            If its theory says nothing of that axis, or the amount is not above 0.
        """
        self._check_amount(axis, amount)
        p = np.asarray(frequencies, dtype=np.float64)
        if axis == "steps":
            return self.expected(p, amount)
        if axis == "parameters":
            return self.with_parameters(p, amount)
        if axis == "data":
            return self.with_data(p, amount)
        return self._with_both(p, self.best_split(p, amount))

    def best_split(self, frequencies: np.ndarray, compute: float) -> Split:
        """How many steps (of one example) and parameters make the least mean loss at this product of the two.

        Raises
        ------
        InputError
            If its theory says nothing of compute, or the amount is not above 0.
        """
        self._check_amount("compute", compute)
        p = np.sort(np.asarray(frequencies, dtype=np.float64))[::-1]  # ranked once: cheap to rank again
        each = self.parameters_per_subtask
        return best_split(lambda split: float(p @ self._with_both(p, split)), compute, each, p.size)

    def _with_both(self, p: np.ndarray, split: Split) -> np.ndarray:
        return np.maximum(self.expected(p, split.steps), self.with_parameters(p, split.parameters))

    def with_parameters(self, frequencies: np.ndarray, parameters: float) -> np.ndarray:
        """Loss of every subtask, (n_subtasks,), after endless training: learned is what wholly finds room."""
        fits = room(self.speed(frequencies), parameters / self.parameters_per_subtask) == 1
        return self.loss(np.where(fits, np.inf, 0.0))

    def with_data(self, frequencies: np.ndarray, examples: float) -> np.ndarray:
        """Mean loss of every subtask, (n_subtasks,), over data sets of so many examples; here each is seen once."""
        return self.expected(frequencies, examples)
