"""The fast path of the parity network, of one hidden layer: its state, trained by ``_parity_engine``, seen by ``_parity_exam``."""

from collections.abc import Iterator

import numpy as np

from quanta.learners import _parity_engine as engine
from quanta.learners import _parity_exam as exam
from quanta.learners import _threads
from quanta.learners._parity_data import Source
from quanta.learners._parity_reference import Rule, Weights
from quanta.learners._parity_state import Look, Network, Piece


def begun(weights: Weights) -> Weights:
    """Weights as a state has them."""
    return engine.blocked(weights)


def advanced(state: Network, stream: Source, rule: Rule, step: int) -> Network:
    """State after that many steps in all, in memory of its own.

    Raises
    ------
    Diverged
        If the loss of a batch is not finite.
    """
    arrays = {name: engine.copy(getattr(state, name)) for name in Weights._fields}
    moved = state._replace(last=state.last.copy(), step=np.array(int(state.step)), **arrays)
    size, threads = int(state.batch_size), _threads.granted()
    with engine.Trainer(as_trained(moved), stream, state.subtasks, rule, size, threads) as trainer:
        trainer.run(step)
    return moved._replace(step=np.array(step), hits=state.hits + trainer.hits)


def weights(state: Network, rule: Rule) -> Weights:
    """The weights, as the reference has them but for columns of 0, after all steps that rows of control bits missed."""
    now = engine.current(as_trained(state), rule).weights
    return engine.natural(now, now.controls.shape[1])


def examined(state: Network, rule: Rule, look: Look) -> Iterator[Piece]:
    """All subtasks, piece after piece."""
    return exam.examine(engine.current(as_trained(state), rule), state.subtasks, look)


def as_trained(state: Network) -> engine.State:
    """The same, as the engine has it; not a copy."""
    return engine.State(state.layer(0), state.layer(1), state.layer(2), state.last, state.step)
