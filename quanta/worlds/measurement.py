"""Traps of how a run is measured: where the window lies, what is kept, which metric is read."""

import math
from functools import partial

import numpy as np

from quanta.worlds import shapes
from quanta.worlds.base import (
    CHANCE,
    METRIC_ONLY,
    N_CLASSES,
    ORDERED_SMOOTH,
    SMOOTH,
    UNDETERMINED,
    Draft,
    World,
    draft,
    ordered_times,
    window,
    zipf,
)
from quanta.worlds.compositions import ordered
from quanta.worlds.smooth import exponential_of, ordered_smooth


def above_chance(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw exponentials that start at 1.5 to 2 times chance."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    remaining = exponential_of(t, ordered_times(frequency, rng), rng)
    return draft(step, frequency, remaining, start=rng.uniform(1.5, 2.0, n_subtasks))


def cut_window(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw exponentials of which .25 to .6 is left at the last checkpoint."""
    step, t = window(n_checkpoints)
    left = rng.uniform(0.25, 0.6, (n_subtasks, 1))
    return draft(step, zipf(n_subtasks), left ** (t / t[-1]))


def late_start(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw ordered exponentials measured from step 500 on: the first quarter of them is over by then."""
    step, t = window(n_checkpoints + 1, first=500)
    frequency = zipf(n_subtasks)
    remaining = exponential_of(t, ordered_times(frequency, rng, first=60, gamma=0.8), rng)
    return draft(step[1:], frequency, remaining[:, 1:])


def few_checkpoints_exponential(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw ordered exponentials measured at 24 checkpoints, however many were asked for."""
    return ordered_smooth()(rng, n_subtasks, min(24, n_checkpoints))


def macro_only(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw ordered steps of which nothing but the mean loss was kept."""
    parts = ordered("logistic")(rng, n_subtasks, n_checkpoints)
    mean = (parts.frequency @ parts.loss)[None]
    return Draft(
        step=parts.step,
        frequency=np.ones(1),
        loss=mean,
        height=parts.height[:1],
        fields={"optimizer": "sgd", "n_classes": N_CLASSES, "chance_loss": CHANCE},
    )


def spikes(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw ordered exponentials with single checkpoints, 3 in 100, at 1 to 3 times the drop above the curve."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    remaining = exponential_of(t, ordered_times(frequency, rng), rng)
    hit = rng.uniform(size=remaining.shape) < 0.03
    return draft(step, frequency, remaining + hit * rng.uniform(1, 3, remaining.shape))


def accuracy_steps(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int, *, alone: bool = False) -> Draft:
    """Draw ordered exponentials whose accuracy steps where the loss crosses ln 2; ``alone``: without the loss."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    half_life = ordered_times(frequency, rng)
    crossing = half_life * math.log2(CHANCE / math.log(2))
    rise = 1 - shapes.logistic(t, crossing, 0.3)
    accuracy = 1 / N_CLASSES + (1 - 1 / N_CLASSES) * rise
    drawn = draft(step, frequency, exponential_of(t, half_life, rng), accuracy=accuracy)
    drawn.fields.update({"without_loss": True} if alone else {"probability": np.exp(-drawn.loss)})
    return drawn


MEASUREMENT = (
    World(
        name="above_chance",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="Exponentials that start at 1.5 to 2 times chance, as language models do: capped at chance, they read S = 1.4 to 1.9.",
        build=above_chance,
    ),
    World(
        name="cut_window",
        right=SMOOTH | UNDETERMINED,
        trap=True,
        summary="Exponentials cut off at .25 to .6 of their start: the drop that was seen is too small, so S reads 1.3 to 2.1.",
        build=cut_window,
    ),
    World(
        name="exponential_early",
        right=ORDERED_SMOOTH | UNDETERMINED,
        trap=True,
        summary="Exponentials of which the most frequent are over by the first checkpoints: one point of descent looks like a step.",
        build=ordered_smooth(first=0.5, gamma=1.2),
    ),
    World(
        name="ordered_early",
        right=UNDETERMINED,
        summary="Ordered steps of which the most frequent, most of the weight, are over by the first checkpoints: true, but not to be seen.",
        build=ordered("logistic", first=0.5, gamma=1.2),
    ),
    World(
        name="late_start",
        right=ORDERED_SMOOTH | UNDETERMINED,
        trap=True,
        summary="Exponentials measured from step 500 on, when the frequent ones are over: the window hides where curves start.",
        build=late_start,
    ),
    World(
        name="few_checkpoints_exponential",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="Exponentials at 24 checkpoints: with few points noise makes slopes.",
        build=few_checkpoints_exponential,
    ),
    World(
        name="spikes",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="Exponentials with single checkpoints far above the curve: the way down from a spike is a sharp drop.",
        build=spikes,
    ),
    World(
        name="macro_only",
        right=UNDETERMINED,
        trap=True,
        summary="The mean loss of ordered steps and nothing else: exponentials with the same frequencies give the same curve.",
        build=macro_only,
    ),
    World(
        name="accuracy_only",
        right=METRIC_ONLY | ORDERED_SMOOTH,
        trap=True,
        summary="The loss is exponential and the accuracy a step: the step is made by the metric, not by the model.",
        build=accuracy_steps,
    ),
    World(
        name="accuracy_alone",
        right=METRIC_ONLY,
        trap=True,
        summary="The same accuracy without its loss.",
        build=partial(accuracy_steps, alone=True),
    ),
)
