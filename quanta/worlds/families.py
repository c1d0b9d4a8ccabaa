"""Single curves with known truth: the families on which false positives and power are tabulated."""

import math
from typing import Any, NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.worlds import ideal
from quanta.worlds.noise import Noise

BASELINE = 0.05
"""Loss that is left at the end, in units of the total drop: keeps the noise off the floor at 0."""
FIRST, LAST = 1, 30_000
"""First positive and last checkpoint."""

SMOOTH_FAMILIES: tuple[str, ...] = tuple(ideal.SMOOTH)
"""Without a transition, as their optimizer and classes tell: what is found in them is false."""
TRAP_FAMILIES: tuple[str, ...] = tuple(ideal.TRAPS)
"""Without a transition, and hard to tell: ``linear_coupled`` can be told by its control alone."""
STEP_FAMILIES: tuple[str, ...] = tuple(ideal.ONE_STEP)
"""One step; ``drift_step`` is .4 of a power law and .6 of a logistic step."""
MULTI_STEP_FAMILIES: tuple[str, ...] = tuple(ideal.SEVERAL_STEPS)
"""Two or three logistic steps, 1 to 2.5 nats apart (three: 1.2 to 2)."""

_DRAWS = ideal.SMOOTH | ideal.TRAPS | ideal.ONE_STEP | ideal.SEVERAL_STEPS


class Truth(NamedTuple):
    """What is known of n curves, each field of shape (n,)."""

    onset: np.ndarray
    """t50 of the highest step (of equal ones, the first), in steps; nan where there is none."""
    width: np.ndarray
    """10-90 % width of the step, in nats of ln t; nan where there is none."""
    height: np.ndarray
    """Height of all steps in loss units; 0 where there is none."""
    drop: np.ndarray
    """Total drop H from the start to infinite time, in loss units; what sigma is measured in."""
    chance: np.ndarray
    """Loss of guessing, which a record of the curves should state; nan where the curves start from it."""


def checkpoints(n_checkpoints: int, *, first: int = FIRST, last: int = LAST) -> np.ndarray:
    """Step 0 and log-spaced whole steps, no two alike: shape (n_checkpoints,), int64.

    Examples
    --------
    >>> checkpoints(8, last=1000).tolist()
    [0, 1, 3, 10, 32, 100, 316, 1000]
    """
    if not 2 <= n_checkpoints - 1 <= last - first:
        raise InputError(f"n_checkpoints is {n_checkpoints}; expected 3 to {last - first + 1}.")
    points, asked = np.empty(0), n_checkpoints - 1
    while points.size < n_checkpoints - 1:  # rounding merges early points: ask for more
        points = np.unique(np.round(np.geomspace(first, last, asked)).astype(np.int64))
        asked += max(1, n_checkpoints - 1 - points.size)
    return np.concatenate([[0], points[-(n_checkpoints - 1) :]])


def family_fields(family: str) -> dict[str, Any]:
    """Tell what a record of a family says of its training, from which S0 follows.

    Returns
    -------
    dict
        ``optimizer``, and where they matter ``n_classes`` and ``units``: arguments of :func:`quanta.record.new`.

    Raises
    ------
    InputError
        If the family is unknown.

    Examples
    --------
    >>> family_fields("softmax_adam_64")
    {'optimizer': 'adam', 'n_classes': 64}
    """
    _known(family)
    return ideal.fields(family)


def curves(
    family: str,
    *,
    n: int,
    seed: int = 0,
    n_checkpoints: int = 100,
    sigma: float = 0.03,
    phi: float = 0.5,
    width: float = 0.8,
    baseline: float = BASELINE,
    floor: float | None = 0.0,
    control: bool = False,
) -> tuple[np.ndarray, np.ndarray, Truth]:
    """Draw independent curves of one family, with their truth.

    Parameters
    ----------
    family : str
        One of ``SMOOTH_FAMILIES`` or ``TRAP_FAMILIES`` (no step: a detection is a false positive), ``STEP_FAMILIES``
        or ``MULTI_STEP_FAMILIES``.
    n : int
        Number of curves; onset, height and shape parameters are drawn for each. ``linear_coupled`` is drawn in runs of
        40 tasks, one after the other.
    seed : int
        Same seed, same curves.
    n_checkpoints : int
        Step 0 and log-spaced steps to 30,000.
    sigma, phi : float
        Noise, in units of the total drop, and its autocorrelation; see :class:`Noise`.
    width : float
        10-90 % width of the steps in nats; families without have none.
    baseline : float
        Loss that is left at the end, in units of the total drop. At 0, with a floor at 0, the noise of what has been
        learned is cut in half.
    floor : float, optional
        Smallest loss measured; None does not clip.
    control : bool
        Whether to measure the same noiseless curves again, as the kernel control of ``linear_coupled`` does.

    Returns
    -------
    step : np.ndarray, shape (n_checkpoints,)
    loss : np.ndarray, shape (n, n_checkpoints)
    truth : Truth
        Arrays of shape (n,).

    Raises
    ------
    InputError
        If the family is unknown.
    """
    draw = _known(family)
    step = checkpoints(n_checkpoints)
    rng = np.random.default_rng([seed, *family.encode()])
    drop = np.exp(rng.uniform(math.log(0.5), math.log(5.0), n))
    drawn = draw(step.astype(float), rng, n, width)
    nothing = np.full(n, np.nan)
    truth = Truth(
        onset=nothing if drawn.onset is None else drawn.onset,
        width=np.full(n, drawn.width),
        height=drawn.share * drop,
        drop=drop,
        chance=nothing if drawn.start is None else drop * (1 + baseline) / drawn.start,
    )
    if control:
        rng = np.random.default_rng([seed, *family.encode(), 1])
    loss = drop[:, None] * (baseline + drawn.remaining)
    return step, Noise(sigma=sigma, phi=phi, floor=floor).add(loss, drop, rng), truth


def _known(family: str) -> ideal.Draw:
    if family not in _DRAWS:
        raise InputError(f"family is {family!r}; expected one of {', '.join(_DRAWS)}.")
    return _DRAWS[family]
