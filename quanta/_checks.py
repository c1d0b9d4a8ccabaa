"""Checks of numbers that a user gives: what is refused is named, with its value and its range."""

import difflib
import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from quanta._errors import InputError


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


def check_whole(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """A whole number from ``least`` to ``most``: of an integer type, since 10.0 would be written otherwise than 10.

    Raises
    ------
    InputError
        If it is not.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        shown = repr(value) if isinstance(value, str) else value
        raise InputError(f"{name} is {shown}; expected a whole number {span}.")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """One of a few words.

    Raises
    ------
    InputError
        If it is not; names the closest.
    """
    if value not in choices:
        close = difflib.get_close_matches(str(value), choices, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{name} is {value!r}; expected one of {', '.join(choices)}.{hint}")
