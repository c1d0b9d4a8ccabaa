"""What the controls of a parity network have in common: its subtasks, and what a record says of them."""

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from quanta._errors import InputError
from quanta.learners._parity_reference import check_decay
from quanta.learners._parity_state import Network
from quanta.learners.base import AbstractLearner, Truth, no_steps
from quanta.learners.parity_network import ParityNetwork


class AbstractParityControl(AbstractLearner):
    """A model of the subtasks of a parity network."""

    network: ParityNetwork
    """What it controls."""

    clock: ClassVar[str] = "steps"
    axes: ClassVar[tuple[str, ...]] = ()
    units: ClassVar[str] = "nat"
    monotone: ClassVar[bool] = False
    generalises: ClassVar[bool] = True
    exchangeable: ClassVar[bool] = False
    has_steps: ClassVar[bool] = False
    stepwise: ClassVar[bool] = True
    descends: ClassVar[bool] = False
    n_classes: ClassVar[int] = 2
    chance_loss: ClassVar[float] = math.log(2)
    usual_batch: ClassVar[int] = ParityNetwork.usual_batch
    foretold: ClassVar[bool] = False
    starts_at_chance: ClassVar[bool] = False
    meanings: ClassVar[Mapping[str, str]] = ParityNetwork.meanings

    @property
    @abc.abstractmethod
    def inputs(self) -> str:
        """What part of the inputs it learns and is measured on, in words; "" for all."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """Of what it is the control."""

    @property
    def provenance(self) -> dict[str, str]:
        """That of the network; what it is of it."""
        return {**self.network.provenance, "control_kind": self.kind, "inputs": self.inputs}

    @property
    def optimizer(self) -> str:
        """The network's."""
        return self.network.descent

    def check_count(self, n_subtasks: int) -> None:
        """Refuse what the network refuses."""
        self.network.check_count(n_subtasks)

    def check_batch(self, batch_size: int) -> None:
        """Refuse what the network refuses."""
        self.network.check_batch(batch_size)

    def _unweighted(self, p: np.ndarray, rng: np.random.Generator, batch_size: int) -> Network:
        """The network's start, but for its weights, which may take much memory: they follow from the keys."""
        slim = dataclasses.replace(self.network, width=1, depth=1, kernels="blas")
        return slim.start(p, rng, batch_size=batch_size)

    def facts(self, state: Any) -> dict[str, tuple[str, np.ndarray]]:
        """Those of the network."""
        return self.network.facts(state)

    def smaller(self) -> dict[str, tuple[int, AbstractLearner]]:
        """The network's width."""
        width, narrow = self.network.smaller()["width"]
        return {"width": (width, dataclasses.replace(self, network=narrow))}  # type: ignore[type-var]

    def kinds(self, n_subtasks: int) -> list[str] | None:
        """Those of the network."""
        return self.network.kinds(n_subtasks)

    def truth(self, state: Any) -> Truth:
        """None: it makes no steps."""
        return no_steps(state.frequencies.size)

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Not declared."""
        return np.full(np.shape(frequencies), np.nan)

    def horizon(self, frequencies: np.ndarray) -> float:
        """Not known.

        Raises
        ------
        InputError
            Always.
        """
        return self.network.horizon(frequencies)


def check_rate(rate: float, weight_decay: float) -> None:
    """Refuse a rate that is none, or at which weights that decay would turn over.

    Raises
    ------
    InputError
        If it is below 0 or not finite, or too high for the ``weight_decay``, which is the network's.
    """
    if not 0 <= rate < math.inf:
        raise InputError(f"rate is {rate}; expected a number above 0, or 0 for the network's.")
    check_decay(weight_decay, rate)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-z), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * z))
