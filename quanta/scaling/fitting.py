"""A law fitted to losses: estimates, how sure they are, and where they cannot be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from quanta._checks import check_choice, check_whole
from quanta._errors import InputError
from quanta.scaling import _doubts
from quanta.scaling._objective import Objective
from quanta.scaling._search import Found, Points, search
from quanta.scaling.base import AbstractScalingLaw

Window = tuple[float, float] | Mapping[str, tuple[float, float]]
X = np.ndarray | Mapping[str, np.ndarray]
_AT_BOUND = 1e-5
_BOOTSTRAPS = ("points", "seeds")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A law with its parameters."""

    law: AbstractScalingLaw
    """Which."""
    estimate: dict[str, float]
    """Parameters by name, in the units of the law."""
    interval: dict[str, tuple[float, float]]
    """Of each, at ``confidence``, by percentiles of the bootstrap; (nan, nan) without one."""
    confidence: float
    """Of the intervals."""
    resampled: str
    """What was drawn anew in the bootstrap: points, seeds, subtasks; or nothing."""
    objective: str
    """What was minimised: a sum over points, not a mean."""
    total: float
    """That sum, at the estimate."""
    n: int
    """Points in the window."""
    window: dict[str, tuple[float, float]]
    """Least and greatest of each variable among them."""
    aic: float
    """Of the likelihood that the objective stands for; of fits by one objective to the same points the least is best."""
    bic: float
    """The same, with a price of ln n for each parameter."""
    at_bound: tuple[str, ...]
    """Parameters that ended at the end of their range: their estimates say what was allowed."""
    converged: bool
    """The search came to rest, and more than one start led to the same end."""
    warnings: tuple[str, ...]
    """Why estimates may not be trusted, a sentence each."""
    errors: np.ndarray = field(repr=False)
    """(n,) of ln loss (of the loss, by ``squares``), predicted less given."""
    replicates: np.ndarray = field(repr=False)
    """(n_bootstrap, n_parameters) estimates from what was drawn anew."""

    @property
    def covariance(self) -> np.ndarray:
        """(n_parameters, n_parameters), over the bootstrap; nan without one."""
        n = len(self.estimate)
        return (
            np.cov(self.replicates, rowvar=False).reshape(n, n)
            if len(self.replicates) > 1
            else np.full((n, n), math.nan)
        )

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.warnings

    def predict(self, x: X) -> np.ndarray:
        """The loss at x, as :func:`fit` takes it, shape (n,)."""
        return self.law.loss(np.array([*self.estimate.values()]), arranged(self.law, x))

    def band(self, x: X) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest loss that it may be at x, at ``confidence``, both (n,): nan without a bootstrap."""
        at = arranged(self.law, x)
        if not len(self.replicates):
            return np.full(at.shape[1], math.nan), np.full(at.shape[1], math.nan)
        losses = self.law.loss(self.replicates.T[:, :, None], at[:, None, :])
        low, high = np.nanquantile(losses, _ends(self.confidence), axis=0)
        return low, high

    def report(self) -> str:
        """What was fitted to what, how, with what result, and what speaks against it."""
        span = ", ".join(f"{name} from {low:.4g} to {high:.4g}" for name, (low, high) in self.window.items())
        sure = (
            f", {self.confidence:.0%} intervals over {self.resampled}"
            if len(self.replicates)
            else ", without intervals"
        )
        lines = [f"{self.law}: {self.n} points, {span}; sum of {self.objective} {self.total:.6g}{sure}"]
        for name, value in self.estimate.items():
            low, high = self.interval[name]
            ends = f" ({low:.4g} to {high:.4g})" if math.isfinite(low) else ""
            lines.append(f"  {name} = {value:.5g}{ends}{', at its bound' if name in self.at_bound else ''}")
        lines.append(f"  AIC {self.aic:.1f}, BIC {self.bic:.1f}")
        return "\n".join([*lines, *(f"  caution: {warning}" for warning in self.warnings)])


def fit(
    law: AbstractScalingLaw,
    x: X,
    y: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    objective: Literal["huber-log", "squares-log", "squares"] = "huber-log",
    delta: float = 1e-3,
    window: Window | None = None,
    bootstrap: Literal["points", "seeds"] | np.ndarray | None = "points",
    n_bootstrap: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    resampled: str | None = None,
) -> Fit:
    """Fit a scaling law, from many starts.

    Parameters
    ----------
    law : AbstractScalingLaw
        Which, such as ``PowerLaw()`` or ``Chinchilla()``.
    x : np.ndarray, shape (n,) or (n_variables, n), or mapping of names to arrays (n,)
        What the loss depends on, above 0; in a law of several, rows in the order of ``law.variables``, or by name.
    y : np.ndarray, shape (n,) or (n_seeds, n)
        Losses above 0; of several seeds, whose mean is fitted.
    weights : np.ndarray, shape (n,), optional
        How often each point counts; by default once.
    objective : {"huber-log", "squares-log", "squares"}
        Huber's function of the error of ln loss (Hoffmann et al. 2022), or squares of it, or of the error of the loss. What is
        minimised is the sum over points: a mean is the same but for a factor, by which an optimiser may stop too early.
    delta : float
        Of Huber's function, in nats of loss.
    window : (low, high) or mapping of names to them, optional
        Leave out what lies outside.
    bootstrap : {"points", "seeds"} or np.ndarray, shape (n_bootstrap, n), optional
        Draw points anew, or seeds, for the intervals; or losses drawn anew by whatever else, on the same x. None for no intervals.
    n_bootstrap : int
        How often.
    confidence : float
        Of the intervals.
    seed : int
        Of the bootstrap.
    resampled : str, optional
        What was drawn anew in losses given, for the report.

    Returns
    -------
    Fit
        See there.

    Raises
    ------
    InputError
        If there are fewer points than parameters, x or y are not finite and above 0, or shapes do not fit.

    Examples
    --------
    >>> from quanta.scaling import PowerLaw
    >>> x = np.geomspace(10, 1e4, 30)
    >>> found = fit(PowerLaw(), x, 3 * x**-0.5 - 0.01, bootstrap=None)
    >>> round(found.estimate["alpha"], 6), round(found.estimate["E"], 6), found.converged
    (0.5, -0.01, True)
    """
    measure = Objective(name=objective, delta=delta)
    at, losses = arranged(law, x), np.atleast_2d(np.asarray(y, dtype=np.float64))
    again = (
        np.empty((0, losses.shape[1])) if bootstrap is None or isinstance(bootstrap, str) else np.atleast_2d(bootstrap)
    )
    weight = np.ones(losses.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(law, at, losses, weight, again)
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a share between 0 and 1.")
    inside = _inside(law, at, window) & (weight > 0)
    at, losses, weight, again = at[:, inside], losses[:, inside], weight[inside], again[:, inside]
    if at.shape[1] < len(law.parameters):
        raise InputError(
            f"{at.shape[1]} points are in the window; expected at least {len(law.parameters)}, as many as {law} has parameters."
        )
    points = Points(at, losses.mean(axis=0), weight)
    found = search(law, points, measure)
    if isinstance(bootstrap, str):
        check_choice("bootstrap", bootstrap, _BOOTSTRAPS)
        check_whole("n_bootstrap", n_bootstrap)
        drawn = _drawn(bootstrap, points, losses, n_bootstrap, np.random.default_rng(seed))
    else:
        drawn = [points._replace(y=one) for one in again]
    replicates = [
        one.values for some in drawn if np.isfinite((one := search(law, some, measure, found.values)).values).all()
    ]
    made = np.array(replicates).reshape(-1, len(law.parameters))
    of = resampled or (bootstrap if isinstance(bootstrap, str) else "losses given" if len(again) else "nothing")
    return _fit(law, points, found, measure, made, confidence=confidence, resampled=of)


def arranged(law: AbstractScalingLaw, x: X) -> np.ndarray:
    """X as rows in the order of the law's variables, (n_variables, n).

    Raises
    ------
    InputError
        If one is missing, unknown, or of another shape.
    """
    if isinstance(x, Mapping):
        missing = [name for name in law.variables if name not in x]
        if missing:
            raise InputError(
                f"x has {', '.join(map(str, x)) or 'nothing'}; expected {', '.join(law.variables)}, which {law} depends on."
            )
        rows = np.stack(np.broadcast_arrays(*(np.asarray(x[name], dtype=np.float64) for name in law.variables)))
    else:
        rows = np.atleast_2d(np.asarray(x, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[0] != len(law.variables):
        raise InputError(
            f"x has shape {rows.shape}; expected {len(law.variables)} rows, for {', '.join(law.variables)}."
        )
    return rows


def _check(law: AbstractScalingLaw, x: np.ndarray, y: np.ndarray, weights: np.ndarray, again: np.ndarray) -> None:
    """Refuse points that are none."""
    for name, array in (("y", y), ("weights", weights), ("bootstrap", again)):
        if array.shape[-1] != x.shape[1] or array.ndim > 2:
            raise InputError(f"{name} has shape {array.shape}; expected {x.shape[1]} points, as many as x.")
    for name, row in (*zip(law.variables, x, strict=True), *(("the loss", row) for row in (*y, *again))):
        wrong = ~(np.isfinite(row) & (row > 0))
        if wrong.any():
            i = int(wrong.argmax())
            raise InputError(
                f"{name} is {row[i]} at point {i}; expected finite numbers above 0. Leave out such points."
            )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise InputError("weights are negative or not finite; expected numbers of 0 or more.")


def _inside(law: AbstractScalingLaw, x: np.ndarray, window: Window | None) -> np.ndarray:
    """Which points lie in the window, (n,)."""
    if window is None:
        return np.ones(x.shape[1], dtype=bool)
    spans = window if isinstance(window, Mapping) else {law.variables[0]: window}
    if not isinstance(window, Mapping) and len(law.variables) > 1:
        raise InputError(f"window is {window}; expected one for each of {', '.join(law.variables)}, by name.")
    unknown = [name for name in spans if name not in law.variables]
    if unknown:
        raise InputError(f"window is of {', '.join(unknown)}; expected some of {', '.join(law.variables)}.")
    rows = dict(zip(law.variables, x, strict=True))
    return np.logical_and.reduce([(rows[name] >= low) & (rows[name] <= high) for name, (low, high) in spans.items()])


def _drawn(what: str, points: Points, losses: np.ndarray, n: int, rng: np.random.Generator) -> list[Points]:
    """Points, or the mean of seeds, drawn anew."""
    if what == "seeds":
        if len(losses) < 2:
            raise InputError(
                "bootstrap is 'seeds', and y has one seed; expected y of shape (n_seeds, n) with two or more."
            )
        return [points._replace(y=losses[rng.integers(len(losses), size=len(losses))].mean(axis=0)) for _ in range(n)]
    total = points.y.size
    counts = (np.bincount(rng.integers(total, size=total), minlength=total) for _ in range(n))
    return [points._replace(weights=points.weights * count) for count in counts]


def _ends(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def _fit(
    law: AbstractScalingLaw, points: Points, found: Found, objective: Objective, replicates: np.ndarray, **told: Any
) -> Fit:
    """What was found, and what is to be said of it."""
    names = [parameter.name for parameter in law.parameters]
    errors = objective.errors(law.loss(found.values, points.x), points.y)
    likely, n, k = (
        objective.log_likelihood(errors, points.weights),
        points.y.size,
        len(names) + 1,
    )  # the scatter is one too
    ends = (
        np.nanquantile(replicates, _ends(told["confidence"]), axis=0)
        if len(replicates)
        else np.full((2, len(names)), math.nan)
    )
    fitted = Fit(
        law=law, estimate={name: float(value) for name, value in zip(names, found.values, strict=True)},
        interval={name: (float(low), float(high)) for name, low, high in zip(names, *ends, strict=True)},
        objective=objective.name, total=found.objective, n=n,
        window={name: (float(row.min()), float(row.max())) for name, row in zip(law.variables, points.x, strict=True)},
        aic=2 * k - 2 * likely, bic=k * math.log(n) - 2 * likely, at_bound=_at_bound(law, found.values),
        converged=bool(found.converged), warnings=(), errors=errors, replicates=replicates, **told,
    )  # fmt: skip
    return _doubts.doubted(fitted, points)


def _at_bound(law: AbstractScalingLaw, values: np.ndarray) -> tuple[str, ...]:
    """Names of parameters at the end of their range."""
    found = []
    for parameter, value in zip(law.parameters, values, strict=True):
        scale = max(abs(value), 1e-12)
        if parameter.zero and parameter.lower == 0:
            near = value < _AT_BOUND * 1e-3
        else:
            near = value - parameter.lower < _AT_BOUND * scale
        if near or parameter.upper - value < _AT_BOUND * scale:
            found.append(parameter.name)
    return tuple(found)
