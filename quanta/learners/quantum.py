"""The quanta hypothesis as it stands: a subtask is learned or it is not, the most frequent first."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_above, check_whole
from quanta._errors import InputError
from quanta.learners._hits import Hits
from quanta.learners.base import Truth
from quanta.learners.independent import AbstractIndependent


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Quantum(AbstractIndependent):
    r"""Loss b before and a after a subtask is learned, which it is at its τ-th hit.

    .. math:: L_n = \sum_{k \le n} a\,p_k + \sum_{k > n} b\,p_k

    Expected, quantum k is learned at :math:`T_k = \tau / p_k`, and what is learned by then is a number n of the most
    frequent ones. :meth:`last_learned` is n(S), n(D) and n(N) under an infinite Zipf law, :meth:`loss_beyond` its loss.
    Sampled, hits decide, and the order is that of frequency only on average.

    Every M-th quantum may be ``missing``: it is never learned. That leaves the exponent as it is; the loss ends at a
    higher floor, and its distance to that floor is (M - 1)/M of what it was.

    References
    ----------
    Michaud, Liu, Girit, Tegmark (2023), The Quantization Model of Neural Scaling, section 2. Michaud (2026), On neural
    scaling and the quanta hypothesis (missing quanta).

    Examples
    --------
    >>> learner = Quantum(hits=10)
    >>> p = np.array([0.5, 0.3, 0.2])
    >>> learner.onset(p).round(3).tolist(), learner.limited("data", p, 40).tolist(), learner.learned("data", p, 40)
    ([20.0, 33.333, 50.0], [0.0, 0.0, 1.0], 2)
    """

    before: float = 1.0
    """Loss b of a quantum that is not learned."""
    after: float = 0.0
    """Loss a of one that is, at least 0 and below ``before``."""
    hits: int = 10
    """Examples τ of a quantum after which it is learned."""
    missing: int = 0
    """Every so many quanta, in order of frequency, one is never learned; 0 for none."""
    parameters_per_subtask: float = 1.0
    """Parameters C that a quantum takes."""

    units: ClassVar[str] = "nat"
    optimizer: ClassVar[str] = "sgd"
    axes: ClassVar[tuple[str, ...]] = ("steps", "parameters", "data", "compute")

    def __post_init__(self) -> None:
        check_above("before", self.before, most=1e30)
        if not 0 <= self.after < self.before:
            raise InputError(f"after is {self.after}; expected a loss of 0 or more, below the {self.before} before.")
        check_whole("hits", self.hits, most=10**6)
        check_whole("missing", self.missing, least=0, most=10**6)
        if self.missing == 1:
            raise InputError("missing is 1; expected 0 for none, or every so many, 2 or more. At 1 nothing is learned.")
        check_above("parameters_per_subtask", self.parameters_per_subtask)

    @property
    def exchangeable(self) -> bool:
        """Not where some are missing: of equally frequent ones the last is."""
        return not self.missing

    def loss(self, hits: np.ndarray) -> np.ndarray:
        """Loss b before enough hits, a after."""
        return np.where(hits < self.hits, self.before, self.after)

    def hits_at(self, left: float) -> float:
        """τ, whatever share is left: all is learned at once."""
        return float(self.hits)

    @property
    def chance_loss(self) -> float:
        """That of no quantum learned, b."""
        return self.before

    @property
    def learned_loss(self) -> float:
        """That of a quantum learned, a."""
        return self.after

    def sharpness(self) -> float:
        """Inf: a step, however closely one looks."""
        return math.inf

    def levels(self) -> np.ndarray:
        """The count at which all is learned, three times, (3,)."""
        return np.full(3, self.hits, dtype=np.int64)

    def speed(self, frequencies: np.ndarray) -> np.ndarray:
        """p; 0 for the missing ones."""
        speed = np.array(frequencies, dtype=np.float64)
        np.put(speed, self._never(speed), 0.0)
        return speed

    def _never(self, frequencies: np.ndarray) -> np.ndarray:
        """Which quanta, (n,), are missing."""
        if not self.missing:
            return np.empty(0, dtype=np.int64)
        return np.argsort(-np.ravel(frequencies), kind="stable")[self.missing - 1 :: self.missing]

    def measure(self, state: Hits) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,); whatever its hits, that of one missing among them all is b."""
        if not state.sampled:  # at once: a part of them does not know which are missing
            return {"loss": self.expected(state.frequencies, float(state.examples))}
        loss = self.loss(state.hits)
        loss[self._never(state.frequencies)] = self.before
        return {"loss": loss}

    def truth(self, state: Hits) -> Truth:
        """Onset and width of the steps made so far, of which the missing ones make none."""
        truth = AbstractIndependent.truth(self, state)
        for values in truth:
            values[self._never(state.frequencies)] = np.nan
        return truth

    def learned(self, axis: str, frequencies: np.ndarray, amount: float) -> int:
        """How many of these quanta are learned with so much of a resource."""
        return int(np.sum(self.limited(axis, frequencies, amount) == self.after))

    def last_learned(self, axis: str, zipf_exponent: float, amount: float) -> float:
        r"""Rank n of the last quantum learned, of infinitely many, as a real number.

        .. math::
            n(S) = \Big(\frac{S}{\tau\,\zeta(s)}\Big)^{1/s}, \qquad n(D) = \Big(\frac{D}{\tau\,\zeta(s)}\Big)^{1/s},
            \qquad n(N) = \frac{N}{C}, \qquad s = \alpha + 1

        Steps S count examples. In compute, S N for as many quanta as both suffice for. Missing ones take no
        parameters: N/C of the others are learned, up to rank N/C · M/(M - 1).

        References
        ----------
        Michaud et al. (2023), section 2: n ∝ S^(1/(1 + α)), D^(1/(1 + α)) and N.
        """
        self._check_amount(axis, amount)
        s = zipf_exponent
        fitting = 1 / (self.parameters_per_subtask * (1 - self._share_missing))  # ranks per parameter
        if axis == "parameters":
            return amount * fitting
        from scipy import special

        seen = 1 / (self.hits * float(special.zeta(s)))
        if axis == "compute":
            return (amount * seen * fitting) ** (1 / (s + 1))
        return (amount * seen) ** (1 / s)

    def loss_beyond(self, n: float, zipf_exponent: float) -> float:
        r"""Mean loss of infinitely many quanta of which those up to rank n are learned.

        .. math::
            L_n \approx a + (b - a) \Big[ M^{-s} + \frac{M - 1}{M} \frac{n^{-\alpha}}{\alpha\,\zeta(s)} \Big],
            \qquad s = \alpha + 1

        Without missing ones, the first term is absent and the fraction is 1 (M → ∞).

        References
        ----------
        Michaud et al. (2023), section 2; Michaud (2026), whose floor has the p_k without their normalisation.
        """
        from scipy import special

        s, share = zipf_exponent, self._share_missing
        tail = (1 - share) * n ** (1 - s) / ((s - 1) * float(special.zeta(s)))
        return self.after + (self.before - self.after) * (share**s + tail)

    @property
    def _share_missing(self) -> float:
        """1/M, or 0."""
        return 1 / self.missing if self.missing else 0.0
