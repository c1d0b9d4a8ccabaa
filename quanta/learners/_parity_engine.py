"""Training of a parity network with one hidden layer at full speed: exact gradients, cost free of the number of subtasks.

A step has four parts: draw and group a batch; bring the rows of its control bits up to date; its logits, in pieces of
examples; gradients and moves, in pieces of columns. What one piece writes no other piece reads or writes in the same part,
so results are the same at any number of threads.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from quanta.learners import _parity_adam as adam
from quanta.learners import _parity_batches as batches
from quanta.learners import _parity_kernels as kernels
from quanta.learners._parity_data import Parities, Source
from quanta.learners._parity_reference import BETAS, EPSILON, Rule, Weights
from quanta.learners._parity_vectors import LANES, inner, kernel, load, spread, store, zero

_WORTH = 16_384  # vectors of rows: the work of about 0.1 ms, below which another thread does not pay
_LINE = 64  # bytes of a cache line, and of a vector: one that lies across two takes twice as long


class State(NamedTuple):
    """A network in training. Columns beyond the width, up to whole blocks of 16, are and stay 0.

    Rows of control bits are whole, (n_controls, n_blocks · 16), for few of many are touched; the other weights
    are cut into blocks, (n_blocks, rows, 16).
    """

    weights: Weights
    first: Weights
    second: Weights
    last: np.ndarray
    """(n_controls,) int64: step that touched each control bit's row last; 0 if none has."""
    step: np.ndarray
    """() int64: steps made."""


class Diverged(ArithmeticError):
    """A logit stopped being a number."""

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step}")
        self.step = step


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Zeros that begin at a line of the cache."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _LINE, dtype=np.uint8)
    begin = -raw.ctypes.data % _LINE
    return raw[begin : begin + size].view(dtype).reshape(shape)


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


def start(weights: Weights) -> State:
    """State before the first step, from weights as the reference has them."""
    now = blocked(weights)

    def none(array: np.ndarray) -> np.ndarray:
        return aligned(array.shape)

    last = np.zeros(len(weights.controls), dtype=np.int64)
    return State(now, now.each(none), now.each(none), last, np.array(0, dtype=np.int64))


def copied(state: State) -> State:
    """The same state in memory of its own."""

    def copy(array: np.ndarray) -> np.ndarray:
        found = aligned(array.shape)
        found[...] = array
        return found

    return State(
        state.weights.each(copy), state.first.each(copy), state.second.each(copy), state.last.copy(), state.step.copy()
    )


class Space(NamedTuple):
    """Memory that a step works in."""

    words: np.ndarray
    """(n, 2) uint64."""
    columns: np.ndarray
    """(n_tiles, 128) uint64."""
    label: np.ndarray
    """(n,) uint8."""
    z: np.ndarray
    """(n,): the logits."""
    error: np.ndarray
    """(n,): derivative of the mean loss by them; 0 where the last tile has no example."""
    active: np.ndarray
    """(n_blocks, n) uint16: which units are above 0."""
    rows: np.ndarray
    """(n_rows, n_blocks · 16): the first layer of each subtask present, without its string."""
    tables: np.ndarray
    """(n_blocks, n_chunks · 256)."""
    numbers: np.ndarray
    """(n_touched, N_NUMBERS): see ``_parity_adam``."""
    by_row: np.ndarray
    """(n_rows, n_blocks · 16): gradients of ``rows``."""
    by_control: np.ndarray
    """(n_touched, n_blocks · 16): gradients of the rows touched; ``by_row`` itself where each subtask has its own one."""
    scratch: np.ndarray
    """(n_pieces, SCRATCH)."""
    by_bit: np.ndarray
    """(n_pieces, n_bits, 16)."""


def space(weights: Weights, batch: batches.Groups, n_pieces: int, own: bool) -> Space:
    """Memory for steps on such a batch, in so many pieces at most; ``own`` if each subtask has a control bit of its own."""
    n_blocks, n_bits, _ = weights.bits.shape
    n, n_rows, n_touched, width = batch.row.size, batch.present.size, batch.touched.size, n_blocks * LANES
    by_row = aligned((n_rows, width))
    return Space(
        words=aligned((n, 2), np.uint64), columns=aligned((n // batches.TILE, 128), np.uint64),
        label=aligned((n,), np.uint8), z=aligned((n,)), error=aligned((n,)), active=aligned((n_blocks, n), np.uint16),
        rows=aligned((n_rows, width)), tables=aligned((n_blocks, -(-n_bits // 4) * 256)),
        numbers=aligned((n_touched, adam.N_NUMBERS)), by_row=by_row,
        by_control=by_row if own else aligned((n_touched, width)), scratch=aligned((n_pieces, kernels.SCRATCH)),
        by_bit=aligned((n_pieces, n_bits, LANES)),
    )  # fmt: skip


@kernel
def prepare(
    how: adam.Pace, stream: Source, subtasks: Parities, done: int, size: int, state: State,
    batch: batches.Groups, work: Space,
) -> None:  # fmt: skip
    """Draw and group the next batch; find how to catch up the rows that it touches."""
    batches.arrange(stream, subtasks, done * size, size, batch)
    for j in range(batch.sizes[1]):
        last = state.last[batch.touched[j]]
        if last < done:
            adam.summary(how, last, done - last, work.numbers[j])


@kernel
def refresh(begin: int, end: int, how: adam.Pace, done: int, state: State, batch: batches.Groups, work: Space) -> None:
    """Catch up the rows ``begin`` to ``end`` of those touched."""
    for j in range(begin, min(end, batch.sizes[1])):
        _catch_up(how, done, work.numbers[j], batch.touched[j], state)


@kernel
def everything(how: adam.Pace, done: int, state: State) -> None:
    """Catch up the rows of all control bits."""
    numbers = np.zeros(adam.N_NUMBERS, dtype=np.float32)
    for control in range(len(state.last)):
        if state.last[control] < done:
            adam.summary(how, state.last[control], done - state.last[control], numbers)
        _catch_up(how, done, numbers, control, state)
        state.last[control] = done


@inner
def _catch_up(how: adam.Pace, done: int, numbers: np.ndarray, control: int, state: State) -> None:
    weights, first, second = state.weights.controls, state.first.controls, state.second.controls
    width, last = weights.shape[1], state.last[control]
    for at in range(control * width, (control + 1) * width, LANES):
        if last == 0:  # without momentum: m and v are 0
            store(weights, at, load(weights, at) * spread(np.float32(how.kept**done)))
        elif last < done:
            adam.catch_up(how, numbers, last, done - last, at, weights, first, second)


@kernel
def gather(begin: int, end: int, subtasks: Parities, state: State, batch: batches.Groups, work: Space) -> None:
    """Add up the rows of subtasks ``begin`` to ``end`` of those present."""
    width = work.rows.shape[1]
    for p in range(begin, min(end, batch.sizes[0])):
        k = batch.present[p]
        for b in range(width // LANES):
            row = load(state.weights.bias, b * LANES)
            for j in range(subtasks.first[k], subtasks.first[k + 1]):
                row = row + load(state.weights.controls, subtasks.controls[j] * width + b * LANES)
            store(work.rows, p * width + b * LANES, row)


@kernel
def examples(
    begin: int, end: int, piece: int, shape: kernels.Chunks, key: np.uint64, masks: np.ndarray, state: State,
    batch: batches.Groups, work: Space,
) -> None:  # fmt: skip
    """Make the examples of tiles ``begin`` to ``end``; find their logits and the derivatives of the loss."""
    batches.fill(key, begin, end, batch, masks, work.words, work.columns, work.label)
    n = batch.first[batch.sizes[0]]
    first, last = begin * batches.TILE, min(end * batches.TILE, n)
    kernels.forward(
        first, last, shape, work.words, batch.row, work.rows, work.tables, state.weights.out, state.weights.out_bias,
        work.scratch[piece], work.active, work.z,
    )  # fmt: skip
    for s in range(first, last):
        work.error[s] = (1 / (1 + math.exp(-np.float64(work.z[s]))) - work.label[s]) / n


@kernel
def learn(
    begin: int, end: int, piece: int, how: adam.Pace, subtasks: Parities, step: int, state: State,
    batch: batches.Groups, work: Space,
) -> None:  # fmt: skip
    """Gradients of blocks ``begin`` to ``end``; all weights but control bits' move, and their tables are made anew."""
    weights, first, second = state.weights, state.first, state.second
    by_bit, width = work.by_bit[piece], work.rows.shape[1]
    for b in range(begin, end):
        active, bits = work.active[b], weights.bits[b]
        out, by_bias, by_out = load(weights.out[b], 0), zero(), zero()
        for p in range(batch.sizes[0]):
            sums, at = kernels.in_all(batch.first[p], batch.first[p + 1], active, work.error), p * width + b * LANES
            by_bias = by_bias + sums
            by_out = by_out + sums * load(work.rows, at)
            store(work.by_row, at, out * sums)
        kernels.by_bit(work.columns, active, work.error, work.scratch[piece], by_bit)
        for at in range(0, by_bit.size, LANES):
            sums = load(by_bit, at)
            by_out = by_out + sums * load(bits, at)
            adam.move(how, step, 1, at, out * sums, bits, first.bits[b], second.bits[b])
        adam.move(how, step, 1, 0, out * by_bias, weights.bias[b], first.bias[b], second.bias[b])
        adam.move(how, step, 2, 0, by_out, weights.out[b], first.out[b], second.out[b])
        kernels.tabulate_weights(bits, work.tables[b])
        if work.by_control.ctypes.data != work.by_row.ctypes.data:
            _share(b, subtasks, batch, work.by_row, work.by_control)


@inner
def _share(b: int, subtasks: Parities, batch: batches.Groups, by_row: np.ndarray, by_control: np.ndarray) -> None:
    """Gradients by subtask as gradients by control bit, of one block."""
    width = by_row.shape[1]
    for j in range(batch.sizes[1]):
        store(by_control, j * width + b * LANES, zero())
    for p in range(batch.sizes[0]):
        k = batch.present[p]
        for i in range(subtasks.first[k], subtasks.first[k + 1]):
            at = batch.seat[subtasks.controls[i]] * width + b * LANES
            store(by_control, at, load(by_control, at) + load(by_row, p * width + b * LANES))


@kernel
def move(begin: int, end: int, how: adam.Pace, step: int, state: State, batch: batches.Groups, work: Space) -> None:
    """Move the rows ``begin`` to ``end`` of those touched; with the first, the bias of the logit."""
    if begin == 0:
        _move_last(how, step, state, batch.first[batch.sizes[0]], work.error)
    width = work.rows.shape[1]
    for j in range(begin, min(end, batch.sizes[1])):
        control = batch.touched[j]
        for at in range(0, width, LANES):
            adam.move(
                how, step, 1, control * width + at, load(work.by_control, j * width + at), state.weights.controls,
                state.first.controls, state.second.controls,
            )  # fmt: skip
        state.last[control] = step


@inner
def _move_last(how: adam.Pace, step: int, state: State, n: int, error: np.ndarray) -> None:
    """Move the bias of the logit: nan if the logit of any of the n examples is."""
    gradient = 0.0
    for s in range(n):
        gradient += error[s]
    padded = np.zeros((3, LANES), dtype=np.float32)
    kinds = (state.weights.out_bias, state.first.out_bias, state.second.out_bias)
    for i in range(3):
        padded[i, 0] = kinds[i][0]
    adam.move(how, step, 2, 0, spread(np.float32(gradient)), padded[0], padded[1], padded[2])
    for i in range(3):
        kinds[i][0] = padded[i, 0]


def pace(rule: Rule) -> adam.Pace:
    """How a rule moves rows, touched or not."""
    return adam.pace(rule.name == "adam", rule.learning_rate, rule.weight_decay, BETAS, EPSILON)


def current(state: State, rule: Rule) -> State:
    """The same state with every row of a control bit caught up: what is to be looked at, never to be trained on."""
    found = copied(state)
    everything(pace(rule), int(found.step), found)
    return found


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
    """

    def __init__(
        self, state: State, stream: Source, subtasks: Parities, rule: Rule, batch_size: int, threads: int = 1
    ) -> None:
        self.state, self.stream, self.subtasks, self.size = state, stream, subtasks, batch_size
        self.how = pace(rule)
        self.hits = np.zeros(len(subtasks.masks), dtype=np.int64)
        self.batch = batches.groups(subtasks, batch_size)
        self.n_pieces = 1 if threads == 1 else 2 * threads  # more than threads, for they may not be equally fast
        own = np.array_equal(subtasks.controls, np.arange(len(subtasks.masks)))
        self.work = space(state.weights, self.batch, self.n_pieces, own)
        self.shape = kernels.chunks(state.weights.bits.shape[1])
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        for bits, tables in zip(state.weights.bits, self.work.tables, strict=True):
            kernels.tabulate_weights(bits, tables)

    def run(self, until: int) -> State:
        """Go on to step ``until``.

        Raises
        ------
        Diverged
            If a logit is not a number; the state is then of no use.
        """
        for done in range(int(self.state.step), until):
            self._step(done)
            if not np.isfinite(self.state.weights.out_bias[0]):
                raise Diverged(done + 1)
        return self.state

    def _step(self, done: int) -> None:
        state, batch, work, how, subtasks = self.state, self.batch, self.work, self.how, self.subtasks
        key, shape, step = self.stream.key, self.shape, done + 1
        prepare(how, self.stream, subtasks, done, self.size, state, batch, work)
        n_rows, n_touched = batch.sizes.tolist()
        self.hits[batch.present[:n_rows]] += np.diff(batch.first[: n_rows + 1])
        few = _WORTH // len(work.tables)
        self._share(n_touched, lambda i, j, _: refresh(i, j, how, done, state, batch, work), few)
        self._share(n_rows, lambda i, j, _: gather(i, j, subtasks, state, batch, work), few)
        self._share(
            len(work.columns),
            lambda i, j, piece: examples(i, j, piece, shape, key, subtasks.masks, state, batch, work),
        )
        self._share(len(work.tables), lambda i, j, piece: learn(i, j, piece, how, subtasks, step, state, batch, work))
        self._share(n_touched, lambda i, j, _: move(i, j, how, step, state, batch, work), few)
        state.step[...] = step

    def _share(self, n: int, part: Callable[[int, int, int], None], least: int = 1) -> None:
        """Do a part of a step, 0 … n, in pieces (begin, end, number of the piece) of at ``least`` so many."""
        pieces = min(self.n_pieces, max(1, n // max(1, least)))
        if self.pool is None or pieces == 1:
            part(0, n, 0)
            return
        cuts = [n * i // pieces for i in range(pieces + 1)]
        list(self.pool.map(part, cuts[:-1], cuts[1:], range(pieces)))
