"""Toy models that learn many subtasks at once: interchangeable parts, each with its theory.

To add one: a file beside these with a final class, and a line in ``LEARNERS``.
"""

from quanta.learners.base import AbstractLearner, Overflow, Truth
from quanta.learners.convex_adam import ConvexAdam
from quanta.learners.dependent import Dependent
from quanta.learners.domino import Domino
from quanta.learners.exponential import Exponential
from quanta.learners.geometry import Geometry
from quanta.learners.hyperbolic import Hyperbolic
from quanta.learners.independent import AbstractIndependent
from quanta.learners.linear_coupled import LinearCoupled
from quanta.learners.mixture import Mixture
from quanta.learners.multilinear import Multilinear
from quanta.learners.order import out_of_order
from quanta.learners.parity_network import ParityNetwork
from quanta.learners.power_law import PowerLaw
from quanta.learners.quantum import Quantum
from quanta.learners.resource import Resource
from quanta.learners.stretched import Stretched
from quanta.learners.synchronous import Synchronous
from quanta.learners.threshold import Threshold

LEARNERS: dict[str, type[AbstractLearner]] = {
    "quantum": Quantum,
    "threshold": Threshold,
    "multilinear": Multilinear,
    "hyperbolic": Hyperbolic,
    "resource": Resource,
    "geometry": Geometry,
    "domino": Domino,
    "dependent": Dependent,
    "mixture": Mixture,
    "linear_coupled": LinearCoupled,
    "exponential": Exponential,
    "power_law": PowerLaw,
    "stretched": Stretched,
    "convex_adam": ConvexAdam,
    "synchronous": Synchronous,
    "parity_network": ParityNetwork,
}

__all__ = [
    "LEARNERS",
    "AbstractIndependent",
    "AbstractLearner",
    "ConvexAdam",
    "Dependent",
    "Domino",
    "Exponential",
    "Geometry",
    "Hyperbolic",
    "LinearCoupled",
    "Mixture",
    "Multilinear",
    "Overflow",
    "ParityNetwork",
    "PowerLaw",
    "Quantum",
    "Resource",
    "Stretched",
    "Synchronous",
    "Threshold",
    "Truth",
    "out_of_order",
]
