"""Induction: blocks of random tokens that come again, among sequences that are random throughout."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.frequencies import Empirical
from quanta.tasks.base import Probe
from quanta.tasks.next_token import N_MEASURED, AbstractNextToken, fixed_rng, log_softmax


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Induction(AbstractNextToken):
    r"""Next token, in sequences half of which repeat a block of random tokens to their end.

    The period P of a repeating sequence is uniform over shortest … longest. Its token i is "repeated" if i > P: the
    token before it was seen a period ago, and what came after it then comes again. All other tokens, and all of the
    random sequences, are "other": nothing can be known of them. The share of "repeated" in the answers is

    .. math:: \frac12 \left(1 - \frac{\langle P \rangle}{T - 1}\right), \qquad \langle P \rangle = (P_\min + P_\max) / 2.

    Two layers of attention without an MLP suffice: a head of the first that looks at the token before, and one of the
    second that looks for the present token there. One layer does not. The measures at every checkpoint, on 64
    repeating sequences, follow Olsson et al., adapted to one period for each sequence:

    - ``previous_token_score``: attention to the token just before, mean over all tokens but the first, of the best head
      in the first layer;
    - ``prefix_score``: attention to the tokens that came after earlier occurrences of the present token, mean
      over the tokens that were seen a period ago, of the best head in the last layer;
    - ``in_context_score``: loss in nats of late tokens (i > longest: all of them repeated) less that of early ones
      (i ≤ shortest: none of them): 0 of who cannot use the context, and the lower, the better. (Theirs compares
      the 500th token with the 50th.)

    References
    ----------
    Elhage et al. (2021), A Mathematical Framework for Transformer Circuits; Olsson et al. (2022), In-context Learning
    and Induction Heads.

    Examples
    --------
    >>> task = Induction(vocabulary=9, context=7, shortest=2, longest=4)
    >>> task.shares().probabilities().tolist()  # (1 − 3/6) / 2
    [0.25, 0.75]
    """

    vocabulary: int = 64
    """Number of different symbols, and of answers."""
    context: int = 48
    """Tokens in a sequence."""
    shortest: int = 8
    """Least period of a repeated block."""
    longest: int = 20
    """Greatest period of a repeated block; less than the context by 2 at least."""

    subtasks: ClassVar[tuple[str, ...]] = ("repeated", "other")

    def __post_init__(self) -> None:
        check_whole("vocabulary", self.vocabulary, 2)
        check_whole("shortest", self.shortest, 1)
        check_whole("longest", self.longest, self.shortest)
        check_whole("context", self.context, 3)
        if self.longest > self.context - 2:
            raise InputError(
                f"longest is {self.longest}; expected at most context - 2 = {self.context - 2}, so that every block "
                "is repeated. Lengthen the context, or shorten the blocks."
            )

    @property
    def n_symbols(self) -> int:
        """The vocabulary."""
        return self.vocabulary

    @property
    def length(self) -> int:
        """The context."""
        return self.context

    def shares(self) -> Empirical:
        """Shares of "repeated" and "other" in the answers: exact."""
        repeated = (1 - (self.shortest + self.longest) / 2 / (self.context - 1)) / 2
        return Empirical(counts=(repeated, 1 - repeated))

    def chance(self, rules: np.ndarray) -> np.ndarray:
        """The logarithm of V: all symbols are equally frequent, in both groups."""
        return np.full(len(rules), math.log(self.vocabulary))

    def sequences(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random sequences, (n, context), and the subtask of each token but the first, (n, context − 1)."""
        return self._repeating(rng.random(n) < 0.5, rng)

    def _repeating(self, repeats: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sequences that repeat a block where ``repeats`` (n,) says so."""
        n, place = len(repeats), np.arange(self.context)
        tokens = rng.integers(self.vocabulary, size=(n, self.context))
        period = np.where(repeats, rng.integers(self.shortest, self.longest + 1, size=n), self.context)[:, None]
        return np.take_along_axis(tokens, place % period, axis=1), np.where(place[1:] > period, 0, 1)

    def measures(self, rules: np.ndarray, probe: Probe) -> dict[str, float]:
        """Previous-token, prefix-matching and in-context-learning scores."""
        tokens, subtask = self._repeating(np.ones(N_MEASURED, dtype=bool), fixed_rng())
        attention = probe.attention(tokens)  # (depth, n, heads, context, context)
        return {
            "previous_token_score": float(_previous(attention[0]).max()),
            "prefix_score": float(_prefix(attention[-1], tokens, subtask == 0).max()),
            "in_context_score": self._in_context(log_softmax(probe.logits(tokens)), tokens),
        }

    def _in_context(self, log_p: np.ndarray, tokens: np.ndarray) -> float:
        loss = -np.take_along_axis(log_p, tokens[:, 1:, None], axis=-1)[..., 0]  # (n, context − 1), of tokens 1 …
        return float(loss[:, self.longest :].mean() - loss[:, : self.shortest].mean())


def _previous(attention: np.ndarray) -> np.ndarray:
    """Mean attention of each head to the token before, (heads,), from (n, heads, context, context)."""
    return attention.diagonal(offset=-1, axis1=-2, axis2=-1).mean(axis=(0, -1))


def _prefix(attention: np.ndarray, tokens: np.ndarray, repeated: np.ndarray) -> np.ndarray:
    """Mean attention of each head to what came after earlier occurrences of the present token, (heads,).

    From attention (n, heads, context, context) and tokens (n, context); over the positions before a repeated token,
    (n, context − 1) bool, which have one such occurrence at least.
    """
    followed = np.zeros((len(tokens), *attention.shape[-2:]), dtype=attention.dtype)  # [q, k]: token k − 1 is token q
    followed[:, :, 1:] = np.tril(tokens[:, :, None] == tokens[:, None, :], -1)[:, :, :-1]
    paid = np.einsum("nhqk,nqk->nhq", attention[:, :, :-1], followed[:, :-1])
    return paid.transpose(0, 2, 1)[repeated].mean(axis=0)
