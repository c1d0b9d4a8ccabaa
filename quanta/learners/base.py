"""What a learner is: a model of how many subtasks are acquired at once, with the theory that it claims to obey."""

import abc
import math
from typing import Any, ClassVar, NamedTuple

import numpy as np


class Truth(NamedTuple):
    """What a simulator knows of its own steps; nan for a subtask whose loss makes none (or has not yet)."""

    onset: np.ndarray
    """(n_subtasks,), in examples: the loss is half way down."""
    width: np.ndarray
    """(n_subtasks,), in nats of log time: from 10 % to 90 % of the way."""


class AbstractLearner(abc.ABC):
    """A model of how one learner acquires many subtasks.

    Time is counted in examples. ``start``, ``advance`` and ``measure`` run it; ``expected``, ``onset``, ``sharpness``
    and ``step_exponent`` are its declared theory, which one contract test measures for the whole family.
    """

    units: ClassVar[str]
    """Unit of the loss, one of ``record.UNITS``."""
    optimizer: ClassVar[str]
    """What trains it, one of ``record.OPTIMIZERS``."""
    onset_exponent: ClassVar[float]
    """γ in onset ∝ p^-γ, for rare subtasks."""

    @abc.abstractmethod
    def start(self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected") -> Any:
        """State before the first example.

        Parameters
        ----------
        frequencies : np.ndarray, shape (n_subtasks,)
            p_k, summing to 1.
        rng : np.random.Generator
            Source of the key of all later randomness; used only by ``dynamics="sampled"``.
        dynamics : {"expected", "sampled"}
            The mean field, or subtasks drawn one by one.

        Returns
        -------
        NamedTuple of np.ndarray
            The state, which is also the checkpoint: ``advance`` depends on nothing else.
        """

    @abc.abstractmethod
    def advance(self, state: Any, examples: int) -> Any:
        """State after that many examples in all; the cost need not grow with the gap."""

    @abc.abstractmethod
    def measure(self, state: Any) -> dict[str, np.ndarray]:
        """What is seen of a state: always ``loss``, shape (n_subtasks,), float64."""

    @abc.abstractmethod
    def truth(self, state: Any) -> Truth:
        """Onset and width of the steps made so far: realised if sampled, else those of the mean field."""

    @property
    @abc.abstractmethod
    def chance_loss(self) -> float:
        """Loss before any learning."""

    @abc.abstractmethod
    def expected(self, frequencies: np.ndarray, examples: np.ndarray | float) -> np.ndarray:
        """Loss of the mean field; ``frequencies`` and ``examples`` broadcast."""

    @abc.abstractmethod
    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Examples at which the mean-field loss is half its start, (n_subtasks,); inf at frequency 0."""

    @abc.abstractmethod
    def sharpness(self) -> float:
        """S of the mean-field curve of a rare subtask: e · max(-dl/d ln t) / total drop; 1 for an exponential."""

    def step_exponent(self, zipf_exponent: float) -> float:
        r"""Exponent of the mean loss in steps, as the number of subtasks grows without end.

        .. math:: L \propto t^{-\alpha / (\gamma (1 + \alpha))}, \qquad \alpha = s - 1

        It is nan for s ≤ 1, where no infinite Zipf law exists.

        References
        ----------
        Hutter (2021), Learning Curve Theory; Michaud et al. (2023), section 2; Nam et al. (2024), time scaling law.
        """
        if not zipf_exponent > 1:
            return math.nan
        return -(zipf_exponent - 1) / (self.onset_exponent * zipf_exponent)
