"""Subtasks that compete for one resource, in proportion to their demand: from one after another to all at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np

from quanta._checks import check_above
from quanta._errors import InputError
from quanta.learners.base import AbstractLearner, Truth, checked, moment, seen_so_far

_WHOLE = 1e300  # effort beyond which nothing is left of any loss
_MOST = 1e12  # waste and rate: far beyond, only the unit of time changes, until numbers overflow
_FEW = 1000  # distinct frequencies up to which every pair of subtasks is summed


class Competition(NamedTuple):
    """State of a learner whose subtasks share a resource."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    step: np.ndarray
    """() steps made."""
    effort: np.ndarray
    """() s: what a demand of 1 has been given so far."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Resource(AbstractLearner):
    r"""Every step shares out a fixed amount of progress, in proportion to what each subtask still demands.

    With u_k the skill, from 0 on, and a share N₀ that is wasted,

    .. math:: \frac{du_k}{dt} = \eta\,\frac{d_k}{\sum_j d_j + N_0}, \qquad
        d_k = p_k (1 - u_k), \quad L_k = (1 - u_k)^2 \quad \text{(squared)}, \qquad
        d_k = \frac{p_k e^{-u_k}}{1 + e^{-u_k}}, \quad L_k = \ln(1 + e^{-u_k}) \quad \text{(cross-entropy)}

    The paper takes Euler steps of this, :math:`l \leftarrow \max(0, l - \eta\,p l / (\sum p l + N_0))` with l = 1 - u.
    The flow is solved exactly. In the effort s, :math:`ds = \eta\,dt / (\sum d + N_0)`, subtasks do not meet:

    .. math:: u_k = 1 - e^{-p_k s} \quad\text{or}\quad u_k + e^{u_k} = 1 + p_k s, \qquad
        \eta t = \sum_k u_k + N_0 s

    so that a checkpoint is one root of an increasing function, however many steps lie before it.

    N₀ → 0 spends everything on what is left: n subtasks take a time ∝ n, as in :class:`~quanta.learners.domino.Domino`,
    which it becomes where each is far rarer than the one before. Zipf frequencies are closer than that: neighbours
    overlap, and each falls along a Weibull curve whose sharpness is the Zipf exponent. N₀ → ∞ is gradient descent,
    every subtask alone: t₅₀ ∝ 1/p, as in the quanta picture. Between, frequent subtasks queue and rare ones wait: for
    any N₀ > 0 those last of all.

    References
    ----------
    Liu, Liu, Michaud, Gore, Tegmark (2025), Physics of Skill Learning, the resource model. Their α is the Zipf exponent
    itself.

    Examples
    --------
    Of a hundred subtasks, the last is 10⁴ times rarer than the first. It is learned so many times later:

    >>> p = np.arange(1, 101) ** -2.0 / 1.635
    >>> [round(float(onset[99] / onset[0])) for onset in (Resource(waste=0.0).onset(p), Resource(waste=100.0).onset(p))]
    [140, 9912]
    """

    waste: float = 0.003
    """Wasted resource N₀, of a demand that is 1 in all at the start if squared (½ if cross-entropy); 0 for none."""
    rate: float = 0.02
    """Learning rate η: skill gained per step where nothing is wasted; 2 · learning rate · √n_dim in the paper."""
    objective: Literal["squared", "cross-entropy"] = "squared"
    """What is minimised."""

    clock: ClassVar[str] = "steps"
    dynamics: ClassVar[tuple[str, ...]] = ("expected",)
    # The path is that of gradient descent, at a speed that depends on all that is left: what is convex may look as
    # sharp as Zipf's exponent. So it is no bound of SGD's or Adam's that single curves must beat, whatever the waste.
    optimizer: ClassVar[str] = "unknown"

    def __post_init__(self) -> None:
        if not 0 <= self.waste <= _MOST:
            raise InputError(f"waste is {self.waste}; expected a finite amount of 0 or more, at most {_MOST:g}.")
        check_above("rate", self.rate, most=_MOST)
        if self.objective not in ("squared", "cross-entropy"):
            raise InputError(f"objective is {self.objective!r}; expected 'squared' or 'cross-entropy'.")

    @property
    def units(self) -> str:
        """Squared error, or nats."""
        return "squared error" if self.objective == "squared" else "nat"

    @property
    def n_classes(self) -> int | None:
        """Two, of the cross-entropy: learned or not."""
        return 2 if self.objective == "cross-entropy" else None

    @property
    def chance_loss(self) -> float:
        """1, or ln 2."""
        return 1.0 if self.objective == "squared" else math.log(2)

    @property
    def onset_exponent(self) -> float:
        """1 of subtasks so rare that more is wasted than learned; without waste, nan: frequency alone does not decide.

        The onset of the k-th is about (c k + 0.35 N₀/p_k)/η, c = 1.04 for s = 2, 1.3 for s = 1.5: γ = 1 begins at the
        rank at which p_k k is N₀/3, and before, where all is learned in turn, γ is 1/s. At the default waste, that is
        rank 600 for s = 2, and 200 000 for s = 1.5: in a smaller world no subtask is so rare.
        """
        return 1.0 if self.waste else math.nan

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        """-α/(1 + α), α = s - 1, from where ``onset_exponent`` begins; -α before, and where nothing is wasted."""
        if self.waste or axis != "steps" or not zipf_exponent > 1:
            return AbstractLearner.exponent(self, axis, zipf_exponent)
        return 1 - zipf_exponent

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Competition:
        """State before the first step; see the base."""
        return Competition(checked(self, frequencies, dynamics, batch_size), np.array(0, dtype=np.int64), np.array(0.0))

    def advance(self, state: Competition, time: int) -> Competition:
        """State after that many steps in all."""
        step = moment(int(state.step), time)
        effort = self._effort_after(int(step), state.frequencies, float(state.effort))
        return state._replace(step=step, effort=np.array(effort))

    def measure(self, state: Competition) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        with np.errstate(invalid="ignore"):  # 0 · ∞: what never occurs has been given nothing
            given = np.where(state.frequencies > 0, state.frequencies * state.effort, 0.0)
        if self.objective == "squared":
            return {"loss": np.exp(-2 * given)}
        return {"loss": np.log1p(1 / _omega(given))}

    def truth(self, state: Competition) -> Truth:
        """Onset and width of the steps made so far, from the closed form."""
        return seen_so_far(int(state.step), *self._crossings(state.frequencies, (0.9, 0.5, 0.1)))

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Steps at half loss, (n_subtasks,)."""
        return self._crossings(frequencies, (0.5,))[0]

    def horizon(self, frequencies: np.ndarray) -> float:
        """Until ten times the effort of the last onset (thirty of a cross-entropy), and five times its step.

        Without waste all is over soon after the last onset, and that is still to be seen.
        """
        p = np.asarray(frequencies, dtype=np.float64)
        last = self._needed(0.5) / np.min(p[p > 0])
        further = 10 if self.objective == "squared" else 30
        return float(np.max(self._steps_for(np.array([last, further * last]), p) * [5, 1]))

    def _demand_and_gain(self, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Demand of a frequency of 1, du/d(ps), and skill u, of what has been given p · s."""
        if self.objective == "squared":
            gain = -np.expm1(-given)
            return 1 - gain, gain
        omega = _omega(given)
        return 1 / (1 + omega), np.log(omega)

    def _needed(self, left: float) -> float:
        """What p · s has to be for this share of the loss to be left."""
        if self.objective == "squared":
            return -0.5 * math.log(left)
        odds = 2**left - 1  # e^-u
        return 1 / odds - 1 - math.log(odds)

    def _effort_after(self, step: int, p: np.ndarray, before: float) -> float:
        """Root s of Σ u(ps) + N₀ s = η · step, at least ``before``: Newton in ln s, kept in a bracket that shrinks."""
        spent = self.rate * step
        if self.waste == 0 and self.objective == "squared" and spent >= np.count_nonzero(p):
            return math.inf  # all is learned, in a finite time
        low, high = max(before, spent / (1 + self.waste)), math.inf  # Σ u(ps) ≤ Σ p s = s
        if low in (0.0, math.inf):
            return low
        effort = low
        for _ in range(200):
            demand, gain = self._demand_and_gain(p * effort)
            total = float(gain.sum()) + self.waste * effort
            low, high = (effort, high) if total < spent else (low, effort)
            slope = effort * (float(p @ demand) + self.waste) / total  # d ln total / d ln s
            change = min(max(math.log(spent / total) / slope, -7.0), 7.0) if slope else 7.0
            following = effort * math.exp(change)
            if not low <= following <= high:
                following = math.sqrt(low) * math.sqrt(high) if high < math.inf else 8 * effort
            if abs(following - effort) <= 1e-9 * effort:  # of which the next would be the square
                return following
            effort = following
            if effort > _WHOLE:
                return math.inf
        return effort

    def _crossings(self, frequencies: np.ndarray, left: Sequence[float]) -> np.ndarray:
        """Steps at which these shares of the loss are left, (n_left, n_subtasks); inf for what never occurs."""
        p = np.asarray(frequencies, dtype=np.float64)
        steps = np.full((len(left), p.size), np.inf)
        needed = np.array([[self._needed(share)] for share in left])
        steps[:, p > 0] = self._steps_for((needed / p[p > 0]).ravel(), p).reshape(len(left), -1)
        return steps

    def _steps_for(self, effort: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Steps, (n,), that bring each effort, (n,).

        The sum over subtasks, a smooth function of ln s, is taken where it is wanted, or where that were too often, at
        the nodes of a Chebyshev polynomial.
        """
        kinds, counts = np.unique(p, return_counts=True)
        wanted, where = np.unique(effort, return_inverse=True)

        def total(log_effort: np.ndarray) -> np.ndarray:
            return np.array([counts @ self._demand_and_gain(kinds * s)[1] for s in np.exp(log_effort)])

        at = np.log(wanted)
        if min(kinds.size, wanted.size) <= _FEW:
            skill = total(at)
        else:
            # 1 - exp(-e^x) is bounded in the strip |Im x| < π/2, which fixes how fast the polynomial converges to 1e-15
            degree = math.ceil(35 / math.asinh(math.pi / (at[-1] - at[0])))
            skill = np.polynomial.Chebyshev.interpolate(total, degree, domain=at[[0, -1]])(at)
        with np.errstate(over="ignore"):  # later than any number is never
            return ((skill + self.waste * wanted) / self.rate)[where]


def _omega(given: np.ndarray) -> np.ndarray:
    """e^u where u + e^u = 1 + given: Wright's function."""
    from scipy import special

    return special.wrightomega(1 + given)
