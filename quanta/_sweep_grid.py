"""What a sweep file asks for: settings that all runs share, and axes along which they differ."""

import difflib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quanta._errors import InputError, quoted

COMMANDS = ("simulate", "train")
MOST_RUNS = 10_000
_SECTIONS = ("command", "set", "sweep", "zip")
_NOT_SWEPT = ("out", "overwrite", "resume", "quiet", "json")  # the sweep says these itself, for all its runs


class Axis(NamedTuple):
    """One dim of a sweep: a field and its values, or several fields that go together."""

    fields: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]  # of each field

    def points(self) -> Iterator[dict[str, Any]]:
        """Field → value, at each place."""
        for row in zip(*self.values, strict=True):
            yield dict(zip(self.fields, row, strict=True))


class Grid(NamedTuple):
    """Runs of one command: all combinations of the places on all axes."""

    command: str
    settings: dict[str, Any]
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Places on each axis."""
        return tuple(len(axis.values[0]) for axis in self.axes)

    def points(self) -> Iterator[dict[str, Any]]:
        """What is swept, of each run; the last axis runs fastest."""
        for places in itertools.product(*(axis.points() for axis in self.axes)):
            yield {field: value for place in places for field, value in place.items()}


def read(path: Path) -> Grid:
    """Read a sweep file.

    Raises
    ------
    InputError
        If it cannot be read, or says what no sweep can be; names the file.
    """
    try:
        return grid(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {quoted(error)}.") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def grid(table: Mapping[str, Any]) -> Grid:
    """The grid that the content of a sweep file describes.

    Raises
    ------
    InputError
        If it describes none.

    Examples
    --------
    >>> asked = grid({"command": "simulate", "sweep": {"exponent": [1.3, 1.5], "seed": "0:3"}})
    >>> asked.shape
    (2, 3)
    >>> next(asked.points())
    {'exponent': 1.3, 'seed': 0}
    """
    for key in table:
        if key not in _SECTIONS:
            close = difflib.get_close_matches(key, _SECTIONS, n=1, cutoff=0.75)
            hint = (
                f"Did you mean {close[0]}?"
                if close
                else f"Expected {', '.join(_SECTIONS)}; fields go under [set] or [sweep]."
            )
            raise InputError(f"{key} is unknown. {hint}")
    command = table.get("command")
    if command not in COMMANDS:
        close = difflib.get_close_matches(str(command), COMMANDS, n=1)
        what = "there is no command" if command is None else f"command is {command!r}"
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{what}; expected one of {', '.join(COMMANDS)}.{hint}")
    settings = _fields("set", table.get("set", {}))
    zipped = table.get("zip", [])
    together = [_fields("zip", fields) for fields in (zipped if isinstance(zipped, list) else [zipped])]
    axes = [
        *(_axis("sweep", {field: values}) for field, values in _fields("sweep", table.get("sweep", {})).items()),
        *(_axis("zip", fields) for fields in together),
    ]
    swept = [field for axis in axes for field in axis.fields]
    if not swept:
        raise InputError("nothing is swept; expected lists of values under [sweep], such as seed = [0, 1, 2].")
    for field in swept:
        if swept.count(field) > 1:
            raise InputError(f"{field} is swept twice; expected it in one place.")
    number = math.prod(len(axis.values[0]) for axis in axes)
    if number > MOST_RUNS:
        raise InputError(f"these are {number} runs, more than {MOST_RUNS}; take several files.")
    return Grid(command, {k: v for k, v in settings.items() if k not in swept}, tuple(axes))


def _fields(section: str, fields: Any) -> dict[str, Any]:
    """A table of the file, its names as fields have them."""
    if not isinstance(fields, dict):
        raise InputError(f"{section} is {fields!r}; expected a table [{section}].")
    named = {name.replace("-", "_"): value for name, value in fields.items()}
    for name in named:
        if name in _NOT_SWEPT:
            raise InputError(f"{name} under [{section}] is for the sweep itself to say; leave it out.")
    return named


def _axis(section: str, fields: Mapping[str, Any]) -> Axis:
    """An axis, with values that differ, as many of each field."""
    values = tuple(_values(section, name, given) for name, given in fields.items())
    if not values:
        raise InputError(f"[[{section}]] has no fields; expected lists of values that go together.")
    if len({*map(len, values)}) > 1:
        lengths = ", ".join(f"{name} has {len(given)}" for name, given in zip(fields, values, strict=True))
        raise InputError(f"fields of one [[{section}]] go together, but {lengths} values; expected as many of each.")
    places = [json.dumps(place, default=str) for place in zip(*values, strict=True)]
    for place in places:
        if places.count(place) > 1:
            raise InputError(f"{', '.join(fields)} has the value {place[1:-1]} twice; a run is made once.")
    return Axis(tuple(fields), values)


def _values(section: str, name: str, given: Any) -> tuple[Any, ...]:
    """The values of a field; whole numbers may be a range, "0:8" for 0 to 7."""
    if isinstance(given, str) and (span := re.fullmatch(r"(\d+):(\d+)", given)):
        first, end = map(int, span.groups())
        if end - first > MOST_RUNS:
            raise InputError(f"{name} has {end - first} values, more than {MOST_RUNS} runs; take several files.")
        given = list(range(first, end))
    if not isinstance(given, list):
        raise InputError(f"{name} under [{section}] is {given!r}; expected a list of values, or put it under [set].")
    if not given:
        raise InputError(f"{name} under [{section}] has no values; expected at least one.")
    if any(isinstance(value, dict) for value in given):
        raise InputError(f"{name} under [{section}] has a table among its values; expected plain values.")
    return tuple(given)
