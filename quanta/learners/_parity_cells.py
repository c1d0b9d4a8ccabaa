"""Which cells of a table a batch touches: those of a subtask are the values of its bits."""

import numpy as np

from quanta.learners import _parity_batches as batches
from quanta.learners._parity_batches import Groups, mix
from quanta.learners._parity_data import GOLDEN, Source
from quanta.learners._parity_vectors import kernel

_GOLDEN = np.uint64(GOLDEN)
_ONE, _TWO, _FOUR, _BITS = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(63)


@kernel
def count(
    stream: Source, start: int, n: int, edges: np.ndarray, places: np.ndarray,
    work: Groups, hits: np.ndarray, counts: np.ndarray,
) -> None:  # fmt: skip
    """Count the examples ``start`` to ``start + n`` of a stream by subtask and by cell.

    Parameters
    ----------
    stream : Source
        Of the examples.
    start, n : int
        Which.
    edges : np.ndarray, shape (n_subtasks + 1, 2), int64
        Where the bits, and the cells, of each subtask begin.
    places : np.ndarray, int64
        The bits, subtask after subtask; the first is the lowest of a cell's number.
    work : Groups
        Space for a batch.
    hits : np.ndarray, shape (n_subtasks,), int64
        Is added to.
    counts : np.ndarray, shape (n_cells,), int64
        Is written.
    """
    counts[:] = 0
    batches.draw(stream, start, n, work)
    for i in range(n):
        k, counter = work.subtask[i], _FOUR * work.drawn[i]
        work.seen[k] = 0
        hits[k] += 1
        low, high = mix(stream.key + (counter + _ONE) * _GOLDEN), mix(stream.key + (counter + _TWO) * _GOLDEN)
        cell = np.int64(0)
        for j in range(edges[k, 0], edges[k + 1, 0]):
            bit = np.uint64(places[j])
            half = low if bit < np.uint64(64) else high
            cell |= np.int64((half >> (bit & _BITS)) & _ONE) << (j - edges[k, 0])
        counts[edges[k, 1] + cell] += 1
