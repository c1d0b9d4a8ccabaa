"""Measurement noise: correlated along the run, between subtasks, growing with the loss, heavy-tailed."""

import math
from dataclasses import dataclass

import numpy as np

from quanta._errors import InputError


@dataclass(frozen=True, kw_only=True)
class Noise:
    r"""Noise of a measured loss curve.

    .. math:: y_{ki} = \max\bigl(\text{floor},\; l_{ki} + \sigma H_k (l_{ki}/l_{k0})^{g} e_{ki}\bigr), \qquad
        e_{ki} = \varphi e_{k,i-1} + \sqrt{1-\varphi^2}\,(\sqrt{\rho}\, u_i + \sqrt{1-\rho}\, v_{ki})

    with u, v independent of unit variance, so that e is stationary with unit variance, lag-1 correlation φ
    per checkpoint and correlation ρ between subtasks.
    """

    sigma: float = 0.03
    """Standard deviation σ, in units of the curve's total drop H."""
    phi: float = 0.5
    """Lag-1 autocorrelation φ from checkpoint to checkpoint."""
    shared: float = 0.0
    """Correlation ρ between subtasks, as left by a shared evaluation batch."""
    growth: float = 0.0
    """Exponent g of the loss in the standard deviation: 0 constant, 1 proportional to the loss."""
    tails: float = math.inf
    """Degrees of freedom of the innovations' Student t (scaled to unit variance); inf is Gaussian."""
    floor: float | None = 0.0
    """Smallest value measured; None does not clip (a record refuses the negative losses that may follow)."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise InputError(f"sigma is {self.sigma}; expected a finite standard deviation of 0 or more.")
        if not 0 <= self.phi < 1:
            raise InputError(f"phi is {self.phi}; expected an autocorrelation from 0 to less than 1.")
        if not 0 <= self.shared <= 1:
            raise InputError(f"shared is {self.shared}; expected a correlation from 0 to 1.")
        if not self.growth >= 0:
            raise InputError(f"growth is {self.growth}; expected an exponent of 0 or more.")
        if not self.tails > 2:
            raise InputError(f"tails is {self.tails}; expected more than 2 degrees of freedom (a finite variance).")

    def errors(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Draw e, the noise in units of its standard deviation.

        Parameters
        ----------
        shape : (int, int)
            (n_subtasks, n_steps).
        rng : np.random.Generator
            Source of randomness.

        Returns
        -------
        np.ndarray, shape (n_subtasks, n_steps)
            Stationary, unit variance.
        """
        n_steps = shape[1]
        common, own = self._innovations((1, n_steps), rng), self._innovations(shape, rng)
        innovation = math.sqrt(self.shared) * common + math.sqrt(1 - self.shared) * own
        e = np.empty(shape)
        e[:, 0] = innovation[:, 0]
        for i in range(1, n_steps):
            e[:, i] = self.phi * e[:, i - 1] + math.sqrt(1 - self.phi**2) * innovation[:, i]
        return e

    def add(self, curves: np.ndarray, height: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Measure noiseless curves.

        Parameters
        ----------
        curves : np.ndarray, shape (n_subtasks, n_steps)
            Noiseless curves l, positive at their start where ``growth`` is not 0.
        height : np.ndarray, shape (n_subtasks,)
            Total drop H of each curve.
        rng : np.random.Generator
            Source of randomness.

        Returns
        -------
        np.ndarray, shape (n_subtasks, n_steps)
            Measured curves y.
        """
        deviation = self.sigma * np.asarray(height)[:, None] * np.ones_like(curves)
        if self.growth:
            deviation *= (curves / curves[:, :1]) ** self.growth
        measured = curves + deviation * self.errors(curves.shape, rng)
        return measured if self.floor is None else np.maximum(measured, self.floor)

    def _innovations(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        if math.isinf(self.tails):
            return rng.standard_normal(shape)
        return rng.standard_t(self.tails, shape) * math.sqrt((self.tails - 2) / self.tails)
