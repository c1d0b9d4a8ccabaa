"""A law fitted to losses: estimates, how sure they are, and where they cannot be trusted."""

import math
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np

from quanta._checks import check_choice, check_whole
from quanta._errors import InputError
from quanta.scaling._doubts import doubted
from quanta.scaling._objective import Objective
from quanta.scaling._points import (
    Points,
    Window,
    X,
    arrange,
    arranged,
    check_above_0,
    check_usable,
    drawn_points,
    drawn_seeds,
    inside,
)
from quanta.scaling._search import Found, search, search_again
from quanta.scaling.base import AbstractScalingLaw

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
    """The same, with a price of ln n for each parameter; points count by their weights."""
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
        if len(self.replicates) < 2:
            return np.full((n, n), math.nan)
        return np.cov(self.replicates, rowvar=False).reshape(n, n)

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
        low, high = np.nanquantile(losses, ends_of(self.confidence), axis=0)
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


def ends_of(confidence: float) -> list[float]:
    """The two quantiles between which so much lies."""
    return [(1 - confidence) / 2, (1 + confidence) / 2]


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
        Leave out what lies outside, whatever it is.
    bootstrap : {"points", "seeds"} or np.ndarray, shape (n_bootstrap, n), optional
        Draw points anew, or seeds, for the intervals; or losses drawn anew by whatever else, on the same x. None for no intervals.
    n_bootstrap : int
        How often.
    confidence : float
        Of the intervals.
    seed : int
        Of the bootstrap.

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
    points = arrange(law, x, y, weights)
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a share between 0 and 1.")
    used = inside(law, points.x, window) & (points.weights > 0)
    check_usable(law, points, used)
    if used.sum() < len(law.parameters):
        raise InputError(
            f"{used.sum()} points are in the window; expected at least {len(law.parameters)}, as many as {law} has parameters."
        )
    again, resampled = _resampling(bootstrap, points, used, n_bootstrap, seed)
    points = points.only(used)
    found = search(law, points, measure)
    replicates = np.empty((0, len(law.parameters)))
    if again is not None:
        replicates = search_again(law, points, measure, found.values, *again)
    fitted = _fit(law, points, found, measure, replicates, confidence, resampled)
    return doubted(fitted, points)


def _resampling(
    bootstrap: str | np.ndarray | None, points: Points, used: np.ndarray, n: int, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray] | None, str]:
    """Losses and weights, drawn anew, of the points used; and of what that is a bootstrap."""
    some, rng = points.only(used), np.random.default_rng(seed)
    if bootstrap is None:
        return None, "nothing"
    if isinstance(bootstrap, str):
        check_choice("bootstrap", bootstrap, _BOOTSTRAPS)
        check_whole("n_bootstrap", n)
        if bootstrap == "points":
            return (some.y[None], drawn_points(some, n, rng)), bootstrap
        return (drawn_seeds(some, n, rng), some.weights[None]), bootstrap
    losses = np.atleast_2d(np.asarray(bootstrap, dtype=np.float64))
    if losses.shape[1:] != used.shape:
        raise InputError(f"bootstrap has shape {losses.shape}; expected (n_bootstrap, {used.size}), as many as x.")
    check_above_0("a loss drawn anew", losses, used)
    return (losses[:, used], some.weights[None]), "losses given"


def _fit(
    law: AbstractScalingLaw,
    points: Points,
    found: Found,
    measure: Objective,
    replicates: np.ndarray,
    confidence: float,
    resampled: str,
) -> Fit:
    """What was found, in the words of the law."""
    names = [parameter.name for parameter in law.parameters]
    errors = measure.errors(law.loss(found.values, points.x), points.y)
    k = len(names) + 1  # the scatter is one too
    likely = measure.log_likelihood(errors, points.weights)
    ends = np.full((2, len(names)), math.nan)
    if len(replicates):
        ends = np.quantile(replicates, ends_of(confidence), axis=0)
    return Fit(
        law=law,
        estimate=dict(zip(names, found.values.tolist(), strict=True)),
        interval=dict(zip(names, map(tuple, ends.T.tolist()), strict=True)),
        confidence=confidence,
        resampled=resampled,
        objective=measure.name,
        total=found.objective,
        n=points.y.size,
        window={name: (float(row.min()), float(row.max())) for name, row in zip(law.variables, points.x, strict=True)},
        aic=2 * k - 2 * likely,
        bic=k * math.log(points.weights.sum()) - 2 * likely,
        at_bound=_at_bound(law, found.values, float(np.median(points.y))),
        converged=found.converged,
        warnings=(),
        errors=errors,
        replicates=replicates,
    )


def _at_bound(law: AbstractScalingLaw, values: np.ndarray, loss: float) -> tuple[str, ...]:
    """Names of parameters at the end of their range: of what may be 0, within so much of 1, or of a median loss."""
    return tuple(
        parameter.name
        for parameter, value in zip(law.parameters, values, strict=True)
        if min(value - parameter.lower, parameter.upper - value)
        < _AT_BOUND * max(abs(value), (1.0 if parameter.exponent else loss) if parameter.zero else 0.0)
    )
