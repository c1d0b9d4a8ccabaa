"""The clocks of independent subtasks: how often each has been seen.

A learner whose subtasks do not interact is a function of these counts. Expected, they are p_k · examples.
Sampled, they are one realisation of drawing a subtask for every example: the exact multinomial law between any two
moments, at a cost that does not grow with the number of examples between them.
"""

from typing import NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.learners.base import Truth

DYNAMICS = ("expected", "sampled")
LATEST = 2**53  # examples: beyond this, float64 cannot tell two moments apart


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
    tree: np.ndarray
    """(2 · 2^ceil(log2 n),) frequencies summed pairwise, node i over 2i and 2i + 1. Sampled only, else (0,)."""
    key: np.ndarray
    """(2,) uint64: with ``examples``, all that decides the next draw. Sampled only, else (0,)."""

    @property
    def sampled(self) -> bool:
        """Whether the counts are realised ones."""
        return bool(self.key.size)


def start(frequencies: np.ndarray, rng: np.random.Generator, dynamics: str, levels: np.ndarray) -> Hits:
    """Counts at zero.

    Raises
    ------
    InputError
        If the frequencies are not a distribution, or the dynamics unknown.
    """
    p = np.asarray(frequencies, dtype=np.float64)
    if dynamics not in DYNAMICS:
        raise InputError(f"dynamics is {dynamics!r}; expected one of {', '.join(DYNAMICS)}.")
    if p.ndim != 1 or p.size == 0 or not np.all(p >= 0) or abs(p.sum() - 1) > 1e-9:
        raise InputError(
            f"frequencies have shape {p.shape} and sum to {p.sum():.6g}; expected (n_subtasks,) and 1. "
            "Use .probabilities() of a part of quanta.frequencies."
        )
    now = np.array(0, dtype=np.int64)
    if dynamics == "expected":
        none = np.empty(0)
        return Hits(p, now, np.zeros(p.size), levels, np.empty((0, levels.size)), none, none.astype(np.uint64))
    crossed = np.full((p.size, levels.size), np.nan)
    key = rng.integers(2**64, size=2, dtype=np.uint64)
    return Hits(p, now, np.zeros(p.size, dtype=np.int64), levels, crossed, pairwise_sums(p), key)


def advance(state: Hits, examples: int) -> Hits:
    """Counts after that many examples in all: a pure function of the state.

    Raises
    ------
    InputError
        If it would go back in time, or beyond 2^53 examples.
    """
    before, now = int(state.examples), int(examples)
    if not before <= now <= LATEST:
        raise InputError(f"cannot advance from {before} to {now} examples; expected at least {before}, at most 2^53.")
    moment = np.array(now, dtype=np.int64)
    if not state.sampled:
        return state._replace(examples=moment, hits=state.frequencies * now)
    from quanta.learners import _kernels

    # Counter-based, keyed by the moment: the next draw is the same whatever was computed before, on any machine.
    rng = np.random.Generator(np.random.Philox(key=state.key, counter=[0, 0, 0, before]))
    hits, crossed = state.hits.copy(), state.crossed.copy()
    _kernels.scatter_hits(rng, now - before, state.tree, hits)
    _kernels.mark_crossings(rng, before, now, state.hits, hits, state.levels, crossed)
    return state._replace(examples=moment, hits=hits, crossed=crossed)


def realised(state: Hits) -> Truth:
    """Truth of a sampled run whose ``levels`` are the counts at 10, 50 and 90 % of the drop."""
    early, half, late = state.crossed.T
    return Truth(onset=half.copy(), width=np.log(late / early))


def foreseen(state: Hits, early: np.ndarray, half: np.ndarray, late: np.ndarray) -> Truth:
    """Truth of an expected run, from when 10, 50 and 90 % of each drop are done; nan where half lies ahead."""
    done = half <= state.examples
    with np.errstate(invalid="ignore"):
        return Truth(onset=np.where(done, half, np.nan), width=np.where(done, np.log(late / early), np.nan))


def no_steps(state: Hits) -> Truth:
    """Truth of a learner that makes no step."""
    return Truth(*np.full((2, state.frequencies.size), np.nan))


def pairwise_sums(p: np.ndarray) -> np.ndarray:
    """Binary tree of partial sums: leaves ``p`` padded with zeros, each node the sum of its two children."""
    size = 1 << (p.size - 1).bit_length()
    tree = np.zeros(2 * size)
    tree[size : size + p.size] = p
    while size > 1:
        half = size // 2
        tree[half:size] = tree[size : 2 * size : 2] + tree[size + 1 : 2 * size : 2]
        size = half
    return tree
