"""Curves of many subtasks, filled a checkpoint at a time."""

import numpy as np


class Curves:
    """A float32 array (n_subtasks, n_steps) that is filled column by column, and lies in memory in that order.

    The other way round a checkpoint would be one number of each of a million cache lines.
    """

    def __init__(self, n_subtasks: int, n_steps: int) -> None:
        self._values: np.ndarray = np.empty((n_steps, n_subtasks), dtype=np.float32)

    def put(self, i: int, row: np.ndarray) -> None:
        """Checkpoint number i, (n_subtasks,)."""
        self._values[i] = row

    def so_far(self, done: int) -> np.ndarray:
        """The first checkpoints, (n_subtasks, done): a view."""
        return self._values[:done].T
