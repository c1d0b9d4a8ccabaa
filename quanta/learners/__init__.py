"""Toy models that learn many subtasks at once: interchangeable parts, each with its theory.

To add one: a file beside these with a final class, and a line in ``LEARNERS``.
"""

from quanta.learners.base import AbstractLearner, Overflow, Truth
from quanta.learners.exponential import Exponential
from quanta.learners.independent import AbstractIndependent
from quanta.learners.multilinear import Multilinear
from quanta.learners.threshold import Threshold

LEARNERS: dict[str, type[AbstractLearner]] = {
    "multilinear": Multilinear,
    "threshold": Threshold,
    "exponential": Exponential,
}

__all__ = [
    "LEARNERS",
    "AbstractIndependent",
    "AbstractLearner",
    "Exponential",
    "Multilinear",
    "Overflow",
    "Threshold",
    "Truth",
]
