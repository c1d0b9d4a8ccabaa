"""The published per-token method: one logistic in log time, and a confidence bound on how steep it is."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from quanta._errors import InputError
from quanta.transitions import _logistic_fit as fits
from quanta.transitions.base import AbstractDetector

_FIRST_ORDER = math.log(4) - 1  # ln b of a logistic with S = 1


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Logistic(AbstractDetector):
    r"""One logistic in log time per curve, in AR(1) noise.

    Every curve is taken to be :math:`l = c + h/(1 + (t/t_{50})^b)`, fitted by generalised least squares with φ from its
    own residuals. A curve is sharp if

    - h exceeds ``least_drop`` σ;
    - the lower confidence bound of S = e b/4 exceeds S0.

    ``statistic`` is m ln(RSS₁/RSS), RSS₁ that of the best logistic with S = 1: whether it is sharper than first order.

    It is a cheap second opinion, and fooled by what is not a logistic: a step over a drift, two steps and wide steps with
    tails read as less steep than they are; the way down from a bump reads as a step.

    References
    ----------
    A sigmoid for every token is how Wang et al. (2026), Smooth scaling laws hide stepwise token learning
    (arXiv:2606.29858), find learning times; the bound on S is added here, for a sigmoid fits an exponential as well.
    """

    z: float = 1.645
    """Normal quantile of the one-sided lower bound of S; 1.645 is 95 %."""
    least_drop: float = 4.0
    """Least drop, in standard deviations of the noise."""
    misfit: float = 0.003
    """Misfit, as a share of the drop, that counts as numerical."""
    despike: float = 5.0
    """A single checkpoint this many robust deviations above its neighbours is clipped to them."""

    def __post_init__(self) -> None:
        if not self.z > 0:
            raise InputError(f"z is {self.z}; expected a positive quantile, such as 1.645 for 95 %.")
        if not self.least_drop > 0:
            raise InputError(f"least_drop is {self.least_drop}; expected a positive number of standard deviations.")

    def detect(self, curves: np.ndarray, step: np.ndarray, base_sharpness: np.ndarray) -> dict[str, np.ndarray]:
        """Test curves; see :meth:`AbstractDetector.detect`.

        Besides what every detector returns: the parameters' standard errors, the gates, the fitted curve, and the
        ``statistic`` to be expected of half a drop of width 1.2 nats at each curve's noise.
        """
        from quanta.transitions import _spikes

        y, spike = _spikes.despike_all(np.ascontiguousarray(curves, dtype=np.float64), self.despike)
        x = fits.log_time(np.asarray(step, dtype=np.float64))
        moving = np.ptp(y, axis=1) > 1e-12 * np.abs(y).max(axis=1)
        found = _of_constants(y)
        if moving.any():
            for name, value in self._judge(y[moving], x, np.asarray(base_sharpness)[moving]).items():
                found[name][moving] = value
        return found | {"spike": spike}

    def _judge(self, y: np.ndarray, x: np.ndarray, base: np.ndarray) -> dict[str, np.ndarray]:
        """Everything that is said of curves that are not constant."""
        m = x.size
        fit, phi = _fit(y, x)
        flat = np.stack([fit.theta[:, 0], np.full(len(y), _FIRST_ORDER)], axis=1)
        first_order = fits.refine(y, x, flat, phi, steepness=False)
        floor = m * (self.misfit * np.ptp(y, axis=1)) ** 2
        sigma = np.sqrt((fit.rss + floor) / (m - 4))
        error = fits.errors(x, fit, phi, sigma)
        described = _describe(x, fit)
        low = described["sharpness"] * np.exp(-self.z * np.minimum(error[:, 3], 20.0))
        steeper = fit.theta[:, 1] > _FIRST_ORDER
        statistic = np.where(steeper, m * np.log((first_order.rss + floor) / (fit.rss + floor)), 0.0)
        gates = {
            "gate_statistic": statistic > self.z**2,
            "gate_height": fit.amplitude[:, 1] > self.least_drop * sigma,
            "gate_sharpness": low > base,
            "gate_bump": np.ones(len(y), dtype=bool),
        }
        return {
            **described,
            **gates,
            "sharp": gates["gate_sharpness"] & gates["gate_height"],
            "sharpness_low": low,
            "statistic": np.maximum(statistic, 0.0),
            "statistic_needed": np.full(len(y), self.z**2),
            "n_steps": gates["gate_statistic"].astype(float),
            "step_part": np.where(gates["gate_statistic"][:, None], described["step_part"], 0.0),
            "sigma": sigma,
            "phi": phi,
            "height_error": error[:, 1],
            # The true step need not be logistic: others lie up to .03 widths off, and read up to a fifth too narrow.
            "log_onset_error": np.hypot(error[:, 2], 0.03 * described["width"]),
            "log_width_error": np.hypot(error[:, 3], 0.15),
            "log_sharpness_error": error[:, 3],
            "expected_statistic": _expected_statistic(x, phi, fit.amplitude[:, 1], sigma),
        }


def _fit(y: np.ndarray, x: np.ndarray) -> tuple[fits.Fit, np.ndarray]:
    """Fits and their φ: in turn, until φ has settled."""
    phi = np.zeros(len(y))
    fit = fits.refine(y, x, fits.first_guess(y, x), phi)
    for _ in range(2):
        phi = fits.autocorrelation(y, x, fit)
        fit = fits.refine(y, x, fit.theta.copy(), phi)
    return fit, phi


def _describe(x: np.ndarray, fit: fits.Fit) -> dict[str, np.ndarray]:
    """What the logistic says in closed form: times, width, levels, and moments of its fall in log time."""
    height = fit.amplitude[:, 1]
    log_onset, b = fit.theta[:, 0], np.exp(fit.theta[:, 1])
    ends = np.array([x[0], x[-1], x[-1] - 0.7])
    left = fits.remaining(ends, fit.theta)[0]
    middle = np.clip((left[:, 0] + left[:, 1]) / 2, 1e-12, 1 - 1e-12)
    start, end, before_end = (fit.amplitude[:, :1] + height[:, None] * left).T
    step_part = height[:, None] * fits.remaining(x, fit.theta)[0]
    return {
        "start": start,
        "end": end,
        "before_end": before_end,
        "drop": height,
        "height": height,
        "onset": np.exp(log_onset),
        "half_time": np.exp(log_onset + np.log(1 / middle - 1) / b),
        "width": 2 * np.log(9) / b,
        "sharpness": math.e * b / 4,
        "step_sharpness": math.e * b / 4,
        "log_time_mean": log_onset,
        "log_time_variance": (np.pi / b) ** 2 / 3,
        "step_part": step_part,
        "fitted": fit.amplitude[:, :1] + step_part,
    }


_NUMBERS = (
    *("onset", "half_time", "width", "sharpness", "sharpness_low", "step_sharpness", "log_time_mean"),
    *("log_time_variance", "statistic_needed", "height", "height_error", "log_onset_error", "log_width_error"),
    *("log_sharpness_error", "expected_statistic", "bump_statistic"),
)


def _of_constants(y: np.ndarray) -> dict[str, np.ndarray]:
    """What is said of curves that do not move: nothing has been found, and nothing is known."""
    n = len(y)
    found = {name: np.full(n, np.nan) for name in _NUMBERS}
    found |= {name: np.zeros(n) for name in ("statistic", "phi", "sigma", "drop", "n_steps")}
    found |= {f"gate_{name}": np.zeros(n, dtype=bool) for name in ("statistic", "height", "sharpness", "bump")}
    found |= {name: y[:, 0].copy() for name in ("start", "end", "before_end")}
    return found | {"sharp": np.zeros(n, dtype=bool), "fitted": y.copy(), "step_part": np.zeros_like(y)}


def _expected_statistic(x: np.ndarray, phi: np.ndarray, drop: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The statistic to be expected if half of the drop were a step of width 1.2 nats, (n,), on this grid."""
    phis = np.array([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95])
    middle = (x[1] + x[-1]) / 2
    template = 0.5 / (1 + np.exp(2 * np.log(9) / 1.2 * (x - middle))) + 0.5 * np.exp(-np.exp(x - middle))
    y = np.tile(template, (phis.size, 1))
    start = np.tile([middle, _FIRST_ORDER], (phis.size, 1))
    first_order = fits.refine(y, x, start.copy(), phis, steepness=False).rss
    free = fits.refine(y, x, start, phis).rss
    noise = x.size * (sigma / np.maximum(drop, 1e-9 * sigma)) ** 2
    return x.size * np.log((np.interp(phi, phis, first_order) + noise) / (np.interp(phi, phis, free) + noise))
