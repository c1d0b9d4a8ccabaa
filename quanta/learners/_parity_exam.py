"""What is seen of a parity network at full speed: its logits on strings of its own, and its hidden progress."""

from collections.abc import Iterator

import numpy as np

from quanta.learners import _parity_batches as batches
from quanta.learners import _parity_kernels as kernels
from quanta.learners import _parity_step as step
from quanta.learners._parity_data import Parities, strings
from quanta.learners._parity_reference import Weights
from quanta.learners._parity_state import Look, Piece
from quanta.learners._parity_team import team
from quanta.learners._parity_vectors import LANES, kernel, load, positive, store, total, where, zero

_EXAMPLES = 16_384  # that are looked at together
_FEW = 8  # strings whose first layers stay in the first cache


def examine(state: step.State, subtasks: Parities, look: Look) -> Iterator[Piece]:
    """All subtasks, piece after piece.

    Parameters
    ----------
    state : State
        A network whose rows are all caught up: see ``_parity_engine.current``.
    subtasks : Parities
        What it was trained on.
    look : Look
        On which strings, and whether the Fourier gaps are asked for.
    """
    n_points, n_subtasks = look.n_points, len(subtasks.masks)
    count = min(n_subtasks, max(1, _EXAMPLES // n_points))
    batch = batches.groups(subtasks, n_points * count)
    work = step.space(state.weights, batch._replace(touched=batch.touched[:0]), 1, True)
    shape = kernels.chunks(state.weights.bits.shape[1])
    for bits, tables in zip(state.weights.bits, work.tables, strict=True):
        kernels.tabulate_weights(bits, tables)
    common = _common(state, look, shape, work) if look.shared and not look.hidden else None
    members = subtasks.bits(state.weights.bits.shape[1])
    for begin in range(0, n_subtasks, count):
        some = np.arange(begin, min(begin + count, n_subtasks))
        n, gap = n_points * some.size, np.full(some.size, np.nan)
        batch.sizes[0], batch.present[: some.size] = some.size, some
        step.subtask_rows(team(), subtasks, state, batch, work.rows)
        if common is not None:
            again(*common, state.weights, subtasks.masks[some], work.rows, work.z, work.label)
        else:
            batch.begin[: some.size + 1] = n_points * np.arange(some.size + 1)
            batch.row[:n] = np.repeat(np.arange(some.size), n_points)
            batch.number[:n] = np.concatenate([look.start(k) + np.arange(n_points) for k in some.tolist()])
            step.examples(team(), shape, look.key, subtasks.masks, state.weights, batch, work)
        if look.hidden:
            fourier_gaps(n_points, members, look.width, batch, work, gap)
        yield Piece(some, work.z[:n].reshape(-1, n_points), work.label[:n].reshape(-1, n_points), gap)


def _common(state: step.State, look: Look, shape: kernels.Chunks, work: step.Space) -> tuple[np.ndarray, np.ndarray]:
    """Strings that all subtasks are seen on, (n_points, 2), and what they bring to the first layer, (n_points, n_blocks · 16)."""
    words = strings(look.key, np.arange(look.n_points))
    layer = step.aligned((look.n_points, work.rows.shape[1]))
    kernels.first_layer(shape, words, work.tables, layer)
    return words, layer


@kernel
def again(
    words: np.ndarray, layer: np.ndarray, weights: Weights, masks: np.ndarray, rows: np.ndarray,
    z: np.ndarray, label: np.ndarray,
) -> None:  # fmt: skip
    """Logits and labels of some subtasks on strings that all have in common.

    Parameters
    ----------
    words, layer : np.ndarray, shape (n_points, 2), uint64, and (n_points, n_blocks · 16)
        The strings, and what they bring to the first layer.
    weights : Weights
        As a state has them.
    masks : np.ndarray, shape (n, 2), uint64
        Bits of each subtask.
    rows : np.ndarray, shape (n, n_blocks · 16)
        What each subtask brings to the first layer.
    z, label : np.ndarray, shape (n · n_points,)
        Are written.
    """
    n_points, width = layer.shape
    for begin in range(0, n_points, _FEW):
        for p in range(len(masks)):
            for s in range(begin, min(begin + _FEW, n_points)):
                sums = zero()
                for b in range(width // LANES):
                    unit = load(layer, s * width + b * LANES) + load(rows, p * width + b * LANES)
                    sums = sums + where(positive(unit), unit * load(weights.out, b * LANES))
                z[p * n_points + s] = total(sums) + weights.out_bias[0]
                label[p * n_points + s] = batches.odd((words[s, 0] & masks[p, 0]) ^ (words[s, 1] & masks[p, 1]))


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
        best, begin, member = -1.0, p * n_points, members[batch.present[p]]
        columns, error = work.columns[p * n_tiles : (p + 1) * n_tiles], work.error[begin : begin + n_points]
        for b in range(len(work.tables)):
            active = work.active[b, begin : begin + n_points]
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
