"""Worlds of sharp steps, where composition is the truth, and their near misses."""

import numpy as np

from quanta.frequencies import Uniform
from quanta.worlds import shapes
from quanta.worlds.base import (
    FIRST_ONSET,
    MIXED,
    ORDERED,
    REACH,
    SMOOTH,
    SYNCHRONOUS,
    UNDETERMINED,
    UNORDERED,
    Build,
    Draft,
    World,
    draft,
    ordered_times,
    window,
    zipf,
)

WIDTHS = (0.5, 1.2)
"""Range of the 10-90 % widths of steps, in nats."""


def _widths(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(*WIDTHS, n)


def _steps(shape: str, t: np.ndarray, onset: np.ndarray, width: np.ndarray) -> np.ndarray:
    """One step for each subtask, shape (n_subtasks, n_steps)."""
    curve = shapes.STEPS[shape]
    return np.stack([curve(t, o, w) for o, w in zip(onset.ravel(), width, strict=True)])


def ordered(shape: str, *, gamma: float = 1.0, first: float = FIRST_ONSET, share: float = 1.0) -> Build:
    """Build steps with onsets ∝ p^-γ; ``share`` < 1 leaves the rest of the drop to a power-law drift."""

    def build(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
        step, t = window(n_checkpoints)
        frequency = zipf(n_subtasks)
        onset, width = ordered_times(frequency, rng, first=first, gamma=gamma), _widths(rng, n_subtasks)
        remaining = share * _steps(shape, t, onset, width)
        if share < 1:
            remaining += (1 - share) * shapes.power_law(t, rng.uniform(5, 100, (n_subtasks, 1)), 0.8)
        return draft(step, frequency, remaining, true_onset=onset[:, 0], true_width=width)

    return build


def unordered(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw steps whose onsets are log-uniform, whatever the frequency."""
    return _scattered(zipf(n_subtasks), rng, n_checkpoints)


def _scattered(frequency: np.ndarray, rng: np.random.Generator, n_checkpoints: int) -> Draft:
    step, t = window(n_checkpoints)
    onset = FIRST_ONSET * REACH ** rng.uniform(size=frequency.size)
    width = _widths(rng, frequency.size)
    return draft(step, frequency, _steps("logistic", t, onset, width), true_onset=onset, true_width=width)


def equal_frequencies(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw steps at scattered times of subtasks that are equally frequent."""
    return _scattered(Uniform(n_subtasks=n_subtasks).probabilities(), rng, n_checkpoints)


def synchronous(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw steps that all happen at one time, within a tenth of a nat."""
    step, t = window(n_checkpoints)
    onset = np.exp(rng.uniform(np.log(100), np.log(2000)) + 0.1 * rng.standard_normal(n_subtasks))
    width = _widths(rng, n_subtasks)
    return draft(step, zipf(n_subtasks), _steps("logistic", t, onset, width), true_onset=onset, true_width=width)


def mixed(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw a world where half of the subtasks, chosen at random, are steps and half are exponentials."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    onset, width = ordered_times(frequency, rng), _widths(rng, n_subtasks)
    sharp = rng.permutation(np.arange(n_subtasks) % 2 == 0)
    remaining = np.where(sharp[:, None], _steps("logistic", t, onset, width), shapes.exponential(t, onset / np.log(2)))
    truth = np.where(sharp, [onset[:, 0], width], np.nan)
    return draft(step, frequency, remaining, true_onset=truth[0], true_width=truth[1])


def _sum_of_steps(t: np.ndarray, onset: np.ndarray, width: float) -> np.ndarray:
    """Mean of equal steps at the onsets (n_subtasks, n_parts): shape (n_subtasks, n_steps)."""
    return np.mean([shapes.logistic(t, part[:, None], width) for part in onset.T], axis=0)


def polygenic(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw subtasks that are each 20 small steps, spread log-uniformly over 7 nats."""
    step, t = window(n_checkpoints)
    onset = 8 * np.exp(7 * rng.uniform(size=(n_subtasks, 20)))
    return draft(step, zipf(n_subtasks), _sum_of_steps(t, onset, 0.6))


def shuffled_labels(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw many ordered steps, and measure each label on 64 of them, picked at random as they occur."""
    step, t = window(n_checkpoints)
    fine = zipf(16 * n_subtasks)
    curves = shapes.logistic(t, ordered_times(fine, rng), 0.8)
    return draft(step, zipf(n_subtasks), rng.multinomial(64, fine, size=n_subtasks) / 64 @ curves)


def two_steps(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw subtasks that are learned in two narrow steps, 1 to 2.4 nats apart."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    first = ordered_times(frequency, rng, gamma=0.8)
    onset = np.concatenate([first, first * np.exp(rng.uniform(1, 2.4, first.shape))], axis=1)
    return draft(step, frequency, _sum_of_steps(t, onset, 0.5))


def delayed_exponential(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw exponentials of time constant t_0/5 that start at t_0 ∝ 1/p."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    start = ordered_times(frequency, rng)
    tau = start / 5
    crossings = [start + tau * np.log(1 / left) for left in (0.9, 0.5, 0.1)]
    return draft(
        step,
        frequency,
        np.exp(-np.maximum(t - start, 0) / tau),
        true_onset=crossings[1][:, 0],
        true_width=np.log(crossings[2] / crossings[0])[:, 0],
    )


def few_subtasks(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw four ordered steps, however many were asked for."""
    return ordered("logistic", first=50.0)(rng, 4, n_checkpoints)


def few_checkpoints(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw ordered steps measured at 24 checkpoints, however many were asked for."""
    return ordered("logistic")(rng, n_subtasks, min(24, n_checkpoints))


COMPOSITIONS = (
    *(
        World(
            name=f"ordered_{shape}",
            right=ORDERED,
            summary=f"Steps of {shape} shape, .5 to 1.2 nats wide, at onsets ∝ 1/p: the claim itself.",
            build=ordered(shape),
        )
        for shape in ("logistic", "weibull", "gompertz", "gaussian", "multilinear")
    ),
    World(
        name="ordered_drift",
        right=ORDERED,
        summary="Steps of .6 of the drop at onsets ∝ 1/p over a power-law drift of .4, as in real runs; hides narrow steps.",
        build=ordered("logistic", share=0.6),
    ),
    World(
        name="ordered_two_steps",
        right=ORDERED | MIXED,
        summary="Each subtask is learned in two steps, ordered: one step cannot fit it, so a one-step test calls some of it smooth.",
        build=two_steps,
    ),
    World(
        name="delayed_exponential",
        right=ORDERED,
        summary="Exponentials that start late, at t_0 ∝ 1/p: they wait, then go fast, and are truly sharp in ln t.",
        build=delayed_exponential,
    ),
    World(
        name="unordered",
        right=UNORDERED,
        summary="Sharp steps at log-uniform times that do not depend on frequency; 1 in 100 looks ordered at the level p < .01.",
        build=unordered,
    ),
    World(
        name="equal_frequencies",
        right=UNORDERED,
        summary="Sharp steps at scattered times of equally frequent subtasks: timing by frequency cannot be tested.",
        build=equal_frequencies,
    ),
    World(
        name="synchronous",
        right=SYNCHRONOUS,
        summary="All subtasks step at one time: sharp, but one event and no composition.",
        build=synchronous,
    ),
    World(
        name="mixed",
        right=MIXED,
        summary="Half steps, half exponentials, ordered alike: reads as all sharp where only the complete are counted.",
        build=mixed,
    ),
    World(
        name="polygenic",
        right=SMOOTH | MIXED,
        trap=True,
        summary="Each subtask is 20 small steps over 7 nats: smooth at this partition, and no evidence against a finer one; "
        "where small steps bunch, single curves are truly sharper than first order, so mixed is sound and composition is not.",
        build=polygenic,
    ),
    World(
        name="shuffled_labels",
        right=SMOOTH,
        trap=True,
        summary="640 ordered steps whose examples were labelled at random: the mean loss is a composition, and this partition "
        "must not show it.",
        build=shuffled_labels,
    ),
    World(
        name="few_subtasks",
        right=UNDETERMINED,
        summary="Four ordered steps: true, but too few to tell a law from chance.",
        build=few_subtasks,
    ),
    World(
        name="few_checkpoints",
        right=ORDERED,
        summary="Ordered steps at 24 checkpoints: nothing may be read into steps narrower than the spacing.",
        build=few_checkpoints,
    ),
)
