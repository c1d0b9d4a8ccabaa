"""In-context Markov chains: every sequence has transition probabilities of its own, to be told from the sequence."""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.frequencies import Empirical
from quanta.tasks.base import Probe
from quanta.tasks.next_token import N_MEASURED, AbstractNextToken, fixed_rng, log_softmax

_LEAST_SEEN = (1, 3, 7)  # earlier occurrences of the present state from which on an answer is of the next subtask
_N_SIMULATED, _PIECE = 2**14, 2**10  # sequences that shares are estimated from, and of them at a time


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Markov(AbstractNextToken):
    r"""Next state of a Markov chain whose transition probabilities are drawn anew for each sequence.

    Each row of the transition matrix is Dirichlet(concentration, …, concentration), independently; the first state is
    uniform. The best prediction from states :math:`x_0 \dots x_t` is the posterior mean of the present state's row,

    .. math:: p(j) = \frac{c_{x_t j} + \beta}{\sum_i c_{x_t i} + V \beta},

    c being the transitions counted so far and β the concentration. What can be known thus depends on how often the
    present state was seen before (its successors were seen as often): the subtasks are 0, 1–2, 3–6 and 7 or more times.
    The rows being independent, nothing can be known of what was never seen: the first is a subtask that cannot be
    learned. How often each occurs has no closed form; shares are estimated from 16384 sequences (fixed seed), to
    within 1 % of their value.

    Networks pass simpler solutions on the way. The measures at every checkpoint, on 64 sequences, are mean KL
    divergences in nats, KL(solution ‖ prediction), of three solutions: ``kl_uniform``; ``kl_unigram``, states as
    frequent as in the sequence so far, with β added to each count; ``kl_bigram``, the posterior mean above. The last
    is the mean loss in excess of the best possible one.

    References
    ----------
    Edelman, Tsilivis, Edelman, Malach, Goel (2024), The Evolution of Statistical Induction Heads: In-Context Learning
    Markov Chains (there, flat priors: concentration 1).

    Examples
    --------
    >>> task = Markov(states=2, context=40)
    >>> task.labels(np.arange(4)[:, None])
    ['seen 0 times', 'seen 1-2 times', 'seen 3-6 times', 'seen 7 or more times']
    """

    states: int = 3
    """Number of states, and of answers."""
    context: int = 64
    """States in a sequence; 8 times their number at least."""
    concentration: float = 0.3
    """Concentration of the Dirichlet distribution of each row: small makes chains nearly deterministic."""

    subtasks: ClassVar[tuple[str, ...]] = (
        "seen 0 times", "seen 1-2 times", "seen 3-6 times", "seen 7 or more times",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_whole("states", self.states, 2)
        check_whole("context", self.context, 1)
        if self.context < (least := (_LEAST_SEEN[-1] + 1) * self.states):
            raise InputError(
                f"context is {self.context}; expected at least {least} for {self.states} states, so that they are seen "
                "often enough. Lengthen the context, or take fewer states."
            )
        if not (math.isfinite(self.concentration) and self.concentration > 0):
            raise InputError(f"concentration is {self.concentration}; expected a number above 0.")

    @property
    def n_symbols(self) -> int:
        """The number of states."""
        return self.states

    @property
    def length(self) -> int:
        """The context."""
        return self.context

    def shares(self) -> Empirical:
        """Shares of the four groups in the answers, estimated once."""
        return _shares(self)

    def chance(self, rules: np.ndarray) -> np.ndarray:
        """The logarithm of V: no state is special, so that all are equally frequent in each group."""
        return np.full(len(rules), math.log(self.states))

    def sequences(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random sequences, (n, context), and the subtask of each state but the first, (n, context − 1)."""
        rows = rng.dirichlet(np.full(self.states, self.concentration), size=(n, self.states))
        edges = np.cumsum(rows, axis=-1)[:, None]
        u = rng.random((n, self.context - 1, self.states))
        # Where each step would lead from every state, (n, context − 1, states): then a walk is mere looking up.
        leads = np.sum([u > edges[..., j] for j in range(self.states - 1)], axis=0)
        tokens = np.empty((n, self.context), dtype=np.int64)
        tokens[:, 0] = rng.integers(self.states, size=n)
        each = np.arange(n)
        for t in range(self.context - 1):
            tokens[:, t + 1] = leads[each, t, tokens[:, t]]
        before = np.take_along_axis(np.cumsum(self._held(tokens), axis=1), tokens[:, :-1, None], axis=-1)[..., 0] - 1
        return tokens, np.searchsorted(_LEAST_SEEN, before, side="right")

    def solutions(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions of the state after each but the last, (n, context − 1, states) each: uniform, unigram, bigram."""
        held = self._held(tokens)
        before = np.tril(held @ held.transpose(0, 2, 1), -1)  # (n, t, u): whether place u < t held the state of place t
        counts = {
            "uniform": np.zeros_like(held),
            "unigram": np.cumsum(held, axis=1),
            "bigram": before @ np.eye(self.states)[tokens[:, 1:]],
        }
        smoothed = {name: count + self.concentration for name, count in counts.items()}
        return {name: count / count.sum(axis=-1, keepdims=True) for name, count in smoothed.items()}

    def _held(self, tokens: np.ndarray) -> np.ndarray:
        """Whether each place but the last held each state, 0 or 1, (n, context − 1, states)."""
        return np.eye(self.states)[tokens[:, :-1]]

    def measures(self, rules: np.ndarray, probe: Probe) -> dict[str, float]:
        """Divergences of the prediction from the three solutions."""
        tokens, _ = self.sequences(N_MEASURED, fixed_rng())
        log_p = log_softmax(probe.logits(tokens))
        return {
            f"kl_{name}": float((solution * (np.log(solution) - log_p)).sum(axis=-1).mean())
            for name, solution in self.solutions(tokens).items()
        }


@functools.cache
def _shares(task: Markov) -> Empirical:
    rng = fixed_rng()
    counts = np.zeros(len(task.subtasks))
    for _ in range(_N_SIMULATED // _PIECE):
        counts += np.bincount(task.sequences(_PIECE, rng)[1].ravel(), minlength=len(counts))
    return Empirical(counts=tuple(counts.tolist()))
