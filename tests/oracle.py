"""A plain reference of the one-step test, in NumPy and SciPy: what the compiled detector is checked and timed against.

Nothing here is shared with the package but the model: y = Σ_j c_j e^{-t/τ_j} + h e^{-(t/τ)^n} + AR(1) noise with c, h ≥ 0.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

EXPONENTS = (1.5, 2.0, 3.0, 5.0, 8.0, 14.0)


class Fit(NamedTuple):
    """Best fits of one curve without and with a step."""

    statistic: float
    """T = m ln(RSS₀/RSS₁)."""
    null_rss: float
    rss: float
    log_time: float
    log_exponent: float
    fitted: np.ndarray


def whiten(rows: np.ndarray, phi: float) -> np.ndarray:
    """Rows (…, m) whose AR(1) errors, of unit variance, become independent and of unit variance."""
    rest = (rows[..., 1:] - phi * rows[..., :-1]) / np.sqrt(1 - phi**2)
    return np.concatenate([rows[..., :1], rest], axis=-1)


def exponentials(t: np.ndarray) -> np.ndarray:
    """A constant and e^{-t/τ}, from far before the first checkpoint to far beyond the last, a quarter of a nat apart."""
    low, high = np.log(t[t > 0][0]) - 2.5, np.log(t[-1]) + 4.0
    tau = np.exp(np.linspace(low, high, int(np.ceil((high - low) / 0.25)) + 1))
    return np.concatenate([np.ones((1, t.size)), np.exp(-t / tau[:, None])])


def step(t: np.ndarray, log_time: float, log_exponent: float) -> np.ndarray:
    """e^{-(t/τ)^n}, (m,)."""
    with np.errstate(over="ignore"):
        return np.exp(-((t / np.exp(log_time)) ** np.exp(log_exponent)))


def fit(rows: np.ndarray, y: np.ndarray, phi: float) -> tuple[np.ndarray, float]:
    """Amplitudes ≥ 0 of the rows (n, m), and the weighted square of what they leave."""
    amplitude, left = optimize.nnls(whiten(rows, phi).T, whiten(y, phi), maxiter=50 * len(rows))
    return amplitude, left**2


def one_step(y: np.ndarray, t: np.ndarray, phi: float, n_candidates: int | None = None) -> Fit:
    """Test one curve.

    Parameters
    ----------
    y, t : (m,)
        Curve and checkpoints.
    phi : float
        Correlation of the noise from one checkpoint to the next.
    n_candidates : int, optional
        Fit only as many steps of the grid, those that explain most of the null's residual; by default all of them.
    """
    null = exponentials(t)
    null_amplitude, null_rss = fit(null, y, phi)
    first, last = np.log(t[t > 0][0]), np.log(t[-1])
    grid = [(x, np.log(n)) for n in EXPONENTS for x in np.linspace(first + 0.3, last - 0.05, 25)]
    if n_candidates is not None:
        active = whiten(null[null_amplitude > 0], phi)
        basis = np.linalg.svd(active, full_matrices=False)[2]
        atoms = whiten(np.array([step(t, *place) for place in grid]), phi)
        atoms = atoms - atoms @ basis.T @ basis
        residual = whiten(y - null_amplitude @ null, phi)
        score = atoms @ residual / np.maximum(np.linalg.norm(atoms, axis=1), 1e-6)
        grid = [grid[i] for i in np.argsort(-score)[:n_candidates]]

    def rss_at(place: np.ndarray) -> float:
        inside = first - 0.7 <= place[0] <= last + 0.7 and np.log(1.25) <= place[1] <= np.log(60)
        return fit(np.vstack([null, step(t, *place)]), y, phi)[1] if inside else np.inf

    start = np.array(min(grid, key=rss_at))
    simplex = start + np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2]])
    best = optimize.minimize(
        rss_at,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-6 * null_rss},
    ).x
    rows = np.vstack([null, step(t, *best)])
    amplitude, rss = fit(rows, y, phi)
    return Fit(t.size * np.log(null_rss / rss), null_rss, rss, *best, amplitude @ rows)
