"""Groups of like curves: features, k-means, means of groups, agreement of two groupings. In blocks, on plain arrays."""

import numpy as np

_BLOCK = 50_000  # curves at a time: 40 MB of float64 at 100 checkpoints
_FIT = 20_000  # curves on which centres are fitted; the others are only assigned
_STARTS = 3
_ITERATIONS = 30


def blocks(n: int, size: int = _BLOCK) -> list[slice]:
    """Slices that cover n rows."""
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def features(curves: np.ndarray, columns: np.ndarray, n_components: int = 8) -> np.ndarray:
    """Principal components of the curves, each with mean 0 and variance 1, (n, n_components) float32.

    Parameters
    ----------
    curves : (n, n_steps)
        Finite.
    columns : (n_columns,)
        Checkpoints that may be looked at.
    """
    m = columns.size
    total, products = np.zeros(m), np.zeros((m, m))
    for rows in blocks(len(curves)):
        z = _normalised(curves[rows][:, columns])
        total += z.sum(axis=0)
        products += z.T @ z
    mean = total / len(curves)
    _, vectors = np.linalg.eigh(products / len(curves) - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :n_components]
    return np.concatenate([((_normalised(curves[r][:, columns]) - mean) @ axes).astype(np.float32) for r in blocks(len(curves))])  # fmt: skip


def _normalised(y: np.ndarray) -> np.ndarray:
    z = np.asarray(y, dtype=np.float64)
    z = z - z.mean(axis=1, keepdims=True)
    return z / np.maximum(z.std(axis=1, keepdims=True), 1e-300)


def cluster(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (n,) of k-means: the best of a few starts on a sample, then the nearest centre for all.

    References
    ----------
    Lloyd (1982), Least squares quantization in PCM; Arthur and Vassilvitskii (2007), k-means++.
    """
    from scipy.cluster import vq

    sample = points if len(points) <= _FIT else points[rng.choice(len(points), _FIT, replace=False)]
    sample = sample.astype(np.float64)
    fits = []
    for _ in range(_STARTS):
        centres = _spread(sample, k, rng)
        for _ in range(_ITERATIONS):
            label, distance = vq.vq(sample, centres)
            count = np.bincount(label, minlength=k)
            sums = np.stack([np.bincount(label, weights=column, minlength=k) for column in sample.T], axis=1)
            moved = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], centres)
            if np.array_equal(moved, centres):
                break
            centres = moved
        fits.append((float(distance @ distance), centres))
    best = min(fits, key=lambda fit: fit[0])[1]
    return np.concatenate([vq.vq(points[r].astype(np.float64), best)[0] for r in blocks(len(points))])


def _spread(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Points (k, n_components), each drawn with a probability that grows with its squared distance from those before it."""
    centres = [points[rng.integers(len(points))]]
    nearest = np.full(len(points), np.inf)
    for _ in range(k - 1):
        nearest = np.minimum(nearest, np.square(points - centres[-1]).sum(axis=1))
        total = nearest.sum()
        share = nearest / total if total > 0 else np.full(len(points), 1 / len(points))
        centres.append(points[rng.choice(len(points), p=share)])
    return np.stack(centres)


def adjusted_rand(a: np.ndarray, b: np.ndarray) -> float:
    """Agreement of two groupings: 1 if they are the same, 0 on average by chance (Hubert and Arabie 1985).

    Examples
    --------
    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]))
    1.0
    >>> round(adjusted_rand(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])), 12)
    -0.5
    """
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    n_b = int(b.max()) + 1

    def pairs(count: np.ndarray) -> float:
        return float((count * (count - 1.0) / 2).sum())

    both = pairs(np.bincount(a * n_b + b))
    first, second = pairs(np.bincount(a)), pairs(np.bincount(b))
    expected = first * second / pairs(np.array([a.size]))
    top = 0.5 * (first + second)
    return 1.0 if top == expected else (both - expected) / (top - expected)


def means(curves: np.ndarray, columns: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Mean curve of every group, (n_groups, n_columns) float64; ``label`` (n,) counts from 0, none empty."""
    from scipy import sparse

    n_groups = int(label.max()) + 1
    total = np.zeros((n_groups, columns.size))
    for rows in blocks(len(curves)):
        here = label[rows]
        member = sparse.csr_array((np.ones(here.size), (here, np.arange(here.size))), shape=(n_groups, here.size))
        total += member @ curves[rows][:, columns].astype(np.float64)
    return total / np.bincount(label, minlength=n_groups)[:, None]


def noise(curves: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Standard deviations (at most 2000,) and AR(1) correlation φ of the curves' noise.

    Deviations from the mean curve have differences of variance 2 σ² (1 − φ) over one checkpoint and 2 σ² (1 − φ²)
    over two, where nothing is learned: medians, since somewhere something is. Values at the floor of 0 have no noise.
    """
    some = curves if len(curves) <= 2000 else curves[rng.choice(len(curves), 2000, replace=False)]
    away = np.where(some > 0, some - some.mean(axis=0, dtype=np.float64), np.nan)
    one, two = np.abs(np.diff(away, axis=1)), np.abs(away[:, 2:] - away[:, :-2])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.nanmedian(two) / np.nanmedian(one)) if np.isfinite(two).any() else 1.0
    phi = float(np.clip(ratio**2 - 1, 0, 0.95)) if np.isfinite(ratio) else 0.0
    known = np.isfinite(one).sum(axis=1) >= 5
    if not known.any():
        return np.zeros(1), 0.0
    return 1.4826 * np.nanmedian(one[known], axis=1) / np.sqrt(2 * (1 - phi)), phi


def density(
    log_onset: np.ndarray, error: np.ndarray, grid: np.ndarray, rng: np.random.Generator, n_draws: int = 200
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Density of onsets per nat, each as uncertain as it is, and 95 % bounds over curves: three times (n_grid,).

    Parameters
    ----------
    log_onset, error : (n,)
        Logarithms of the onsets and their standard errors.
    grid : (n_grid,)
        Where the density is wanted, in log time.

    Notes
    -----
    Bells are as wide as the error, but no narrower than half of Silverman's rule: at that width, what smoothing distorts
    is small beside the bounds. These are of a Poisson bootstrap: every curve counts as often as a Poisson number of
    mean 1 says.
    """
    quartiles = np.quantile(log_onset, [0.25, 0.75])
    spread = min(float(log_onset.std()), float(quartiles[1] - quartiles[0]) / 1.34)
    error = np.maximum(error, 0.45 * spread * log_onset.size**-0.2)
    total, draws, weights = np.zeros(grid.size), np.zeros((grid.size, n_draws)), np.zeros(n_draws)
    for rows in blocks(log_onset.size, 5000):
        z = (grid[:, None] - log_onset[rows]) / error[rows]
        bells = np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * error[rows])
        often = rng.poisson(1.0, (bells.shape[1], n_draws)).astype(float)
        total += bells.sum(axis=1)
        draws += bells @ often
        weights += often.sum(axis=0)
    low, high = np.quantile(draws / np.maximum(weights, 1), [0.025, 0.975], axis=1)
    return total / log_onset.size, low, high


def distinguishable(grid: np.ndarray, density_: np.ndarray, error: np.ndarray) -> float:
    """How many onset times can be told apart: e to the information that a measured onset has of the true one.

    That is the entropy of the onsets less the mean entropy of their (normal) errors, in nats.
    """
    f = np.maximum(density_, 1e-300)
    spread = -float(np.sum(f * np.log(f)) * (grid[1] - grid[0]))
    noise = float(np.mean(0.5 * np.log(2 * np.pi * np.e * error**2)))
    return float(np.exp(max(0.0, spread - noise)))
