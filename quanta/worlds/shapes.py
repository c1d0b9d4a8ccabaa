"""The shapes of learning curves, as the fraction s of the drop that remains at time t: s(0) = 1.

Steps are given by their onset t50, s(t50) = 1/2, and their 10-90 % width w in nats of ln t,
w = ln t(s = .1) - ln t(s = .9). Their sharpness is S = e · max(-ds/d ln t).

Smooth shapes are completely monotone (mixtures of exponentials with positive weights), hence S ≤ 1, but for
the convex softmax, which is learned by a linear model all the same.

All functions broadcast and are exact at t = 0.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

Array = np.ndarray
Step = Callable[[Array, Array | float, float], Array]

LOG_WEIBULL = math.log(math.log(10) / math.log(10 / 9))
"""The 10-90 % width of an exponential: ln(ln 10 / ln(10/9)) = 3.084 nats."""
_NORMAL_90 = float(special.ndtri(0.9))


def _log_ratio(t: Array, onset: Array | float) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(t / onset)


def _exp(x: Array) -> Array:
    return np.exp(np.minimum(x, 700.0))  # what overflows has been decided long before


def logistic(t: Array, onset: Array | float, width: float) -> Array:
    """Logistic step: s = 1/(1 + (t/t50)^b), w = 2 ln 9 / b, S = e b/4."""
    return special.expit(-2 * math.log(9) / width * _log_ratio(t, onset))


def weibull(t: Array, onset: Array | float, width: float) -> Array:
    """Weibull (Avrami) step: s = exp(-ln 2 (t/t50)^n), w = ln(ln 10 / ln(10/9)) / n, S = n: a slow start, an abrupt end."""
    return np.exp(-math.log(2) * _exp(LOG_WEIBULL / width * _log_ratio(t, onset)))


def gompertz(t: Array, onset: Array | float, width: float) -> Array:
    """Gompertz step: s = 1 - exp(-ln 2 (t/t50)^-n), w = ln(ln 10 / ln(10/9)) / n, S = n: an abrupt start, a long tail."""
    return -np.expm1(-math.log(2) * _exp(-LOG_WEIBULL / width * _log_ratio(t, onset)))


def gaussian(t: Array, onset: Array | float, width: float) -> Array:
    """Gaussian step in ln t: s = Φ(-ln(t/t50)/d), w = 2 Φ⁻¹(.9) d = 2.563 d, S = e/(d √(2π))."""
    return special.ndtr(-2 * _NORMAL_90 / width * _log_ratio(t, onset))


def hyperbolic(t: Array, onset: Array | float, width: float) -> Array:
    """Hyperbolic step: s = (1 + 3 (t/t50)^b)^(-1/2), w = ln(99 / ((10/9)² - 1)) / b: a power-law tail."""
    b = math.log(99 / ((10 / 9) ** 2 - 1)) / width
    return 1 / np.sqrt(1 + 3 * _exp(b * _log_ratio(t, onset)))


def multilinear(t: Array, onset: Array | float, width: float) -> Array:
    """Multilinear step: s = ((1 - R)/(1 - R0))², R = 1/(1 + (1/R0 - 1) e^{-κt}): the loss of a two-layer linear model.

    With R_s = 1 - (1 - R0) √s, κ t(s) = ln[R_s/(1 - R_s)] - ln[R0/(1 - R0)] and w = ln t(.1) - ln t(.9), which
    fixes R0. S > 1 grows with ln(1/R0).

    References
    ----------
    Saxe, McClelland, Ganguli (2014), Exact solutions to the nonlinear dynamics of learning; Nam et al. (2024),
    An exactly solvable model for emergence and scaling laws, eq. 8.
    """
    log_start = multilinear_start(width)
    logit_start = log_start - math.log1p(-math.exp(log_start))
    rate = _multilinear_time(0.5, log_start) / onset
    return (special.expit(-logit_start - rate * t) / (1 - math.exp(log_start))) ** 2


def _multilinear_time(remaining: float, log_start: float) -> float:
    """κ t at which the fraction ``remaining`` is left, from R0 = e^log_start."""
    start = math.exp(log_start)
    ability = 1 - (1 - start) * math.sqrt(remaining)
    return math.log(ability / (1 - ability)) - log_start + math.log1p(-start)


def multilinear_start(width: float) -> float:
    """Find ln R0 at which a multilinear step has the given width (at most 2.9 nats)."""

    def excess(log_start: float) -> float:
        return math.log(_multilinear_time(0.1, log_start) / _multilinear_time(0.9, log_start)) - width

    return float(optimize.brentq(excess, -200.0, -1e-3, xtol=1e-13))


STEPS: dict[str, Step] = {
    "logistic": logistic,
    "weibull": weibull,
    "gompertz": gompertz,
    "gaussian": gaussian,
    "hyperbolic": hyperbolic,
    "multilinear": multilinear,
}


def exponential(t: Array, tau: Array | float) -> Array:
    """Exponential: s = e^{-t/τ}: S = 1, t50 = τ ln 2, w = 3.084 nats: the sharpest completely monotone curve."""
    return np.exp(-t / tau)


def mixture(t: Array, tau: Array, share: Array) -> Array:
    """Mixture of exponentials: s = Σ_j a_j e^{-t/τ_j}.

    Parameters
    ----------
    t : np.ndarray, shape (n_steps,)
        Times.
    tau, share : np.ndarray, shape (n, n_terms)
        Time constants; shares, positive and summing to 1.

    Returns
    -------
    np.ndarray, shape (n, n_steps)
    """
    return np.einsum("nj,njm->nm", share, np.exp(-t / tau[..., None]))


def power_law(t: Array, tau: Array | float, exponent: Array | float) -> Array:
    """Power law: s = (1 + t/τ)^-β: exponentials whose rates are gamma-distributed with shape β."""
    return (1 + t / tau) ** -exponent


def stretched(t: Array, tau: Array | float, exponent: Array | float) -> Array:
    """Stretched exponential: s = exp(-(t/τ)^β), 0 < β ≤ 1: S = β."""
    return np.exp(-((t / tau) ** exponent))


def log_linear(t: Array, first: Array, last: Array) -> Array:
    """Ramp in ln t: s = (E1(t/t_b) - E1(t/t_a)) / ln(t_b/t_a): time constants log-uniform on [t_a, t_b]."""
    positive = np.where(t > 0, t, 1.0)
    ramp = (special.exp1(positive / last) - special.exp1(positive / first)) / np.log(last / first)
    return np.where(t > 0, ramp, 1.0)


def mittag_leffler(t: Array, tau: Array | float) -> Array:
    """Mittag-Leffler: s = E_{1/2}(-√(t/τ)) = exp(t/τ) erfc(√(t/τ)): fractional relaxation, with tails t^{±1/2}."""
    return special.erfcx(np.sqrt(t / tau))


def softmax_sgd(t: Array, rate: Array | float, n_classes: float) -> Array:
    r"""Loss over ln m of a table of logits (one-hot inputs, m classes) under gradient flow from zero.

    The margin u between right and wrong logits obeys du/dt = c a/(a + e^u), a = m - 1, hence
    u + e^u/a = ct + 1/a, and the loss ln(1 + a e^-u) is ln(1 + 1/ω(ct + 1/a - ln a)) with ω Wright's function.
    A convex problem that shares no features; still S = .77, 1.02, 1.25, 1.81 at m = 2, 11, 64, 50257.
    """
    a = n_classes - 1
    return np.log1p(1 / special.wrightomega(rate * t + 1 / a - math.log(a))) / math.log(n_classes)


def softmax_adam(t: Array, rate: Array | float, n_classes: float) -> Array:
    """Loss over ln m of the same table when the margin grows at constant speed: ln(1 + a e^{-ct}) / ln(1 + a).

    Adam's normalised step moves a logit by about the learning rate, whatever its gradient. S = 1.09, 1.31, 1.51, 1.95 at
    m = 2, 11, 64, 50257.
    """
    a = n_classes - 1
    return np.log1p(a * np.exp(-rate * t)) / math.log(n_classes)


def half_life(shape: Callable[..., Array], n_classes: float) -> float:
    """Time at which a softmax curve of unit rate is at half of its start."""
    return float(optimize.brentq(lambda t: shape(t, 1.0, n_classes) - 0.5, 0.0, 40.0 + 2 * n_classes))


def coupled_residuals(t: Array, frequency: Array, features: Array, target: Array) -> Array:
    r"""Integrate exactly the residuals of linear regression on several tasks under gradient flow from zero.

    With loss Σ_k p_k (w·x_k - y_k)²/2 the residuals r_k = w·x_k - y_k obey dr/dt = -G P r, G = X Xᵀ, P = diag p.
    In s = P^{1/2} r the generator is symmetric, P^{1/2} G P^{1/2} = Q Λ Qᵀ, hence
    r_k = Σ_j c_kj e^{-λ_j t} with c = P^{-1/2} Q diag(Qᵀ P^{1/2} r_0): the signs of c are free, so that r_k² need
    not be completely monotone, though Σ p_k r_k² is.

    Parameters
    ----------
    t : Array, shape (n_steps,)
        Times.
    frequency, target : Array, shape (n_subtasks,)
        p_k and y_k.
    features : Array, shape (n_subtasks, n_dims)
        Rows x_k.

    Returns
    -------
    Array, shape (n_subtasks, n_steps)
    """
    root = np.sqrt(frequency)
    rates, modes = np.linalg.eigh(root[:, None] * (features @ features.T) * root)
    coefficients = modes * (modes.T @ (-root * target)) / root[:, None]
    return coefficients @ np.exp(-np.maximum(rates, 0)[:, None] * t)


def random_regression(rng: np.random.Generator, n_subtasks: int) -> tuple[Array, Array]:
    """Random unit features in twice as many dims, (n_subtasks, n_dims), and targets ±1, (n_subtasks,)."""
    features = rng.standard_normal((n_subtasks, 2 * n_subtasks))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features, rng.choice([-1.0, 1.0], n_subtasks)


def coupled_losses(t: Array, frequency: Array, features: Array, target: Array) -> Array:
    """Squared residuals, (n_subtasks, n_steps), at a speed at which the most frequent task alone would be half learned at t = 10."""
    speed = math.log(2) / (2 * frequency[0] * 10)
    return coupled_residuals(speed * t, frequency, features, target) ** 2
