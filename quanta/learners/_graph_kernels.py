"""Numba kernels over a graph of subtasks: serial, parents first, so that a seed gives one result at any thread count."""

import math
from typing import Any

import numpy as np
from numba import njit

Generator = Any  # np.random.Generator: Numba draws the very stream that NumPy would


@njit(cache=True, nogil=True)
def begin(order: np.ndarray, first: np.ndarray, parents: np.ndarray, takes: np.ndarray) -> np.ndarray:
    """When the last parent of each subtask is learned, (n_subtasks,), if each ``takes`` so long itself; 0 without parents."""
    began = np.zeros(order.size)
    for k in order:
        for i in range(first[k], first[k + 1]):
            began[k] = max(began[k], began[parents[i]] + takes[parents[i]])
    return began


@njit(cache=True, nogil=True)
def count(
    rng: Generator,
    start: int,
    gap: int,
    own: np.ndarray,
    order: np.ndarray,
    first: np.ndarray,
    parents: np.ndarray,
    levels: np.ndarray,
    learned: int,
    counted: np.ndarray,
    crossed: np.ndarray,
) -> None:
    """Count, of the ``own`` hits of every subtask among ``gap`` examples, those after all its parents were learned.

    Given how many hits each subtask has, all arrangements of them are equally likely: as if every example came at a
    moment of its own, uniform over the leap and independent of all others. So what is left of a leap after a moment
    holds a binomial number of the hits, and the j-th of r hits comes at the j-th of r uniform moments, a beta variable.
    The number of the example at a moment is the number of hits before it, of which the subtask's own are known.

    Parameters
    ----------
    rng : Generator
        Source of draws.
    start, gap : int
        Examples before the leap, and in it.
    own : np.ndarray, shape (n_subtasks,), int64
        Hits of each subtask in the leap.
    order, first, parents : np.ndarray
        The graph.
    levels : np.ndarray, shape (n_levels,), int64
        Counts, ascending, of which the example is remembered.
    learned : int
        Which of the levels makes a subtask learned.
    counted : np.ndarray, shape (n_subtasks,), int64
        Counts, which are raised in place.
    crossed : np.ndarray, shape (n_subtasks, n_levels)
        Written in place: examples at which the levels were reached.
    """
    moment = np.zeros(order.size)  # in the leap, when a subtask is learned: 0 if it was before, inf if not by the end
    place = np.zeros(order.size, dtype=np.int64)  # the number of that example in the leap
    for k in order:
        if counted[k] >= levels[-1]:
            counted[k] += own[k]
            continue
        if counted[k] < levels[learned]:
            moment[k] = math.inf
        if own[k] == 0:
            continue
        now, here = 0.0, 0
        for i in range(first[k], first[k + 1]):
            if moment[parents[i]] > now:
                now, here = moment[parents[i]], place[parents[i]]
        if now == math.inf:
            continue
        left = own[k] if now == 0.0 else rng.binomial(own[k], 1.0 - now)
        before = counted[k]
        counted[k] += left
        for j in range(levels.size):
            more = levels[j] - before
            if more < 0 or (more == 0 and not math.isnan(crossed[k, j])):
                continue
            if more > left:
                break
            if more > 0:
                share = rng.beta(more, left - more + 1)  # of the rest of the leap
                here += more + rng.binomial(max(gap - here - left, 0), share)
                now += share * (1.0 - now)
                left -= more
                before += more
                here = min(here, gap - left)
            crossed[k, j] = start + here
            if j == learned:
                moment[k], place[k] = now, here


@njit(cache=True, nogil=True)
def count_inversions(ranks: np.ndarray, n_ranks: int) -> int:
    """Pairs i < j of which ``ranks``, whole numbers below ``n_ranks``, has the greater one first: by a Fenwick tree."""
    tree = np.zeros(n_ranks + 1, dtype=np.int64)
    inversions = 0
    for seen in range(ranks.size):
        at = ranks[seen] + 1
        not_greater, i = 0, at
        while i > 0:
            not_greater += tree[i]
            i -= i & -i
        inversions += seen - not_greater
        while at <= n_ranks:
            tree[at] += 1
            at += at & -at
    return inversions
