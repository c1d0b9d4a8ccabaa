"""Which subtasks must be learned before which: directed acyclic graphs over their numbers."""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from numbers import Integral
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError

GRAPHS = ("random", "shuffled", "tree", "chain", "edges")
Edges = tuple[tuple[int, int], ...]


class Graph(NamedTuple):
    """Parents of every subtask, and an order in which parents come before their children."""

    order: np.ndarray
    """(n_subtasks,) int64."""
    first: np.ndarray
    """(n_subtasks + 1,) int64: the parents of subtask k are ``parents[first[k]:first[k + 1]]``."""
    parents: np.ndarray
    """(n_edges,) int64."""


def build(shape: str, n_subtasks: int, n_parents: int, layout: int) -> Graph:
    """A graph in which every subtask k > 0 has ``n_parents`` parents (drawn with replacement).

    Parameters
    ----------
    shape : str
        "chain": the subtasks just before k; "tree": those at half its number; "random": any before k; "shuffled": any
        before k, in a random order of the subtasks.
    n_subtasks, n_parents : int
        How many.
    layout : int
        Seed of the random ones.
    """
    rng = np.random.default_rng(layout)
    order = rng.permutation(n_subtasks) if shape == "shuffled" else np.arange(n_subtasks)
    child = np.arange(1, n_subtasks)[:, None]
    back = np.arange(n_parents)
    if shape == "chain":
        parents = child - 1 - back
    elif shape == "tree":
        parents = (child - 1) // 2 - back
    else:
        parents = rng.integers(0, child, size=(n_subtasks - 1, n_parents))
    places = np.maximum(parents, 0).ravel()
    return _sorted(order, order[np.repeat(child, n_parents)], order[places])


def read(edges: Edges, n_subtasks: int) -> Graph:
    """The graph of these edges, all of them between the first ``n_subtasks``."""
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    named = np.array(_sorter(edges), dtype=np.int64)
    others = np.setdiff1d(np.arange(n_subtasks), named)
    return _sorted(np.concatenate([others, named]), pairs[:, 1], pairs[:, 0])


def latest(first: np.ndarray, parents: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The greatest value among the parents of each subtask, (n_subtasks,); nan if one is nan, 0 without parents."""
    found = np.zeros(first.size - 1)
    has = first[1:] > first[:-1]
    if has.any():
        found[has] = np.maximum.reduceat(values[parents], first[:-1][has])
    return found


def checked(edges: Iterable[Iterable[int]]) -> Edges:
    """Edges (parent, child) in order, each once, so that equal graphs are equal.

    Raises
    ------
    InputError
        If they are not pairs of numbers of subtasks, or go round in a cycle, which is named.
    """
    try:
        pairs = [(parent, child) for parent, child in edges]
    except (TypeError, ValueError):
        raise InputError(f"edges is {str(edges)[:80]}; expected pairs (parent, child) of subtasks.") from None
    for subtask in {subtask for pair in pairs for subtask in pair}:
        if isinstance(subtask, bool) or not isinstance(subtask, Integral) or subtask < 0:
            raise InputError(f"edges name subtask {subtask}; expected a whole number of 0 or more.")
    found = tuple(sorted({(int(parent), int(child)) for parent, child in pairs}))
    try:
        _sorter(found)
    except CycleError as error:
        cycle = " → ".join(map(str, error.args[1]))
        raise InputError(f"edges go round: {cycle}; expected no cycle, in which nothing could be the first.") from None
    return found


def _sorter(edges: Edges) -> list[int]:
    """The subtasks that edges name, parents before children."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for parent, child in edges:
        sorter.add(child, parent)
    return [*sorter.static_order()]


def _sorted(order: np.ndarray, child: np.ndarray, parent: np.ndarray) -> Graph:
    """Edges by child."""
    child = child.ravel()
    by_child = np.argsort(child, kind="stable")
    first = np.searchsorted(child[by_child], np.arange(order.size + 1))
    return Graph(order.astype(np.int64), first.astype(np.int64), parent[by_child].astype(np.int64))
