"""Stochastic gradient descent on the strengths a_k b_k of skills: the two layers themselves, step by step."""

import math
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.learners.base import Overflow, Truth, moment

LEFT = (0.9, 0.5, 0.1)  # shares of the loss of which it is remembered when no more was left


class Noisy(NamedTuple):
    """State of noisy descent; plain arrays, so that it can be stored as it is."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    examples: np.ndarray
    """() examples seen; steps are made of whole batches of them."""
    hits: np.ndarray
    """(n_subtasks,) of which this subtask: p_k · examples. Their scatter is not drawn: noise is all that is."""
    a: np.ndarray
    """(n_subtasks,) weights of the first layer; float64, since a rare subtask moves by less than float32 can tell."""
    b: np.ndarray
    """(n_subtasks,) weights of the second."""
    crossed: np.ndarray
    """(n_subtasks, 3) examples after which no more than ``LEFT`` of the loss was left for the first time; nan before."""
    batch_size: np.ndarray
    """() examples in a step."""
    key: np.ndarray
    """() uint64: the noise of step t on subtask k is normal pair number t · n_subtasks + k of it."""


def start(
    p: np.ndarray, rng: np.random.Generator, *, batch_size: int, target: float, initial: float, rate: float
) -> Noisy:
    """Weights before the first step, both √initial.

    Raises
    ------
    InputError
        If steps are so large that those of the most frequent subtask diverge.
    """
    from quanta.learners import _random

    largest = 1 / (batch_size * float(p.max()) * target)  # the curvature at the minimum is 2 S p; stable below 2 / it
    if not rate < largest:
        raise InputError(
            f"rate is {rate}; expected a learning rate above 0 and below 1/(batch_size · p · target) = {largest:.4g}, "
            f"beyond which steps of {batch_size} examples diverge at the highest frequency, p = {p.max():.4g}."
        )
    weights = np.full(p.size, math.sqrt(initial))
    now, batch = np.array(0, dtype=np.int64), np.array(batch_size, dtype=np.int64)
    key = np.array(_random.new_key(rng))
    return Noisy(p, now, np.zeros(p.size), weights, weights.copy(), np.full((p.size, 3), np.nan), batch, key)


def advance(state: Noisy, time: int, *, target: float, initial: float, rate: float, noise: float) -> Noisy:
    """Weights after the whole batches in that many examples.

    Raises
    ------
    Overflow
        If a loss is not finite any more: names the first step and subtask.
    """
    from quanta.learners import _noisy_kernels

    then, batch = moment(int(state.examples), time), int(state.batch_size)
    a, b, crossed = state.a.copy(), state.b.copy(), state.crossed.copy()
    levels = target - np.sqrt(LEFT) * (target - initial)
    step, subtask = _noisy_kernels.descend(
        np.uint64(state.key), np.int64(int(state.examples) // batch), np.int64(time // batch), a, b,
        rate * batch * state.frequencies, rate * noise * np.sqrt(batch * state.frequencies),
        float(target), levels, crossed,
    )  # fmt: skip
    if subtask >= 0:
        raise Overflow(int(step), int(subtask), f"Lower the rate of {rate} or the noise of {noise}.")
    crossed[np.isnan(state.crossed)] *= batch  # steps that were just made
    return state._replace(examples=then, hits=state.frequencies * time, a=a, b=b, crossed=crossed)


def loss(state: Noisy, target: float) -> np.ndarray:
    """½ (S - a b)², (n_subtasks,)."""
    return 0.5 * np.square(target - state.a * state.b)


def truth(state: Noisy) -> Truth:
    """When the strengths first passed their levels."""
    early, half, late = state.crossed.T
    return Truth(onset=half.copy(), width=np.log(late / early))
