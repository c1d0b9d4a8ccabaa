"""Traps of convex models: shared features, many classes, Adam. Sharper than an exponential, and linear all the same."""

import math

import numpy as np

from quanta.worlds import shapes
from quanta.worlds.base import ORDERED_SMOOTH, SMOOTH, Build, Draft, World, draft, ordered_times, window, zipf

CLASSES = (2, 10, 1000, 50_000)


def linear_coupled(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw tasks of linear regression on random unit features in twice as many dims, under exact gradient flow."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    losses = shapes.coupled_losses(t, frequency, *shapes.random_regression(rng, n_subtasks))
    drawn = draft(step, frequency, losses, chance=1.0, units="squared error")
    del drawn.fields["n_classes"]
    return drawn


def classes(n_classes: int, optimizer: str, *, told: bool = True) -> Build:
    """Build a table of logits, which shares no features, learned by SGD (rate ∝ p) or Adam (∝ p^.65, as measured)."""

    def build(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
        step, t = window(n_checkpoints)
        frequency = zipf(n_subtasks)
        shape, gamma = (shapes.softmax_sgd, 1.0) if optimizer == "sgd" else (shapes.softmax_adam, 0.65)
        half_life = shapes.half_life(shape, n_classes)
        remaining = shape(t, half_life / ordered_times(frequency, rng, gamma=gamma), n_classes)
        drawn = draft(step, frequency, remaining, chance=math.log(n_classes), n_classes=n_classes, optimizer=optimizer)
        if not told:
            drawn.fields.update(optimizer=None, n_classes=None)
        return drawn

    return build


CONVEX = (
    World(
        name="linear_coupled",
        right=ORDERED_SMOOTH | SMOOTH,
        trap=True,
        needs_control=True,
        summary="Linear regression on tasks that share random features: a third of its curves are sharper than first order, "
        "and nothing but its kernel control, which is the same flow computed again, can tell.",
        build=linear_coupled,
        control=linear_coupled,
    ),
    *(
        World(
            name=f"classes_{n_classes}_{optimizer}",
            right=ORDERED_SMOOTH,
            trap=True,
            summary=f"Convex softmax of {n_classes} classes, learned by {optimizer.upper() if optimizer == 'sgd' else 'Adam'}, "
            "no shared features: a fixed threshold on sharpness calls it sharp where classes are many.",
            build=classes(n_classes, optimizer),
        )
        for optimizer in ("sgd", "adam")
        for n_classes in CLASSES
    ),
    World(
        name="classes_unknown",
        right=ORDERED_SMOOTH,
        trap=True,
        summary="Convex softmax of 1000 classes under Adam, with neither stated in the record, as in most imports.",
        build=classes(1000, "adam", told=False),
    ),
)
