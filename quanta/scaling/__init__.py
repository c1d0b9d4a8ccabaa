"""Scaling laws: how losses fall with steps, parameters and data, and onsets grow as subtasks become rarer."""

from quanta.scaling.additive import Chinchilla, Kaplan, OneExponent
from quanta.scaling.audit import audit
from quanta.scaling.base import AbstractScalingLaw, Parameter
from quanta.scaling.broken_power_law import BrokenPowerLaw
from quanta.scaling.comparison import compare, frontier
from quanta.scaling.finite_sum import FiniteSum
from quanta.scaling.fitting import Fit, fit
from quanta.scaling.power_law import PowerLaw
from quanta.scaling.records import fit_record
from quanta.scaling.timing import Timing, between, fit_timing, timing

__all__ = [
    "LAWS",
    "AbstractScalingLaw",
    "BrokenPowerLaw",
    "Chinchilla",
    "FiniteSum",
    "Fit",
    "Kaplan",
    "OneExponent",
    "Parameter",
    "PowerLaw",
    "Timing",
    "audit",
    "between",
    "compare",
    "fit",
    "fit_record",
    "fit_timing",
    "frontier",
    "timing",
]

LAWS: dict[str, type[AbstractScalingLaw]] = {
    "power_law": PowerLaw,
    "finite_sum": FiniteSum,
    "broken_power_law": BrokenPowerLaw,
    "chinchilla": Chinchilla,
    "kaplan": Kaplan,
    "one_exponent": OneExponent,
}
