"""How likely a subtask is to be seen fewer times than it takes."""

import numpy as np

_SUMMED = 100  # hits up to which the binomial law is summed term by term


def chance_below(hits: int, examples: np.ndarray | float, frequencies: np.ndarray) -> np.ndarray:
    """P(Binomial(examples, p) < hits), of 1 hit or more: its terms summed from (1 - p)^n up, or the incomplete beta function.

    The sum is for up to a hundred hits of subtasks with p ≤ ½: where its first term underflows, it is below 1e-150.

    Examples
    --------
    >>> chance_below(1, 2, np.array([0.5, 0.1])).round(12).tolist()
    [0.25, 0.81]
    """
    p, n = np.asarray(frequencies, dtype=np.float64), np.asarray(examples, dtype=np.float64)
    if hits > _SUMMED:
        return _by_beta(hits, n, p)
    often = p > 0.5
    q = np.where(often, 0.5, p)
    odds = q / (1 - q)
    term = np.array(np.exp(n * np.log1p(-q)))
    total = term.copy()
    for j in range(hits - 1):
        term *= odds
        term *= np.maximum(n - j, 0) / (j + 1)
        total += term
    np.minimum(total, 1, out=total)
    if np.any(often):
        often, n, p = np.broadcast_arrays(often, n, p)
        total[often] = _by_beta(hits, n[often], p[often])
    return total


def _by_beta(hits: int, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """To nine digits, a hundred times slower."""
    from scipy import special

    return np.where(n < hits, 1.0, special.betaincc(hits, np.maximum(n - hits + 1, 1), p))
