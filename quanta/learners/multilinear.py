"""A two-layer linear network, one skill per subtask: slow, then fast."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from quanta._checks import check_above, check_whole
from quanta._errors import InputError
from quanta.learners import _noisy
from quanta.learners._axes import room
from quanta.learners._binomial import chance_below
from quanta.learners.base import DYNAMICS, Truth, checked
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Multilinear(AbstractIndependent):
    r"""Skill strengths R_k = a_k b_k under gradient descent on the squared error.

    .. math::
        L_k = \tfrac12 (S - R_k)^2, \qquad \frac{dR_k}{dt} = 2 \eta\, p_k R_k (S - R_k), \qquad
        \frac{R_k}{S} = \Big[1 + \big(\tfrac{S}{R_k(0)} - 1\big) e^{-2 \eta S p_k t}\Big]^{-1}

    Expected, t is examples; sampled, p_k t is the number of hits: every example of a subtask moves its own skill
    by the same flow. The mean field is not exactly the mean of sampled runs: at rate η the two differ by a relative
    O(η), because the loss curves as hits scatter.

    With ``noise``, the sampled dynamics are those of stochastic gradient descent instead, on the two layers themselves,
    from a = b = √R(0), one step for every B = ``batch_size`` examples:

    .. math::
        a_k \leftarrow a_k + \eta \big[B p_k\, b_k (S - a_k b_k) + \sqrt{B p_k}\, \sigma\, \xi\big], \qquad
        b_k \text{ likewise}

    with ξ normal and fresh for each step, subtask and layer. In the time p_k t of its own hits every subtask then obeys
    the same stochastic equation, up to the size of a step. The noise is all that is drawn: hits count as p_k t.
    Examples that do not fill a batch wait for the next. Its cost grows with the number of steps. The
    declared theory leaves noise out.

    References
    ----------
    Nam, Fonseca, Lee, Mingard, Louis (2024), An exactly solvable model for emergence and scaling laws in the
    multitask sparse parity problem, equations 11 and 34.

    Examples
    --------
    >>> Multilinear().onset(np.array([0.1, 0.01])).round().tolist()
    [1874.0, 18738.0]
    """

    target: float = 1.0
    """Target strength S of a skill."""
    initial: float = 0.01
    """Strength R(0) before training, between 0 and the target; the smaller, the sharper."""
    rate: float = 0.01
    """Learning rate η of one example."""
    parameters_per_subtask: float = 1.0
    """Parameters N_c that a skill takes; real networks of the paper are fitted by 4."""
    examples_per_subtask: int = 1
    """Examples D_c of a skill in a data set from which it can be learned wholly; real networks are fitted by 800."""

    noise: float = 0.0
    """Standard deviation σ of the gradient of one example; above 0, sampled runs descend step by step."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"
    axes: ClassVar[tuple[str, ...]] = ("steps", "parameters", "data", "compute")

    @property
    def dynamics(self) -> tuple[str, ...]:
        """Sampled only, where there is noise: the mean field has none."""
        return DYNAMICS if self.noise == 0 else ("sampled",)

    @property
    def stepwise(self) -> bool:
        """Of noise no leap is known."""
        return self.noise > 0

    def __post_init__(self) -> None:
        check_above("target", self.target, most=1e9)
        if not 0 < self.initial < self.target:
            raise InputError(
                f"initial is {self.initial}; expected a strength above 0 and below the target of {self.target}. "
                "At 0 nothing is ever learned; at the target nothing is left to learn."
            )
        if not math.isfinite(self._gap):
            raise InputError(f"initial is {self.initial}; expected at least 1e-300 of the target of {self.target}.")
        check_above("rate", self.rate)
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise InputError(f"noise is {self.noise}; expected a standard deviation of 0 or more.")
        check_above("parameters_per_subtask", self.parameters_per_subtask)
        check_whole("examples_per_subtask", self.examples_per_subtask, most=10**6)

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Any:
        """State before the first example; see the base. With noise, too large a ``rate`` for the batch is refused."""
        if self.noise == 0:
            return AbstractIndependent.start(self, frequencies, rng, dynamics=dynamics, batch_size=batch_size)
        p = checked(self, frequencies, dynamics, batch_size)
        return _noisy.start(p, rng, batch_size=batch_size, target=self.target, initial=self.initial, rate=self.rate)

    def advance(self, state: Any, time: int) -> Any:
        """State after that many examples in all."""
        if not isinstance(state, _noisy.Noisy):
            return AbstractIndependent.advance(self, state, time)
        words = {"target": self.target, "initial": self.initial, "rate": self.rate, "noise": self.noise}
        return _noisy.advance(state, time, **words)

    def measure(self, state: Any) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        if not isinstance(state, _noisy.Noisy):
            return AbstractIndependent.measure(self, state)
        return {"loss": _noisy.loss(state, self.target)}

    def truth(self, state: Any) -> Truth:
        """Onset and width of the steps made so far."""
        return _noisy.truth(state) if isinstance(state, _noisy.Noisy) else AbstractIndependent.truth(self, state)

    @property
    def _gap(self) -> float:
        """S/R(0) - 1."""
        return (self.target - self.initial) / self.initial

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """Loss after so many hits (Nam et al. 2024, equation 34)."""
        missing = self._gap * np.exp(-2 * self.rate * self.target * hits)  # (S - R) / R
        return 0.5 * self.target**2 * np.square(missing / (1 + missing))

    def hits_at(self, left: float) -> float:
        """ln[(S/R(0) - 1)(1 - u)/u] / (2 η S), u the missing share of strength there."""
        unlearned = math.sqrt(left) * (1 - self.initial / self.target)
        return math.log(self._gap * (1 - unlearned) / unlearned) / (2 * self.rate * self.target)

    @property
    def chance_loss(self) -> float:
        """½ (S - R(0))²."""
        return 0.5 * (self.target - self.initial) ** 2

    def with_parameters(self, frequencies: np.ndarray, parameters: float) -> np.ndarray:
        r"""Loss where parameters are few: wholly learned, in part, or not at all, in order of frequency.

        .. math:: R_k = S \min\big(1, \max(0, N/N_c - k + 1)\big)

        That is S below, S r/N_c at, and 0 beyond the skill :math:`q = \lfloor (N - 1)/N_c \rfloor + 1` (Nam et al. 2024,
        extended model; theorem 5 for N_c = 1).
        """
        strength = self.target * room(self.speed(frequencies), parameters / self.parameters_per_subtask)
        return 0.5 * np.square(self.target - strength)

    def strength_from(self, examples: np.ndarray) -> np.ndarray:
        """Strength in the end from a data set with so many examples d of the skill: S (1 - √(1 - d/D_c)), at most S.

        Nam et al. (2024), equation 17. With D_c = 1, one example is enough.
        """
        return self.target * (1 - np.sqrt(np.maximum(1 - np.asarray(examples) / self.examples_per_subtask, 0)))

    def with_data(self, frequencies: np.ndarray, examples: float) -> np.ndarray:
        r"""Mean loss after endless training, over data sets: d is binomial, and the loss is linear in it.

        .. math:: \tfrac12 S^2\,E\,(1 - d/D_c)_+ = \tfrac12 S^2 \big[P(d < D_c) - \tfrac{D p}{D_c} P(d' < D_c - 1)\big]

        with d' of D - 1 examples. For D_c = 1 it is ½ S² (1 - p)^D (Nam et al. 2024, equation 322).
        """
        p, most = np.asarray(frequencies, dtype=np.float64), self.examples_per_subtask
        missing = chance_below(most, examples, p)
        if most > 1:
            missing = missing - examples * p / most * chance_below(most - 1, max(examples - 1, 0), p)
        return 0.5 * self.target**2 * np.clip(missing, 0, 1)

    def sharpness(self) -> float:
        r"""S from the steepest point of (1 + w)^-2, w = e^v/c, in ln v.

        There :math:`e^v (2v - 1) = c\,(1 + v)` with c = S/R(0) - 1, whose one root is found by bisection.
        """
        low, high = 0.5, 2.0 + math.log1p(self._gap)
        for _ in range(200):
            v = 0.5 * (low + high)
            below = v + math.log(2 * v - 1) < math.log(self._gap * (1 + v)) if v > 0.5 else True
            low, high = (v, high) if below else (low, v)
        w = (1 + v) / (2 * v - 1)
        drop = (self._gap / (1 + self._gap)) ** 2
        return math.e * 2 * v * w / (1 + w) ** 3 / drop
