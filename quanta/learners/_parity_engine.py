"""Training of a parity network with one hidden layer at full speed: its state, and who makes its steps."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np

from quanta.learners import _parity_adam as adam
from quanta.learners import _parity_batches as batches
from quanta.learners import _parity_kernels as kernels
from quanta.learners import _parity_step as parts
from quanta.learners._parity_data import Parities, Source
from quanta.learners._parity_reference import BETAS, EPSILON, Rule, Weights
from quanta.learners._parity_state import Diverged
from quanta.learners._parity_step import State, aligned
from quanta.learners._parity_team import team
from quanta.learners._parity_vectors import LANES

_WORTH = 4096  # vectors of rows: the work of about 0.1 ms, below which another thread does not pay


def blocked(weights: Weights) -> Weights:
    """Weights as a state has them, from those as the reference has them."""
    n_blocks = -(-weights.bits.shape[1] // LANES)

    def padded(array: np.ndarray) -> np.ndarray:
        rows = np.atleast_2d(array)
        found = aligned((len(rows), n_blocks * LANES))
        found[:, : rows.shape[1]] = rows
        return found

    def cut(array: np.ndarray) -> np.ndarray:
        found = aligned((n_blocks, len(np.atleast_2d(array)), LANES))
        found[...] = padded(array).reshape(-1, n_blocks, LANES).transpose(1, 0, 2)
        return found

    return weights._replace(
        controls=padded(weights.controls), bits=cut(weights.bits), bias=cut(weights.bias), out=cut(weights.out),
        out_bias=weights.out_bias.astype(np.float32),
    )  # fmt: skip


def natural(weights: Weights, width: int) -> Weights:
    """Weights as the reference has them, from those as a state has them."""

    def join(array: np.ndarray) -> np.ndarray:
        return array.transpose(1, 0, 2).reshape(array.shape[1], -1)[:, :width]

    return weights._replace(
        controls=weights.controls[:, :width], bits=join(weights.bits), bias=join(weights.bias)[0],
        out=join(weights.out)[0],
    )  # fmt: skip


def copy(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a line of the cache."""
    found = aligned(array.shape)
    found[...] = array
    return found


def pace(rule: Rule) -> adam.Pace:
    """How a rule moves rows, touched or not."""
    return adam.pace(rule.name == "adam", rule.learning_rate, rule.weight_decay, BETAS, EPSILON)


def current(state: State, rule: Rule) -> State:
    """The same state with the weights of every control bit caught up: to be looked at, never to be trained on."""
    rows = aligned(state.weights.controls.shape)
    parts.present_rows(pace(rule), int(state.step), state, rows)
    return state._replace(weights=state.weights._replace(controls=rows))


class Trainer:
    """Steps of one network, in place.

    Parameters
    ----------
    state : State
        Is changed by every step.
    stream, subtasks, rule : Source, Parities, Rule
        What it is trained on, and how.
    batch_size, threads : int
        Examples in a step, and how many threads share it; the result depends on the first only.

    Attributes
    ----------
    hits : np.ndarray, shape (n_subtasks,), int64
        How often each subtask was drawn so far.

    It is a context: at its end its threads end.
    """

    def __init__(
        self, state: State, stream: Source, subtasks: Parities, rule: Rule, batch_size: int, threads: int = 1
    ) -> None:
        self.state, self.stream, self.subtasks, self.size = state, stream, subtasks, batch_size
        self.how, self.shape = pace(rule), kernels.chunks(state.weights.bits.shape[1])
        self.hits = np.zeros(len(subtasks.masks), dtype=np.int64)
        self.batches = batches.groups(subtasks, batch_size), batches.groups(subtasks, batch_size)
        own = np.array_equal(subtasks.on, np.arange(len(subtasks.masks)))
        self.work = parts.space(state.weights, self.batches[0], threads, own)
        self.shared, self.threads = team(), threads
        self.pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        for bits, tables in zip(state.weights.bits, self.work.tables, strict=True):
            kernels.tabulate_weights(bits, tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown()

    def run(self, until: int) -> State:
        """Go on to step ``until``.

        Raises
        ------
        Diverged
            If the loss of a batch is not finite; the state is then of no use.
        """
        begin = int(self.state.step)
        for done in range(begin, until):
            self._step(done, done == begin, done + 1 < until)
            if not np.isfinite(self.work.error.sum()):
                raise Diverged(done + 1)
        return self.state

    def _step(self, done: int, fresh: bool, more: bool) -> None:
        """One step, after ``done``; ``fresh`` if none came before it here, so that its batch is still to be drawn.

        The rows (n_touched, n_blocks · 16) of its control bits move with the next step, if there are ``more``.
        """
        how, stream, subtasks, state, work = self.how, self.stream, self.subtasks, self.state, self.work
        before, batch, numbers = self.batches[1 - done % 2], self.batches[done % 2], work.numbers[done % 2]
        if fresh:
            batches.clear(before)
            parts.prepare(how, stream, subtasks, done, self.size, state.last, before, batch, numbers)
        n_moves, n_rows, n_more = int(before.sizes[1]), int(batch.sizes[0]), int(batch.sizes[1])
        rows = before, work.by_control, n_more, batch, numbers
        self._share(n_moves + n_more, parts.control_rows, how, done, state, n_moves, *rows)
        self._share(n_rows, parts.subtask_rows, subtasks, state, batch, work.rows)
        self._share(None, parts.examples, self.shape, stream.key, subtasks.masks, state.weights, batch, work)
        following = before, more, work, self.hits
        self._share(None, parts.columns, how, stream, subtasks, done, self.size, state, batch, *following)
        if not more:
            rows = batch, work.by_control, 0, before, numbers
            self._share(n_more, parts.control_rows, how, done + 1, state, n_more, *rows)

    def _share(self, n_rows: int | None, part: Callable[..., None], *args: Any) -> None:
        """Do a part of a step, with all threads unless it is of so few rows that it does not pay."""
        self.shared[:] = 0
        few = n_rows is not None and n_rows * len(self.work.tables) < _WORTH
        others = [
            self.pool.submit(part, self.shared, *args) for _ in range(0 if few else self.threads - 1) if self.pool
        ]
        part(self.shared, *args)
        for other in others:
            other.result()
