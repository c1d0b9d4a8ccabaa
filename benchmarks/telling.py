"""What `benchmarks/identifiability.py` measures: how many single curves tell two theories of one mean loss apart."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from quanta._same_macro import World, best_macro, mean_loss, same_macro
from quanta.frequencies import Zipf
from quanta.learners import AbstractIndependent, Multilinear
from quanta.worlds import Noise

N_SUBTASKS = (20_000, 200_000, 2_000_000)  # tried in turn
CLOSE = 0.01  # how far, in log loss, a mean may be from the one that is shared
RANKS = (25, 5000)  # whose onsets in the reference world bound the window
MARGIN = 2.0  # nats inside the window within which the onset of a subtask lies that is looked at
PHI = 0.5  # correlation of the noise from checkpoint to checkpoint
COUNTS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 60, 80, 100, 140, 200)
N_DRAWS = 500
AIM, HELD = 0.03, 0.05  # error rates: aimed at where the count is chosen, promised on curves that are new
_TIMING = 0.05  # nats to which the onset in one run is known
_SPACING = 0.04  # nats between the onsets that are tried, and of curves that fall faster than _STEEP a nat a quarter
_STEEP = 0.8


Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Onsets (n,) and times (m,) → what is left, (n, m)."""


class Reference(NamedTuple):
    """The mean loss that all worlds share."""

    time: np.ndarray
    """(n_times,) evenly in log time over the window."""
    loss: np.ndarray
    """(n_times,) in units of chance."""


def reference(n_times: int = 81) -> Reference:
    """A Zipf world, exponent 1.5, of multilinear subtasks, from the onset of its 25th to that of its 5000th."""
    learner, p = Multilinear(), Zipf(n_subtasks=N_SUBTASKS[0], exponent=1.5).probabilities()
    first, last = learner.onset(p[np.array(RANKS) - 1])
    time = np.geomspace(first, last, n_times)
    return Reference(time, mean_loss(learner, p, time))


def worlds(members: Mapping[str, AbstractIndependent], shared: Reference) -> dict[str, World]:
    """Each member's own frequencies, with which its mean loss is the shared one: as few subtasks as make it so."""
    found = {}
    for name, learner in members.items():
        for n in N_SUBTASKS:
            found[name] = same_macro(learner, shared.time, shared.loss, n_subtasks=n)
            if found[name].deviation <= CLOSE:
                break
    return found


# -------------------------------------------------------------------------------------- curves and their misfit


def curves(
    learner: AbstractIndependent, world: World, shared: Reference, n_checkpoints: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Exact curves of n subtasks in units of chance, (n, n_checkpoints): onsets spread evenly over the inner window."""
    p = world.frequencies[chosen(learner.onset(world.frequencies) / world.clock, shared, n, rng)]
    time = np.geomspace(shared.time[0], shared.time[-1], n_checkpoints)
    return learner.expected(p[:, None], world.clock * time[None, :]) / learner.chance_loss


def chosen(onset: np.ndarray, shared: Reference, n: int, rng: np.random.Generator) -> np.ndarray:
    """Places of n subtasks whose onsets, (n_subtasks,) ascending, are spread evenly over the inner window."""
    first, last = np.log(shared.time[[0, -1]])
    return np.searchsorted(np.log(onset), rng.uniform(first + MARGIN, last - MARGIN, size=n))


def noisy(exact: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Curves as measured: correlated noise of standard deviation sigma, in units of chance."""
    return exact + sigma * Noise(phi=PHI).errors(exact.shape, rng)


class Dictionary:
    """Shapes at every onset, whitened for the noise; the sharp ones at onsets that lie closer.

    ``shapes``, (n_ages,) each, are functions of age alone; ``others`` are functions of onset and time.
    """

    def __init__(
        self, shapes: Sequence[np.ndarray], age: np.ndarray, log_time: np.ndarray, others: Sequence[Curve] = ()
    ) -> None:
        steep = np.array([np.max(-np.diff(left) / np.diff(age)) > _STEEP for left in shapes])
        self.blocks = [
            (places, *_atoms([shapes[i] for i in places], age, log_time, spacing))
            for places, spacing in ((np.flatnonzero(~steep), _SPACING), (np.flatnonzero(steep), _SPACING / 4))
            if places.size
        ]
        onset = np.arange(log_time[0] + MARGIN / 2, log_time[-1] - MARGIN / 2, _SPACING / 4)
        for i, curve in enumerate(others, len(shapes)):
            atoms = _whitened(curve(np.exp(onset), np.exp(log_time))).astype(np.float32)
            self.blocks.append((np.array([i]), np.ascontiguousarray(atoms.T), np.sum(atoms**2, axis=1)[None]))

    def misfit(self, measured: np.ndarray) -> np.ndarray:
        """Whitened squared error of the best onset, (n_curves, n_shapes): onsets are free, and heights are known.

        Less the square of the curve, which all shapes share.
        """
        y = _whitened(measured).astype(np.float32)
        out = np.empty((len(y), sum(len(places) for places, *_ in self.blocks)))
        for first in range(0, len(y), 200):
            for places, atoms, squares in self.blocks:
                cross = (y[first : first + 200] @ atoms).reshape(-1, *squares.shape)
                out[first : first + 200, places] = _lowest(squares[None] - 2 * cross)
        return out


def _atoms(
    shapes: Sequence[np.ndarray], age: np.ndarray, log_time: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """All curves, (n_checkpoints, n_shapes * n_onsets), and their squares (n_shapes, n_onsets), float32."""
    onset = np.arange(log_time[0] + MARGIN / 2, log_time[-1] - MARGIN / 2, spacing)
    at = log_time[:, None] - onset[None, :]
    atoms = np.stack([_whitened(np.interp(at, age, left).T) for left in shapes]).astype(np.float32)
    return np.ascontiguousarray(atoms.reshape(-1, log_time.size).T), np.sum(atoms**2, axis=2)


def _lowest(error: np.ndarray) -> np.ndarray:
    """Least of the errors along the onsets, the last axis: the foot of the parabola through the three lowest."""
    place = np.clip(np.argmin(error, axis=2), 1, error.shape[2] - 2)[..., None]
    before, here, after = (np.take_along_axis(error, place + i, axis=2)[..., 0] for i in (-1, 0, 1))
    bend = before - 2 * here + after
    inner = (here <= before) & (here <= after) & (bend > 0)
    gain = np.divide((before - after) ** 2, 8 * bend, out=np.zeros_like(bend), where=inner)
    return np.minimum(np.minimum(before, after), here - gain)


def _whitened(y: np.ndarray) -> np.ndarray:
    """Rows (…, n_checkpoints) as they are where noise has no correlation: variance 1 at σ = 1."""
    return np.concatenate([y[:, :1], (y[:, 1:] - PHI * y[:, :-1]) / math.sqrt(1 - PHI**2)], axis=1)


# ------------------------------------------------------------------------------------------- how many are needed


class Told(NamedTuple):
    """How many curves tell a from b, and how often that number was wrong on new curves."""

    n_curves: int | None
    """None: more than the largest that was tried."""
    error_a: float
    """How often b was said of a."""
    error_b: float


def draws(n_pool: int, rng: np.random.Generator) -> np.ndarray:
    """How often each curve of a pool is in each of many random sets of n, (n_counts, n_draws, n_pool) float32."""
    return np.stack([rng.multinomial(n, np.full(n_pool, 1 / n_pool), size=N_DRAWS) for n in COUNTS], dtype=np.float32)


def totals(misfit: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Squared error of each set of curves under each shape, (n_counts, n_draws, n_shapes)."""
    level = misfit.min(axis=1, keepdims=True)  # common to all shapes: taken away, or float32 would lose the rest
    return sets @ (misfit - level).astype(np.float32)


def wrong(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How often the other's error is smaller, or equal half of the time, (n_counts,); of (n_counts, n_draws)."""
    return np.mean((other < own) + 0.5 * (other == own), axis=1)


def tell(chosen: tuple[np.ndarray, np.ndarray], tested: tuple[np.ndarray, np.ndarray]) -> Told:
    """Choose the count from error rates of a and b, each (n_counts,); read off what it gives on new curves."""
    worst = np.maximum(*chosen)
    good = np.logical_and.accumulate((worst <= AIM)[::-1])[::-1]  # it, and every larger count
    place = int(np.argmax(good)) if good.any() else -1
    n = COUNTS[place] if good.any() else None
    return Told(n, float(tested[0][place]), float(tested[1][place]))


# -------------------------------------------------------------------------- the mean loss alone; one sampled run


def macro_misfits(
    members: Mapping[str, AbstractIndependent], shared: Reference, noise: float, seed: int
) -> dict[str, np.ndarray]:
    """Squared error of each theory's best law, (n_members,), on the mean loss of each, known to a relative noise."""
    log_time = np.log(shared.time)
    rng = np.random.default_rng(seed)
    found = {}
    for name in members:
        log_loss = np.log(shared.loss) + noise * rng.standard_normal(log_time.size)
        fits = [best_macro(learner, log_time, np.exp(log_loss)) for learner in members.values()]
        found[name] = np.array([np.sum((np.log(fit) - log_loss) ** 2) for fit in fits])
    return found


def scatter(hits: Sequence[float], n_draws: int, seed: int) -> dict[float, np.ndarray]:
    """Greatest log likelihood of each m, (n_counts, n_draws, n_hypotheses), for onsets of one run of each m.

    The m-th hit of a subtask comes at a time Gamma(m)/p; of inf, without scatter. Times are known to ``_TIMING``, the
    mean of p · onset is free.
    """
    rng = np.random.default_rng(seed)
    grid, free = np.linspace(-12, 6, 3601), np.arange(-2, 2, 0.025)
    known = [_log_density(m, grid) for m in hits]
    found = {}
    for m in hits:
        onset = (
            np.log(rng.gamma(m, 1 / m, (n_draws, COUNTS[-1]))) if np.isfinite(m) else np.zeros((n_draws, COUNTS[-1]))
        )
        onset += _TIMING * rng.standard_normal(onset.shape)
        best = []
        for one in known:
            fits = [np.cumsum(np.interp(onset - c, grid, one), axis=1)[:, np.array(COUNTS) - 1] for c in free]
            best.append(np.max(fits, axis=0).T)
        found[m] = np.stack(best, axis=2)
    return found


def _log_density(m: float, grid: np.ndarray) -> np.ndarray:
    """Of ln(Gamma(m)/m), blurred by ``_TIMING``."""
    blur = np.exp(-0.5 * (np.arange(-80, 81) * (grid[1] - grid[0]) / _TIMING) ** 2)
    exact = np.exp(m * (grid - np.exp(grid)) - m * -1) if np.isfinite(m) else (np.abs(grid) < 1e-9).astype(float)
    density = np.convolve(exact, blur, mode="same")
    return np.log(np.maximum(density / density.sum(), 1e-300))
