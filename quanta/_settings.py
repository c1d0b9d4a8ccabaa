"""In what two runs differ: their settings are texts, and of those that name a part its fields are told apart."""

import ast
from collections.abc import Mapping

_MOST = 4  # differences that are listed
_LONGEST = 60  # characters of a value


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What was otherwise, and how, in words; settings that only one of the two has are named where no other differs.

    Examples
    --------
    >>> differing({"law": "Zipf(n=3, s=1.5)", "seed": "0"}, {"law": "Zipf(n=4, s=1.5)", "seed": "0"})
    'n was 3, is 4'
    """
    both = [name for name in new if name in old and old[name] != new[name]]
    one = [name for name in {**new, **old} if (name in new) != (name in old)]
    words = [word for name in both or one for word in _words(name, old.get(name, "None"), new.get(name, "None"))]
    more = [f"and {len(words) - _MOST} more"] if len(words) > _MOST else []
    return "; ".join([*words[:_MOST], *more])


def _words(name: str, old: str, new: str) -> list[str]:
    """In what two values of a setting differ."""
    (kind, fields), (other, others) = _fields(old), _fields(new)
    if kind and kind == other and fields.keys() == others.keys():
        return [
            word
            for field in fields
            if fields[field] != others[field]
            for word in _words(field, fields[field], others[field])
        ]
    return [f"{name} was {_brief(old)}, is {_brief(new)}"]


def _fields(text: str) -> tuple[str, dict[str, str]]:
    """Kind and fields of a part such as "threshold(hits=3)"; of any other text, "" and none."""
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "", {}
    if not isinstance(call, ast.Call) or call.args:
        return "", {}
    return ast.unparse(call.func), {str(word.arg): ast.unparse(word.value) for word in call.keywords}


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
