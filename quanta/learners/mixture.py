"""Weak quanta: some subtasks are learned sharply, the others smoothly."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from quanta._errors import InputError
from quanta.learners import _hits
from quanta.learners._nested import check_independent
from quanta.learners.base import AbstractLearner, Truth, checked, no_steps
from quanta.learners.exponential import Exponential
from quanta.learners.independent import AbstractIndependent
from quanta.learners.multilinear import Multilinear

_GOLDEN = (math.sqrt(5) - 1) / 2


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture(AbstractLearner):
    r"""A share f of the subtasks belongs to one learner, the rest to another.

    .. math::
        L_k = \begin{cases} L^\text{sharp}_k & \{k \varphi\} < f \\ L^\text{smooth}_k & \text{else} \end{cases},
        \qquad \varphi = \frac{\sqrt 5 - 1}{2}

    The "weak quanta hypothesis": the frequencies are a power law, but only some subtasks are learned discretely. Losses
    are shares of what each member has to learn, so they fall from 1 to 0 for both. Which subtasks are sharp depends on
    their number alone: multiples of the golden ratio spread them evenly over all ranks, one that is sharp at a smaller
    f is sharp at a larger one, and an intervention on the frequencies leaves them what they are. Truth knows the steps
    of the sharp ones.

    Where the members differ, the unit is that of the sharp one, and the optimizer unknown.

    References
    ----------
    Michaud (2026), On neural scaling and the quanta hypothesis ("weak quanta").

    Examples
    --------
    >>> learner = Mixture(sharp=Multilinear(), smooth=Exponential(), fraction=0.4)
    >>> learner.kinds(5)
    ['smooth', 'sharp', 'smooth', 'smooth', 'sharp']
    """

    sharp: AbstractIndependent = field(default_factory=Multilinear)
    """Learner of the sharp subtasks, such as "threshold(hits=3)"."""
    smooth: AbstractIndependent = field(default_factory=Exponential)
    """Learner of the others."""
    fraction: float = 0.5
    """Share f of the subtasks that are sharp, from 0 to 1."""

    exchangeable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_independent("sharp", self.sharp)
        check_independent("smooth", self.smooth)
        if not 0 <= self.fraction <= 1:
            raise InputError(f"fraction is {self.fraction}; expected a share of the subtasks, from 0 to 1.")

    @property
    def units(self) -> str:
        """That of the sharp ones, in name: losses are shares of chance."""
        return self.sharp.units

    @property
    def optimizer(self) -> str:
        """Theirs, if it is the same."""
        return self.sharp.optimizer if self.sharp.optimizer == self.smooth.optimizer else "unknown"

    @property
    def has_steps(self) -> bool:
        """Whether there are sharp subtasks that make steps."""
        return self.fraction > 0 and self.sharp.has_steps

    @property
    def dynamics(self) -> tuple[str, ...]:
        """Those that both members have."""
        return tuple(how for how in self.sharp.dynamics if how in self.smooth.dynamics)

    @property
    def chance_loss(self) -> float:
        """1, of either."""
        return 1.0

    @property
    def onset_exponent(self) -> float:
        """γ, if it is the same for all."""
        found = {member.onset_exponent for member in self._present()}
        return found.pop() if len(found) == 1 else math.nan

    def kinds(self, n_subtasks: int) -> list[str]:
        """What each subtask is: "sharp" or "smooth"."""
        sharp, _ = split(n_subtasks, self.fraction)
        kinds = ["smooth"] * n_subtasks
        for k in sharp.tolist():
            kinds[k] = "sharp"
        return kinds

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> _hits.Hits:
        """State before the first example: one clock for both."""
        return _hits.start(checked(self, frequencies, dynamics, batch_size), rng, dynamics, self.sharp.levels())

    def advance(self, state: _hits.Hits, time: int) -> _hits.Hits:
        """State after that many examples in all."""
        return _hits.advance(state, time)

    def measure(self, state: _hits.Hits) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,), as a share of all that there is to learn."""
        loss = np.empty(state.frequencies.size)
        for member, mine in self._members(loss.size):
            floor = member.learned_loss
            loss[mine] = (member.measure(_of(state, mine))["loss"] - floor) / (member.chance_loss - floor)
        return {"loss": loss}

    def truth(self, state: _hits.Hits) -> Truth:
        """Onset and width of the steps made so far, all of them by sharp subtasks."""
        truth = no_steps(state.frequencies.size)
        mine, _ = split(state.frequencies.size, self.fraction)
        crossed = state.crossed[mine] if state.sampled else state.crossed
        for values, own in zip(truth, self.sharp.truth(_of(state, mine)._replace(crossed=crossed)), strict=True):
            values[mine] = own
        return truth

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Examples at half loss, each by its learner."""
        p = np.asarray(frequencies, dtype=np.float64)
        onset = np.empty(p.size)
        for member, mine in self._members(p.size):
            onset[mine] = member.onset(p[mine])
        return onset

    def horizon(self, frequencies: np.ndarray) -> float:
        """The longer of both."""
        p = np.asarray(frequencies, dtype=np.float64)
        return max(member.horizon(p[mine]) for member, mine in self._members(p.size) if mine.size)

    def sharpness(self) -> float:
        """That of a member, if there is only one."""
        present = self._present()
        return present[0].sharpness() if len(present) == 1 else math.nan

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        """The slower of both, which is what is left in the end; nan where one has no law, and along other axes."""
        if axis not in self.axes:
            return math.nan
        return float(np.max([member.exponent(axis, zipf_exponent) for member in self._present()]))

    def _present(self) -> list[AbstractIndependent]:
        """The learners that have any of infinitely many subtasks."""
        return [self.sharp] * (self.fraction > 0) + [self.smooth] * (self.fraction < 1)

    def _members(self, n_subtasks: int) -> Iterator[tuple[AbstractIndependent, np.ndarray]]:
        """Each learner with the numbers of its subtasks."""
        return zip((self.sharp, self.smooth), split(n_subtasks, self.fraction), strict=True)


@functools.lru_cache(maxsize=4)
def split(n_subtasks: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the sharp subtasks, {k φ} < f for k = 1 … n, and of the others; two read-only arrays.

    Of the first n, f n are sharp, to within a logarithm of n.
    """
    sharp = np.arange(1, n_subtasks + 1) * _GOLDEN % 1 < fraction
    found = np.flatnonzero(sharp), np.flatnonzero(~sharp)
    for numbers in found:
        numbers.flags.writeable = False
    return found


def _of(state: _hits.Hits, mine: np.ndarray) -> _hits.Hits:
    """What is seen of some of the subtasks in a state: their hits if sampled, else their frequencies."""
    part = state._replace(frequencies=state.frequencies[mine])
    return part._replace(hits=state.hits[mine]) if state.sampled else part
