"""What a world is, and what all worlds are made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quanta.frequencies import Zipf
from quanta.worlds.families import BASELINE, checkpoints
from quanta.worlds.noise import Noise

N_CLASSES = 11
CHANCE = math.log(N_CLASSES)
"""Loss of guessing, in nats: what every subtask starts from unless its world says otherwise."""
FIRST_ONSET = 20.0
"""Step at which the most frequent subtask is learned: late enough to be resolved."""
REACH = 40**1.5
"""Ratio of the largest frequency to the smallest: with 1/p onsets, most subtasks finish inside the window."""

ORDERED = frozenset({"ordered-composition"})
UNORDERED = frozenset({"unordered-composition"})
SYNCHRONOUS = frozenset({"synchronous"})
MIXED = frozenset({"mixed"})
ORDERED_SMOOTH = frozenset({"ordered-smooth"})
SMOOTH = frozenset({"smooth"})
METRIC_ONLY = frozenset({"metric-only"})
UNDETERMINED = frozenset({"undetermined"})


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A run before it is measured: its noiseless curves and what else the record holds."""

    step: np.ndarray
    """Checkpoints, shape (n_steps,)."""
    frequency: np.ndarray
    """p_k, shape (n_subtasks,)."""
    loss: np.ndarray
    """Noiseless loss, shape (n_subtasks, n_steps)."""
    height: np.ndarray
    """Total drop H of each curve, what the noise is measured in, shape (n_subtasks,)."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Further arguments of :func:`quanta.record.new`; accuracy and probability are noiseless here."""


Build = Callable[[np.random.Generator, int, int], Draft]
"""Draw a draft from (rng, n_subtasks, n_checkpoints)."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A kind of run whose verdict is known."""

    name: str
    """Key in ``WORLDS``."""
    right: frozenset[str]
    """Verdicts that are right. "undetermined" is always acceptable, but counted apart."""
    trap: bool = False
    """Whether it is built to fool: there a claim of composition is the error that must not happen."""
    summary: str
    """One sentence: what it is and what it would fool."""
    needs_control: bool = False
    """Whether its right verdict can be reached only with the records of ``controls``."""
    build: Build = field(repr=False)
    """Draws the noiseless run."""
    control: Build | None = field(default=None, repr=False)
    """Draws the noiseless kernel control, from the same random numbers as ``build``."""
    noise: Noise = field(default_factory=Noise)
    """How it is measured unless told otherwise."""


def zipf(n_subtasks: int) -> np.ndarray:
    """Zipf frequencies, exponent 1.5, or less if that would put the rarest subtask beyond the window."""
    exponent = 1.5 if n_subtasks <= 40 else math.log(REACH) / math.log(n_subtasks)
    return Zipf(n_subtasks=n_subtasks, exponent=exponent).probabilities()


def ordered_times(
    frequency: np.ndarray,
    rng: np.random.Generator,
    *,
    first: float = FIRST_ONSET,
    gamma: float = 1.0,
    jitter: float = 0.2,
) -> np.ndarray:
    """Times t_k = t_1 (p_1/p_k)^γ e^{jitter·normal}, shape (n_subtasks, 1)."""
    times = first * (frequency.max() / frequency) ** gamma * np.exp(jitter * rng.standard_normal(frequency.size))
    return times[:, None]


def draft(
    step: np.ndarray,
    frequency: np.ndarray,
    remaining: np.ndarray,
    *,
    chance: float = CHANCE,
    start: np.ndarray | float = 1.0,
    **fields: Any,
) -> Draft:
    """Curves of cross-entropy from the fraction that remains to be learned.

    Parameters
    ----------
    step, frequency
        As in :class:`Draft`.
    remaining : np.ndarray, shape (n_subtasks, n_steps)
        Fraction s of the drop that is left.
    chance : float
        ``chance_loss``.
    start : float or np.ndarray, shape (n_subtasks,)
        Loss at s = 1, in units of ``chance``; it includes the baseline of ``BASELINE`` · H.
    **fields
        Of the record; by default a model of ``N_CLASSES`` classes trained by SGD.
    """
    height = chance * np.broadcast_to(start, frequency.shape) / (1 + BASELINE)
    known: dict[str, Any] = {"optimizer": "sgd", "n_classes": N_CLASSES, "chance_loss": chance}
    return Draft(
        step=step,
        frequency=frequency,
        loss=height[:, None] * (BASELINE + remaining),
        height=height,
        fields=known | fields,
    )


def window(n_checkpoints: int, **limits: int) -> tuple[np.ndarray, np.ndarray]:
    """Checkpoints as whole steps and as floats, each of shape (n_checkpoints,)."""
    step = checkpoints(n_checkpoints, **limits)
    return step, step.astype(float)
