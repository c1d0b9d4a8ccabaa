"""From each of many beginnings to a least of Σ w ρ(r), all of them at once.

Damped Newton steps (Levenberg 1944; Marquardt 1963), of which the greatest damping that any needs is found by trying three; they turn as
the valley turns (Transtrum and Sethna 2012, Improvements to the Levenberg-Marquardt algorithm), without which a break beyond the
points is not found in a thousand steps. Least squares go by QR: normal equations would square the condition.
"""

from typing import NamedTuple, Protocol

import numpy as np

from quanta.scaling._objective import Objective

_REST = 1e-12  # of an objective: what a step must promise
_ZERO = 1e-26  # of an objective, for each point: nothing is left
_DAMPINGS = np.array([0.1, 1.0, 10.0])  # tried at once, in units of the last; the least that gains is taken
_REFUSED = 100.0  # times the damping, where none gains
_LEAST, _MOST = 1e-24, 1e12  # of a damping
_AHEAD, _TURN = 0.1, 0.75  # of a step: where its bend is looked at; and what of it the turn may be
_SLIGHT = np.finfo(float).eps ** (1 / 3)  # of a coordinate, for central differences


class Problem(Protocol):
    """What is minimised."""

    low: np.ndarray
    """(n_parameters,) of coordinates."""
    high: np.ndarray
    """(n_parameters,)."""
    objective: Objective
    """ρ."""

    def errors(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of coordinates (..., n_parameters) and losses that broadcast with (..., n): r, (..., n)."""

    def costs(self, z: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The objective, (...,); inf where it has no number."""


class Ends(NamedTuple):
    """Where a search led to, of each of many."""

    z: np.ndarray
    """(n_searches, n_parameters) coordinates."""
    cost: np.ndarray
    """(n_searches,); inf where there was no number to begin with."""
    rests: np.ndarray
    """(n_searches,) whether no step promises anything."""

    def best_first(self) -> np.ndarray:
        """Coordinates, in the order of their objectives."""
        return self.z[np.argsort(self.cost, kind="stable")]


def descend(problem: Problem, z: np.ndarray, y: np.ndarray, weights: np.ndarray, steps: int) -> Ends:
    """Follow each to where it comes to rest.

    Parameters
    ----------
    problem : Problem
        One for all.
    z : np.ndarray, shape (n_searches, n_parameters)
        Beginnings.
    y, weights : np.ndarray, shape (n_searches, n) or (1, n)
        Of each, or of all.
    steps : int
        At most.

    Returns
    -------
    Ends
        See there.
    """
    n = len(z)
    z, y, weights = z.copy(), np.broadcast_to(y, (n, y.shape[-1])), np.broadcast_to(weights, (n, weights.shape[-1]))
    cost, rests = problem.costs(z, y, weights), np.zeros(n, dtype=bool)
    damping, size, nothing = np.ones(n), np.full(z.shape, 1e-150), _ZERO * weights.sum(axis=1)
    for _ in range(steps):
        on = np.flatnonzero(np.isfinite(cost) & ~rests)
        if not on.size:
            break
        around = _Around(problem, z[on], y[on], weights[on], size[on])
        move, promise = around.moves(damping[on, None] * _DAMPINGS)
        new = np.clip(z[on, None] + move, problem.low, problem.high)
        costs = problem.costs(new, y[on, None], weights[on, None])
        gains, rows = costs < cost[on, None], np.arange(on.size)
        any_gains, chosen = np.any(gains, axis=1), np.argmax(gains, axis=1)
        rests[on] = (promise <= _REST * cost[on]) | (cost[on] <= nothing[on]) | (~any_gains & (damping[on] >= _MOST))
        z[on] = np.where(np.expand_dims(any_gains, 1), new[rows, chosen], z[on])
        cost[on] = np.where(any_gains, costs[rows, chosen], cost[on])
        damping[on] = np.clip(damping[on] * np.where(any_gains, _DAMPINGS[chosen], _REFUSED), _LEAST, _MOST)
        size[on] = around.size
    return Ends(z, cost, rests)


class _Around:
    """Errors near a place, and steps from there."""

    def __init__(self, problem: Problem, z: np.ndarray, y: np.ndarray, weights: np.ndarray, size: np.ndarray) -> None:
        self.problem, self.z, self.y = problem, z, y
        self.errors, slopes = problem.errors(z, y), self._slopes()
        self.used = (weights > 0) & np.isfinite(slopes).all(axis=1) & np.isfinite(self.errors)
        errors, slopes = np.where(self.used, self.errors, 0.0), np.where(self.used[:, None], slopes, 0.0)
        self.weights = np.where(self.used, weights, 0.0)
        self.pull, self.bend, self.above = problem.objective.derivatives(errors)
        slope = np.einsum("gin,gn->gi", slopes, self.weights * self.pull)
        stuck = ((z <= problem.low) & (slope > 0)) | ((z >= problem.high) & (slope < 0))
        slopes = np.where(stuck[:, :, None], 0.0, slopes)
        # A coordinate that no longer matters must not run away: its unit is the least that it ever was (Moré 1978).
        self.size = np.maximum(np.sqrt(np.einsum("gin,gn->gi", slopes**2, self.weights * self.above)), size)
        self.slope, self.slopes = np.where(stuck, 0.0, slope) / self.size, slopes / self.size[:, :, None]

    def _slopes(self) -> np.ndarray:
        """Of the errors by coordinates, (n_sets, n_parameters, n)."""
        z, low, high = self.z, self.problem.low, self.problem.high
        slight = _SLIGHT * np.maximum(np.abs(z), 0.1)[..., None] * np.eye(z.shape[-1])
        up, down = (np.clip(z[:, None] + way * slight, low, high) for way in (1, -1))
        far = np.diagonal(up - down, axis1=1, axis2=2)[..., None]
        return (self.problem.errors(up, self.y[:, None]) - self.problem.errors(down, self.y[:, None])) / far

    def moves(self, dampings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A step for each damping (n_sets, n_dampings, n_parameters), and what the first promises (n_sets,).

        Where ρ is a straight line its own bend is 0, and it is the parabola above it that counts, as much as there is damping.
        """
        k = self.z.shape[1]
        bend = self.bend + dampings[:, 1:2] * self.above
        root = np.sqrt(self.weights * bend)
        q, r = np.linalg.qr(np.swapaxes(self.slopes * root[:, None], 1, 2))
        r = np.broadcast_to(r[:, None], (*dampings.shape, *r.shape[1:]))
        p, r = np.linalg.qr(np.concatenate([r, np.sqrt(dampings)[..., None, None] * np.eye(k)], axis=2))

        def solved(errors: np.ndarray) -> np.ndarray:
            """What removes errors (n_sets, n_dampings or 1, n)."""
            part = np.einsum("gnk,gdn->gdk", q, root[:, None] * errors)
            goal = np.einsum(
                "gdik,gdi->gdk", p[:, :, : q.shape[2]], np.broadcast_to(part, (*dampings.shape, q.shape[2]))
            )
            return -np.linalg.solve(r, goal[..., None])[..., 0]

        move = solved((self.pull / bend)[:, None])
        promise = np.abs(np.einsum("gi,gi->g", self.slope, move[:, 0])) / 2
        turn = solved(self._bent(move)) / 2
        little = np.linalg.norm(turn, axis=-1) <= _TURN * np.linalg.norm(move, axis=-1)
        return (move + np.where(little[..., None], turn, 0.0)) / self.size[:, None], promise

    def _bent(self, move: np.ndarray) -> np.ndarray:
        """Second derivatives of errors along steps (n_sets, n_dampings, n_parameters), (n_sets, n_dampings, n)."""
        ahead = np.clip(self.z[:, None] + _AHEAD * move / self.size[:, None], self.problem.low, self.problem.high)
        seen = (self.problem.errors(ahead, self.y[:, None]) - self.errors[:, None]) / _AHEAD
        with np.errstate(invalid="ignore"):
            bent = 2 / _AHEAD * (seen - np.einsum("gin,gdi->gdn", self.slopes, move))
        return np.where(self.used[:, None] & np.isfinite(bent), bent, 0.0)
