"""How likely a subtask is to be seen fewer times than it takes."""

import numpy as np

_SUMMED = 100  # hits up to which the binomial law is summed term by term


def chance_below(hits: int, examples: np.ndarray | float, frequencies: np.ndarray) -> np.ndarray:
    """P(Binomial(examples, p) < hits): its terms summed from (1 - p)^n up, or the incomplete beta function.

    The first term underflows only where fewer than ``_SUMMED`` hits have a chance below 1e-190.

    Examples
    --------
    >>> chance_below(1, 2, np.array([0.5, 0.1])).round(12).tolist()
    [0.25, 0.81]
    """
    p, n = np.asarray(frequencies, dtype=np.float64), np.asarray(examples, dtype=np.float64)
    if hits > _SUMMED:
        from scipy import special

        return np.where(n < hits, 1.0, special.betaincc(hits, np.maximum(n - hits + 1, 1), p))
    with np.errstate(divide="ignore", invalid="ignore"):  # p = 1 is left to the last line
        odds = p / (1 - p)
        term = np.exp(n * np.log1p(-p))
        total = term * (hits > 0)
        for j in range(hits - 1):
            term *= odds
            term *= np.maximum(n - j, 0) / (j + 1)
            total += term
    return np.where(p < 1, np.minimum(total, 1), n < hits)
