"""In which order subtasks are learned, beside how frequent they are."""

import math

import numpy as np


def out_of_order(onset: np.ndarray, frequencies: np.ndarray) -> float:
    """Share of pairs of subtasks of which the rarer is learned first.

    Counted are the pairs that differ in frequency and in onset. 0 where frequency decides the order, ½ where it says
    nothing, 1 where it is reversed.

    Parameters
    ----------
    onset : np.ndarray, shape (n_subtasks,)
        When each is learned; inf or nan for one that is not, which then comes last.
    frequencies : np.ndarray, shape (n_subtasks,)
        p_k.

    Returns
    -------
    float
        nan where there is no such pair.

    Examples
    --------
    >>> out_of_order(np.array([1.0, 4.0, 3.0, np.inf]), np.array([0.4, 0.3, 0.2, 0.1]))
    0.16666666666666666
    """
    from quanta.learners import _graph_kernels

    time = np.where(np.isnan(onset), math.inf, onset)
    p = np.asarray(frequencies, dtype=np.float64)
    by_frequency = np.lexsort((time, -p))  # of equal frequencies in order of time, which adds no inversion
    rank, often = (np.unique(values, return_inverse=True)[1] for values in (time, p))
    inversions = _graph_kernels.count_inversions(rank[by_frequency], p.size)
    pairs = p.size * (p.size - 1) // 2 - _tied(often) - _tied(rank) + _tied(often * p.size + rank)
    return inversions / pairs if pairs else math.nan


def _tied(values: np.ndarray) -> int:
    """Pairs of equal values."""
    sizes = np.unique(values, return_counts=True)[1]
    return int(np.sum(sizes * (sizes - 1) // 2))
