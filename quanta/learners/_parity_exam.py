"""What is seen of a parity network at full speed: its logits on strings of its own, and its hidden progress."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from quanta.learners import _parity_batches as batches
from quanta.learners import _parity_kernels as kernels
from quanta.learners import _parity_step as step
from quanta.learners._parity_data import Parities
from quanta.learners._parity_team import team
from quanta.learners._parity_vectors import LANES, kernel, store

_EXAMPLES = 16_384  # that are looked at together


class Piece(NamedTuple):
    """Some subtasks, each on as many strings."""

    subtask: np.ndarray
    """(n,) int64."""
    z: np.ndarray
    """(n, n_points): logits."""
    label: np.ndarray
    """(n, n_points), 0 or 1."""
    gap: np.ndarray
    """(n,): see :func:`fourier_gaps`; nan if not asked for."""


def examine(
    state: step.State, subtasks: Parities, key: np.uint64, n_points: int, width: int, hidden: bool
) -> Iterator[Piece]:
    """All subtasks, piece after piece, string j of subtask k being example n_points · k + j of a key.

    Parameters
    ----------
    state : State
        A network whose rows are all caught up: see ``_parity_engine.current``.
    subtasks : Parities
        What it was trained on.
    key : np.uint64
        Of the strings: other ones than in training, and others for every subtask.
    n_points : int
        Strings of a subtask, a multiple of 64.
    width : int
        Units of the network.
    hidden : bool
        Also find the Fourier gaps.
    """
    n_subtasks = len(subtasks.masks)
    count = min(n_subtasks, max(1, _EXAMPLES // n_points))
    batch = batches.groups(subtasks, n_points * count)
    work = step.space(state.weights, batch._replace(touched=batch.touched[:0]), 1, True)
    shape = kernels.chunks(state.weights.bits.shape[1])
    for bits, tables in zip(state.weights.bits, work.tables, strict=True):
        kernels.tabulate_weights(bits, tables)
    for begin in range(0, n_subtasks, count):
        some = np.arange(begin, min(begin + count, n_subtasks))
        n = n_points * some.size
        batch.sizes[0], batch.present[: some.size] = some.size, some
        batch.first[: some.size + 1] = n_points * np.arange(some.size + 1)
        batch.row[:n] = np.repeat(np.arange(some.size), n_points)
        batch.number[:n] = np.arange(n_points * begin, n_points * begin + n, dtype=np.uint64)
        step.subtask_rows(team(), subtasks, state, batch, work.rows)
        step.examples(team(), shape, key, subtasks.masks, state.weights, batch, work)
        gap = np.full(some.size, np.nan)
        if hidden:
            fourier_gaps(n_points, subtasks.bits(len(state.weights.bits[0])), width, batch, work, gap)
        yield Piece(some, work.z[:n].reshape(-1, n_points), work.label[:n].reshape(-1, n_points), gap)


@kernel
def fourier_gaps(
    n_points: int, members: np.ndarray, width: int, batch: batches.Groups, work: step.Space, gap: np.ndarray
) -> None:
    """Fourier gaps of the subtasks of a batch, into ``gap`` (n,).

    Let f be 1 where a unit is active and 0 elsewhere, χ_T the parity of the bits in T as ± 1, and f̂(T) = E[f χ_T]. f has a
    Fourier gap γ at S if |f̂| of every set that is S without one of its bits exceeds |f̂| of every set that is S with one bit
    more by at least γ (Barak, Edelman, Goel, Kakade, Malach, Zhang 2022, section 4). Here it is the greatest such γ, below 0
    where there is none, of the unit where it is greatest. A gate as ± 1, such as their majority, has twice the gap.

    While z is near 0, the mean gradient of a unit's weight of bit i is proportional to f̂ at S without, or with, i if bits are
    ± 1, as theirs; ours are 0 and 1, so that f̂(S), the same for all bits, is taken from it.

    Each f̂ has a standard error of up to 1 / √n_points (0.7 of that for a unit that is active half of the time), and the gap of
    the best of many units is greater by chance by a few of them.
    """
    n_tiles = n_points // batches.TILE
    sums = work.by_bit[0]
    inside, outside = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    every = np.empty(LANES, dtype=np.float32)
    for s in range(batch.sizes[0] * n_points):
        work.error[s] = 1 - 2 * np.float32(work.label[s])
    for p in range(batch.sizes[0]):
        best, first, member = -1.0, p * n_points, members[batch.present[p]]
        columns, error = work.columns[p * n_tiles : (p + 1) * n_tiles], work.error[first : first + n_points]
        for b in range(len(work.tables)):
            active = work.active[b, first : first + n_points]
            kernels.by_bit(columns, active, error, work.scratch[0], sums)
            store(every, 0, kernels.in_all(0, n_points, active, error))
            inside[:], outside[:] = n_points, 0
            for i in range(len(sums)):
                for j in range(LANES):
                    coefficient = abs(every[j] - 2 * sums[i, j])
                    if member[i]:
                        inside[j] = min(inside[j], coefficient)
                    else:
                        outside[j] = max(outside[j], coefficient)
            for j in range(min(LANES, width - LANES * b)):
                best = max(best, (inside[j] - outside[j]) / n_points)
        gap[p] = best
