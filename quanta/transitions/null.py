"""How sharp a curve can look without any phase change: the null of the sharpness S."""

import math

import numpy as np

from quanta._errors import InputError

LIMIT = math.e  # a ramp of constant speed, linear in the loss
MOST_CLASSES = 2**18  # where classes are unknown, of a probability: as many as the largest vocabularies have
OPTIMIZERS = ("sgd", "momentum", "adam", "unknown")
_MARGIN = 1.2  # what noise and small-sample error add to a noiseless S
_MOMENTUM = 1.18  # the largest value seen on a convex table


def null_sharpness(optimizer: str, n_classes: float | None = None, units: str = "nat", metric: str = "loss") -> float:
    r"""Sharpness of a convex tabular model (features not shared) under an optimiser.

    S is e times the largest fall per unit of log time, over the total fall; a single exponential has S = 1. For a
    softmax over m classes that starts at zero, with logit gap z, a = m − 1, 1 − p = q = a e^{-z}/(1 + a e^{-z}) and loss
    −ln p = ln(1 + a e^{-z}):

    - gradient flow: t(z) = (a/m) [z + (e^z − 1)/a], so S = e max_z [z + (e^z − 1)/a] q² / ln m of the loss, and
      S = e max_z [z + (e^z − 1)/a] q² (1 − q) m/a of 1 − p;
    - Adam, whose logits move at constant speed: S = e max_z z q / ln m of the loss, S = e max_z z q (1 − q) m/a of 1 − p.

    Of a probability S has no limit: it grows as .40 ln m under gradient flow and as .68 ln m under Adam, because 1 − p
    stays near 1 while the logits climb, and then falls within a few units of z. A p that steps proves little.

    Parameters
    ----------
    optimizer : {"sgd", "momentum", "adam", "unknown"}
        Momentum is taken at no less than 1.18 for the loss, the largest value seen on a convex table; for a
        probability, momentum and unknown as Adam, the sharper.
    n_classes : float, optional
        Number of answers m; None or nan where unknown.
    units : str
        Of the loss; for "squared error", gradient flow gives 1, constant speed e/2.
    metric : {"loss", "probability"}
        Which curve: the loss, or 1 − the probability of the right answer.

    Returns
    -------
    float
        Of a loss e, the limit of a ramp, where optimiser or classes are unknown; of a probability, where classes are
        unknown, that of a vocabulary of 2^18.

    Examples
    --------
    >>> [round(null_sharpness("sgd", m), 2) for m in (2, 11, 50257)]
    [0.77, 1.02, 1.81]
    >>> [round(null_sharpness("adam", m), 2) for m in (2, 11, 50257)]
    [1.09, 1.31, 1.95]
    >>> [round(null_sharpness("sgd", m, metric="probability"), 2) for m in (2, 11, 50257)]
    [0.79, 1.21, 4.35]
    """
    if optimizer not in OPTIMIZERS:
        raise InputError(f"optimizer is {optimizer!r}; expected sgd, momentum, adam or unknown.")
    if metric not in ("loss", "probability"):
        raise InputError(f"metric is {metric!r}; expected loss or probability.")
    known = n_classes is not None and np.isfinite(n_classes)
    if metric == "loss":
        if optimizer == "unknown":
            return LIMIT
        if units == "squared error":
            return {"sgd": 1.0, "momentum": _MOMENTUM, "adam": math.e / 2}[optimizer]
        if not known:
            return LIMIT
    m = float(n_classes) if known and n_classes is not None else MOST_CLASSES
    if m < 2:
        raise InputError(f"n_classes is {n_classes}; expected 2 or more.")
    flows = optimizer == "sgd" or (optimizer == "momentum" and metric == "loss")
    sharpness = _of_softmax(m, metric, flows=flows)
    return max(sharpness, _MOMENTUM) if optimizer == "momentum" else sharpness


def _of_softmax(m: float, metric: str, *, flows: bool) -> float:
    """S of −ln p or of 1 − p under gradient flow, or where the logit gap z grows at constant speed."""
    a = m - 1
    z = np.linspace(1e-3, np.log(m) + 12, 20_000)
    q = a * np.exp(-z) / (1 + a * np.exp(-z))
    time_and_speed = (z + np.expm1(z) / a) * q if flows else z  # t dz/dt
    if metric == "loss":
        return float(np.e * np.max(time_and_speed * q) / np.log(m))
    return float(np.e * np.max(time_and_speed * q * (1 - q)) * m / a)


def base_sharpness(optimizer: str, n_classes: np.ndarray, units: str = "nat", metric: str = "loss") -> np.ndarray:
    """S0 of every subtask, (n_subtasks,): 1.2 × :func:`null_sharpness`, at least 1.2, and of a loss at most e.

    Parameters
    ----------
    n_classes : (n_subtasks,)
        nan where unknown.
    metric : {"loss", "probability", "accuracy"}
        Of an accuracy nothing is known in closed form: it is given e, and no claim rests on it.
    """
    classes, inverse = np.unique(np.asarray(n_classes, dtype=float), return_inverse=True)
    if metric == "accuracy":
        return np.full(inverse.shape, LIMIT)
    limit = LIMIT if metric == "loss" else np.inf
    values = [min(max(1.0, null_sharpness(optimizer, m, units, metric)) * _MARGIN, limit) for m in classes]
    return np.asarray(values)[inverse]


def equivalent_hits(sharpness: np.ndarray) -> np.ndarray:
    """The m ≥ 1 of which learning at the m-th hit is, in expectation, as sharp: S(m) = e m^m e^{-m}/Γ(m).

    Waiting for m hits takes an Erlang-m time, whose density in log time is highest at t = m. One hit is an exponential,
    S = 1; nan below that.

    Examples
    --------
    >>> equivalent_hits(np.array([0.9, 1.0, 1.47, 2.38, 4.83])).round(1)
    array([nan,  1.,  2.,  5., 20.])
    """
    from scipy.special import gammaln

    log_m = np.linspace(0, 16, 4001)  # S grows as √m: up to 8,000
    m = np.exp(log_m)
    log_s = 1 + m * log_m - m - gammaln(m)
    log_s[0] = 0.0
    s = np.asarray(sharpness, dtype=float)
    known = s >= 1
    return np.exp(np.interp(np.log(np.where(known, s, np.nan)), log_s, log_m, right=np.inf))
