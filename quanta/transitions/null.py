"""How sharp a curve can look without any phase change: the null of the sharpness S."""

import math

import numpy as np

from quanta._errors import InputError

LIMIT = math.e  # a ramp of constant speed, linear in the loss
_MARGIN = 1.2  # what noise and small-sample error add to a noiseless S


def null_sharpness(optimizer: str, n_classes: float | None = None, units: str = "nat") -> float:
    r"""Sharpness of a convex tabular model (features not shared) under an optimiser.

    S is e times the largest fall per unit of log time, over the total fall; a single exponential has S = 1. For a
    softmax over m classes that starts at zero, with logit gap z, a = m − 1 and loss ln(1 + a e^{-z}):

    - gradient flow: t(z) = (a/m) [z + (e^z − 1)/a], so S = e max_z [z + (e^z − 1)/a] q² / ln m, q = a e^{-z}/(1 + a e^{-z});
    - Adam, whose logits move at constant speed: S = e max_z z q / ln m.

    Parameters
    ----------
    optimizer : {"sgd", "momentum", "adam", "unknown"}
        Momentum is taken at no less than 1.18, the largest value seen on a convex table.
    n_classes : float, optional
        Number of answers m; None or nan where unknown.
    units : str
        Of the loss; for "squared error", gradient flow gives 1, constant speed e/2.

    Returns
    -------
    float
        e, the limit of a ramp, where optimiser or classes are unknown.

    Examples
    --------
    >>> [round(null_sharpness("sgd", m), 2) for m in (2, 11, 50257)]
    [0.77, 1.02, 1.81]
    >>> [round(null_sharpness("adam", m), 2) for m in (2, 11, 50257)]
    [1.09, 1.31, 1.95]
    """
    if optimizer not in ("sgd", "momentum", "adam", "unknown"):
        raise InputError(f"optimizer is {optimizer!r}; expected sgd, momentum, adam or unknown.")
    if optimizer == "unknown":
        return LIMIT
    if units == "squared error":
        return {"sgd": 1.0, "momentum": 1.18, "adam": math.e / 2}[optimizer]
    if n_classes is None or not np.isfinite(n_classes):
        return LIMIT
    if n_classes < 2:
        raise InputError(f"n_classes is {n_classes}; expected 2 or more.")
    a = n_classes - 1
    z = np.linspace(1e-3, np.log(n_classes) + 12, 20_000)
    q = a * np.exp(-z) / (1 + a * np.exp(-z))
    if optimizer == "adam":
        return float(np.e * np.max(z * q) / np.log1p(a))
    sharpness = float(np.e * np.max((z + np.expm1(z) / a) * q**2) / np.log1p(a))
    return max(sharpness, 1.18) if optimizer == "momentum" else sharpness


def base_sharpness(optimizer: str, n_classes: np.ndarray, units: str = "nat") -> np.ndarray:
    """S0 of every subtask, (n_subtasks,): 1.2 × :func:`null_sharpness`, at least 1.2, at most e.

    Parameters
    ----------
    n_classes : (n_subtasks,)
        nan where unknown.
    """
    classes, inverse = np.unique(np.asarray(n_classes, dtype=float), return_inverse=True)
    values = [min(max(1.0, null_sharpness(optimizer, m, units)) * _MARGIN, LIMIT) for m in classes]
    return np.asarray(values)[inverse]
