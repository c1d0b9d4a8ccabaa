"""What speaks against a fit."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quanta.scaling._points import Points
    from quanta.scaling.fitting import Fit

_FEW = 3  # points for each parameter
_SHORT = 1.0  # decades of x
_ALIKE = 0.3  # correlation of an error with the next,
_BY_CHANCE = 2.6  # and in units of what it is by chance: less than this (p = .005)
_VAGUE = 0.5  # half the interval of an exponent, of the exponent
_LEAST = 8  # points, to speak of neighbours
_ROUNDING = 1e-24  # of a squared error
_ELSE = 0.05  # of the fall of ln loss: errors larger than this are no rounding of the law


def doubted(fit: "Fit", points: "Points") -> "Fit":
    """The fit, with its warnings."""
    found = [*_of_search(fit), *_of_points(fit, points), *_of_exponents(fit)]
    return dataclasses.replace(fit, warnings=tuple(found))


def _of_search(fit: "Fit") -> list[str]:
    found = [f"{name} ended at the end of its range: the others are of a law without it." for name in fit.at_bound]
    if not fit.converged:
        found.append(
            "starts came to rest at different ends, or nowhere: these points do not tell the parameters apart."
        )
    return found


def _of_points(fit: "Fit", points: "Points") -> list[str]:
    found, k = [], len(fit.estimate)
    if fit.n < _FEW * k:
        found.append(f"{fit.n} points for {k} parameters: a fit so close to its points says little.")
    for name, (low, high) in fit.window.items():
        if math.log10(high / low) < _SHORT:
            found.append(f"{name} spans {math.log10(high / low):.1f} decades: over less than one, laws look alike.")
    error, fall = (
        np.sqrt(np.mean(np.log(np.maximum(fit.predict(points.x), 1e-300) / points.y) ** 2)),
        np.ptp(np.log(points.y)),
    )
    if not error <= _ELSE * fall:
        found.append(
            f"errors are {error / max(fall, 1e-300):.0%} of the fall of ln loss: the points have another shape, or little of one."
        )
    if len(points.x) == 1 and fit.n >= _LEAST and fit.resampled == "points":
        found += _of_neighbours(fit.errors[np.argsort(points.x[0])])
    return found


def _of_neighbours(errors: np.ndarray) -> list[str]:
    """Errors in the order of x, which are alike where the law is wrong or the points are of one run."""
    errors = errors - errors.mean()
    power = float(np.sum(errors**2))
    alike = float(np.sum(errors[1:] * errors[:-1])) / power if power > _ROUNDING * errors.size else 0.0
    if alike <= max(_ALIKE, _BY_CHANCE / math.sqrt(errors.size)):
        return []
    return [
        f"errors of neighbours are alike (correlation {alike:.2f}): points are not independent, so that intervals over them are too narrow, "
        "and AIC and BIC too sure. Draw subtasks or seeds anew instead."
    ]


def _of_exponents(fit: "Fit") -> list[str]:
    found = []
    for parameter in fit.law.parameters:
        low, high = fit.interval[parameter.name]
        value = fit.estimate[parameter.name]
        if not (parameter.exponent and math.isfinite(low)):
            continue
        if high - low > 2 * _VAGUE * abs(value):
            found.append(f"{parameter.name} is known no better than {low:.3g} to {high:.3g}.")
        if not low <= value <= high:
            found.append(f"{parameter.name} lies outside its interval: what was drawn anew is fitted otherwise.")
    return found
