"""The control for the optimiser of a parity network: a table that is told which bits matter."""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, final

import numpy as np

from quanta._errors import InputError
from quanta.learners import _parity_data as data
from quanta.learners import _parity_reference as reference
from quanta.learners._parity_control import AbstractParityControl, check_rate, sigmoid
from quanta.learners._parity_reference import Weights
from quanta.learners.base import Overflow, checked, moment
from quanta.learners.parity_network import ParityNetwork

MAX_CELLS = 2**22
"""Of a table: 100 MB."""


class Table(NamedTuple):
    """State of a table: that of the network's data, and its cells."""

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
    keys: np.ndarray
    """(4,) uint64: the network's."""
    keep: np.ndarray
    """(n_subtasks,) of the alias table of the frequencies."""
    alias: np.ndarray
    """(n_subtasks,) int64 of the same."""
    cells: np.ndarray
    """(3, n_cells): logit 1 minus logit 0 of each cell, and its moments under Adam."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ParityTable(AbstractParityControl):
    """A table with a cell for each value of the bits that a subtask asks for, trained on the network's own batches.

    It is given what the network must find out, the bits that matter, and shares nothing between cells: all that is left
    is how the optimiser moves logits. It calibrates the optimiser, and cannot stand for linear learning as a whole.

    All logits are 0 at first; the loss of a subtask is the exact mean over its cells.
    """

    network: ParityNetwork = field(default_factory=ParityNetwork)
    """The network that it controls."""
    rate: float = 0.0
    """Learning rate; 0: the network's. SGD moves a cell no faster than its gradient, which is small: more may be needed."""

    dynamics: ClassVar[tuple[str, ...]] = ("sampled",)
    starts_at_chance: ClassVar[bool] = True
    kind: ClassVar[str] = "tabular"
    n_measured: ClassVar[int] = 2
    inputs: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_rate(self.rate, self.network.weight_decay)

    @property
    def provenance(self) -> dict[str, str]:
        """That of a control; it needs no test strings."""
        said = AbstractParityControl.provenance.fget(self)  # type: ignore[attr-defined]
        return {name: text for name, text in said.items() if name != "test_bits"}

    @property
    def learning_rate(self) -> float:
        """The network's, or its own."""
        return self.rate or self.network.rate

    def check_count(self, n_subtasks: int) -> None:
        """Refuse what the network refuses, and more subtasks than a table has cells for, however their sets of bits meet."""
        network = self.network
        network.check_count(n_subtasks)
        more = {"disjoint": network.k * (network.atoms - 1), "overlapping": network.atoms - 1, "distinct": 1}
        n_bits = min(network.k + more[network.bit_sets], network.n_bits)
        n_composites = network.n_composites
        _check_cells(n_subtasks, ((n_subtasks - n_composites) << network.k) + (n_composites << n_bits))

    def memory_needed(self, n_subtasks: int, batch_size: int) -> int:
        """Bytes of its cells, and of a batch."""
        most = self.network.k * (self.network.atoms if self.network.n_composites else 1)
        return 120 * min(n_subtasks * 2**most, MAX_CELLS) + 40 * batch_size + 300 * n_subtasks

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "sampled", batch_size: int = 1
    ) -> Table:
        """State before the first step; see the base.

        Raises
        ------
        InputError
            If the network cannot have these subtasks, or the table would be too large.
        """
        p = checked(self, frequencies, dynamics, batch_size)
        state = self._unweighted(p, rng, batch_size)
        edges, _ = _layout(state.masks)
        n_cells = int(edges[-1, 1])
        _check_cells(len(p), n_cells)
        shared = {name: getattr(state, name) for name in Table._fields if name != "cells"}
        return Table(**shared, cells=np.zeros((3, n_cells)))

    def advance(self, state: Table, time: int) -> Table:
        """State after that many steps in all, made one by one.

        Raises
        ------
        Overflow
            If a logit is not a number, with the step.
        """
        from quanta.learners import _parity_batches as batches
        from quanta.learners import _parity_cells

        until = int(moment(int(state.step), time))
        edges, places = _layout(state.masks)
        n, n_cells = int(state.batch_size), int(edges[-1, 1])
        n_subtasks = len(state.masks)
        subtasks = data.Parities(state.masks, np.arange(n_subtasks + 1), np.arange(n_subtasks))
        work = batches.groups(subtasks, n)
        stream = data.Source(state.keys[0], state.keys[1], self.network.n_examples, state.keep, state.alias)
        rule = reference.Rule(self.network.descent, self.learning_rate, self.network.weight_decay)
        z, moment1, moment2 = (_as_output(cells) for cells in state.cells)
        now = reference.State(z, moment1, moment2, int(state.step))
        hits, counts, label = state.hits.copy(), np.zeros(n_cells, dtype=np.int64), _labels(edges)
        while now.step < until:
            _parity_cells.count(stream, now.step * n, n, edges, places, work, hits, counts)
            error = counts / n * (sigmoid(now.weights.out) - label)
            now = reference.move(now, _as_output(error), rule)
            if not np.isfinite(now.weights.out).all():
                raise Overflow(now.step, None, f"Lower the rate, which is {self.learning_rate}.")
        moved = np.stack([layer.out for layer in now[:3]])
        return state._replace(step=np.array(until), hits=hits, cells=moved)

    def measure(self, state: Table) -> dict[str, np.ndarray]:
        """Loss and accuracy of every subtask, over all values of its bits."""
        edges, _ = _layout(state.masks)
        label, z = _labels(edges), state.cells[0]
        size = np.diff(edges[:, 1])
        found = {"loss": reference.losses(z, label), "accuracy": ((z > 0) == label).astype(np.float64)}
        return {name: np.add.reduceat(values, edges[:-1, 1]) / size for name, values in found.items()}


def _check_cells(n_subtasks: int, n_cells: int) -> None:
    """Refuse a table that is too large."""
    if n_cells > MAX_CELLS:
        raise InputError(
            f"a table of {n_subtasks} subtasks has {n_cells:.6g} cells here; at most {MAX_CELLS} are allowed. Take fewer "
            "subtasks, or of fewer bits."
        )


def _layout(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the bits and the cells of each subtask begin, (n_subtasks + 1, 2), and the bits, one after another."""
    subtask, places = np.nonzero(data.unpacked(masks, data.MAX_BITS))
    n_bits = np.bincount(subtask, minlength=len(masks))
    sizes = np.stack([n_bits, 1 << np.minimum(n_bits, 40)])  # more would be too many in any case
    return np.concatenate([np.zeros((1, 2), dtype=np.int64), np.cumsum(sizes, axis=1).T]), places


def _labels(edges: np.ndarray) -> np.ndarray:
    """Parity of the number of each cell among its subtask's, (n_cells,)."""
    number = np.arange(edges[-1, 1]) - np.repeat(edges[:-1, 1], np.diff(edges[:, 1]))
    return data.parity(np.stack([number, np.zeros_like(number)], axis=1).astype(np.uint64))


def _as_output(cells: np.ndarray) -> Weights:
    """Cells as the weights of an output, which they are: differences of the weights of two logits, and nothing else."""
    nothing = cells[:0]
    return Weights(nothing, nothing, nothing, nothing, nothing, cells, nothing)
