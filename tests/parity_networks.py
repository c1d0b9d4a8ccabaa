"""Small parity networks for tests: how one begins, and what its weights are."""

import numpy as np

from quanta.learners import _parity_engine as engine
from quanta.learners.parity_network import ParityNetwork


def zipf(n, exponent=1.4):
    """Frequencies of n subtasks."""
    p = np.arange(1, n + 1) ** -exponent
    return p / p.sum()


def begun(n_subtasks, batch_size, seed=0, **fields):
    """A learner, and its state before the first step."""
    learner = ParityNetwork(**fields)
    return learner, learner.start(zipf(n_subtasks), np.random.default_rng(seed), batch_size=batch_size)


def atoms_of(state):
    """Control bits of every subtask, one-hot or several-hot, (n_subtasks, n_controls)."""
    hot = np.zeros((len(state.masks), state.on.max() + 1))
    for row, (begin, end) in zip(hot, zip(state.begin[:-1], state.begin[1:], strict=True), strict=True):
        row[state.on[begin:end]] = 1
    return hot


def weights_of(learner, state):
    """The network's weights at its last step, in float64."""
    moving = engine.State(*map(state.layer, range(3)), state.last, state.step)
    now = engine.current(moving, learner._rule).weights
    return engine.natural(now, learner.width).each(lambda array: array.astype(np.float64))
