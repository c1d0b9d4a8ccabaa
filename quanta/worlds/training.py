"""Traps of training: few exposures, learning-rate schedules, overshoot, interference."""

import math

import numpy as np

from quanta.worlds import shapes
from quanta.worlds.base import (
    ORDERED,
    ORDERED_SMOOTH,
    SMOOTH,
    UNDETERMINED,
    Build,
    Draft,
    World,
    draft,
    ordered_times,
    window,
    zipf,
)
from quanta.worlds.families import BASELINE
from quanta.worlds.smooth import exponential_of


def few_hits(n_hits: int) -> Build:
    """Build a single run in which a subtask is learned at its n_hits-th exposure, at once."""

    def build(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
        step, t = window(n_checkpoints)
        frequency = zipf(n_subtasks)
        wait = ordered_times(frequency, rng, first=40, gamma=0.8, jitter=0.0) / n_hits
        hits = np.ceil(np.cumsum(wait * rng.standard_exponential((n_subtasks, n_hits)), axis=1))
        onset = hits[:, -1:]
        learned = t >= onset
        later = rng.poisson(np.diff(np.maximum(t - onset, 0), axis=1, prepend=0) / wait)
        exposures = np.cumsum(later, axis=1) + (hits[:, :, None] <= t).sum(1)
        return draft(
            step,
            frequency,
            np.where(learned, 0.0, 1.0),
            exposures=exposures,
            dynamics="sampled",
            true_onset=onset[:, 0],
            true_width=np.zeros(n_subtasks),
        )

    return build


def warmup(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw exponentials in Σ lr, all learned within a linear warm-up of 10,000 steps."""
    step, t = window(n_checkpoints)
    end = 10_000
    rate = np.minimum((t + 1) / end, 1.0)
    total = np.where(t < end, t * (t + 1) / (2 * end), (end + 1) / 2 + t - end)
    frequency = zipf(n_subtasks)
    remaining = exponential_of(total, ordered_times(frequency, rng, first=1.0), rng)
    return draft(step, frequency, remaining, learning_rate=0.3 * rate, learning_rate_sum=0.3 * total)


def _noisy_quadratic(t: np.ndarray, rate: np.ndarray, tau: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Integrate dv/dT = -(v - floor·rate)/tau, dT = rate dt, v(0) = 1: the loss of SGD on a quadratic, its noise ∝ lr.

    Exact where the rate is constant between the points of t, shape (n,); returns shape (n_subtasks, n).
    """
    middle = (rate[1:] + rate[:-1]) / 2
    decay = np.exp(-middle * np.diff(t) / tau)
    v = np.ones((len(tau), t.size))
    for i in range(t.size - 1):
        level = floor[:, 0] * middle[i]
        v[:, i + 1] = level + (v[:, i] - level) * decay[:, i]
    return v


def _decaying(step: np.ndarray, n_subtasks: int, rng: np.random.Generator) -> Draft:
    frequency = zipf(n_subtasks)
    fine = np.union1d(step, np.concatenate([[0], np.geomspace(1, step[-1], 2000)]))
    rate = np.clip((12_000 - fine) / 7_000, 0.02, 1.0)
    tau = ordered_times(frequency, rng, gamma=0.5)
    curves = _noisy_quadratic(fine, rate, tau, rng.uniform(0.4, 0.75, tau.shape))
    total = np.concatenate([[0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(fine))])
    kept = np.searchsorted(fine, step)
    return draft(step, frequency, curves[:, kept], learning_rate=0.3 * rate[kept], learning_rate_sum=0.3 * total[kept])


def decay(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw noisy quadratics at a rate that falls from step 5,000 to 12,000, to .02 of what it was.

    The loss first settles on a floor ∝ lr, .4 to .75 of the start, and drops again as the rate decays.
    """
    return _decaying(window(n_checkpoints)[0], n_subtasks, rng)


def late_decay(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw the same, measured from step 2,000 on."""
    return _decaying(window(n_checkpoints + 1, first=2000)[0][1:], n_subtasks, rng)


def overshoot(learns: bool) -> Build:
    """Build runs that leap to 2-12 times chance within a step or two, fall back together near step 10, then learn or not."""

    def build(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
        step, t = window(n_checkpoints)
        frequency = zipf(n_subtasks)
        rise = (1 + BASELINE) * rng.uniform(1, 11, (n_subtasks, 1)) * -np.expm1(-2 * t)
        remaining = rise * shapes.logistic(t, 10 * np.exp(0.1 * rng.standard_normal((n_subtasks, 1))), 0.6)
        half_life = ordered_times(frequency, rng, first=80, gamma=0.75)
        remaining += exponential_of(t, half_life, rng) if learns else 1.0
        return draft(step, frequency, remaining, chance=math.log(2), n_classes=2)

    return build


def bumps(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw ordered exponentials, each with one Gaussian bump in ln t of .1 to .3 of its drop, while it is learned."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    half_life = ordered_times(frequency, rng)
    centre = np.log(half_life) + rng.uniform(-0.5, 1.5, half_life.shape)
    size, spread = rng.uniform(0.1, 0.3, half_life.shape), rng.uniform(0.2, 0.4, half_life.shape)
    bump = size * np.exp(-(((np.log(np.maximum(t, 0.5)) - centre) / spread) ** 2) / 2)
    return draft(step, frequency, exponential_of(t, half_life, rng) + bump)


TRAINING = (
    World(
        name="one_shot",
        right=UNDETERMINED,
        trap=True,
        summary="Each subtask is learned at its first exposure: e^{-pt} in expectation and a step in one run.",
        build=few_hits(1),
    ),
    World(
        name="three_shot",
        right=UNDETERMINED,
        trap=True,
        summary="Each subtask is learned at its third exposure: a step in one run, S = 1.8 in expectation.",
        build=few_hits(3),
    ),
    World(
        name="many_shot",
        right=ORDERED,
        summary="Each subtask is learned at its 100th exposure: sharp in one run and in expectation; exposures must not veto it.",
        build=few_hits(100),
    ),
    World(
        name="learning_rate_warmup",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="Exponentials in Σ lr, learned within a linear warm-up: on the clock of steps each has S = 2.",
        build=warmup,
    ),
    World(
        name="learning_rate_decay",
        right=ORDERED_SMOOTH | SMOOTH | UNDETERMINED,
        trap=True,
        summary="Noisy quadratics on a floor ∝ lr that drops again, all at once and sharply, as the rate decays.",
        build=decay,
    ),
    World(
        name="learning_rate_decay_late",
        right=ORDERED_SMOOTH | SMOOTH | UNDETERMINED,
        trap=True,
        summary="The same, measured from step 2,000 on: the drop of the decay is all that is seen.",
        build=late_decay,
    ),
    World(
        name="overshoot",
        right=UNDETERMINED,
        trap=True,
        summary="The loss leaps above chance, falls back to it at step 10 and stays: sharp, synchronous, and nothing was learned.",
        build=overshoot(learns=False),
    ),
    World(
        name="overshoot_exponential",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="The same, then exponentials: the sharp drop lies above chance, what is learned is smooth.",
        build=overshoot(learns=True),
    ),
    World(
        name="bumps",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="Exponentials, each with a bump of interference: the way down from a bump is a sharp drop.",
        build=bumps,
    ),
)
