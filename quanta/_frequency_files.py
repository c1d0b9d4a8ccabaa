"""Numbers from the files that say how often subtasks occur; each fault names the line."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quanta._errors import InputError


def lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file that are not blank, stripped."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    return [line for line in map(str.strip, text.splitlines()) if line.strip(" ,")]


def numbers(found: Sequence[str]) -> np.ndarray:
    """One number on each line, finite and 0 or more; a million in under a second."""
    try:
        values = np.fromiter(map(float, found), dtype=np.float64, count=len(found))
        wrong = ~(np.isfinite(values) & (values >= 0))
    except ValueError:
        wrong = np.array([not _is_number(line) for line in found])
    if wrong.any():
        line = found[int(np.argmax(wrong))]
        raise InputError(f"the line {line[:80]!r} is no count; expected one number to a line, 0 or more.")
    return values


def table(found: Sequence[str], *columns: str) -> tuple[str, list[tuple[int, float]]]:
    """CSV with a heading of ``subtask`` and one of the columns: which it is, and the pairs (subtask, value)."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(found)]
    heading = rows[0] if rows else []
    column = next((name for name in columns if sorted(heading) == sorted(["subtask", name])), None)
    if column is None:
        expected = " or ".join(f"subtask,{name}" for name in columns)
        raise InputError(f"the file begins with {','.join(heading)[:80]!r}; expected the heading {expected}.")
    subtask, value = heading.index("subtask"), heading.index(column)
    pairs = []
    for row in rows[1:]:
        try:
            pairs.append((int(row[subtask]), float(row[value])))
        except (IndexError, ValueError):
            line = ",".join(row)[:80]
            raise InputError(f"the line {line!r} is not the number of a subtask and its {column}.") from None
    return column, pairs


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
