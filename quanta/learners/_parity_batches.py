"""Batches as the fast path takes them: the very examples of ``_parity_data``, grouped by subtask, with bits by place."""

from typing import NamedTuple

import numpy as np

from quanta.learners._parity_data import GOLDEN, Parities, Source
from quanta.learners._parity_vectors import inner

_GOLDEN = np.uint64(GOLDEN)
_ONE, _FOUR = np.uint64(1), np.uint64(4)
TILE = 64
"""Examples whose bits at one place are one word."""


class Groups(NamedTuple):
    """The examples of a batch by subtask, subtasks in the order in which they came first."""

    sizes: np.ndarray
    """(2,) int64: subtasks that are there, and control bits that are on in any of them."""
    present: np.ndarray
    """(n_rows,) int64: the subtasks."""
    begin: np.ndarray
    """(n_rows + 1,) int64: where the examples of each begin."""
    touched: np.ndarray
    """(n_touched,) int64: the control bits."""
    seat: np.ndarray
    """(n_controls,) int32: where each is in ``touched``; -1 if it is not."""
    row: np.ndarray
    """(n,) int32: for each example, where its subtask is in ``present``."""
    number: np.ndarray
    """(n,) uint64: its number in the stream."""
    subtask: np.ndarray
    """(n,) int64, work space."""
    drawn: np.ndarray
    """(n,) uint64, work space."""
    seen: np.ndarray
    """(n_subtasks,) int32, work space, 0 between batches."""
    place: np.ndarray
    """(n_subtasks,) int32, work space."""


def groups(subtasks: Parities, n: int) -> Groups:
    """Space for batches of n examples, rounded up to whole tiles."""
    n_subtasks, n_controls = len(subtasks.masks), subtasks.n_controls
    n_rows, padded = min(n, n_subtasks), -(-n // TILE) * TILE
    n_touched = min(n_controls, n_rows * int(np.diff(subtasks.begin).max()))
    sizes = np.zeros(2, dtype=np.int64)
    return Groups(
        sizes, np.zeros(n_rows, np.int64), np.zeros(n_rows + 1, np.int64), np.zeros(n_touched, np.int64),
        np.full(n_controls, -1, np.int32), np.zeros(padded, np.int32), np.zeros(padded, np.uint64),
        np.zeros(n, np.int64), np.zeros(n, np.uint64), np.zeros(n_subtasks, np.int32), np.zeros(n_subtasks, np.int32),
    )  # fmt: skip


def clear(batch: Groups) -> None:
    """Make a batch one without examples."""
    batch.seat[batch.touched[: batch.sizes[1]]] = -1
    batch.sizes[:] = 0


@inner
def mix(x: np.uint64) -> np.uint64:
    """Finaliser of SplitMix64, as in ``_parity_data``."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inner
def shuffled(key: np.uint64, number: np.uint64, n: int) -> np.uint64:
    """Which of n examples is seen at a place of the stream, as in ``_parity_data``."""
    epoch, place = number // np.uint64(n), number % np.uint64(n)
    half = _ONE
    while (_ONE << (half + half)) < np.uint64(n):
        half += _ONE
    low = (_ONE << half) - _ONE
    while True:
        left, right = place >> half, place & low
        for i in range(4):
            one = mix(key + (_FOUR * epoch + np.uint64(i)) * _GOLDEN)
            left, right = right, left ^ (mix(one + right * _GOLDEN) & low)
        place = (left << half) | right
        if place < np.uint64(n):
            return place


@inner
def draw(stream: Source, start: int, count: int, into: Groups) -> None:
    """Draw the subtasks of examples ``start`` to ``start + count`` of a stream, and count them."""
    key, n = stream.key, stream.n_examples
    n_present = 0
    for i in range(count):
        number = np.uint64(start + i)
        if n:
            number = shuffled(stream.order, number, n)
        column = np.float64(mix(key + _FOUR * number * _GOLDEN) >> np.uint64(11)) * 2.0**-53 * stream.keep.size
        place = np.int64(column)
        subtask = place if column - place < stream.keep[place] else stream.alias[place]
        if into.seen[subtask] == 0:
            into.place[subtask] = n_present
            into.present[n_present] = subtask
            n_present += 1
        into.seen[subtask] += 1
        into.subtask[i], into.drawn[i] = subtask, number
    into.sizes[0] = n_present


@inner
def arrange(stream: Source, subtasks: Parities, start: int, count: int, into: Groups) -> None:
    """Draw a batch and group it, at a cost that depends on its size alone."""
    for j in range(into.sizes[1]):
        into.seat[into.touched[j]] = -1
    draw(stream, start, count, into)
    for p in range(into.sizes[0]):
        into.begin[p + 1] = into.begin[p] + into.seen[into.present[p]]
    for i in range(count):
        subtask = into.subtask[i]
        p = into.place[subtask]
        s = into.begin[p + 1] - into.seen[subtask]
        into.seen[subtask] -= 1
        into.row[s], into.number[s] = p, into.drawn[i]
    n_touched = 0
    for p in range(into.sizes[0]):
        k = into.present[p]
        for j in range(subtasks.begin[k], subtasks.begin[k + 1]):
            control = subtasks.on[j]
            if into.seat[control] < 0:
                into.seat[control] = n_touched
                into.touched[n_touched] = control
                n_touched += 1
    into.sizes[1] = n_touched


@inner
def fill(
    key: np.uint64, begin: int, end: int, batch: Groups, masks: np.ndarray,
    words: np.ndarray, columns: np.ndarray, label: np.ndarray,
) -> None:  # fmt: skip
    """Make the strings of some tiles of a batch, by example and by place, and their labels.

    Parameters
    ----------
    key : np.uint64
        Of the examples.
    begin, end : int
        Tiles of 64 examples; beyond the last example strings are 0.
    batch : Groups
        The batch.
    masks : np.ndarray, shape (n_subtasks, 2), uint64
        Bits of each subtask.
    words : np.ndarray, shape (2, 64 · tiles), uint64
        Is written: the strings of these tiles.
    columns : np.ndarray, shape (n_tiles, 128), uint64
        Is written: bits at each place of the strings of a tile.
    label : np.ndarray, shape (n,), uint8
        Is written: the parities.
    """
    n, zero = batch.begin[batch.sizes[0]], TILE * begin
    last = min(TILE * end, n)
    words[:, max(0, last - zero) : TILE * end - zero] = 0
    s = zero
    while s < last:  # subtask by subtask: a mask for many examples, which makes vectors of them
        p = batch.row[s]
        until, mask = min(last, batch.begin[p + 1]), masks[batch.present[p]]
        _fill_some(key, s, until, batch.number, mask[0], mask[1], words[:, s - zero : until - zero], label)
        s = until
    for t in range(begin, end):
        for half in range(2):
            column = columns[t, 64 * half : 64 * half + 64]
            column[:] = words[half, TILE * (t - begin) : TILE * (t - begin + 1)]
            transpose(column)


@inner
def _fill_some(
    key: np.uint64, begin: int, end: int, number: np.ndarray, low: np.uint64, high: np.uint64,
    words: np.ndarray, label: np.ndarray,
) -> None:  # fmt: skip
    """Strings and labels of examples ``begin`` to ``end``, all of one subtask."""
    for i in range(end - begin):
        counter = _FOUR * number[begin + i]
        words[0, i] = mix(key + (counter + _ONE) * _GOLDEN)
        words[1, i] = mix(key + (counter + np.uint64(2)) * _GOLDEN)
    for i in range(end - begin):
        label[begin + i] = odd((words[0, i] & low) ^ (words[1, i] & high))


@inner
def odd(word: np.uint64) -> np.uint64:
    """Whether an odd number of bits are 1."""
    word ^= word >> np.uint64(32)
    word ^= word >> np.uint64(16)
    word ^= word >> np.uint64(8)
    word ^= word >> np.uint64(4)
    word ^= word >> np.uint64(2)
    word ^= word >> _ONE
    return word & _ONE


@inner
def transpose(words: np.ndarray) -> None:
    """Transpose 64 words of 64 bits in place (Warren 2012, Hacker's Delight, section 7-3)."""
    width, mask = 32, np.uint64(0xFFFFFFFF)
    while width:
        shift = np.uint64(width)
        for i in range(64):
            if not i & width:
                swap = ((words[i] >> shift) ^ words[i + width]) & mask
                words[i] ^= swap << shift
                words[i + width] ^= swap
        width //= 2
        mask ^= mask << np.uint64(width)
