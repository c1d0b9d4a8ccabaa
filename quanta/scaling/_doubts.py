"""What speaks against a fit."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quanta.scaling._search import Points
    from quanta.scaling.fitting import Fit

_FEW = 3  # points for each parameter
_SHORT = 1.0  # decades of x
_ALIKE = 0.5  # correlation of an error with the next
_VAGUE = 0.5  # half the interval of an exponent, of the exponent


def doubted(fit: "Fit", points: "Points") -> "Fit":
    """The fit, with its warnings."""
    found = [*_of_search(fit), *_of_points(fit, points), *_of_exponents(fit)]
    return dataclasses.replace(fit, warnings=tuple(found))


def _of_search(fit: "Fit") -> list[str]:
    found = []
    if not fit.converged:
        found.append("the search did not come to rest at one least; the parameters are not told apart by these points.")
    return found + [
        f"{name} ended at the end of its range: the others are of a law without it." for name in fit.at_bound
    ]


def _of_points(fit: "Fit", points: "Points") -> list[str]:
    found, k = [], len(fit.estimate)
    if fit.n < _FEW * k:
        found.append(f"{fit.n} points for {k} parameters: a fit so close to its points says little.")
    for name, (low, high) in fit.window.items():
        if math.log10(high / low) < _SHORT:
            found.append(f"{name} spans {math.log10(high / low):.1f} decades: over less than one, laws look alike.")
    if len(points.x) == 1 and fit.n >= 8 and fit.resampled == "points":
        errors = fit.errors[np.argsort(points.x[0])]
        errors = errors - errors.mean()
        power = float(np.sum(errors**2))
        if power > 0 and (alike := float(np.sum(errors[1:] * errors[:-1])) / power) > _ALIKE:
            found.append(
                f"errors of neighbours are alike (correlation {alike:.2f}): points are not independent, so that intervals over "
                "them are too narrow, and AIC and BIC too sure. Draw subtasks or seeds anew instead."
            )
    return found


def _of_exponents(fit: "Fit") -> list[str]:
    found = []
    for parameter in fit.law.parameters:
        low, high = fit.interval[parameter.name]
        value = fit.estimate[parameter.name]
        if parameter.exponent and math.isfinite(low) and high - low > 2 * _VAGUE * abs(value):
            found.append(f"{parameter.name} is known no better than {low:.3g} to {high:.3g}.")
    return found
