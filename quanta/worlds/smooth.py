"""Worlds learned smoothly, as linear models learn: the nulls."""

from collections.abc import Callable

import numpy as np

from quanta.worlds import shapes
from quanta.worlds.base import (
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
from quanta.worlds.ideal import random_mixture

Relaxation = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(t, half-life of shape (n_subtasks, 1), rng) → remaining fraction, shape (n_subtasks, n_steps)."""


def exponential_of(t: np.ndarray, half_life: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exponentials of the given half-lives."""
    return shapes.exponential(t, half_life / np.log(2))


def _stretched(t: np.ndarray, half_life: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    exponent = rng.uniform(0.5, 0.9, half_life.shape)
    return shapes.stretched(t, half_life / np.log(2) ** (1 / exponent), exponent)


def _mixtures(t: np.ndarray, half_life: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return random_mixture(t, rng, half_life / np.log(2), n_terms=4)


def ordered_smooth(relaxation: Relaxation = exponential_of, *, first: float = 20.0, gamma: float = 1.0) -> Build:
    """Build smooth relaxations whose half-lives are ∝ p^-γ."""

    def build(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
        step, t = window(n_checkpoints)
        frequency = zipf(n_subtasks)
        half_life = ordered_times(frequency, rng, first=first, gamma=gamma)
        return draft(step, frequency, relaxation(t, half_life, rng))

    return build


def power_law(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw power laws whose time scales do not depend on frequency."""
    step, t = window(n_checkpoints)
    tau = np.exp(rng.uniform(np.log(5), np.log(100), (n_subtasks, 1)))
    return draft(step, zipf(n_subtasks), shapes.power_law(t, tau, rng.uniform(0.6, 1.5, tau.shape)))


def never(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw subtasks that stay at chance."""
    step, t = window(n_checkpoints)
    return draft(step, zipf(n_subtasks), np.ones((n_subtasks, t.size)))


SMOOTH_WORLDS = (
    World(
        name="exponential",
        right=ORDERED_SMOOTH,
        summary="Exponentials with rates ∝ p, a linear model of unshared features: looks like a row of sigmoids in ln t, "
        "and has the macro curve of a composition.",
        build=ordered_smooth(),
    ),
    World(
        name="power_law",
        right=SMOOTH,
        summary="Power laws with time scales independent of frequency; 1 in 100 looks ordered at the level p < .01.",
        build=power_law,
    ),
    World(
        name="stretched",
        right=ORDERED_SMOOTH,
        summary="Stretched exponentials, exponents .5 to .9, time scales ∝ 1/p.",
        build=ordered_smooth(_stretched, gamma=0.8),
    ),
    World(
        name="exponential_mixtures",
        right=ORDERED_SMOOTH,
        summary="Random mixtures of exponentials around rates ∝ p: shoulders that look like several steps.",
        build=ordered_smooth(_mixtures, gamma=0.8),
    ),
    World(
        name="never",
        right=UNDETERMINED,
        summary="Nothing is learned: noise at chance.",
        build=never,
    ),
)
