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
from numba import njit

from quanta.learners import _parity_adam as adam
from quanta.learners import _parity_batches as batches
from quanta.learners import _parity_kernels as kernels
from quanta.learners._parity_data import Parities, Source
from quanta.learners._parity_reference import BETAS, EPSILON, Rule, Weights
from quanta.learners._parity_vectors import LANES, load, spread, store, total, zero

_compiled = njit(cache=True, nogil=True, error_model="numpy")
_LINE = 64  # bytes of a cache line, and of a vector: one that lies across two takes twice as long


class State(NamedTuple):
    """A network in training, columns in blocks of 16: (n_blocks, …, 16). Columns beyond the width are and stay 0."""

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
    """Columns in blocks: (…, rows, width) as (n_blocks, rows, 16), padded with zeros."""

    def cut(name: str, array: np.ndarray) -> np.ndarray:
        if name == "out_bias" or name.startswith("hidden"):
            return array.astype(np.float32)
        rows = np.atleast_2d(array)
        found = aligned((-(-rows.shape[1] // LANES), len(rows), LANES))
        for b, block in enumerate(found):
            piece = rows[:, LANES * b : LANES * (b + 1)]
            block[:, : piece.shape[1]] = piece
        return found

    return Weights(*(cut(name, array) for name, array in weights._asdict().items()))


def natural(weights: Weights, width: int) -> Weights:
    """Blocks joined again: the weights as the reference has them."""

    def join(name: str, array: np.ndarray) -> np.ndarray:
        if name == "out_bias" or name.startswith("hidden"):
            return array
        rows = array.transpose(1, 0, 2).reshape(array.shape[1], -1)[:, :width]
        return rows if name in ("controls", "bits") else rows[0]

    return Weights(*(join(name, array) for name, array in weights._asdict().items()))


def start(weights: Weights) -> State:
    """State before the first step, from weights as the reference has them."""
    now = blocked(weights)

    def none(array: np.ndarray) -> np.ndarray:
        return aligned(array.shape)

    last = np.zeros(len(weights.controls), dtype=np.int64)
    return State(now, now.each(none), now.each(none), last, np.array(0, dtype=np.int64))


def copied(state: State) -> State:
    """The same state in memory of its own, at cache lines."""

    def copy(array: np.ndarray) -> np.ndarray:
        found = aligned(array.shape)
        found[...] = array
        return found

    weights = (getattr(state, name).each(copy) for name in ("weights", "first", "second"))
    return State(*weights, state.last.copy(), state.step.copy())


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
    """(n_blocks, n_rows · 16): the first layer of each subtask present, without its string."""
    tables: np.ndarray
    """(n_blocks, n_chunks · 256)."""
    numbers: np.ndarray
    """(n_touched, N_NUMBERS): see ``_parity_adam``."""
    scratch: np.ndarray
    """(n_pieces, 512 · 16)."""
    by_bit: np.ndarray
    """(n_pieces, n_bits · 16)."""
    by_row: np.ndarray
    """(n_pieces, n_rows · 16)."""
    by_control: np.ndarray
    """(n_pieces, n_touched · 16)."""


def space(weights: Weights, batch: batches.Groups, n_pieces: int) -> Space:
    """Memory for steps on such a batch, in so many pieces at most."""
    n_blocks, n_bits, _ = weights.bits.shape
    n, n_rows, n_touched = batch.row.size, batch.present.size, batch.touched.size
    return Space(
        aligned((n, 2), np.uint64), aligned((n // batches.TILE, 128), np.uint64), aligned((n,), np.uint8),
        aligned((n,)), aligned((n,)), aligned((n_blocks, n), np.uint16), aligned((n_blocks, n_rows * LANES)),
        aligned((n_blocks, -(-n_bits // 4) * 256)), aligned((n_touched, adam.N_NUMBERS)),
        aligned((n_pieces, kernels.SAMPLES * LANES)), aligned((n_pieces, n_bits * LANES)),
        aligned((n_pieces, n_rows * LANES)), aligned((n_pieces, n_touched * LANES)),
    )  # fmt: skip


@_compiled
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


@_compiled
def refresh(
    begin: int,
    end: int,
    how: adam.Pace,
    subtasks: Parities,
    done: int,
    state: State,
    batch: batches.Groups,
    work: Space,
) -> None:
    """Catch up the rows of blocks ``begin`` to ``end``; add them up for each subtask."""
    for b in range(begin, end):
        weights, first, second = (
            state.weights.controls[b].reshape(-1), state.first.controls[b].reshape(-1),
            state.second.controls[b].reshape(-1),
        )  # fmt: skip
        for j in range(batch.sizes[1]):
            at, last = batch.touched[j] * LANES, state.last[batch.touched[j]]
            if last == 0:  # without momentum, and m and v are 0
                store(weights, at, load(weights, at) * spread(np.float32(how.kept**done)))
            elif last < done:
                adam.catch_up(how, work.numbers[j], last, done - last, at, weights, first, second)
        bias = load(state.weights.bias[b, 0], 0)
        for p in range(batch.sizes[0]):
            k, row = batch.present[p], bias
            for j in range(subtasks.first[k], subtasks.first[k + 1]):
                row = row + load(weights, subtasks.controls[j] * LANES)
            store(work.rows[b], p * LANES, row)


@_compiled
def examples(
    begin: int, end: int, piece: int, chunks: tuple[int, ...], key: np.uint64, masks: np.ndarray, state: State,
    batch: batches.Groups, work: Space,
) -> None:  # fmt: skip
    """Make the examples of tiles ``begin`` to ``end``; find their logits and the derivatives of the loss."""
    batches.fill(key, begin, end, batch, masks, work.words, work.columns, work.label)
    n = batch.first[batch.sizes[0]]
    first, last = begin * batches.TILE, min(end * batches.TILE, n)
    kernels.forward(
        first, last, chunks, work.words, batch.row, work.rows, work.tables, state.weights.out, state.weights.out_bias,
        work.scratch[piece], work.active, work.z,
    )  # fmt: skip
    for s in range(first, last):
        work.error[s] = (1 / (1 + math.exp(-np.float64(work.z[s]))) - work.label[s]) / n


@_compiled
def learn(
    begin: int, end: int, piece: int, how: adam.Pace, subtasks: Parities, step: int, state: State,
    batch: batches.Groups, work: Space,
) -> None:  # fmt: skip
    """Gradients of blocks ``begin`` to ``end``, and the moves they make; their tables anew."""
    by_bit, by_row, by_control = work.by_bit[piece], work.by_row[piece], work.by_control[piece]
    for b in range(begin, end):
        kernels.block_backward(
            work.columns, batch.first, batch.sizes[0], work.active[b], work.error, work.scratch[piece], by_bit, by_row
        )
        _share(subtasks, batch, by_row, by_control)
        weights, first, second = state.weights, state.first, state.second
        bits = weights.bits[b].reshape(-1)
        out, by_bias, by_out = load(weights.out[b, 0], 0), zero(), zero()
        for p in range(batch.sizes[0]):
            sums = load(by_row, p * LANES)
            by_bias = by_bias + sums
            by_out = by_out + sums * load(work.rows[b], p * LANES)
        for at in range(0, by_bit.size, LANES):
            sums = load(by_bit, at)
            by_out = by_out + sums * load(bits, at)
            adam.move(
                how, step, 1, at, out * sums, bits, first.bits[b].reshape(-1), second.bits[b].reshape(-1)
            )  # fmt: skip
        for j in range(batch.sizes[1]):
            adam.move(
                how, step, 1, batch.touched[j] * LANES, out * load(by_control, j * LANES),
                weights.controls[b].reshape(-1), first.controls[b].reshape(-1), second.controls[b].reshape(-1),
            )  # fmt: skip
        adam.move(how, step, 1, 0, out * by_bias, weights.bias[b, 0], first.bias[b, 0], second.bias[b, 0])
        adam.move(how, step, 2, 0, by_out, weights.out[b, 0], first.out[b, 0], second.out[b, 0])
        kernels.tabulate_weights(bits, work.tables[b])


@_compiled
def _share(subtasks: Parities, batch: batches.Groups, by_row: np.ndarray, by_control: np.ndarray) -> None:
    """Sums by subtask as sums by control bit."""
    for j in range(batch.sizes[1]):
        store(by_control, j * LANES, zero())
    for p in range(batch.sizes[0]):
        k = batch.present[p]
        for i in range(subtasks.first[k], subtasks.first[k + 1]):
            at = batch.seat[subtasks.controls[i]] * LANES
            store(by_control, at, load(by_control, at) + load(by_row, p * LANES))


@_compiled
def finish(how: adam.Pace, step: int, state: State, batch: batches.Groups, work: Space) -> float:
    """Move the bias of the logit, and note what was touched; returns its gradient, nan if any logit is."""
    gradient = 0.0
    for s in range(batch.first[batch.sizes[0]]):
        gradient += work.error[s]
    padded = np.zeros((3, LANES), dtype=np.float32)
    kinds = (state.weights.out_bias, state.first.out_bias, state.second.out_bias)
    for i in range(3):
        padded[i, 0] = kinds[i][0]
    adam.move(how, step, 2, 0, spread(np.float32(gradient)), padded[0], padded[1], padded[2])
    for i in range(3):
        kinds[i][0] = padded[i, 0]
    for j in range(batch.sizes[1]):
        state.last[batch.touched[j]] = step
    state.step[()] = step
    return gradient


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
    """

    def __init__(
        self, state: State, stream: Source, subtasks: Parities, rule: Rule, batch_size: int, threads: int = 1
    ) -> None:
        self.state, self.stream, self.subtasks, self.size = state, stream, subtasks, batch_size
        self.how = adam.pace(rule.name == "adam", rule.learning_rate, rule.weight_decay, BETAS, EPSILON)
        self.batch = batches.groups(subtasks, batch_size)
        self.n_pieces = 1 if threads == 1 else 4 * threads
        self.work = space(state.weights, self.batch, self.n_pieces)
        self.chunks = (0,) * -(-state.weights.bits.shape[1] // 4)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        for bits, tables in zip(state.weights.bits, self.work.tables, strict=True):
            kernels.tabulate_weights(bits.reshape(-1), tables)

    def run(self, until: int) -> State:
        """Go on to step ``until``.

        Raises
        ------
        Diverged
            If a logit is not a number; the state is then of no use.
        """
        state, batch, work, how, subtasks = self.state, self.batch, self.work, self.how, self.subtasks
        n_blocks, n_tiles = work.tables.shape[0], len(work.columns)
        for done in range(int(state.step), until):
            prepare(how, self.stream, subtasks, done, self.size, state, batch, work)
            self._share(n_blocks, lambda i, j, _: refresh(i, j, how, subtasks, done, state, batch, work))
            self._share(
                n_tiles,
                lambda i, j, piece: examples(
                    i, j, piece, self.chunks, self.stream.key[()], subtasks.masks, state, batch, work
                ),
            )
            self._share(n_blocks, lambda i, j, piece: learn(i, j, piece, how, subtasks, done + 1, state, batch, work))
            if not math.isfinite(finish(how, done + 1, state, batch, work)):
                raise Diverged(done + 1)
        return state

    def _share(self, n: int, part: Callable[[int, int, int], None]) -> None:
        """Do a part of a step, 0 … n, in pieces (begin, end, number of the piece)."""
        if self.pool is None:
            part(0, n, 0)
            return
        pieces = min(n, self.n_pieces)
        cuts = [n * i // pieces for i in range(pieces + 1)]
        list(self.pool.map(part, cuts[:-1], cuts[1:], range(pieces)))
