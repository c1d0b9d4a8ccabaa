"""Kernels of the parity network: binary strings times real matrices by tables (the method of Arlazarov and others 1970).

Both passes multiply a matrix of bits by one of numbers. Rows of numbers are taken by four; the sums of all 16 subsets of
four rows are a table; and four bits say which entry to add. Forward, the rows are weights and a string's bits say which;
backward, the rows are examples' errors and the bits at one place of 64 strings say which. That is a quarter of the additions
of a matrix product, and no multiplication.

Columns are taken in blocks of 16. Everything that is summed over examples is summed within a block, by one thread, in
one order: results do not depend on the number of threads.
"""

from typing import Any

import numpy as np

from quanta.learners._parity_batches import TILE
from quanta.learners._parity_vectors import inner, kernel, load, lookups, positive, spread, store, total, where, zero

Vector = Any  # sixteen float32: see _parity_vectors
SAMPLES = 512  # examples that go through all blocks together: their logits stay in the cache
SCRATCH = 16 * max(SAMPLES, 256)  # numbers of work space: logits by column forward, tables of a tile backward
Chunks = tuple[tuple[int, ...], tuple[int, ...]]
_WORD = (0,) * 16  # a word of 64 bits is 16 chunks of four


def chunks(n_bits: int) -> Chunks:
    """Strings as chunks of four bits, of two words; how many is all that matters: see ``lookups``."""
    count = -(-n_bits // 4)
    return (0,) * min(count, 16), (0,) * max(count - 16, 0)


@inner
def tabulate(tables: np.ndarray, at: int, a: Vector, b: Vector, c: Vector, d: Vector) -> Vector:
    """Write the sums of all subsets of four rows, 16 entries of 16 floats, from place ``at``; returns that of all."""
    ab, cd = a + b, c + d
    abc, abd, every = ab + c, ab + d, ab + cd
    store(tables, at, zero())
    store(tables, at + 16, a)
    store(tables, at + 32, b)
    store(tables, at + 48, ab)
    store(tables, at + 64, c)
    store(tables, at + 80, a + c)
    store(tables, at + 96, b + c)
    store(tables, at + 112, abc)
    store(tables, at + 128, d)
    store(tables, at + 144, a + d)
    store(tables, at + 160, b + d)
    store(tables, at + 176, abd)
    store(tables, at + 192, cd)
    store(tables, at + 208, a + cd)
    store(tables, at + 224, b + cd)
    store(tables, at + 240, every)
    return every


@kernel
def tabulate_weights(bits: np.ndarray, tables: np.ndarray) -> None:
    """Tables of one block: of ``bits`` (n_bits, 16) into ``tables`` (n_chunks · 256,)."""
    for at in range(0, tables.size, 256):
        place = at // 4
        a = load(bits, place)
        b = load(bits, place + 16) if place + 16 < bits.size else zero()
        c = load(bits, place + 32) if place + 32 < bits.size else zero()
        d = load(bits, place + 48) if place + 48 < bits.size else zero()
        tabulate(tables, at, a, b, c, d)


@inner
def forward(
    begin: int,
    end: int,
    shape: Chunks,
    words: np.ndarray,
    group: np.ndarray,
    rows: np.ndarray,
    tables: np.ndarray,
    out: np.ndarray,
    out_bias: np.ndarray,
    scratch: np.ndarray,
    active: np.ndarray,
    z: np.ndarray,
) -> None:
    """Logits of examples ``begin`` to ``end``, and which units are active.

    Parameters
    ----------
    begin, end : int
        Examples of this piece, at most ``SAMPLES``.
    shape : tuple of tuples
        See :func:`chunks`.
    words : np.ndarray, shape (2, SAMPLES), uint64
        Strings of these examples.
    group : np.ndarray, shape (n,), int32
        Row of each example.
    rows : np.ndarray, shape (n_rows, n_blocks · 16)
        What the first layer is without the string.
    tables : np.ndarray, shape (n_blocks, n_chunks · 256)
        See :func:`tabulate_weights`.
    out, out_bias : np.ndarray, shape (n_blocks, 1, 16) and (1,)
        Weights of the logit.
    scratch : np.ndarray, shape (SCRATCH,)
        Space for this piece.
    active : np.ndarray, shape (n_blocks, n), uint16
        Is written: the units above 0 of every block.
    z : np.ndarray, shape (n,)
        Is written: the logits.
    """  # fmt: skip
    for block in range(len(tables)):
        _block_forward(begin, end, shape, words, group, rows, block, tables[block], out[block], scratch, active[block])
    for s in range(begin, end):
        z[s] = total(load(scratch, (s - begin) * 16)) + out_bias[0]


@inner
def _block_forward(
    begin: int, end: int, shape: Chunks, words: np.ndarray, group: np.ndarray, rows: np.ndarray,
    block: int, table: np.ndarray, out: np.ndarray, scratch: np.ndarray, active: np.ndarray,
) -> None:  # fmt: skip
    """One block of :func:`forward`: adds to ``scratch``, which the first begins anew."""
    low, high = shape
    weight = load(out, 0)
    for s in range(begin, end):
        sums = load(rows, group[s] * rows.shape[1] + block * 16)
        sums = sums + lookups(table, 0, words[0, s - begin], low) + lookups(table, 16 * 256, words[1, s - begin], high)
        lanes = positive(sums)
        active[s] = lanes
        place = (s - begin) * 16
        before = load(scratch, place) if block else zero()
        store(scratch, place, before + where(lanes, sums * weight))


@kernel
def first_layer(shape: Chunks, words: np.ndarray, tables: np.ndarray, layer: np.ndarray) -> None:
    """Write what strings (n, 2) bring to the first layer, (n, n_blocks · 16)."""
    low, high = shape
    width = layer.shape[1]
    for b in range(len(tables)):
        for s in range(len(words)):
            sums = lookups(tables[b], 0, words[s, 0], low) + lookups(tables[b], 16 * 256, words[s, 1], high)
            store(layer, s * width + b * 16, sums)


@inner
def by_bit(columns: np.ndarray, active: np.ndarray, error: np.ndarray, scratch: np.ndarray, sums: np.ndarray) -> None:
    """Sums over the examples where a bit is on of the error of each active unit, of one block.

    Parameters
    ----------
    columns : np.ndarray, shape (n_tiles, 128), uint64
        Bits at each place of the strings of a tile of 64 examples; places beyond the bits are not looked at.
    active : np.ndarray, shape (n,), uint16
        The units above 0.
    error : np.ndarray, shape (n,)
        Derivative of the loss by the logit.
    scratch : np.ndarray, shape (SCRATCH,)
        Space for this piece.
    sums : np.ndarray, shape (n_bits, 16)
        Is written.
    """
    sums[:] = 0
    for t in range(len(columns)):
        for quarter in range(16):
            s = TILE * t + 4 * quarter
            a, b = where(active[s], spread(error[s])), where(active[s + 1], spread(error[s + 1]))
            c, d = where(active[s + 2], spread(error[s + 2])), where(active[s + 3], spread(error[s + 3]))
            tabulate(scratch, 256 * quarter, a, b, c, d)
        for i in range(len(sums)):
            store(sums, 16 * i, load(sums, 16 * i) + lookups(scratch, 0, columns[t, i], _WORD))


@inner
def in_all(begin: int, end: int, active: np.ndarray, error: np.ndarray) -> Vector:
    """Sum over examples ``begin`` to ``end`` of the error of each active unit, of one block."""
    a, b = zero(), zero()
    for s in range(begin, end - 1, 2):
        a = a + where(active[s], spread(error[s]))
        b = b + where(active[s + 1], spread(error[s + 1]))
    if (end - begin) % 2:
        a = a + where(active[end - 1], spread(error[end - 1]))
    return a + b
