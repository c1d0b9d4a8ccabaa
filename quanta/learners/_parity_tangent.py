r"""A parity network of one hidden layer, linearised at its first weights: its features, its kernel, its moves.

With h the hidden layer and g its gates at the first weights, which stay what they are,

.. math:: z = z_0 + h \cdot \Delta w + \Delta b' + \sum_j g_j w_j (\Delta W_\text{bits} x + \Delta W_\text{controls} c + \Delta b)_j
"""

from typing import NamedTuple

import numpy as np

from quanta.learners import _parity_data as data
from quanta.learners import _parity_reference as reference
from quanta.learners._parity_data import Parities
from quanta.learners._parity_reference import Weights


class Features(NamedTuple):
    """What the linearised network sees of n examples."""

    subtask: np.ndarray
    """(n,) int64."""
    x: np.ndarray
    """(n, n_bits): the strings, 0 or 1."""
    hidden: np.ndarray
    """(n, width): the hidden layer at the first weights."""
    back: np.ndarray
    """(n, width): the derivative of z in what the hidden units are fed, g w."""
    z: np.ndarray
    """(n,): logits of the first weights."""


def features(weights: Weights, subtasks: Parities, subtask: np.ndarray, words: np.ndarray) -> Features:
    """Of strings (n, 2), at the first weights, in their dtype."""
    x = data.unpacked(words, len(weights.bits)).astype(weights.bits.dtype)
    fed = x @ weights.bits
    fed += weights.bias
    fed += reference.from_controls(weights, subtasks, subtask)
    hidden = np.maximum(fed, 0)
    back = (fed > 0) * weights.out
    return Features(subtask, x, hidden, back, hidden @ weights.out + weights.out_bias)


def moved(f: Features, subtasks: Parities, change: Weights) -> np.ndarray:
    """J Δ: by how much the logits change, (n,), where the weights do by Δ."""
    fed = f.x @ change.bits
    fed += change.bias
    fed += reference.from_controls(change, subtasks, f.subtask)
    return np.einsum("nj,nj->n", fed, f.back) + f.hidden @ change.out + change.out_bias


def pulled(f: Features, subtasks: Parities, pull: np.ndarray) -> Weights:
    """Jᵀ of a pull on every logit, (n,): the gradient in the weights."""
    back = f.back * pull[:, None]
    width, dtype = back.shape[1], back.dtype
    controls = np.zeros((subtasks.n_controls, width), dtype=dtype)
    reference.to_controls(controls, subtasks, f.subtask, back)
    no_hidden = np.zeros((0, width, width), dtype=dtype), np.zeros((0, width), dtype=dtype)
    return Weights(
        controls, f.x.T @ back, back.sum(axis=0), *no_hidden, pull @ f.hidden, pull.sum(keepdims=True)
    )  # fmt: skip


def doubled(change: Weights) -> Weights:
    """What gradient flow makes of a gradient: the output's weights, differences of two, move twice as far."""
    return change._replace(out=2 * change.out, out_bias=2 * change.out_bias)


def gram(f: Features, subtasks: Parities) -> np.ndarray:
    r"""J D Jᵀ, (n, n), D as in :func:`doubled`: how fast a pull on one logit moves another (the neural tangent kernel).

    .. math:: K = 2 (h \cdot h' + 1) + (x \cdot x' + c \cdot c' + 1) \sum_j g_j g'_j w_j^2

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; here of finite width, at the very weights.
    """
    on = np.zeros((len(subtasks.masks), subtasks.n_controls), dtype=f.x.dtype)
    on[np.repeat(np.arange(len(on)), np.diff(subtasks.begin)), subtasks.on] = 1
    kernel = f.x @ f.x.T
    kernel += (on @ on.T)[np.ix_(f.subtask, f.subtask)]
    kernel += 1
    kernel *= f.back @ f.back.T
    kernel += 2 * (f.hidden @ f.hidden.T)
    kernel += 2
    return kernel
