"""A ReLU network on multitask sparse parity, in plain NumPy: the portable path, of any depth, and the oracle of the fast one.

Control bits are rows that are gathered, not a one-hot input that is multiplied. The two logits of a binary
classifier are one number z, their difference: its weights w = w₁ - w₀ move by twice what w₁ moves, so the learning rate of
the output is doubled and nothing else (the gradients of w₀ and w₁ are opposite, and so are their moments under Adam).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.learners import _parity_data as data

BETAS = (0.9, 0.999)
EPSILON = 1e-8
MOST_DECAY = 0.9
"""Of a weight, at a step."""
ROWS = 4096  # rows in a piece: what is in memory at a time does not grow with the batch


class Rule(NamedTuple):
    """How weights move: plain SGD, or Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: str
    """"adam" or "sgd"."""
    learning_rate: float
    weight_decay: float


def check_decay(weight_decay: float, rate: float) -> None:
    """Refuse a decay that is none, or that leaves less than a tenth of a weight at every step: nothing could be learned.

    Raises
    ------
    InputError
        If it is below 0, or above 0.9 / rate.
    """
    if not 0 <= weight_decay * rate <= MOST_DECAY:
        raise InputError(
            f"weight_decay is {weight_decay}; expected 0 or more, and at most {MOST_DECAY / rate:g} at a rate of {rate}."
        )


class Weights(NamedTuple):
    """Weights of a network, or as many numbers of another kind, of one dtype."""

    controls: np.ndarray
    """(n_controls, width): one row for each control bit."""
    bits: np.ndarray
    """(n_bits, width)."""
    bias: np.ndarray
    """(width,)."""
    hidden: np.ndarray
    """(depth - 1, width, width): further hidden layers."""
    hidden_bias: np.ndarray
    """(depth - 1, width)."""
    out: np.ndarray
    """(width,): weights of logit 1 minus those of logit 0."""
    out_bias: np.ndarray
    """(1,)."""

    def each(self, make: Callable[..., np.ndarray], *others: "Weights") -> "Weights":
        """A function of each array, and of those at its place in others."""
        return Weights(*(make(*arrays) for arrays in zip(self, *others, strict=True)))


class State(NamedTuple):
    """A network in training, with the moments of Adam."""

    weights: Weights
    moment1: Weights
    moment2: Weights
    step: int


def initial(
    n_controls: int, n_bits: int, width: int, depth: int, rng: np.random.Generator, dtype: type = np.float32
) -> Weights:
    """Weights before training: uniform within ± 1/√(inputs of the layer), biases too, as PyTorch's Linear by default.

    Raises
    ------
    InputError
        If a network cannot have this shape.
    """
    for name, value in (("width", width), ("depth", depth), ("n_bits", n_bits)):
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or more.")

    def uniform(inputs: int, *shape: int) -> np.ndarray:
        numbers = rng.random(shape, dtype=dtype)
        numbers -= 0.5  # in place: there may be very many
        numbers *= 2 / math.sqrt(inputs)
        return numbers

    inputs = n_controls + n_bits
    two_logits = uniform(width, 2, width + 1)
    out = two_logits[1] - two_logits[0]
    return Weights(
        uniform(inputs, n_controls, width), uniform(inputs, n_bits, width), uniform(inputs, width),
        uniform(width, depth - 1, width, width), uniform(width, depth - 1, width), out[:-1], out[-1:],
    )  # fmt: skip


def forward(
    weights: Weights, subtasks: data.Parities, subtask: np.ndarray, words: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Activations of every layer, first to last: (n, width) each, and z, (n,)."""
    dtype = weights.bits.dtype
    x = data.unpacked(words, len(weights.bits)).astype(dtype)
    layer = from_controls(weights, subtasks, subtask) + x @ weights.bits + weights.bias
    found = [np.maximum(layer, 0, out=layer)]
    for matrix, bias in zip(weights.hidden, weights.hidden_bias, strict=True):
        found.append(np.maximum(found[-1] @ matrix + bias, 0))
    return (*found, found[-1] @ weights.out + weights.out_bias)


def gradients(weights: Weights, subtasks: data.Parities, batch: data.Batch) -> tuple[float, Weights]:
    """Mean cross-entropy over a batch, in nats, and its exact gradient (that of ``out`` is that of logit 1)."""
    total, sums = 0.0, weights.each(np.zeros_like)
    for begin in range(0, batch.subtask.size, ROWS):
        piece = data.Batch(*(array[begin : begin + ROWS] for array in batch))
        loss, more = _piece(weights, subtasks, piece, batch.subtask.size)
        total += loss
        sums = sums.each(np.add, more)
    return total, sums


def losses(z: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Cross-entropy of each example, in nats, float64, (n,)."""
    margin = np.where(label == 1, z, -z).astype(np.float64)
    return np.logaddexp(0.0, -margin)


def correlations(active: np.ndarray, words: np.ndarray, label: np.ndarray, n_bits: int) -> np.ndarray:
    """Sums over strings of what ``_parity_exam.fourier_gaps`` calls f χ, of the sets that are S with or without a bit.

    Parameters
    ----------
    active : np.ndarray, shape (n, width), bool
        Which units are above 0 on each of n strings.
    words : np.ndarray, shape (n, 2), uint64
        The strings.
    label : np.ndarray, shape (n,)
        The parity of each on S.
    n_bits : int
        Bits of a string.

    Returns
    -------
    np.ndarray, shape (n_bits, width)
        float32: exact, for they are whole numbers.
    """
    signs = np.where(data.unpacked(words, n_bits) ^ (label[:, None] == 1), np.float32(-1), np.float32(1))
    return signs.T @ active.astype(np.float32)


def fourier_gap(sizes: np.ndarray, member: np.ndarray) -> float:
    """Fourier gap of a subtask, that of the unit where it is greatest: see ``_parity_exam.fourier_gaps``.

    Parameters
    ----------
    sizes : np.ndarray, shape (n_bits, width)
        |f̂| of each unit, of the sets that are S with or without a bit.
    member : np.ndarray, shape (n_bits,), bool
        The bits of S.
    """
    return float((sizes[member].min(axis=0) - sizes[~member].max(axis=0, initial=0)).max())


def move(state: State, gradient: Weights, rule: Rule) -> State:
    """State after one step of a rule, every weight touched."""
    step = state.step + 1
    rates = [rule.learning_rate * (2 if name.startswith("out") else 1) for name in Weights._fields]
    kept = 1 - rule.learning_rate * rule.weight_decay
    if rule.name == "sgd":
        weights = Weights(*(kept * w - rate * g for w, g, rate in zip(state.weights, gradient, rates, strict=True)))
        return state._replace(weights=weights, step=step)
    moment1 = state.moment1.each(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, gradient)
    moment2 = state.moment2.each(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * np.square(g), gradient)
    scale, root = 1 - BETAS[0] ** step, math.sqrt(1 - BETAS[1] ** step)
    weights = Weights(
        *(
            kept * w - (rate / scale) * m / (np.sqrt(v) / root + EPSILON)
            for w, m, v, rate in zip(state.weights, moment1, moment2, rates, strict=True)
        )
    )
    return State(weights, moment1, moment2, step)


def from_controls(weights: Weights, subtasks: data.Parities, subtask: np.ndarray) -> np.ndarray:
    """What the control bits of each example's subtask (n,) bring to the first layer, (n, width)."""
    if subtasks.on.size == len(subtasks.masks):
        return weights.controls[subtasks.on[subtask]]
    there, place = np.unique(subtask, return_inverse=True)  # a row for each subtask that is there, of many
    rows: np.ndarray = weights.controls[subtasks.on[subtasks.begin[there]]]
    for j in range(1, int(np.diff(subtasks.begin).max())):
        has = subtasks.begin[there] + j < subtasks.begin[there + 1]
        rows[has] += weights.controls[subtasks.on[subtasks.begin[there[has]] + j]]
    return rows[place]


def _piece(weights: Weights, subtasks: data.Parities, batch: data.Batch, n: int) -> tuple[float, Weights]:
    """Share of some examples in the mean loss of n, and in its gradient."""
    *layers, z = forward(weights, subtasks, batch.subtask, batch.words)
    error = ((1 / (1 + np.exp(-z.astype(np.float64))) - batch.label) / n).astype(z.dtype)
    grads = weights.each(np.zeros_like)
    grads.out[:] = error @ layers[-1]
    grads.out_bias[:] = error.sum()
    back = np.outer(error, weights.out) * (layers[-1] > 0)
    for i in range(len(weights.hidden) - 1, -1, -1):
        grads.hidden[i] = layers[i].T @ back
        grads.hidden_bias[i] = back.sum(axis=0)
        back = (back @ weights.hidden[i].T) * (layers[i] > 0)
    x = data.unpacked(batch.words, len(weights.bits)).astype(z.dtype)
    grads.bits[:] = x.T @ back
    grads.bias[:] = back.sum(axis=0)
    to_controls(grads.controls, subtasks, batch.subtask, back)
    return float(losses(z, batch.label).sum() / n), grads


def to_controls(into: np.ndarray, subtasks: data.Parities, subtask: np.ndarray, back: np.ndarray) -> None:
    """Add each example's row of ``back`` (n, width) to the rows of all control bits that are on in it, (n_controls, width)."""
    order = np.argsort(subtask, kind="stable")
    there, begin = np.unique(subtask[order], return_index=True)
    sums = np.add.reduceat(back[order], begin, axis=0)
    for j in range(int(np.diff(subtasks.begin).max())):
        has = subtasks.begin[there] + j < subtasks.begin[there + 1]
        np.add.at(into, subtasks.on[subtasks.begin[there[has]] + j], sums[has])
