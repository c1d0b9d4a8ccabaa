"""Checks of a learner's fields: what is refused is named, with its value and its range."""

import math
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


def check_whole(name: str, value: Any, *, least: int = 1, most: int = 10**6) -> None:
    """A whole number from ``least`` to ``most``.

    Raises
    ------
    InputError
        If it is not.
    """
    if isinstance(value, bool) or not least <= value <= most or value != int(value):
        raise InputError(f"{name} is {value}; expected a whole number from {least} to {most}.")
