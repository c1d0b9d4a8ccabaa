"""Worlds whose subtasks meet, with the mean loss that `benchmarks/telling.py` shares: what can pass for what."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from telling import CLOSE, MARGIN, N_SUBTASKS, Reference, chosen

from quanta._same_macro import law, same_macro
from quanta.learners import AbstractLearner, Domino, Exponential, Resource

_START = 1000  # steps before the window begins
_TURNS = 30  # of a domino by then
_ROUNDS, _DAMPING = 80, 0.5


class Coupled(NamedTuple):
    """A world that was run, and what its theory says of one subtask."""

    learner: AbstractLearner
    frequencies: np.ndarray
    """(n_subtasks,) falling."""
    mean: np.ndarray
    """(n_times,) mean loss of the simulated run at the times of the reference, in units of chance."""
    deviation: float
    r"""Largest \|Δ ln L\| in the window, of the simulated run."""
    onset: np.ndarray
    """(n_subtasks,) half-times, in the time of the reference."""
    timing: float
    """γ of onset ∝ p^-γ: its slope over the middle of the window."""
    curve: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Onsets (n,) and times (m,) → what is left, (n, m): the theory's own shapes."""

    def curves(self, shared: Reference, n_checkpoints: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Curves of n subtasks of the simulated run, in units of chance: see :func:`telling.curves`."""
        place = chosen(self.onset, shared, n, rng)
        state, seen = self.learner.start(self.frequencies, rng), []
        for step in _steps(np.geomspace(shared.time[0], shared.time[-1], n_checkpoints)):
            state = self.learner.advance(state, int(step))
            seen.append(self.learner.measure(state)["loss"][place])
        return np.stack(seen, axis=1) / self.learner.chance_loss


def _steps(time: np.ndarray) -> np.ndarray:
    """Steps at times that begin with the window."""
    return np.rint(_START * time / time[0])


def _ran(learner: AbstractLearner, p: np.ndarray, shared: Reference) -> tuple[np.ndarray, float, np.ndarray, float]:
    """The simulated mean loss and its deviation; onsets in the time of the reference, and their γ within the window."""
    state, seen = learner.start(p, np.random.default_rng(0)), []
    for step in _steps(shared.time):
        state = learner.advance(state, int(step))
        seen.append(p @ learner.measure(state)["loss"] / learner.chance_loss)
    onset = learner.onset(p) * shared.time[0] / _START
    inner = (onset > shared.time[0] * math.exp(MARGIN)) & (onset < shared.time[-1] * math.exp(-MARGIN))
    gamma = -float(np.polyfit(np.log(p[inner]), np.log(onset[inner]), 1)[0])
    mean = np.array(seen)
    return mean, float(np.max(np.abs(np.log(mean / shared.loss)))), onset, gamma


def domino(shared: Reference) -> Coupled:
    """One after another: p_k is what the mean loss falls in the k-th turn, so that any convex mean loss is reached."""
    from scipy import interpolate, optimize

    turn = shared.time[0] / _TURNS
    last = math.floor(shared.time[-1] / turn)
    loss = interpolate.CubicSpline(np.log(shared.time), np.log(shared.loss))
    fall = -np.diff(np.exp(loss(np.log(turn * np.arange(_TURNS, last + 1)))))
    # Before the window geometric, from its first turn up to what has to be lost by then; after it geometric, to nothing.
    before = 1 - shared.loss[0]
    back = np.arange(1, _TURNS + 1)
    ratio = optimize.brentq(lambda r: fall[0] * np.sum(r**back) - before, 1.0, 3.0)
    rest = math.exp(float(loss(math.log(turn * last))))
    decay = 1 / (1 + fall[-1] / rest)
    after = fall[-1] * decay ** np.arange(1, math.ceil(8 / (1 - decay)))
    p = -np.sort(-np.concatenate([fall[0] * ratio**back, fall, after]))
    learner = Domino(turn=_START / _TURNS)
    p /= p.sum()

    def curve(half: np.ndarray, time: np.ndarray) -> np.ndarray:
        ahead = half / turn - (1 - math.sqrt(0.5))
        return (1 - np.clip(time[None, :] / turn - ahead[:, None], 0, 1)) ** 2

    return Coupled(learner, p, *_ran(learner, p, shared), curve)


def resource(shared: Reference, waste: float) -> Coupled:
    """A shared resource: exponentials in an effort whose clock runs as the frequencies let it, so both are sought in turn.

    ``waste`` is N₀ in units of the demand that is left in the middle of the window. With p_j = 1/T_j, T_j the half-time in
    effort, and w_j the share of frequency there, w_j T_j subtasks have each the skill 1 - 2^(-e/2T_j) after an effort e.
    """
    log_time, middle = np.log(shared.time), shared.time.size // 2
    log_effort = 1.36 * log_time
    for _ in range(_ROUNDS):
        log_onset, weight = law(Exponential(), log_effort, shared.loss)
        tried = np.linspace(log_effort[0] - 6, log_effort[-1] + 6, 600)
        undone = np.exp2(-0.5 * np.exp(tried[:, None] - log_onset[None, :]))
        wasted = waste * float(np.exp2(-0.5 * np.exp(log_effort[middle] - log_onset)) @ weight)
        spent = np.log((1 - undone) @ (weight * np.exp(log_onset)) + wasted * math.log(2) / 2 * np.exp(tried))
        start = float(np.interp(log_effort[0], tried, spent))
        step = np.interp(start + log_time - log_time[0], spent, tried) - log_effort
        log_effort = log_effort + _DAMPING * step
        if np.max(np.abs(step)) < 1e-6:
            break
    effort = np.exp(log_effort)
    for n in N_SUBTASKS:
        found = same_macro(Exponential(), effort, shared.loss, n_subtasks=n)
        if found.deviation <= CLOSE / 2:
            break
    given = -0.5 * math.log1p(-Exponential().rate) * found.clock * effort[0]  # 2 p s there is r p n here
    spent_first = -float(np.sum(np.expm1(-found.frequencies * given))) + wasted * given
    learner = Resource(waste=wasted, rate=float(spent_first / _START))

    def curve(half: np.ndarray, time: np.ndarray) -> np.ndarray:
        at, mid = (np.interp(np.log(t), log_time, log_effort) for t in (time, half))
        return np.exp2(-np.exp(at[None, :] - mid[:, None]))

    return Coupled(learner, found.frequencies, *_ran(learner, found.frequencies, shared), curve)
