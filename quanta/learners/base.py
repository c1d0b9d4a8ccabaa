"""What a learner is: a model of how many subtasks are acquired at once, with the theory that it claims to obey."""

import abc
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from quanta import _parts
from quanta._checks import check_whole
from quanta._errors import InputError

DYNAMICS = ("expected", "sampled")
AXES = ("steps", "parameters", "data", "compute")
LEARNED = 0.25  # of its drop is left: a subtask counts as learned
_WORKING = 300  # bytes for a subtask
LATEST = 2**53  # examples or steps: beyond this, float64 cannot tell two moments apart


class Truth(NamedTuple):
    """What a simulator knows of its own steps; nan for a subtask whose loss makes none (or has not yet)."""

    onset: np.ndarray
    """(n_subtasks,), on the learner's clock: the loss is half way down."""
    width: np.ndarray
    """(n_subtasks,), in nats of log time: from 10 % to 90 % of the way."""


class Overflow(InputError):
    """A loss stopped being a number; ``record`` holds the checkpoints before that."""

    record: Any = None  # filled in by simulate.simulate

    def __init__(self, time: int, subtask: int | None, advice: str) -> None:
        of = "" if subtask is None else f" of subtask {subtask}"  # the weights that failed may be those of all
        super().__init__(f"the loss{of} is not finite at step {time}; expected it to stay finite. {advice}")
        self.time, self.subtask, self.advice = time, subtask, advice


class AbstractLearner(abc.ABC):
    """A model of how one learner acquires many subtasks.

    ``start``, ``advance`` and ``measure`` run it; ``onset``, ``sharpness``, ``exponent`` and ``limited`` are its
    declared theory, which one contract test measures for the whole family. What a theory does not say is nan.

    A learner whose subtasks do not meet derives from :class:`~quanta.learners.independent.AbstractIndependent`, and has
    a formula to give and little else.
    """

    clock: ClassVar[str] = "examples"
    """What time counts: "examples" drawn, or "steps" of an optimiser that sees all subtasks at each."""
    bitwise: ClassVar[bool] = True
    """Whether a seed gives the same bits at any number of threads; where not, the same to rounding (linear algebra), and
    what was begun at one number is not gone on with at another."""

    usual_batch: ClassVar[int] = 1
    """Examples in a batch where nothing is said of it."""
    foretold: ClassVar[bool] = True
    """Whether it knows how long learning takes; where not, ``horizon`` refuses, and a run must be told how long."""

    meanings: ClassVar[Mapping[str, str]] = {}
    """What variables of its record are, in a few words, where their names do not say it: name → the words."""

    starts_at_chance: ClassVar[bool] = True
    """Whether every loss begins at ``chance_loss``; that of a network does up to its first weights."""

    @property
    def dynamics(self) -> tuple[str, ...]:
        """Which dynamics it has, of ``DYNAMICS``; a ClassVar where that does not depend on its fields."""
        return DYNAMICS

    @property
    def axes(self) -> tuple[str, ...]:
        """Along which resources its theory gives a loss, of ``AXES``; may be a ClassVar.

        Not along steps where the losses depend on features or directions drawn at random.
        """
        return ("steps",)

    @property
    def monotone(self) -> bool:
        """Whether the loss of no subtask ever rises in the mean field; may be a ClassVar."""
        return True

    @property
    def generalises(self) -> bool:
        """Whether learning some subtasks moves the loss of others, even of what never occurs; may be a ClassVar."""
        return False

    @property
    def exchangeable(self) -> bool:
        """Whether a subtask is its frequency alone: permuting frequencies permutes losses; may be a ClassVar."""
        return True

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The learner that a text such as "threshold(hits=3)" names, as it is written within another's fields.

        Raises
        ------
        InputError
            If there is none, it cannot be had so, or it is not of this class.
        """
        from quanta.learners import LEARNERS

        return _parts.read(text, LEARNERS, cls)

    def __str__(self) -> str:
        """The text that names it: "threshold(hits=3)"."""
        from quanta.learners import LEARNERS

        return _parts.write(self, LEARNERS)

    def check_count(self, n_subtasks: int) -> None:  # noqa: B027, most take any number
        """Refuse a number of subtasks that it cannot have.

        Raises
        ------
        InputError
            If it cannot.
        """

    def check_batch(self, batch_size: int) -> None:  # noqa: B027, most take any
        """Refuse a batch that it cannot be trained on.

        Raises
        ------
        InputError
            If it cannot.
        """

    def check(self, n_subtasks: int, batch_size: int, dynamics: str) -> None:
        """Refuse to be simulated so, before anything is allocated.

        Raises
        ------
        InputError
            If it has not these dynamics, or cannot have so many subtasks or such batches.
        """
        check_whole("batch_size", batch_size)
        if dynamics not in self.dynamics:
            raise InputError(
                f"dynamics is {dynamics!r}; expected {' or '.join(map(repr, self.dynamics))} for {type(self).__name__}."
            )
        self.check_count(n_subtasks)
        self.check_batch(batch_size)

    @property
    def n_measured(self) -> int:
        """How many numbers ``measure`` finds of every subtask; a ClassVar where it is one for all."""
        return 1

    def memory_needed(self, n_subtasks: int, batch_size: int) -> int:
        """Bytes that it works in: a state and the one after it, its truth, and what lies between two checkpoints."""
        return _WORKING * n_subtasks

    def smaller(self) -> "dict[str, tuple[int, AbstractLearner]]":
        """The fields that its memory grows with: what each is, and the learner that it would be were that the least."""
        return {}

    def kinds(self, n_subtasks: int) -> list[str] | None:
        """What sort each subtask is of, in a word; None where all are of one."""
        return None

    @property
    def learning_rate(self) -> float | None:
        """Of its steps, where these are an optimiser's and all alike; else None."""
        return None

    @property
    def provenance(self) -> dict[str, str]:
        """What its record says of it besides: ``data`` and ``network``, which a run and its controls share; ``test_bits``,
        independent or shared; ``control_kind`` and ``inputs`` of a control. Empty where there are no controls.
        """
        return {}

    def facts(self, state: Any) -> dict[str, tuple[str, np.ndarray]]:
        """What is known of each subtask besides how often it occurs: name → a dim, and values (n_subtasks, length of it)."""
        return {}

    def control(self, text: str) -> "AbstractLearner":
        """The model that a text names, such as "kernel(n_inputs=8)", which controls it: one that has no phase changes.

        Raises
        ------
        InputError
            If there is none.
        """
        raise InputError(f"{type(self).__name__} has no control {text!r}; expected a learner that is a network.")

    @property
    @abc.abstractmethod
    def units(self) -> str:
        """Unit of the loss, one of ``record.UNITS``; a ClassVar where it is one for all."""

    @property
    @abc.abstractmethod
    def optimizer(self) -> str:
        """What trains it, one of ``record.OPTIMIZERS``; a ClassVar where it is one for all."""

    @property
    def descends(self) -> bool:
        """Whether the mean loss never rises in the mean field: not so of steps of a fixed length, which overshoot."""
        return True

    @property
    def has_steps(self) -> bool:
        """Whether the mean field makes steps, of which ``truth`` knows: not so in a smooth world; may be a ClassVar."""
        return True

    @property
    def onset_exponent(self) -> float:
        """γ in onset ∝ p^-γ, for rare subtasks; nan where frequency alone does not decide."""
        return math.nan

    @abc.abstractmethod
    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Any:
        """State before the first example.

        Parameters
        ----------
        frequencies : np.ndarray, shape (n_subtasks,)
            p_k, summing to 1.
        rng : np.random.Generator
            Source of the key of all later randomness.
        dynamics : {"expected", "sampled"}
            The mean field, or subtasks drawn one by one.
        batch_size : int
            Examples in a step; matters only to a sampled learner that moves step by step.

        Returns
        -------
        NamedTuple of np.ndarray
            The state, which is also the checkpoint: ``advance`` depends on nothing else. It has ``frequencies``, and
            if sampled ``hits`` (n_subtasks,): how often each subtask was drawn.

        Raises
        ------
        InputError
            If the frequencies are not a distribution, the dynamics are not among its own, or no batch has that size.
        """

    @abc.abstractmethod
    def advance(self, state: Any, time: int) -> Any:
        """State at that time on its clock, counted from the start; the cost need not grow with the gap."""

    @abc.abstractmethod
    def measure(self, state: Any) -> dict[str, np.ndarray]:
        """What is seen of a state: always ``loss``, shape (n_subtasks,), float64."""

    @abc.abstractmethod
    def truth(self, state: Any) -> Truth:
        """Onset and width of the steps made so far: realised if sampled, else those of the mean field."""

    @property
    def stepwise(self) -> bool:
        """Whether it is moved step by step, so that a checkpoint takes as long as the steps before it."""
        return False

    @property
    def n_classes(self) -> int | None:
        """Among how many answers a softmax chooses, where the loss is one's; None of any other loss."""
        return None

    @property
    @abc.abstractmethod
    def chance_loss(self) -> float:
        """Loss before any learning."""

    @property
    def learned_loss(self) -> float:
        """Loss of a subtask that is learned: what ``chance_loss`` falls to."""
        return 0.0

    @abc.abstractmethod
    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Time at which the mean-field loss is half its start, (n_subtasks,); inf if never, nan where not declared."""

    def horizon(self, frequencies: np.ndarray) -> float:
        """Time until its last subtask is learned and has been seen to be: ten times the last onset."""
        onset = self.onset(frequencies)
        return 10 * float(np.max(onset[np.isfinite(onset)], initial=1.0))

    def sampled_horizon(self, frequencies: np.ndarray, batch_size: int) -> float:
        """``horizon`` of a sampled run; another only where steps of so few examples do not follow the mean field."""
        return self.horizon(frequencies)

    def sharpness(self) -> float:
        """S of the mean-field curve of a rare subtask: e · max(-dl/d ln t) / total drop; 1 for an exponential.

        nan where it is not one number for all.
        """
        return math.nan

    def exponent(self, axis: str, zipf_exponent: float) -> float:
        r"""Exponent of the mean loss along a resource, as the number of subtasks grows without end.

        In steps, where a rare subtask is learned at a time ∝ p^-γ,

        .. math:: L \propto t^{-\alpha / (\gamma (1 + \alpha))}, \qquad \alpha = s - 1

        Parameters
        ----------
        axis : str
            One of ``AXES``.
        zipf_exponent : float
            s of the frequencies p_k ∝ k^-s: the α of the papers plus 1.

        Returns
        -------
        float
            Negative; nan for s ≤ 1, where no infinite Zipf law exists, and where the theory has no law.

        References
        ----------
        Hutter (2021), Learning Curve Theory; Michaud et al. (2023), section 2; Nam et al. (2024), time scaling law.
        """
        if axis != "steps" or not zipf_exponent > 1 or not self.onset_exponent > 0:
            return math.nan
        return -(zipf_exponent - 1) / (self.onset_exponent * zipf_exponent)

    def limited(self, axis: str, frequencies: np.ndarray, amount: float) -> np.ndarray:
        """Loss of every subtask, (n_subtasks,), with so much of a resource and as much as it needs of the others.

        Along "steps" that is the mean field at this time on its clock, between two whole ones in proportion; a member
        that has another axis overrides this.

        Raises
        ------
        InputError
            If its theory says nothing of that axis, or the amount is not above 0.
        """
        self._check_amount(axis, amount)
        whole = int(amount)
        state = self.advance(self.start(frequencies, np.random.default_rng(0)), whole)
        loss = self.measure(state)["loss"]
        if whole == amount:
            return loss
        return loss + (amount - whole) * (self.measure(self.advance(state, whole + 1))["loss"] - loss)

    def _check_amount(self, axis: str, amount: float) -> None:
        """Refuse an axis along which there is no law, and an amount that is none."""
        if axis not in self.axes:
            known = f"one of {', '.join(self.axes)}" if self.axes else "a learner that has one"
            raise InputError(f"{type(self).__name__} has no law along {axis}; expected {known}.")
        if not 0 < amount < math.inf:
            raise InputError(f"the amount of {axis} is {amount}; expected a finite number above 0.")


def checked(learner: AbstractLearner, frequencies: np.ndarray, dynamics: str, batch_size: int) -> np.ndarray:
    """Frequencies as float64, of a run that the learner does not refuse.

    Raises
    ------
    InputError
        If they are not a distribution, or it does.
    """
    p = np.asarray(frequencies, dtype=np.float64)
    if p.ndim != 1 or p.size == 0 or not np.all(p >= 0) or abs(p.sum() - 1) > 1e-9:
        raise InputError(
            f"frequencies have shape {p.shape} and sum to {p.sum():.6g}; expected (n_subtasks,) and 1. "
            "Use .probabilities() of a part of quanta.frequencies."
        )
    learner.check(p.size, batch_size, dynamics)
    return p


def moment(before: int, now: int) -> np.ndarray:
    """The next time, as a state holds it, () int64.

    Raises
    ------
    InputError
        If it would go back in time, or beyond 2^53.
    """
    if not before <= now <= LATEST:
        raise InputError(f"cannot advance from {before} to {now}; expected at least {before}, at most 2^53.")
    return np.array(now, dtype=np.int64)


def no_steps(n_subtasks: int) -> Truth:
    """Truth of a learner that makes no step."""
    return Truth(*np.full((2, n_subtasks), np.nan))


def seen_so_far(now: int, early: np.ndarray, half: np.ndarray, late: np.ndarray) -> Truth:
    """Truth of an expected run, from the times when 10, 50 and 90 % of each drop are done; nan if half lies ahead."""
    done = half <= now
    with np.errstate(invalid="ignore", divide="ignore"):
        return Truth(onset=np.where(done, half, np.nan), width=np.where(done, np.log(late / early), np.nan))
