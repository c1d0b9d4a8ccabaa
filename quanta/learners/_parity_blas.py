"""The portable path of the parity network: linear algebra of any depth, in float32; plain NumPy, see ``_parity_reference``."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from quanta.learners import _parity_data as data
from quanta.learners import _parity_reference as reference
from quanta.learners._parity_reference import Rule, Weights
from quanta.learners._parity_state import Diverged, Look, Network, Piece

Gradients = Callable[[Weights, data.Parities, data.Batch], tuple[float, Weights]]


def begun(weights: Weights) -> Weights:
    """Weights as a state has them."""
    return weights


def advanced(
    state: Network, stream: data.Source, rule: Rule, step: int, gradients: Gradients = reference.gradients
) -> Network:
    """State after that many steps in all.

    Parameters
    ----------
    state, stream, rule : Network, Source, Rule
        What is trained, on what, and how.
    step : int
        Steps in all.
    gradients : callable
        The mean loss of a batch, and its gradient.

    Raises
    ------
    Diverged
        If the loss of a batch is not finite.
    """
    size, hits = int(state.batch_size), state.hits.copy()
    now = reference.State(state.layer(0), state.layer(1), state.layer(2), int(state.step))
    while now.step < step:
        batch = data.draw(stream, state.subtasks, now.step * size, size)
        hits += np.bincount(batch.subtask, minlength=hits.size)
        loss, gradient = gradients(now.weights, state.subtasks, batch)
        now = reference.move(now, gradient, rule)
        if not math.isfinite(loss):
            raise Diverged(now.step)
    layers = now.weights.each(lambda *three: np.stack(three), now.moment1, now.moment2)
    return state._replace(step=np.array(step), hits=hits, **layers._asdict())


def weights(state: Network, rule: Rule) -> Weights:
    """The weights, as the reference has them."""
    return state.layer(0)


def examined(state: Network, rule: Rule, look: Look) -> Iterator[Piece]:
    """All subtasks, one after another."""
    now, subtasks, n_points = state.layer(0), state.subtasks, look.n_points
    members = subtasks.bits(len(now.bits))
    for k in range(state.frequencies.size):
        z, label, sums = np.empty(n_points, now.out.dtype), np.empty(n_points, np.uint8), np.zeros(now.bits.shape)
        for begin in range(0, n_points, reference.ROWS):
            some = slice(begin, min(begin + reference.ROWS, n_points))
            words = data.strings(look.key, look.start(k) + np.arange(some.start, some.stop))
            layer, *_, z[some] = reference.forward(now, subtasks, np.full(len(words), k), words)
            label[some] = data.parity(words & state.masks[k])
            if look.hidden:
                sums += reference.correlations(layer > 0, words, label[some], len(now.bits))
        gap = reference.fourier_gap(np.abs(sums) / n_points, members[k]) if look.hidden else math.nan
        yield Piece(np.array([k]), z[None], label[None], np.array([gap]))
