"""Frequencies with which a learner of independent subtasks has a mean loss that is given.

A mean loss is a sum over subtasks, and a sum can be reached in many ways: with frequencies of its own, nearly every
theory has nearly every mean loss. What tells theories apart is in the single curves.
"""

from typing import NamedTuple

import numpy as np

from quanta._compare_templates import left_at
from quanta._errors import InputError
from quanta.learners import AbstractIndependent, AbstractLearner

_RARE = 1e-6  # a frequency at which learners are at their limit of rare subtasks
_SPACING = 0.05  # nats between the onsets that the law is made of
_BEFORE, _AFTER = 10.0, 4.0  # nats by which they reach beyond the window
_TOLERANCE, _WHOLE = 2e-3, 5e-4  # of the mean loss, relative; of the sum of frequencies
_STIFFNESS = 10.0  # of the law: what its second difference costs


class World(NamedTuple):
    """Frequencies and clock that give a learner the mean loss that was asked for."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k, falling, summing to 1."""
    clock: float
    """Examples, or steps, of the learner in one unit of the time of the mean loss that was given."""
    deviation: float
    r"""Largest \|Δ ln L\| in the window, of these very subtasks."""


def same_macro(learner: AbstractLearner, time: np.ndarray, loss: np.ndarray, *, n_subtasks: int = 20_000) -> World:
    r"""Find the frequencies with which a learner's mean loss is the one that is given.

    .. math:: L(t) = \sum_j m_j\, p_j\, l(p_j^\gamma\, c\, t), \qquad \sum_j m_j\, p_j = 1, \qquad m_j \ge 0

    with l as a share of what there is to learn. The density of subtasks m over log onset is the non-negative least-squares solution for
    the relative error, held smooth by a penalty on its second difference; then it is cut into ``n_subtasks`` whole
    subtasks, each with the share of p that falls into its piece, and the sum is computed again from them.

    Parameters
    ----------
    learner : AbstractIndependent
        The theory.
    time : np.ndarray, shape (n_times,)
        The window, in any unit of time, ascending.
    loss : np.ndarray, shape (n_times,)
        Mean loss in units of chance: above 0, below 1, falling.
    n_subtasks : int
        Subtasks of the world; the more, the less of the steps of single ones is seen in the mean.

    Returns
    -------
    World
        Its ``deviation`` says how near it came: not every theory can reach every mean loss.

    Raises
    ------
    InputError
        If the subtasks of the learner meet, or do not differ by frequency, or the window is none.

    Examples
    --------
    >>> from quanta.learners import Exponential
    >>> time = np.geomspace(10, 1000, 30)
    >>> same_macro(Exponential(), time, time**-0.4).deviation < 0.01
    True
    """
    time, loss = _window(time, loss)
    name = type(learner).__name__
    if not isinstance(learner, AbstractIndependent):
        raise InputError(f"the subtasks of {name} meet: its mean loss is no sum over frequencies. Simulate it.")
    if not learner.onset_exponent > 0:
        raise InputError(f"{name} learns all subtasks at once: no frequencies change its mean loss.")
    if not learner.exchangeable:
        raise InputError(f"the loss of a subtask of {learner!r} depends on its rank; expected on its frequency alone.")
    log_onset, weight = law(learner, np.log(time), loss)
    frequencies, clock = _whole(learner, log_onset, weight, n_subtasks)
    found = mean_loss(learner, frequencies, clock * time)
    return World(frequencies, clock, float(np.max(np.abs(np.log(found / loss)))))


def best_macro(learner: AbstractIndependent, log_time: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """The mean loss, (n_times,), in units of chance, that comes nearest to a given one under any law of frequencies."""
    log_onset, weight = law(learner, log_time, loss)
    return _curves(learner, log_time[:, None] - log_onset[None, :]) @ weight


def mean_loss(learner: AbstractIndependent, frequencies: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Mean loss, as a share of what there is to learn, (n_times,), of the mean field; no array of subtasks × times is made at once."""
    parts = np.array_split(frequencies, max(1, frequencies.size // 2000))
    total = sum(p @ (learner.expected(p[:, None], examples[None, :]) - learner.learned_loss) for p in parts)
    return np.asarray(total) / (learner.chance_loss - learner.learned_loss)


def _window(time: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    time, loss = np.asarray(time, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if time.ndim != 1 or time.shape != loss.shape or time.size < 10:
        raise InputError(f"time and loss have shapes {time.shape} and {loss.shape}; expected both (n,), n at least 10.")
    if not (np.all(time > 0) and np.all(np.diff(time) > 0)):
        raise InputError("time does not ascend from above 0.")
    if not (np.all((loss > 0) & (loss < 1)) and loss[-1] < loss[0]):
        raise InputError("loss does not fall from below 1 to above 0; expected a mean loss in units of chance.")
    return time, loss


def law(learner: AbstractIndependent, log_time: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log onsets, and the share of all frequency that subtasks have which are learned then, both (n_onsets,).

    The continuous law of :func:`same_macro`, before it is cut into subtasks.
    """
    from scipy import optimize

    onset = np.arange(log_time[0] - _BEFORE, log_time[-1] + _AFTER, _SPACING)
    trend = np.polynomial.Polynomial.fit(log_time, np.log(loss), 3)
    slope = np.minimum(trend.deriv()(np.clip(onset, *log_time[[0, -1]])), -0.01)
    level = np.exp(trend(np.clip(onset, *log_time[[0, -1]])) + slope * np.maximum(onset - log_time[-1], 0))
    # What a learner of steps would have, about; the law is sought as a smooth factor on it.
    steps = -slope * level * _SPACING
    curves = _curves(learner, log_time[:, None] - onset[None, :]) * steps / loss[:, None]
    bend = _STIFFNESS * np.diff(np.eye(onset.size), 2, axis=0)
    rows = np.vstack([curves / _TOLERANCE, steps / _WHOLE, bend])
    right = np.concatenate([np.full(loss.size, 1 / _TOLERANCE), [1 / _WHOLE], np.zeros(len(bend))])
    factor, _ = optimize.nnls(rows, right, maxiter=100 * onset.size)
    weight = factor * steps
    return onset, weight / weight.sum()


def _curves(learner: AbstractIndependent, age: np.ndarray) -> np.ndarray:
    """What is left where a weight is spread linearly to its neighbours, as between the onsets of a law."""
    share = np.linspace(-0.9, 0.9, 19)
    return np.tensordot(1 - np.abs(share), [left_at(learner, age - _SPACING * one) for one in share], axes=1) / 10


def _whole(
    learner: AbstractIndependent, log_onset: np.ndarray, weight: np.ndarray, n_subtasks: int
) -> tuple[np.ndarray, float]:
    """The law as whole subtasks: their frequencies, falling, (n_subtasks,), and the clock on which it holds."""
    gamma = learner.onset_exponent
    finer = np.linspace(log_onset[0], log_onset[-1], 20 * log_onset.size)  # or neighbours would be learned all at once
    weight = np.interp(finer, log_onset, weight)
    log_onset, weight = finer, weight / weight.sum()
    each = weight * np.exp(log_onset / gamma)  # onset ∝ p^-γ: p · onset^(1/γ) is one number for all
    count = n_subtasks * np.cumsum(each) / each.sum()
    # The share of p below each whole count: a subtask has what lies between two of them, its own piece of the law.
    below = np.interp(np.arange(n_subtasks + 1), np.append(0.0, count), np.append(0.0, np.cumsum(weight)))
    frequencies = -np.sort(-np.diff(below))
    constant = learner.onset(np.array([_RARE]))[0] * _RARE**gamma
    return frequencies / frequencies.sum(), float(constant * (n_subtasks / each.sum()) ** gamma)
