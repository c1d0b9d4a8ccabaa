"""Small parity networks for tests: how one begins, and what its weights are."""

import numpy as np

from quanta.learners import _parity_data as data
from quanta.learners import _parity_engine as engine
from quanta.learners import _parity_reference as reference
from quanta.learners import _parity_tables as tables
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
    now = engine.current(tables.as_trained(state), learner._rule).weights
    return engine.natural(now, learner.width).each(lambda array: array.astype(np.float64))


def a_stream(p, rng, n_examples=0):
    """A stream of examples, subtasks drawn with frequencies p; or of a finite set, seen again and again."""
    return data.Source(*rng.integers(2**64, size=2, dtype=np.uint64), n_examples, *data.alias_table(p))


def moving(weights):
    """State of the fast path before its first step, from weights as the reference has them."""
    now = engine.blocked(weights)
    moments = [now.each(lambda array: engine.copy(np.zeros_like(array))) for _ in range(2)]
    return engine.State(now, *moments, np.zeros(len(weights.controls), dtype=np.int64), np.array(0))


def copied(state):
    """A state of the fast path in memory of its own."""
    kinds = (kind.each(engine.copy) for kind in (state.weights, state.moment1, state.moment2))
    return engine.State(*kinds, state.last.copy(), state.step.copy())


def trained_plainly(weights, stream, subtasks, rule, batch_size, steps):
    """Weights after so many steps of the reference."""
    now = reference.State(weights, weights.each(np.zeros_like), weights.each(np.zeros_like), 0)
    for step in range(steps):
        batch = data.draw(stream, subtasks, step * batch_size, batch_size)
        now = reference.move(now, reference.gradients(now.weights, subtasks, batch)[1], rule)
    return now.weights
