"""A part as text, ``threshold(hits=3)``: how a part is named within another part, on a command line and in a file.

Values are plain, and read without evaluating anything.
"""

import ast
import dataclasses
import difflib
import hashlib
import typing
from collections.abc import Collection, Mapping
from typing import Any

from quanta._errors import InputError, quoted

_LONGEST = 10_000  # characters


def brief(text: str) -> str:
    """A text as it is kept as provenance: of one that is very long, such as a million counts, its beginning and its digest."""
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:80]}… ({len(text)} characters, sha256 {digest})"


def read(text: str, members: Mapping[str, type], base: type) -> Any:
    """The part that a text names: a member of a family, with its fields in brackets; those left out have their defaults.

    Parameters
    ----------
    text : str
        Such as "threshold(hits=3)", or "threshold".
    members : mapping
        The family: name → class.
    base : type
        What the part must be.

    Raises
    ------
    InputError
        If there is no such member, or it cannot be had so; names what was expected.

    Examples
    --------
    >>> from quanta.learners import LEARNERS, AbstractIndependent
    >>> read("threshold(hits=3)", LEARNERS, AbstractIndependent)
    Threshold(hits=3)
    """
    name = text.partition("(")[0].strip()
    possible = [member for member, cls in members.items() if issubclass(cls, base)]
    if name not in possible:
        close = difflib.get_close_matches(name.lower(), [] if name in members else possible, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        fault = "is not possible here" if name in members else "is unknown"
        raise InputError(f"{name!r} {fault}; expected one of {', '.join(possible)}.{hint}")
    try:
        return members[name](**fields(members[name], text if "(" in text else f"{name}()"))
    except (TypeError, ValueError) as error:
        raise InputError(f"{text!r} cannot be made: {quoted(error)}.") from None


def write(part: Any, members: Mapping[str, type]) -> str:
    """The text from which :func:`read` makes the part; its repr, if it is of no member of the family."""
    name = next((name for name, cls in members.items() if cls is type(part)), type(part).__name__)
    values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part) if f.init}
    said = (f"{field}={value if hasattr(value, 'from_text') else repr(value)}" for field, value in values.items())
    return f"{name}({', '.join(said)})"


def fields(cls: type, text: str, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The fields in a text such as "copying(string=8)", by name: plain values, nothing is evaluated.

    Parameters
    ----------
    cls : type
        Whose fields they are.
    text : str
        A name, and the fields in brackets.
    without : collection of str
        Fields that are not for the text to say.

    Raises
    ------
    InputError
        If they cannot be read, or the class has no such field; a clause, for a sentence about the part.
    """
    hints = typing.get_type_hints(cls)
    possible = [f for f in dataclasses.fields(cls) if f.init and f.name not in without]
    known = [f.name for f in possible]
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(word.arg is None for word in call.keywords):
            raise ValueError
        nodes = {str(word.arg): word.value for word in call.keywords}
        if unknown := [name for name in nodes if name not in known]:
            close = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {close[0]}?" if close and len(known) > 5 else ""
            raise InputError(f"it has no field {unknown[0]}; expected {', '.join(known)}{hint}")
        return {name: _value(node, name, hints[name]) for name, node in nodes.items()}
    except InputError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        plain = (f for f in possible if f.default is not dataclasses.MISSING)
        such = next((f", such as {f.name}={f.default}" for f in plain), "")
        raise InputError(f"its fields cannot be read; expected plain values by name{such}") from None


def _value(node: ast.expr, name: str, hint: Any) -> Any:
    """A field's value: a part, a word, or a plain value, with whole numbers and others as the field has them."""
    if hasattr(hint, "from_text"):
        return hint.from_text(ast.unparse(node))
    if isinstance(node, ast.Name) and hint not in (int, float):
        return node.id
    value = node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
    if hint not in (int, float):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} is {value!r}; expected a number")
    if hint is float:
        return float(value)
    return int(value) if float(value).is_integer() else value
