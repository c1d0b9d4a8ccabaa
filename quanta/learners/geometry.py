"""Skills as directions in the space of parameters, which one optimiser follows all at once."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np

from quanta._checks import check_above, check_whole
from quanta._errors import InputError
from quanta.learners.base import DYNAMICS, AbstractLearner, Overflow, Truth, checked, moment

_LEVELS = (0.9, 0.5, 0.1)  # of the loss at the start: what is remembered of every curve
_MOST_COMPONENTS = 10**8  # of directions: 1.2 GB while they are drawn, and a tenth of a second a step
_MOST_STEPS = 10**6  # that are looked ahead for an onset
_LONGEST = 10**8  # steps of a run whose length is not given: they are made one by one


class Position(NamedTuple):
    """State of a learner whose skills are directions: where it is in the space of parameters."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    step: np.ndarray
    """() steps made."""
    directions: np.ndarray
    """(n_subtasks, n_dim) float32 unit vectors; (0, n_subtasks) where each is an axis of its own."""
    x: np.ndarray
    """(n_dim,) parameters."""
    moments: np.ndarray
    """(2, n_dim) running means of Adam's, of the gradient and of its square; (0, n_dim) else."""
    crossed: np.ndarray
    """(n_subtasks, 3) steps at which 10, 50 and 90 % of a loss were gone; nan before."""
    hits: np.ndarray
    """(n_subtasks,) int64: how often each was drawn. Sampled only, else (0,)."""
    key: np.ndarray
    """(1,) uint64: with the number of an example, all that decides which subtask it is of. Sampled only, else (0,)."""
    batch_size: np.ndarray
    """() examples of a step."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry(AbstractLearner):
    r"""Skills u_k = t_k · x of parameters x that start at 0, under one optimiser.

    .. math:: L = \sum_k p_k L_k, \qquad L_k = (1 - u_k)^2 \quad\text{(squared)} \quad\text{or}\quad
        -\ln \sigma(u_k) \quad\text{(cross-entropy)}

    Each step follows the full gradient (expected), or that of a batch of subtasks drawn by their frequencies (sampled).
    SGD moves orthogonal skills apart from each other, at a speed ∝ p_k. An optimiser that normalises the components of
    the gradient has them compete: its step has one length, of which each takes in proportion to its pull, so that a
    rare subtask waits for the frequent ones, and then is quick.

    Random directions overlap, so that all subtasks fit exactly in no fewer dimensions than there are; the squared error
    that n_dim dimensions leave, in the mean over directions, is (to leading order in 1/n_dim)

    .. math:: L_k = \frac{1 + q}{(1 + p_k g)^2}, \qquad \sum_k \frac{p_k g}{1 + p_k g} = n_\text{dim}, \qquad
        \frac{q}{1 + q} = \frac{1}{n_\text{dim}} \sum_k \Big(\frac{p_k g}{1 + p_k g}\Big)^2

    by leaving one out: g is t · (Σ p t tᵀ)⁻¹ t of a direction that the others do not know, q = |x|²/n_dim the square of
    the skill that they give it by chance. Rare subtasks end above their start.

    A constant step never settles. Under SignGD, whose step has one size to the end, the frequent subtasks go to and
    fro, and their pull hides that of those rarer by more than about the rate: the expected run ends in a cycle.

    Onsets are declared among orthogonal directions, of SGD and of SignGD. Those of Adam are not: its two means weigh
    the past otherwise, so that what it divides is neither a sign nor in proportion to the pull. A mean field that takes
    it for a sign is late by up to a fifth (for the last of six subtasks), however many dimensions there are.

    References
    ----------
    Liu, Liu, Michaud, Gore, Tegmark (2025), Physics of Skill Learning, the geometry model. Their α is the Zipf exponent
    itself. SignGD is their Adam at both β = 0. The law of dimensions is derived here.

    Examples
    --------
    Half learned, one of two subtasks that is ten times rarer than the other is so many times later:

    >>> p = np.array([10, 1]) / 11
    >>> onsets = [Geometry(descent=descent).onset(p) for descent in ("signgd", "sgd")]
    >>> [round(float(rare / frequent), 1) for frequent, rare in onsets]
    [3.7, 10.1]
    """

    n_dim: int = 1000
    """Parameters; at least as many as subtasks where directions are orthogonal."""
    directions: Literal["orthogonal", "random"] = "orthogonal"
    """Unit vectors at random, made orthogonal or not."""
    objective: Literal["squared", "cross-entropy"] = "squared"
    """What is minimised."""
    descent: Literal["adam", "signgd", "sgd"] = "adam"
    """The optimiser."""
    rate: float = 0.01
    """Learning rate."""
    beta1: float = 0.9
    """Memory of Adam for the gradient."""
    beta2: float = 0.999
    """Memory of Adam for its square."""

    clock: ClassVar[str] = "steps"
    dynamics: ClassVar[tuple[str, ...]] = DYNAMICS

    def __post_init__(self) -> None:
        check_whole("n_dim", self.n_dim, most=_MOST_COMPONENTS)
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise InputError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")
        check_above("rate", self.rate)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least 0, and below 1.")
        if self.descent != "sgd" and self.rate * math.sqrt(self.n_dim) > 1:
            raise InputError(
                f"rate is {self.rate}; expected at most 1/√n_dim = {self.n_dim**-0.5:.3g} for {self.descent}. Beyond, "
                "one step moves a skill by more than all that there is to learn."
            )

    @property
    def units(self) -> str:
        """Squared error, or nats."""
        return "squared error" if self.objective == "squared" else "nat"

    @property
    def optimizer(self) -> str:
        """SGD; or Adam, of which SignGD is a case."""
        return "sgd" if self.descent == "sgd" else "adam"

    @property
    def axes(self) -> tuple[str, ...]:
        """Steps, of skills that do not meet; parameters, where random directions share them under the squared error."""
        shared = self.directions == "random" and self.objective == "squared"
        return ("steps",) * (not self.generalises) + ("parameters",) * shared

    @property
    def generalises(self) -> bool:
        """Skills meet but under SGD along orthogonal directions."""
        return not (self.descent == "sgd" and self.directions == "orthogonal")

    @property
    def monotone(self) -> bool:
        """Only skills that do not meet are, at a stable rate."""
        return not self.generalises

    @property
    def exchangeable(self) -> bool:
        """Only skills that do not meet are: how others meet depends on their directions."""
        return not self.generalises

    @property
    def onset_exponent(self) -> float:
        """1 of skills that do not meet."""
        return math.nan if self.generalises else 1.0

    @property
    def descends(self) -> bool:
        """SGD does, at a stable rate; a step of one length overshoots in the end."""
        return self.descent == "sgd"

    @property
    def stepwise(self) -> bool:
        """Always."""
        return True

    @property
    def n_classes(self) -> int | None:
        """Two, of the cross-entropy: learned or not."""
        return 2 if self.objective == "cross-entropy" else None

    @property
    def chance_loss(self) -> float:
        """1, or ln 2."""
        return 1.0 if self.objective == "squared" else math.log(2)

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Position:
        """State before the first step; see the base.

        Raises
        ------
        InputError
            If there are too few dimensions, or SGD is unstable on the squared error at that rate.
        """
        p = checked(self, frequencies, dynamics, batch_size)
        directions = self._directions(p.size, rng)
        if self.descent == "sgd" and self.objective == "squared":
            self._check_stable(p, directions, batch_size if dynamics == "sampled" else math.inf)
        n_dim = directions.shape[1]
        hits, key = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
        if dynamics == "sampled":
            from quanta.learners._random import new_key

            hits, key = np.zeros(p.size, dtype=np.int64), np.array([new_key(rng)])
        return Position(
            frequencies=p,
            step=np.array(0, dtype=np.int64),
            directions=directions,
            x=np.zeros(n_dim),
            moments=np.zeros((2 if self.descent == "adam" else 0, n_dim)),
            crossed=np.full((p.size, len(_LEVELS)), np.nan),
            hits=hits,
            key=key,
            batch_size=np.array(batch_size, dtype=np.int64),
        )

    def advance(self, state: Position, time: int) -> Position:
        """State after that many steps in all, made one by one.

        Raises
        ------
        Overflow
            If a loss is not finite, with the step and the subtask.
        """
        from quanta.learners import _geometry

        now = int(state.step)
        step = moment(now, time)
        x, moments, crossed, hits = (a.copy() for a in (state.x, state.moments, state.crossed, state.hits))
        levels = np.array(_LEVELS) * self.chance_loss
        logistic = self.objective == "cross-entropy"
        path = (state.directions, logistic, self._how(), now, int(step), x, moments, levels, crossed)
        if state.key.size:
            cumulative = np.cumsum(state.frequencies)
            failed = _geometry.follow_batches(cumulative, *path, state.key[0], int(state.batch_size), hits)
        else:
            failed = _geometry.follow_gradient(state.frequencies, *path)
        if failed[0] >= 0:
            raise Overflow(failed[0], failed[1], f"Lower the rate, which is {self.rate}.")
        return state._replace(step=step, x=x, moments=moments, crossed=crossed, hits=hits)

    def measure(self, state: Position) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        from quanta.learners import _geometry

        loss = np.empty(state.frequencies.size)
        _geometry.losses(state.directions, self.objective == "cross-entropy", state.x, loss)
        return {"loss": loss}

    def truth(self, state: Position) -> Truth:
        """Onset and width of this run: when a curve first fell to 90, 50 and 10 %, between steps in proportion.

        Sampled, the curves are looked at when their subtask is drawn.
        """
        early, half, late = state.crossed.T
        seen = np.where(state.frequencies > 0, half, np.nan)
        return Truth(onset=seen, width=np.where(np.isnan(seen), np.nan, np.log(late / early)))

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Steps at half loss in very many orthogonal directions; nan, not declared, for random ones and under Adam."""
        if self.directions == "random" or self.descent == "adam":
            return np.full(np.shape(frequencies), np.nan)
        return self._mean_field(frequencies)

    def horizon(self, frequencies: np.ndarray) -> float:
        """Five times the last onset among orthogonal directions (ten times that of SGD, which ends exponentially).

        And as long as Adam remembers a gradient that was larger; its last onset is only guessed, up to a fifth too
        late.

        Raises
        ------
        InputError
            If no onset is known, or it lies so far ahead that the length of the run should be chosen.
        """
        onset = self._mean_field(frequencies)
        if np.any(np.isnan(onset)):
            raise InputError(
                f"rate is {self.rate}, at which not all is half learned within {_MOST_STEPS} steps; expected a larger "
                "one, or to be told how long to run. Give --steps."
            )
        last = float(np.max(onset[np.isfinite(onset)], initial=1.0))
        memory = 1 / (1 - self.beta2) if self.descent == "adam" else 0.0
        horizon = (10 if self.descent == "sgd" else 5) * last + memory
        if horizon > _LONGEST:
            field, value = ("beta2", self.beta2) if memory > _LONGEST / 2 else ("rate", self.rate)
            raise InputError(
                f"{field} is {value}, and takes {horizon:.2g} steps one by one; expected at most {_LONGEST:.0e} "
                "where it is not told how long to run. Give --steps."
            )
        return horizon

    def sampled_horizon(self, frequencies: np.ndarray, batch_size: int) -> float:
        """As long, and until the rarest has been drawn twenty times; refuses what ``horizon`` does."""
        p = np.asarray(frequencies, dtype=np.float64)
        drawn = 20 / (float(np.min(p[p > 0])) * batch_size)
        if drawn > _LONGEST:
            raise InputError(
                f"batch_size is {batch_size}, of which the rarest subtask takes {drawn:.2g} to be drawn twenty times; "
                f"expected at most {_LONGEST:.0e} where it is not told how long to run. Give --steps."
            )
        return max(self.horizon(p), drawn)

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        """-α = 1 - s in parameters; in steps see the base."""
        if axis != "parameters":
            return AbstractLearner.exponent(self, axis, zipf_exponent)
        return 1 - zipf_exponent if axis in self.axes and zipf_exponent > 1 else math.nan

    def limited(self, axis: str, frequencies: np.ndarray, amount: float) -> np.ndarray:
        """Along "parameters": squared error, (n_subtasks,), that so many dimensions leave, in the mean over directions.

        Raises
        ------
        InputError
            If there is no law along that axis, or the amount is not above 0.
        """
        if axis != "parameters":
            return AbstractLearner.limited(self, axis, frequencies, amount)
        self._check_amount(axis, amount)
        p = np.asarray(frequencies, dtype=np.float64)
        known = np.where(p > 0, 1.0, 0.0)  # p g / (1 + p g)
        if amount < known.sum():
            from scipy import optimize

            def excess(log_g: float) -> float:
                return float(np.sum(p / (p + math.exp(-log_g)))) - amount

            log_g = optimize.brentq(excess, math.log(amount) - 1, math.log(amount / np.min(p[p > 0])) + 50)
            known = p / (p + math.exp(-log_g))
        by_chance = known @ known / amount
        return np.square(1 - known) / (1 - by_chance) if by_chance < 1 else np.where(p > 0, 0.0, np.inf)

    def _directions(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Rows t_k, (n_subtasks, n_dim)."""
        if self.directions == "orthogonal" and self.n_dim < n_subtasks:
            raise InputError(
                f"n_dim is {self.n_dim}; expected at least {n_subtasks}, for as many orthogonal directions. "
                "Or take directions='random'."
            )
        if self.directions == "orthogonal" and self.descent == "sgd":
            # SGD knows no axes: any orthogonal directions make the same world
            return np.empty((0, n_subtasks), dtype=np.float32)
        self._check_size(n_subtasks)
        rows = rng.standard_normal((n_subtasks, self.n_dim))
        if self.directions == "random":
            rows /= np.sqrt(np.sum(rows**2, axis=1, keepdims=True))
        else:
            from quanta.learners import _geometry

            _geometry.orthonormalise(rows)
        return rows.astype(np.float32)  # a step reads them all: what it takes is the time to read

    def _check_stable(self, p: np.ndarray, directions: np.ndarray, batch_size: float) -> None:
        """Refuse a rate at which the mean square of what is left grows: at 2/λ of the curvature, or less in batches."""
        steepest = float(np.max(p))
        if directions.size:
            scaled = np.sqrt(p)[:, None] * directions
            steepest = float(np.linalg.norm(scaled, ord=2) ** 2)
        most = 1 / (steepest * (1 - 1 / batch_size) + 1 / batch_size)
        if self.rate >= most:
            raise InputError(f"rate is {self.rate}; expected less than {most:.4g}, beyond which SGD is unstable here.")

    def _how(self) -> tuple[int, float, tuple[float, float]]:
        """The optimiser, as the kernels take it."""
        return ("sgd", "signgd", "adam").index(self.descent), float(self.rate), (float(self.beta1), float(self.beta2))

    def _mean_field(self, frequencies: np.ndarray) -> np.ndarray:
        """Steps at half loss, (n_subtasks,), in orthogonal directions; inf for what never occurs, nan beyond 10⁶ steps.

        Of SGD a closed form: of the squared error exact, of cross-entropy that of the flow, u + e^u = 1 + η p t.
        """
        p = np.asarray(frequencies, dtype=np.float64)
        logistic = self.objective == "cross-entropy"
        with np.errstate(divide="ignore"):
            if self.descent == "sgd" and logistic:
                return (math.asinh(1) + math.sqrt(2)) / (self.rate * p)
            if self.descent == "sgd":
                return np.where(p > 0, math.log(0.5) / (2 * np.log(np.abs(1 - 2 * self.rate * p))), np.inf)
        from quanta.learners import _geometry

        self._check_size(p.size)
        crossed = np.full((p.size, 1), np.nan)
        half = np.array([0.5 * self.chance_loss])
        _geometry.mean_field(p, logistic, self._how(), self.n_dim, half, crossed, _MOST_STEPS)
        return np.where(p > 0, crossed[:, 0], np.inf)

    def _check_size(self, n_subtasks: int) -> None:
        """Refuse directions that would not fit into memory."""
        if n_subtasks * self.n_dim > _MOST_COMPONENTS:
            raise InputError(
                f"{n_subtasks} directions in n_dim = {self.n_dim} dimensions have {n_subtasks * self.n_dim:.1e} "
                f"components; expected at most {_MOST_COMPONENTS:.0e}. Take fewer subtasks or dimensions."
            )


_CHOICES = {
    "directions": ("orthogonal", "random"),
    "objective": ("squared", "cross-entropy"),
    "descent": ("adam", "signgd", "sgd"),
}
