"""One subtask after another, the most frequent first: the whole learner works on one thing at a time."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np

from quanta._checks import check_above
from quanta.learners.base import AbstractLearner, Truth, checked, moment, seen_so_far


class Queue(NamedTuple):
    """State of a learner that takes its subtasks one by one."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    step: np.ndarray
    """() steps made."""
    ahead: np.ndarray
    """(n_subtasks,) how many are more frequent: all of them come first; inf for what never occurs."""
    beside: np.ndarray
    """(n_subtasks,) how many are as frequent, itself included: they share their turns."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Domino(AbstractLearner):
    r"""The k-th most frequent subtask is learned in the k-th stretch of t₀ steps, at an even pace.

    .. math:: L_k = (1 - u_k)^2, \qquad u_k = \min\big(1, \max(0,\ t / t_0 - (k - 1))\big)

    Subtasks of one frequency share their turns: m of them rise together for m t₀ steps. This is
    :class:`~quanta.learners.resource.Resource` without waste, t₀ = 1/η, where frequencies lie far apart: then du/dt = η
    for the most frequent that is left. The number of subtasks learned is t/t₀, whatever their frequencies, so that the
    mean loss of Zipf frequencies falls as t^-α, α = s - 1, not as t^(-α/(1 + α)).

    References
    ----------
    Liu, Liu, Michaud, Gore, Tegmark (2025), Physics of Skill Learning, the domino model. Their α is the Zipf exponent s
    itself, and their t₀ is 1 / (2 · learning rate · √n_dim).

    Examples
    --------
    >>> Domino(turn=100.0).onset(np.array([0.2, 0.5, 0.3])).round(1).tolist()
    [229.3, 29.3, 129.3]
    """

    turn: float = 50.0
    """Steps t₀ that each subtask takes."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "adam"  # whose step has one length
    clock: ClassVar[str] = "steps"
    dynamics: ClassVar[tuple[str, ...]] = ("expected",)

    def __post_init__(self) -> None:
        check_above("turn", self.turn)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        """-α = 1 - s: as many subtasks are learned as there were turns."""
        return 1 - zipf_exponent if axis == "steps" and zipf_exponent > 1 else math.nan

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Queue:
        """State before the first step; see the base."""
        p = checked(self, frequencies, dynamics, batch_size)
        return Queue(p, np.array(0, dtype=np.int64), *_queue(p))

    def advance(self, state: Queue, time: int) -> Queue:
        """State after that many steps in all."""
        return state._replace(step=moment(int(state.step), time))

    def measure(self, state: Queue) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        skill = np.clip((int(state.step) / self.turn - state.ahead) / state.beside, 0, 1)
        return {"loss": np.square(1 - skill)}

    def truth(self, state: Queue) -> Truth:
        """Onset and width of the steps made so far."""
        crossings = (self._crossing(state.ahead, state.beside, left) for left in (0.9, 0.5, 0.1))
        return seen_so_far(int(state.step), *crossings)

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Steps at half loss, (n_subtasks,)."""
        return self._crossing(*_queue(np.asarray(frequencies, dtype=np.float64)), 0.5)

    def horizon(self, frequencies: np.ndarray) -> float:
        """Three times as long as all turns take."""
        return 3 * self.turn * np.count_nonzero(frequencies)

    def _crossing(self, ahead: np.ndarray, beside: np.ndarray, left: float) -> np.ndarray:
        """Steps at which this share of the loss is left."""
        return self.turn * (ahead + beside * (1 - math.sqrt(left)))


def _queue(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many are ahead of each, and how many beside it, two (n_subtasks,)."""
    _, kind, beside = np.unique(p, return_inverse=True, return_counts=True)
    ahead = np.cumsum(beside[::-1])[::-1] - beside
    return np.where(p > 0, ahead[kind].astype(np.float64), np.inf), beside[kind].astype(np.float64)
