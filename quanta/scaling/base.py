"""What a scaling law promises: a formula for a loss, names and bounds of its parameters, and where to begin to fit it."""

import abc
import itertools
from typing import Literal, NamedTuple

import numpy as np

_RIDGE = 1e-13  # of columns of length 1 and more: alike ones are told apart no further

Values = np.ndarray | tuple[np.ndarray | float, ...]


class Parameter(NamedTuple):
    """One number that is fitted."""

    name: str
    lower: float = 0.0
    """Where it may not go below: with 0 it is fitted as its logarithm, unless ``zero``."""
    upper: float = np.inf
    zero: bool = False
    """It may be 0 or, where ``lower`` says so, less: it is fitted as it is, and but for an exponent it is a loss."""
    exponent: bool = False
    """It is a scaling exponent: what all this is about."""


class AbstractScalingLaw(abc.ABC):
    """A formula for a loss as a function of steps, parameters, data, or several of them.

    Notes
    -----
    ``values`` and ``x`` broadcast behind their first axis, so that many sets of parameters are evaluated at once:
    (n_parameters, n_sets, 1) and (n_variables, n) give (n_sets, n).
    """

    @property
    @abc.abstractmethod
    def variables(self) -> tuple[str, ...]:
        """What the loss depends on: the rows of x."""

    @property
    @abc.abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """What is fitted."""

    @abc.abstractmethod
    def loss(self, values: Values, x: np.ndarray) -> np.ndarray:
        """The formula.

        Parameters
        ----------
        values : np.ndarray, shape (n_parameters, ...), or tuple of as many
            Of the parameters.
        x : np.ndarray, shape (n_variables, ...)
            Above 0.

        Returns
        -------
        np.ndarray, shape (...)
            Losses; 0 or less, or nan, where the formula has none.
        """

    @abc.abstractmethod
    def guesses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where to begin; the best few are followed.

        Parameters
        ----------
        x : np.ndarray, shape (n_variables, n)
            Above 0.
        y : np.ndarray, shape (n,)
            Losses above 0.

        Returns
        -------
        np.ndarray, shape (n_guesses, n_parameters)
        """


def combinations(*axes: np.ndarray) -> np.ndarray:
    """Every combination of values, one from each axis, (n_combinations, n_axes)."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def coefficients(
    columns: np.ndarray, y: np.ndarray, *, offset: Literal["free", "positive", "none"] = "none"
) -> np.ndarray:
    """By what to multiply columns, and what to add, for the least squares of the relative error.

    Every subset of what may be missing is tried: exact, and for many sets of columns at once (Lawson and Hanson 1974, chapter 23,
    for why the best of them is the best with coefficients of 0 or more).

    Parameters
    ----------
    columns : np.ndarray, shape (n_sets, n_columns, n)
        What is added up, with coefficients above 0: of a column that is better missing, a millionth of what it could explain.
    y : np.ndarray, shape (n,) or (n_sets, n)
        The sum, above 0.
    offset : {"free", "positive", "none"}
        Whether a constant is added: of either sign, of 0 or more, or none.

    Returns
    -------
    np.ndarray, shape (n_sets, n_columns), or with an offset (n_sets, n_columns + 1)
    """
    all_columns = columns if offset == "none" else np.concatenate([columns, np.ones_like(columns[:, :1])], axis=1)
    n_sets, n_columns = all_columns.shape[:2]
    scale = np.maximum(np.abs(all_columns / y[..., None, :]).max(axis=-1), 1e-300)
    scaled = all_columns / y[..., None, :] / scale[..., None]
    best, left = np.zeros((n_sets, n_columns)), np.full(n_sets, np.inf)
    for kept in itertools.product((False, True), repeat=n_columns):
        some = np.flatnonzero(kept)
        if not some.size or (offset == "free" and not kept[-1]):
            continue
        part = scaled[:, some]
        square = np.einsum("gin,gjn->gij", part, part) + _RIDGE * np.eye(some.size)
        found = np.linalg.solve(square, part.sum(axis=-1)[..., None])[..., 0]
        wrong = (found[:, : len(some) - (offset == "free")] < 0).any(axis=1)
        rest = np.where(wrong, np.inf, np.sum((np.einsum("gi,gin->gn", found, part) - 1) ** 2, axis=-1))
        better = rest < left
        left = np.where(better, rest, left)
        best[better] = 0.0
        best[np.ix_(better, some)] = found[better]
    best[:, : columns.shape[1]] = np.maximum(best[:, : columns.shape[1]], 1e-6)
    return best / scale
