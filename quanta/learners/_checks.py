"""Checks of a learner's fields: what is refused is named, with its value and its range."""

import math
from typing import Any

from quanta._errors import InputError

MOST_HITS = 10**6


def check_above(name: str, value: float, *, most: float = math.inf) -> None:
    """A finite number above 0, and at most ``most``.

    Raises
    ------
    InputError
        If it is not.
    """
    if not (0 < value <= most and math.isfinite(value)):
        limit = f", at most {most:g}" if math.isfinite(most) else ""
        raise InputError(f"{name} is {value}; expected a finite number above 0{limit}.")


def check_hits(name: str, value: Any) -> None:
    """A whole number of hits that a subtask takes.

    Raises
    ------
    InputError
        If it is not, or is below 1 or above a million.
    """
    if isinstance(value, bool) or not 1 <= value <= MOST_HITS or value != int(value):
        raise InputError(f"{name} is {value}; expected a whole number from 1 to {MOST_HITS}.")
