"""Where a run is measured: steps evenly spaced on the logarithmic axis that its curves are read on."""

import numpy as np


def log_spaced(steps: int, n: int) -> np.ndarray:
    """Step 0, and whole numbers from 1 to ``steps`` as evenly spaced in the logarithm as they can be: at least n.

    Examples
    --------
    >>> log_spaced(100, 9).tolist()
    [0, 1, 2, 4, 7, 14, 27, 52, 100]
    """
    if steps < n:
        return np.arange(steps + 1)
    for points in range(n - 1, 4 * n + 40):
        grid = np.unique(np.rint(np.geomspace(1, steps, points)).astype(np.int64))
        if len(grid) >= n - 1:
            break
    return np.concatenate([[0], grid])
