"""What a scaling law promises: a formula for a loss, names and bounds of its parameters, and where to begin to fit it."""

import abc
from typing import NamedTuple

import numpy as np
from scipy import optimize


class Parameter(NamedTuple):
    """One number that is fitted."""

    name: str
    lower: float = 0.0
    """Where it may not go below: with 0 it is fitted as its logarithm, unless ``zero``."""
    upper: float = np.inf
    zero: bool = False
    """It may be 0 or, where ``lower`` says so, less: it is fitted as it is."""
    exponent: bool = False
    """It is a scaling exponent: what an audit is about."""


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
    def loss(self, values: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The formula.

        Parameters
        ----------
        values : np.ndarray, shape (n_parameters, ...)
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


def combinations(*axes: np.ndarray) -> list[tuple[float, ...]]:
    """Every combination of values, one from each axis."""
    return list(zip(*(axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")), strict=True))


def coefficients(columns: np.ndarray, y: np.ndarray, *, free: int = 0) -> np.ndarray:
    """Least squares of the relative error with coefficients of 0 or more, but for the last ``free``.

    Parameters
    ----------
    columns : np.ndarray, shape (n, n_columns)
        What is added up.
    y : np.ndarray, shape (n,)
        The sum, above 0.

    Returns
    -------
    np.ndarray, shape (n_columns,)
    """
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    lower = np.zeros(columns.shape[1])
    lower[columns.shape[1] - free :] = -np.inf
    found = optimize.lsq_linear(columns / scale / y[:, None], np.ones_like(y), (lower, np.inf), method="bvls")
    return found.x / scale
