"""The default detector: completely monotone null against null + steps, in AR(1) noise."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from quanta._errors import InputError
from quanta.transitions.base import AbstractDetector

_WEIBULL_WIDTH = float(np.log(np.log(10) / np.log(10 / 9)))  # 10–90 % log-width of an exponential, 3.084 nats


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LikelihoodRatio(AbstractDetector):
    r"""Likelihood ratio of first-order learning against first-order learning and a step.

    First-order learning of a subtask whose features are its own is completely monotone,
    :math:`l(t) = c + \sum_j h_j e^{-t/\tau_j}` with :math:`h_j \ge 0`, and no such curve falls faster than h/e per nat
    of time (λt e^{-λt} ≤ 1/e). The alternative adds steps :math:`h e^{-(t/\tau)^n}`, n > 1.25; noise is AR(1) with φ
    pooled over the run. A curve is sharp if

    - T = m ln(RSS₀/RSS₁) exceeds ``threshold`` (+ 10 (φ − .5)₊, + 12 for each further step);
    - the step is at least ``share`` of the total drop (several: together twice that), which is above 4 σ;
    - the lower 95 % bound of S = e max(−dl/dln t)/drop exceeds S0;
    - null + one bump (an interference) does not explain it better.

    It is wrong where features are shared: then linear curves can be sharp too, and only a coupled control tells.
    """

    threshold: float = 18.0
    """Least T."""
    share: float = 0.3
    """Least share of the step in the total drop."""
    max_steps: int = 2
    """Most steps in one curve, 1 to 3."""
    misfit: float = 0.003
    """Misfit, as a share of the drop, that counts as numerical: the grid of exponentials is no finer."""
    despike: float = 5.0
    """A single checkpoint this many robust deviations above its neighbours is clipped to them."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_steps <= 3:
            raise InputError(f"max_steps is {self.max_steps}; expected 1, 2 or 3.")
        if not 0 < self.share < 1:
            raise InputError(f"share is {self.share}; expected a share between 0 and 1.")

    def detect(self, curves: np.ndarray, step: np.ndarray, base_sharpness: np.ndarray) -> dict[str, np.ndarray]:
        """Test curves; see :meth:`AbstractDetector.detect`.

        Besides what every detector returns: the columns of ``_batch.FIELDS``, ``fitted``, ``step_part`` and
        ``null_part`` (n, n_steps), ``spike``, and the power of the test at each curve's noise as ``expected_statistic``.
        """
        from quanta.transitions import _batch, _dictionary

        d = _dictionary.make(step)
        clipped, spike = _clip_spikes(np.asarray(curves, dtype=np.float64), self.despike)
        rules = np.array([self.threshold, self.share, 1.645, self.misfit])
        base = np.asarray(base_sharpness, dtype=np.float64)
        first, _, _ = _batch.fit_curves(clipped, d, -1.0, 0, rules, base)
        phi = first[:, _batch.FIELDS.index("phi")]
        moving = np.ptp(clipped, axis=1) > 0
        pool = float(np.median(phi[moving])) if moving.any() else 0.0
        table, theta, amplitude = _batch.fit_curves(clipped, d, pool, self.max_steps, rules, base)
        found: dict[str, Any] = {name: table[:, i] for i, name in enumerate(_batch.FIELDS)}
        for gate in ("gate_statistic", "gate_height", "gate_sharpness", "gate_bump", "sharp"):
            found[gate] = found[gate] > 0
        n_null = d.null.shape[0]
        found["step_part"] = _steps(d.t, theta, amplitude[:, n_null:])
        found["fitted"] = amplitude[:, :n_null] @ d.null + found["step_part"]
        found["step_sharpness"] = np.where(found["step_sharpness"] > 0, found["step_sharpness"], np.nan)
        found["width"] = _WEIBULL_WIDTH / found["step_sharpness"]
        found["sharpness_low"] = found["sharpness"] * np.exp(-1.645 * np.minimum(found["log_sharpness_error"], 20.0))
        found["spike"] = spike
        found["expected_statistic"] = _expected_statistic(d, found)
        return found

    def best_null(self, curve: np.ndarray, step: np.ndarray, phi: float) -> np.ndarray:
        """The completely monotone curve (n_steps,) nearest to one curve, at noise correlation φ."""
        from quanta.transitions import _dictionary, _fit

        d = _dictionary.make(step)
        y = _clip_spikes(np.asarray(curve, dtype=np.float64)[None], self.despike)[0][0]
        x = np.zeros(d.null.shape[0])
        _fit.solve(y, d, _fit.null_gram(d, phi), phi, np.empty((0, y.size)), x)
        return x @ d.null


def _clip_spikes(curves: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Curves with lone spikes set to the median of their four neighbours, and which curves had one: (n, m), (n,)."""
    m = curves.shape[1]
    padded = np.pad(curves, ((0, 0), (2, 2)), mode="edge")
    # The point itself is left out: with it, the median is often the point, and every deviation looks large beside 0.
    middle = np.median(np.stack([padded[:, i : i + m] for i in (0, 1, 3, 4)]), axis=0)
    away = curves - middle
    scale = 1.4826 * np.median(np.abs(away), axis=1, keepdims=True)
    out = np.abs(away) > limit * np.maximum(scale, 1e-3 * np.ptp(curves, axis=1, keepdims=True) + 1e-300)
    # A spike stands alone above both its neighbours; a wall or a first checkpoint is no spike.
    left, right = np.roll(curves, 1, axis=1), np.roll(curves, -1, axis=1)
    out &= ((curves > left) & (curves > right)) | ((curves < left) & (curves < right))
    out[:, [0, -1]] = False
    return np.where(out, middle, curves), out.any(axis=1)


def _steps(t: np.ndarray, theta: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Sum of the steps of every curve, (n, m); theta (n, q, 2) = (ln τ, ln n), nan where there is none."""
    total = np.zeros((theta.shape[0], t.size))
    log_t = np.log(np.maximum(t, 1e-300))
    for q in range(theta.shape[1]):
        has = np.isfinite(theta[:, q, 0]) & (height[:, q] > 0)
        exponent = np.exp(theta[has, q, 1])[:, None]
        z = np.exp(np.minimum(exponent * (log_t - theta[has, q, 0][:, None]), 50.0))
        total[has] += height[has, q][:, None] * np.exp(-z)
    return total


def _expected_statistic(d: Any, found: dict[str, np.ndarray]) -> np.ndarray:
    """T to be expected at each curve's σ and φ if half of its drop were a step of width 1.2 nats, (n,).

    Noise-free misfit of that template to the null, in the middle of the window, on this very grid of checkpoints.
    """
    from quanta.transitions import _fit

    m = d.t.size
    middle = np.sqrt(d.first * d.t[-1])
    exponent = _WEIBULL_WIDTH / 1.2
    template = 0.5 * np.exp(-((d.t / middle) ** exponent)) + 0.5 * np.exp(-d.t / middle)
    phis = np.array([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95])
    misfit = []
    for phi in phis:
        x = np.zeros(d.null.shape[0])
        misfit.append(_fit.solve(template, d, _fit.null_gram(d, phi), phi, np.empty((0, m)), x)[0])
    rss = np.interp(found["phi"], phis, misfit)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return m * np.log1p(rss * found["drop"] ** 2 / (m * found["sigma"] ** 2))
