"""How many threads a learner may use: they share its work, and change no result."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_GRANTED: ContextVar[int | None] = ContextVar("threads", default=None)


def of_linear_algebra() -> int:
    """Threads that linear algebra is given: OMP_NUM_THREADS, else as many as there are processors."""
    given = os.environ.get("OMP_NUM_THREADS", "").strip()
    return (int(given) if given.isdecimal() else 0) or os.cpu_count() or 1


def granted() -> int:
    """Threads for whoever asks: what :func:`grant` says here, else as many as linear algebra is given."""
    return _GRANTED.get() or of_linear_algebra()


@contextmanager
def grant(n: int) -> Iterator[None]:
    """So many threads for whatever is called within, on this thread: for one of several learners that run at once.

    Examples
    --------
    >>> with grant(3):
    ...     granted()
    3
    """
    token = _GRANTED.set(n)
    try:
        yield
    finally:
        _GRANTED.reset(token)
