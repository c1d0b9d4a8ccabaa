"""Curves of many subtasks, filled a checkpoint at a time."""

import numpy as np

_AT_ONCE = 8  # checkpoints: a cache line of them
_TILE = 4096  # subtasks


class Curves:
    """An array (n_subtasks, n_steps) that is written as fast as it can be read.

    A checkpoint of it is a column, one number of each cache line, so a few are kept and written together.
    """

    def __init__(self, n_subtasks: int, n_steps: int, dtype: type) -> None:
        self._values: np.ndarray = np.empty((n_subtasks, n_steps), dtype=dtype)
        self._rows: np.ndarray = np.empty((_AT_ONCE, n_subtasks), dtype=dtype)
        self._written = self.done = 0

    def add(self, row: np.ndarray) -> None:
        """Append a checkpoint, (n_subtasks,)."""
        self._rows[self.done - self._written] = row
        self.done += 1
        if self.done - self._written == _AT_ONCE:
            self._write()

    def so_far(self) -> np.ndarray:
        """All checkpoints that were added, (n_subtasks, done)."""
        self._write()
        return self._values[:, : self.done]

    def _write(self) -> None:
        columns, rows = slice(self._written, self.done), self._rows[: self.done - self._written]
        for start in range(0, rows.shape[1], _TILE):
            tile = slice(start, start + _TILE)
            self._values[tile, columns] = rows[:, tile].T
        self._written = self.done
