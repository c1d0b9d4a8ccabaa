"""The state of a parity network, and what its two paths of computation have in common."""

from typing import NamedTuple

import numpy as np

from quanta.learners._parity_data import Parities, Source
from quanta.learners._parity_reference import Weights


class Network(NamedTuple):
    """State of a network in training. Each array of weights has three layers: the weights, and the moments of Adam."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    step: np.ndarray
    """() steps made."""
    hits: np.ndarray
    """(n_subtasks,) int64: how often each was drawn."""
    batch_size: np.ndarray
    """() examples of a step."""
    masks: np.ndarray
    """(n_subtasks, 2) uint64: bits of each subtask."""
    begin: np.ndarray
    """(n_subtasks + 1,) int64: where its control bits begin."""
    on: np.ndarray
    """(n,) int64: control bits, subtask after subtask."""
    keys: np.ndarray
    """(4,) uint64: of examples, of their order, of test strings, of the first weights."""
    keep: np.ndarray
    """(n_subtasks,) of the alias table of the frequencies."""
    alias: np.ndarray
    """(n_subtasks,) int64 of the same."""
    last: np.ndarray
    """(n_controls,) int64: step that touched each control bit's weights last; (0,) where all are moved at every step."""
    controls: np.ndarray
    """(3, n_controls, columns): weights of control bits."""
    bits: np.ndarray
    """(3, …) weights of bits."""
    bias: np.ndarray
    """(3, …)."""
    hidden: np.ndarray
    """(3, depth - 1, width, width)."""
    hidden_bias: np.ndarray
    """(3, depth - 1, width)."""
    out: np.ndarray
    """(3, …): logit 1 minus logit 0."""
    out_bias: np.ndarray
    """(3, 1)."""

    @property
    def subtasks(self) -> Parities:
        """What is asked."""
        return Parities(self.masks, self.begin, self.on)

    def stream(self, n_examples: int) -> Source:
        """The examples that it is trained on: ever new ones, or a finite set."""
        return Source(self.keys[0], self.keys[1], n_examples, self.keep, self.alias)

    def layer(self, i: int) -> Weights:
        """The weights (0), or a moment of them (1, 2)."""
        return Weights(*(getattr(self, name)[i] for name in Weights._fields))


def at_start(weights: Weights) -> Weights:
    """Weights in three layers, as a network has them before the first step; moments of 0 take no memory until they move."""

    def layered(array: np.ndarray) -> np.ndarray:
        layers = np.zeros((3, *array.shape), array.dtype)
        layers[0] = array
        return layers

    return weights.each(layered)


class Look(NamedTuple):
    """How a network is looked at."""

    width: int
    """Its units of a layer."""
    key: np.uint64
    """Of the test strings."""
    n_points: int
    """Test strings of a subtask, a multiple of 64."""
    shared: bool
    """Whether all subtasks have the same ones."""
    hidden: bool
    """Also find the Fourier gaps."""

    def start(self, subtask: int) -> int:
        """Number of the first string of a subtask."""
        return 0 if self.shared else self.n_points * subtask


class Piece(NamedTuple):
    """What is seen of some subtasks, each on as many strings."""

    subtask: np.ndarray
    """(n,) int64."""
    z: np.ndarray
    """(n, n_points): logits."""
    label: np.ndarray
    """(n, n_points), 0 or 1."""
    gap: np.ndarray
    """(n,): Fourier gaps; nan if not asked for."""


class Diverged(ArithmeticError):
    """The loss of a batch is not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step}")
        self.step = step
