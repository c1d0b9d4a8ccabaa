"""The clocks of independent subtasks: how often each has been seen.

A learner whose subtasks do not interact is a function of these counts. Expected, they are p_k · examples.
Sampled, they are one realisation of drawing a subtask for every example: the exact multinomial law between any two
moments, at a cost that does not grow with the number of examples between them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from quanta.learners.base import Truth, moment

_BLOCK = 8192  # subtasks: a few arrays of so many stay in the cache, and in memory that is used again


class Hits(NamedTuple):
    """State of a learner with independent subtasks; plain arrays, so that it can be stored as it is."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    examples: np.ndarray
    """() examples seen."""
    hits: np.ndarray
    """(n_subtasks,) of which this subtask: int64 if sampled, p_k · examples (float64) if expected."""
    levels: np.ndarray
    """(n_levels,) int64: counts of which it is remembered when they were reached."""
    crossed: np.ndarray
    """(n_subtasks, n_levels) examples at which; nan before. Sampled only, else (0, n_levels)."""
    table: np.ndarray
    """(2^b,) uint64: alias table of the frequencies. Sampled only, else (0,)."""
    key: np.ndarray
    """(2,) uint64: with ``examples``, all that decides the next draw. Sampled only, else (0,)."""

    @property
    def sampled(self) -> bool:
        """Whether the counts are realised ones."""
        return bool(self.key.size)


def start(p: np.ndarray, rng: np.random.Generator, dynamics: str, levels: np.ndarray) -> Hits:
    """Counts at zero, of a distribution p."""
    now = np.array(0, dtype=np.int64)
    if dynamics == "expected":
        none = np.empty(0, dtype=np.uint64)
        return Hits(p, now, np.zeros(p.size), levels, np.empty((0, levels.size)), none, none)
    from quanta.learners import _kernels

    crossed = np.full((p.size, levels.size), np.nan)
    key = rng.integers(2**64, size=2, dtype=np.uint64)
    return Hits(p, now, np.zeros(p.size, dtype=np.int64), levels, crossed, _kernels.table_of(p), key)


def advance(state: Hits, examples: int) -> Hits:
    """Counts after that many examples in all: a pure function of the state.

    Raises
    ------
    InputError
        If it would go back in time, or beyond 2^53 examples.
    """
    before, now = int(state.examples), int(examples)
    then = moment(before, now)
    if not state.sampled:
        return state._replace(examples=then, hits=state.frequencies * now)
    from quanta.learners import _kernels, _random

    # Counter-based, keyed by the moment: the next draw is the same whatever was computed before, on any machine.
    rng = np.random.Generator(np.random.Philox(key=state.key, counter=[0, 0, 0, before]))
    hits, crossed, levels = state.hits.copy(), state.crossed, state.levels
    _kernels.scatter_hits(_random.new_key(rng), now - before, state.frequencies, state.table, hits)
    if levels.size and hits.max() >= levels[0] and state.hits.min() < levels[-1]:  # else nothing crosses anything
        crossed = crossed.copy()
        _kernels.mark_crossings(rng, before, now, state.hits, hits, levels, crossed)
    return state._replace(examples=then, hits=hits, crossed=crossed)


def realised(state: Hits) -> Truth:
    """Truth of a sampled run whose ``levels`` are the counts at 10, 50 and 90 % of the drop."""
    early, half, late = state.crossed.T
    return Truth(onset=half.copy(), width=np.log(late / early))


def in_blocks(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return function(values), float64, of a function of each value alone, some at a time: much faster for a million."""
    if values.size <= _BLOCK:
        return function(values)
    result = np.empty(values.shape)
    for start in range(0, values.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = function(values[block])
    return result
