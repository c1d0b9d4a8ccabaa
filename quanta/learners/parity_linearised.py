"""The control for linear learning of a parity network from the network's own batches."""

import functools
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from quanta._errors import InputError
from quanta.learners import _parity_blas as blas
from quanta.learners import _parity_data as data
from quanta.learners import _parity_reference as reference
from quanta.learners import _parity_tangent as tangent
from quanta.learners._parity_control import AbstractParityControl, check_rate, sigmoid
from quanta.learners._parity_reference import Weights
from quanta.learners._parity_state import Diverged, Network, at_start
from quanta.learners.base import Overflow, checked, moment
from quanta.learners.parity_network import ParityNetwork


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ParityLinearised(AbstractParityControl):
    r"""The network linearised at its first weights, trained on the network's own batches by its own optimiser.

    .. math:: z = z_0 + \nabla z_0 \cdot (\theta - \theta_0)

    Everything is the network's but that its gates stay what they are: the same weights at first, ever new strings, the
    same test strings. What it does not learn, linear learning does not account for. By SGD it is stable at lower rates than
    the network: above them it overshoots, and the test refuses it.

    In plain linear algebra, with float32 as the network.
    """

    network: ParityNetwork = field(default_factory=ParityNetwork)
    """The network that it controls."""
    rate: float = 0.0
    """Learning rate; 0: the network's."""

    dynamics: ClassVar[tuple[str, ...]] = ("sampled",)
    bitwise: ClassVar[bool] = False
    kind: ClassVar[str] = "linearised"
    n_measured: ClassVar[int] = 2
    inputs: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_rate(self.rate, self.network.weight_decay)
        if self.network.depth != 1:
            raise InputError(f"depth is {self.network.depth}; expected 1 of a network that is to be linearised.")

    @property
    def learning_rate(self) -> float:
        """The network's, or its own."""
        return self.rate or self.network.rate

    def memory_needed(self, n_subtasks: int, batch_size: int) -> int:
        """Bytes: more than the network's by what some examples take as numbers."""
        network = self.network
        rows = min(max(batch_size, n_subtasks * network.n_test), reference.ROWS)
        numbers = rows * (6 * network.width + 2 * network.n_bits + 50) + 6 * n_subtasks * network.width
        return network.memory_needed(n_subtasks, batch_size) + 4 * numbers

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "sampled", batch_size: int = 1
    ) -> Network:
        """State before the first step: the network's, without its blocks.

        Raises
        ------
        InputError
            If the network cannot have these subtasks.
        """
        p = checked(self, frequencies, dynamics, batch_size)
        begun = self.network.start(p, rng, batch_size=batch_size)
        return begun._replace(**at_start(self._first(begun))._asdict())

    def advance(self, state: Network, time: int) -> Network:
        """State after that many steps in all, made one by one.

        Raises
        ------
        Overflow
            If the loss of a batch is not a number, with the step.
        """
        step = int(moment(int(state.step), time))
        rule = reference.Rule(self.network.descent, self.learning_rate, self.network.weight_decay)
        stream = state.stream(self.network.n_examples)
        try:
            return blas.advanced(state, stream, rule, step, functools.partial(_gradients, self._first(state)))
        except Diverged as error:
            raise Overflow(error.step, None, f"Lower the rate, which is {self.learning_rate}.") from None

    def measure(self, state: Network) -> dict[str, np.ndarray]:
        """Loss and accuracy of every subtask on the network's test strings."""
        first, look, n_subtasks = self._first(state), self.network.look(state.keys), state.frequencies.size
        change = state.layer(0).each(np.subtract, first)
        total, right = np.zeros((2, n_subtasks))
        for begin in range(0, n_subtasks * look.n_points, reference.ROWS):
            example = np.arange(begin, min(begin + reference.ROWS, n_subtasks * look.n_points))
            subtask, number = np.divmod(example, look.n_points)
            words = data.strings(look.key, number if look.shared else example)
            label = data.parity(words & state.masks[subtask])
            f = tangent.features(first, state.subtasks, subtask, words)
            z = f.z + tangent.moved(f, state.subtasks, change)
            total += np.bincount(subtask, reference.losses(z, label), n_subtasks)
            right += np.bincount(subtask, (z > 0) == label, n_subtasks)
        return {"loss": total / look.n_points, "accuracy": right / look.n_points}

    def _first(self, state: Network) -> Weights:
        """The weights before training, as the reference has them."""
        made, rng = self.network, np.random.default_rng(state.keys[3])
        return reference.initial(state.subtasks.n_controls, made.n_bits, made.width, 1, rng)


def _gradients(first: Weights, now: Weights, subtasks: data.Parities, batch: data.Batch) -> tuple[float, Weights]:
    """Mean loss over a batch, in nats, and its gradient (that of ``out`` is that of logit 1), some examples after others."""
    change, n = now.each(np.subtract, first), batch.subtask.size
    total, sums = 0.0, first.each(np.zeros_like)
    for begin in range(0, n, reference.ROWS):
        subtask, words, label = (array[begin : begin + reference.ROWS] for array in batch)
        f = tangent.features(first, subtasks, subtask, words)
        z = f.z + tangent.moved(f, subtasks, change)
        error = ((sigmoid(z) - label) / n).astype(z.dtype)
        sums = sums.each(np.add, tangent.pulled(f, subtasks, error))
        total += float(reference.losses(z, label).sum()) / n
    return total, sums
