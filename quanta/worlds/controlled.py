"""Ordered steps with a control: finished and smooth, unfinished, unstable, or as sharp as the run."""

import numpy as np

from quanta.worlds import shapes
from quanta.worlds.base import ORDERED, UNDETERMINED, Draft, World, draft, ordered_times, window, zipf
from quanta.worlds.compositions import ordered
from quanta.worlds.families import BASELINE
from quanta.worlds.smooth import ordered_smooth


def unfinished(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw a stable control that has lost 3 to 8 % of chance by the end."""
    step, t = window(n_checkpoints)
    lost = rng.uniform(0.03, 0.08, (n_subtasks, 1))
    return draft(step, zipf(n_subtasks), 1 - lost * -np.expm1(-3 * t / t[-1]))


def unstable(rng: np.random.Generator, n_subtasks: int, n_checkpoints: int) -> Draft:
    """Draw a control that overshoots to twice chance and then drops at once."""
    step, t = window(n_checkpoints)
    frequency = zipf(n_subtasks)
    onset = ordered_times(frequency, rng, first=100, gamma=0.7)
    grown = 1 + (1 + BASELINE) * (1 - shapes.logistic(t, onset / 5, 1.0))
    return draft(step, frequency, grown * shapes.logistic(t, onset, 0.6))


CONTROLLED = (
    World(
        name="ordered_with_control",
        right=ORDERED,
        summary="Ordered steps whose kernel control learns the same subtasks smoothly: the claim at its strongest.",
        build=ordered("logistic"),
        control=ordered_smooth(),
    ),
    World(
        name="ordered_unfinished_control",
        right=ORDERED,
        summary="Ordered steps whose control stays near chance: it cannot calibrate, but linear learning does not account for the drop.",
        build=ordered("logistic"),
        control=unfinished,
    ),
    World(
        name="ordered_unstable_control",
        right=ORDERED,
        summary="Ordered steps whose control rose above its start and dropped sharply: no control, to be refused with the reason.",
        build=ordered("logistic"),
        control=unstable,
    ),
    World(
        name="ordered_same_control",
        right=UNDETERMINED,
        trap=True,
        needs_control=True,
        summary="Ordered steps whose control is just as sharp: whatever makes them, it is not that the network is not linear.",
        build=ordered("logistic"),
        control=ordered("logistic"),
    ),
)
