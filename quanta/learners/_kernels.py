"""Numba kernels of the learners: single-stream and serial, so that a seed gives one result at any thread count."""

import math
from typing import Any

import numpy as np
from numba import njit

Generator = Any  # np.random.Generator: Numba draws the very stream that NumPy would


@njit(cache=True, nogil=True)
def scatter_hits(rng: Generator, n: int, tree: np.ndarray, hits: np.ndarray) -> None:
    """Add a multinomial draw of ``n`` examples to ``hits`` (n_subtasks,), in place.

    Counts are split binomially down ``tree``, left child first. Empty branches are not entered, so the cost is
    that of the smaller of n_subtasks and n · log2(n_subtasks).
    """
    size = tree.size // 2
    nodes = np.empty(66, dtype=np.int64)  # a depth-first stack holds one sibling per level
    counts = np.empty(66, dtype=np.int64)
    nodes[0], counts[0] = 1, n
    depth = 1
    while depth > 0:
        depth -= 1
        node, count = nodes[depth], counts[depth]
        if count == 0:
            continue
        if node >= size:
            hits[node - size] += count
            continue
        left, right = tree[2 * node], tree[2 * node + 1]
        if right == 0.0:
            first = count
        elif left == 0.0:
            first = 0
        else:
            first = rng.binomial(count, left / (left + right))
        nodes[depth], counts[depth] = 2 * node + 1, count - first
        nodes[depth + 1], counts[depth + 1] = 2 * node, first
        depth += 2


@njit(cache=True, nogil=True)
def next_hit(rng: Generator, position: int, hits: int, gap: int) -> int:
    """Place (1-based) of the next of ``hits`` left, spread at random over the places after ``position`` up to ``gap``.

    The chance of a hit at a place is hits / places left, which rises. Candidates come at a constant chance that
    bounds it up to half way, and are kept in proportion (thinning): exact, in O(1) draws.
    """
    while True:
        end = position + max(1, (gap - position) // 2)
        bound = min(1.0, hits / (gap - end + 1))
        skip = 0.0
        if bound < 1.0:
            skip = math.floor(math.log1p(-rng.random()) / math.log1p(-bound))
        if position + skip >= end:
            position = end
            continue
        position += int(skip) + 1
        if rng.random() * bound * (gap - position + 1) < hits:
            return position


@njit(cache=True, nogil=True)
def mark_crossings(
    rng: Generator,
    start: int,
    stop: int,
    before: np.ndarray,
    after: np.ndarray,
    levels: np.ndarray,
    crossed: np.ndarray,
) -> None:
    """Write into ``crossed`` (n_subtasks, n_levels) when counts reached ``levels`` (ascending) in (start, stop].

    Given how many hits fell between two moments, their places are a random subset of the examples between.
    """
    for k in range(before.size):
        position, seen = 0, before[k]
        for j in range(levels.size):
            if levels[j] <= before[k]:
                continue
            if levels[j] > after[k]:
                break
            while seen < levels[j]:
                position = next_hit(rng, position, after[k] - seen, stop - start)
                seen += 1
            crossed[k, j] = start + position
