"""A step of a parity network with one hidden layer, at full speed: exact gradients, cost free of the number of subtasks.

A step has four parts, whose pieces threads share: rows of control bits (those of the last batch move, those of this one
are brought up to date); rows of subtasks (their sums); examples (strings and logits); columns (gradients and moves of all
other weights, while one thread draws the next batch). What one piece of a part writes no other piece of it reads or writes,
so results are the same at any number of threads.
"""

import math
from typing import NamedTuple

import numpy as np

from quanta.learners import _parity_adam as adam
from quanta.learners import _parity_batches as batches
from quanta.learners import _parity_kernels as kernels
from quanta.learners._parity_data import Parities, Source
from quanta.learners._parity_reference import Weights
from quanta.learners._parity_team import claim, enter
from quanta.learners._parity_vectors import LANES, inner, kernel, load, spread, store, zero

ROWS = 32  # in a piece
TILES = kernels.SAMPLES // batches.TILE  # in a piece
_LINE = 64  # bytes of a cache line, and of a vector: one that lies across two takes twice as long


class State(NamedTuple):
    """A network in training. Columns beyond the width, up to whole blocks of 16, are and stay 0.

    Rows of control bits are whole, (n_controls, n_blocks · 16), for few of many are touched; the other weights
    are cut into blocks, (n_blocks, rows, 16).
    """

    weights: Weights
    moment1: Weights
    moment2: Weights
    last: np.ndarray
    """(n_controls,) int64: step that touched each control bit's row last; 0 if none has."""
    step: np.ndarray
    """() int64: steps made."""


class Space(NamedTuple):
    """Memory that a step works in."""

    words: np.ndarray
    """(n_threads, 2, SAMPLES) uint64: strings of a piece."""
    columns: np.ndarray
    """(n_tiles, 128) uint64: bits at each place of the strings of a tile."""
    label: np.ndarray
    """(n,) uint8."""
    z: np.ndarray
    """(n,): the logits."""
    error: np.ndarray
    """(n,): derivative of the mean loss by them, nan where the loss is not finite; 0 where the last tile has no example."""
    active: np.ndarray
    """(n_blocks, n) uint16: which units are above 0."""
    rows: np.ndarray
    """(n_rows, n_blocks · 16): the first layer of each subtask present, without its string."""
    tables: np.ndarray
    """(n_blocks, n_chunks · 256)."""
    numbers: np.ndarray
    """(2, n_touched, N_NUMBERS): of this batch and the next, in turn; see ``_parity_adam``."""
    by_row: np.ndarray
    """(n_rows, n_blocks · 16): gradients of ``rows``."""
    by_control: np.ndarray
    """(n_touched, n_blocks · 16): gradients of the rows touched; ``by_row`` itself where each subtask has its own one."""
    scratch: np.ndarray
    """(n_threads, SCRATCH)."""
    by_bit: np.ndarray
    """(n_threads, n_bits, 16)."""


def aligned(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Zeros that begin at a line of the cache."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _LINE, dtype=np.uint8)
    begin = -raw.ctypes.data % _LINE
    return raw[begin : begin + size].view(dtype).reshape(shape)


def space(weights: Weights, batch: batches.Groups, threads: int, own: bool) -> Space:
    """Memory for steps on such batches by so many threads; ``own`` if each subtask has a control bit of its own."""
    n_blocks, n_bits, _ = weights.bits.shape
    n, n_rows, n_touched, width = batch.row.size, batch.present.size, batch.touched.size, n_blocks * LANES
    by_row = aligned((n_rows, width))
    return Space(
        words=aligned((threads, 2, kernels.SAMPLES), np.uint64),
        columns=aligned((n // batches.TILE, 128), np.uint64), label=aligned((n,), np.uint8), z=aligned((n,)),
        error=aligned((n,)), active=aligned((n_blocks, n), np.uint16), rows=aligned((n_rows, width)),
        tables=aligned((n_blocks, -(-n_bits // 4) * 256)), numbers=aligned((2, n_touched, adam.N_NUMBERS)),
        by_row=by_row, by_control=by_row if own else aligned((n_touched, width)),
        scratch=aligned((threads, kernels.SCRATCH)), by_bit=aligned((threads, n_bits, LANES)),
    )  # fmt: skip


@kernel
def prepare(
    how: adam.Pace, stream: Source, subtasks: Parities, done: int, size: int, last: np.ndarray,
    before: batches.Groups, batch: batches.Groups, numbers: np.ndarray,
) -> None:  # fmt: skip
    """Draw and group the batch after ``done`` steps; find how to catch up the rows that it touches and the one before did not."""
    batches.arrange(stream, subtasks, done * size, size, batch)
    for j in range(batch.sizes[1]):
        control = batch.touched[j]
        if before.seat[control] < 0 and last[control] < done:
            adam.summary(how, last[control], done - last[control], numbers[j])


@kernel
def control_rows(
    shared: np.ndarray, how: adam.Pace, done: int, state: State, n_moves: int, before: batches.Groups,
    by_control: np.ndarray, n_more: int, batch: batches.Groups, numbers: np.ndarray,
) -> None:  # fmt: skip
    """Move the rows that the last batch touched, the first ``n_moves``; catch up those, ``n_more``, that this one will."""
    begin = ROWS * claim(shared)
    while begin < n_moves + n_more:
        for j in range(begin, min(begin + ROWS, n_moves + n_more)):
            if j < n_moves:
                _move_row(how, done, before.touched[j], j, state, by_control)
            else:
                control = batch.touched[j - n_moves]
                if before.seat[control] < 0:
                    _catch_up(how, done, numbers[j - n_moves], control, state)
        begin = ROWS * claim(shared)


@inner
def _move_row(how: adam.Pace, step: int, control: int, j: int, state: State, by_control: np.ndarray) -> None:
    """Move the row of a control bit by its gradient, row j of ``by_control`` (n_touched, n_blocks · 16), at a step from 1."""
    width = by_control.shape[1]
    weights, moment1, moment2 = state.weights.controls, state.moment1.controls, state.moment2.controls
    for at in range(0, width, LANES):
        adam.move(how, step, 1, control * width + at, load(by_control, j * width + at), weights, moment1, moment2)
    state.last[control] = step


@inner
def _catch_up(how: adam.Pace, done: int, numbers: np.ndarray, control: int, state: State) -> None:
    """Bring the row of a control bit up to ``done`` steps; ``numbers`` (N_NUMBERS,) are those of ``_parity_adam.summary``."""
    weights, moment1, moment2 = state.weights.controls, state.moment1.controls, state.moment2.controls
    width, last = weights.shape[1], state.last[control]
    for at in range(control * width, (control + 1) * width, LANES):
        if last == 0:  # without momentum: m and v are 0
            store(weights, at, load(weights, at) * spread(np.float32(how.kept**done)))
        elif last < done:
            adam.catch_up(how, numbers, last, done - last, at, weights, moment1, moment2)


@kernel
def present_rows(how: adam.Pace, done: int, state: State, rows: np.ndarray) -> None:
    """Write into ``rows`` (n_controls, n_blocks · 16) those of all control bits after ``done`` steps."""
    numbers = np.zeros(adam.N_NUMBERS, dtype=np.float32)
    weights, moment1, moment2 = state.weights.controls, state.moment1.controls, state.moment2.controls
    width = weights.shape[1]
    for control in range(len(rows)):
        last = state.last[control]
        if last < done:
            adam.summary(how, last, done - last, numbers)
        for at in range(control * width, (control + 1) * width, LANES):
            row = load(weights, at)
            if last == 0:
                row = row * spread(np.float32(how.kept**done))
            elif last < done:
                row = adam.caught_up(how, numbers, last, done - last, row, load(moment1, at), load(moment2, at))
            store(rows, at, row)


@kernel
def subtask_rows(shared: np.ndarray, subtasks: Parities, state: State, batch: batches.Groups, rows: np.ndarray) -> None:
    """Add up the rows of all subtasks present."""
    n, width = batch.sizes[0], rows.shape[1]
    begin = ROWS * claim(shared)
    while begin < n:
        for p in range(begin, min(begin + ROWS, n)):
            k = batch.present[p]
            for b in range(width // LANES):
                row = load(state.weights.bias, b * LANES)
                for j in range(subtasks.begin[k], subtasks.begin[k + 1]):
                    row = row + load(state.weights.controls, subtasks.on[j] * width + b * LANES)
                store(rows, p * width + b * LANES, row)
        begin = ROWS * claim(shared)


@kernel
def examples(
    shared: np.ndarray, shape: kernels.Chunks, key: np.uint64, masks: np.ndarray, weights: Weights,
    batch: batches.Groups, work: Space,
) -> None:  # fmt: skip
    """Make the examples; find their logits and the derivatives of the loss, nan where that is not finite."""
    thread = enter(shared)
    words, scratch = work.words[thread], work.scratch[thread]
    n, n_tiles = batch.begin[batch.sizes[0]], len(work.columns)
    begin = TILES * claim(shared)
    while begin < n_tiles:
        end = min(begin + TILES, n_tiles)
        batches.fill(key, begin, end, batch, masks, words, work.columns, work.label)
        start, stop = batches.TILE * begin, min(batches.TILE * end, n)
        kernels.forward(
            start, stop, shape, words, batch.row, work.rows, work.tables, weights.out, weights.out_bias, scratch,
            work.active, work.z,
        )  # fmt: skip
        for s in range(start, stop):
            z, label = np.float64(work.z[s]), work.label[s]
            wrong = max(-z if label else z, 0.0)  # the loss without end, where its derivative is 1
            work.error[s] = (1 / (1 + math.exp(-z)) - label + 0 * wrong) / n
        begin = TILES * claim(shared)


@kernel
def columns(
    shared: np.ndarray, how: adam.Pace, stream: Source, subtasks: Parities, done: int, size: int,
    state: State, batch: batches.Groups, following: batches.Groups, more: bool, work: Space, hits: np.ndarray,
) -> None:  # fmt: skip
    """Gradients and moves of all weights but control bits': a block is a piece.

    So are the batch that follows, if there are ``more`` steps, and what does not belong to a block.
    """
    thread, n_blocks = enter(shared), len(work.tables)
    piece = claim(shared)
    while piece < n_blocks + 2:
        if piece == 0:  # first, for it takes longest
            if more:
                numbers = work.numbers[(done + 1) % 2]
                prepare(how, stream, subtasks, done + 1, size, state.last, batch, following, numbers)
        elif piece <= n_blocks:
            _learn_block(piece - 1, thread, how, subtasks, done + 1, state, batch, work)
        else:
            _settle(how, done + 1, state, batch, work.error, hits)
        piece = claim(shared)


@inner
def _learn_block(
    b: int, thread: int, how: adam.Pace, subtasks: Parities, step: int, state: State, batch: batches.Groups, work: Space
) -> None:
    """Gradients of a block; all of its weights but control bits' move, and their tables are made anew."""
    weights, moment1, moment2 = state.weights, state.moment1, state.moment2
    by_bit, width = work.by_bit[thread], work.rows.shape[1]
    active, bits = work.active[b], weights.bits[b]
    out, by_bias, by_out = load(weights.out[b], 0), zero(), zero()
    for p in range(batch.sizes[0]):
        sums, at = kernels.in_all(batch.begin[p], batch.begin[p + 1], active, work.error), p * width + b * LANES
        by_bias = by_bias + sums
        by_out = by_out + sums * load(work.rows, at)
        store(work.by_row, at, out * sums)
    kernels.by_bit(work.columns, active, work.error, work.scratch[thread], by_bit)
    for at in range(0, by_bit.size, LANES):
        sums = load(by_bit, at)
        by_out = by_out + sums * load(bits, at)
        adam.move(how, step, 1, at, out * sums, bits, moment1.bits[b], moment2.bits[b])
    adam.move(how, step, 1, 0, out * by_bias, weights.bias[b], moment1.bias[b], moment2.bias[b])
    adam.move(how, step, 2, 0, by_out, weights.out[b], moment1.out[b], moment2.out[b])
    kernels.tabulate_weights(bits, work.tables[b])
    if work.by_control.ctypes.data != work.by_row.ctypes.data:
        _by_control(b, subtasks, batch, work.by_row, work.by_control)


@inner
def _by_control(b: int, subtasks: Parities, batch: batches.Groups, by_row: np.ndarray, by_control: np.ndarray) -> None:
    """Gradients by subtask as gradients by control bit, of one block."""
    width = by_row.shape[1]
    for j in range(batch.sizes[1]):
        store(by_control, j * width + b * LANES, zero())
    for p in range(batch.sizes[0]):
        k = batch.present[p]
        for i in range(subtasks.begin[k], subtasks.begin[k + 1]):
            at = batch.seat[subtasks.on[i]] * width + b * LANES
            store(by_control, at, load(by_control, at) + load(by_row, p * width + b * LANES))


@inner
def _settle(
    how: adam.Pace, step: int, state: State, batch: batches.Groups, error: np.ndarray, hits: np.ndarray
) -> None:
    """Count the step, and who was drawn; move the bias of the logit."""
    for p in range(batch.sizes[0]):
        hits[batch.present[p]] += batch.begin[p + 1] - batch.begin[p]
    gradient = 0.0
    for s in range(batch.begin[batch.sizes[0]]):
        gradient += error[s]
    padded = np.zeros((3, LANES), dtype=np.float32)
    kinds = (state.weights.out_bias, state.moment1.out_bias, state.moment2.out_bias)
    for i in range(3):
        padded[i, 0] = kinds[i][0]
    adam.move(how, step, 2, 0, spread(np.float32(gradient)), padded[0], padded[1], padded[2])
    for i in range(3):
        kinds[i][0] = padded[i, 0]
    state.step[()] = step
