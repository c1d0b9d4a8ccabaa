"""Addition of decimal numbers: every digit of the sum is a subtask."""

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.frequencies import Uniform
from quanta.tasks.base import AbstractTask, Batch

_BASE = 10
_PLUS, _EQUALS = 10, 11
_MAX_DIGITS = 18  # sums of 19 digits overflow int64


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DigitAddition(AbstractTask):
    r"""Subtask i asks for the digit of :math:`10^i` in x + y, of numbers with ``digits`` digits each, leading zeros included.

    The sequence is ``x+y=`` and then the sum, of which all but the last digit are given: each digit is asked after the
    right ones before it, as in training a language model. Where carries come from depends on the order: plainly, each
    must be worked out from all the lower places; reversed, the digit before it tells.

    An answer's case is its two digits and the carry into its place; of the leading digit, the carry alone.

    References
    ----------
    Nanda, Chan, Lieberum, Smith, Steinhardt (2023), Progress Measures for Grokking via Mechanistic Interpretability,
    appendix on other tasks; Lee, Sreenivasan, Lee, Lee, Papailiopoulos (2023), Teaching Arithmetic to Small
    Transformers, section 3 (the reversed order).

    Examples
    --------
    >>> task = DigitAddition(digits=1)
    >>> batch = task.exhaustive(task.draw(2, np.random.default_rng(0)), np.arange(2))
    >>> batch.tokens[57].tolist(), batch.targets[57].tolist()  # 5 + 7 = 12; 10 is +, 11 is =
    ([5, 10, 7, 11, 1], [1, 2])
    """

    digits: int = 5
    """Digits of each number; the sum has one more."""
    order: Literal["plain", "reversed"] = "plain"
    """Digits of the sum from the most significant one, or from the least; the numbers begin with the most significant."""

    def __post_init__(self) -> None:
        check_whole("digits", self.digits, 1)
        if self.digits > _MAX_DIGITS:
            raise InputError(f"digits is {self.digits}; expected at most {_MAX_DIGITS}.")
        if self.order not in ("plain", "reversed"):
            raise InputError(f"order is {self.order!r}; expected plain or reversed.")

    @property
    def n_classes(self) -> int:
        """Ten digits."""
        return _BASE

    @property
    def n_symbols(self) -> int:
        """Ten digits, + and =."""
        return _BASE + 2

    @property
    def length(self) -> int:
        """Two numbers, two signs, and the sum without its last digit."""
        return 3 * self.digits + 2

    @property
    def readout(self) -> tuple[int, ...]:
        """From = on."""
        return tuple(range(2 * self.digits + 1, self.length))

    @property
    def n_inputs(self) -> int:
        """Number of pairs (x, y)."""
        return _BASE ** (2 * self.digits)

    @property
    def n_distinct(self) -> int:
        """As many as the sum has digits."""
        return self.digits + 1

    def shares(self) -> Uniform:
        """Each digit once in each sum."""
        return Uniform(n_subtasks=self.n_distinct)

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Places i of the digits, lowest first, (n_subtasks, 1)."""
        self.check_count(n_subtasks)
        return np.arange(n_subtasks)[:, None]

    def n_cases(self, rules: np.ndarray) -> np.ndarray:
        """Pairs of digits, with and without a carry: 200; the lowest place has no carry, the leading one no digits."""
        place = rules[:, 0]
        return np.select([place == 0, place == self.digits], [_BASE**2, 2], 2 * _BASE**2)

    def chance(self, rules: np.ndarray) -> np.ndarray:
        r"""The entropy of the digit: ln 10, as a sum with a uniform digit is uniform; and of the leading one, which is
        1 in :math:`(1 - 10^{-d})/2` of all sums.
        """
        carried = (1 - float(_BASE) ** -self.digits) / 2
        leading = -carried * math.log(carried) - (1 - carried) * math.log1p(-carried)
        return np.where(rules[:, 0] == self.digits, leading, math.log(_BASE))

    def labels(self, rules: np.ndarray) -> list[str]:
        """The places: "10^0" is the digit of the units."""
        return [f"10^{place}" for place in rules[:, 0].tolist()]

    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """Random sums, as many as ``subtask`` is long."""
        return self._examples(rng.integers(_BASE**self.digits, size=(len(subtask), 2)))

    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All sums, y changing fastest."""
        self.check_listed("evaluating on every input")
        return self._examples(np.stack(np.divmod(np.arange(self.n_inputs), _BASE**self.digits), axis=1))

    def _examples(self, numbers: np.ndarray) -> Batch:
        """Sums of pairs, (n, 2)."""
        powers = _BASE ** np.arange(self.digits + 1)
        digits = numbers[:, :, None] // powers % _BASE  # (n, 2, digits + 1), lowest first
        carry = (numbers[:, :, None] % powers).sum(axis=1) >= powers
        added = digits.sum(axis=1) + carry
        case = _BASE**2 * carry + _BASE * digits[:, 0] + digits[:, 1]
        case[:, -1] = carry[:, -1]
        written = digits[:, :, -2::-1]  # the most significant first
        asked = np.arange(self.digits + 1)[:: 1 if self.order == "reversed" else -1]
        answers = (added % _BASE)[:, asked]
        plus, equals = (np.full((len(numbers), 1), sign) for sign in (_PLUS, _EQUALS))
        tokens = np.hstack([written[:, 0], plus, written[:, 1], equals, answers[:, :-1]])
        return Batch(tokens, answers, np.tile(asked, (len(numbers), 1)), case[:, asked])
