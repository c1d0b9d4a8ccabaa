"""A linearised parity network on some strings: its kernel, the flow of its logits, and what it makes of other strings."""

from typing import Any

import numpy as np

from quanta._chebyshev import Chebyshev, Problem
from quanta.learners import _parity_data as data
from quanta.learners import _parity_reference as reference
from quanta.learners import _parity_tangent as tangent
from quanta.learners._parity_control import sigmoid
from quanta.learners._parity_reference import Weights
from quanta.learners._parity_state import Look

TOLERANCE = 1e-5
"""Of the integrator, in a step."""


def test_strings(look: Look, n_subtasks: int, n: int) -> np.ndarray:
    """The first n strings that each subtask of a network is tested on, (n_subtasks, n, 2) uint64."""
    return data.strings(look.key, np.array([look.start(k) for k in range(n_subtasks)])[:, None] + np.arange(n))


def every_string(n_subtasks: int, n_bits: int) -> np.ndarray:
    """All strings of a few bits, for each subtask, (n_subtasks, 2^n_bits, 2) uint64."""
    low = np.arange(2**n_bits, dtype=np.uint64)
    return np.broadcast_to(np.stack([low, np.zeros_like(low)], axis=-1), (n_subtasks, low.size, 2))


class Linear:
    """A network linearised at its first weights, on strings (n_subtasks, n, 2) that it sees, and on others."""

    def __init__(
        self, first: Weights, subtasks: data.Parities, p: np.ndarray, seen: np.ndarray, held: np.ndarray | None
    ) -> None:
        self.first, self.subtasks = first, subtasks
        self.shape = seen.shape[:2]
        self.features, self.label = self._look(seen)
        self.held = None if held is None else self._look(held)
        self.kernel = tangent.gram(self.features, subtasks)
        self.weight = np.repeat(p / self.shape[1], self.shape[1])

    def flow(self, state: dict[str, Any] | None = None) -> Chebyshev:
        """The flow at its start, or at a state of its integrator.

        What is integrated is the pull on each string, ∫ (y - σ(z)) dt: z = z₀ + K (w pull).
        """
        problem = Problem(self._rate, self._curvature)
        if state is None:
            return Chebyshev(problem, np.zeros(self.label.size), TOLERANCE)
        return Chebyshev.resumed(problem, state, TOLERANCE)

    def logits(self, pull: np.ndarray) -> np.ndarray:
        """Of the strings that it sees, (n_subtasks · n,)."""
        return self.features.z + self._times_kernel(self.weight * pull)

    def change(self, pull: np.ndarray) -> Weights:
        """What the pulls have made of the weights."""
        return tangent.doubled(tangent.pulled(self.features, self.subtasks, self.weight * pull))

    def measure(self, pull: np.ndarray) -> dict[str, np.ndarray]:
        """Means of every subtask: loss and accuracy on what it sees, loss on other strings."""
        z = self.logits(pull)
        found = {"loss": reference.losses(z, self.label), "accuracy": ((z > 0) == self.label).astype(np.float64)}
        if self.held is not None:
            features, label = self.held
            z = features.z + tangent.moved(features, self.subtasks, self.change(pull))
            found["held_out"] = reference.losses(z, label)
        return {name: values.reshape(self.shape).mean(axis=1) for name, values in found.items()}

    def _rate(self, pull: np.ndarray) -> np.ndarray:
        """By how much each label exceeds its probability."""
        return self.label - sigmoid(self.logits(pull))

    def _curvature(self, pull: np.ndarray, v: np.ndarray) -> np.ndarray:
        """-∂rate/∂pull, applied to v."""
        s = sigmoid(self.logits(pull))
        return s * (1 - s) * self._times_kernel(self.weight * v)

    def _look(self, strings: np.ndarray) -> tuple[tangent.Features, np.ndarray]:
        """Features and labels."""
        subtask, words = np.repeat(np.arange(len(strings)), strings.shape[1]), strings.reshape(-1, 2)
        label = data.parity(words & self.subtasks.masks[subtask])
        return tangent.features(self.first, self.subtasks, subtask, words), label

    def _times_kernel(self, v: np.ndarray) -> np.ndarray:
        """K v, from one triangle, since memory sets the pace."""
        from scipy.linalg.blas import dsymv

        product: np.ndarray = dsymv(1.0, self.kernel.T, v)  # the order that BLAS reads, without a copy
        return product
