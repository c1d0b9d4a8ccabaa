"""Progress of a long run on stderr: a bar on a terminal, a line now and then elsewhere."""

import logging
import time
from collections.abc import Callable

from tqdm import tqdm

_EVERY = 10.0  # seconds between lines where there is no terminal
_TRUSTED = 5.0  # seconds of steady progress before it is said how long the rest will take


class Progress:
    """Steps (or other units) done of all, with a note beside them; shows nothing unless ``shown``."""

    def __init__(self, name: str, total: int, done: int = 0, *, unit: str = "step", shown: bool) -> None:
        self.shown, self.unit = shown, unit
        self.log = logging.getLogger(name)
        self.bar = tqdm(total=total, initial=done, unit=unit, disable=None if shown else True, dynamic_ncols=True)
        self.total, self.first, self.done = total, done, done
        self.began: float | None = None
        self.told = time.monotonic()

    def update(self, done: int, note: Callable[[], str]) -> None:
        """Say that ``done`` steps are done; ``note`` is asked only when something is to be shown."""
        now = time.monotonic()
        if self.began is None and done > self.first:  # the first steps, while kernels are compiled, foretell nothing
            self.began, self.first = now, done
            self.bar.initial = self.bar.n = self.bar.last_print_n = self.done = done
        if not self.bar.disable:
            self.bar.set_postfix_str(note(), refresh=False)
            self.bar.update(done - self.done)
        elif self.shown and now - self.told >= _EVERY:
            self.log.info("%s %d of %d, %s%s", self.unit, done, self.total, note(), self._left(done, now))
            self.told = now
        self.done = done

    def _left(self, done: int, now: float) -> str:
        """How long the rest will take, in words; "" while nobody can tell."""
        if self.began is None or now - self.began < _TRUSTED or done <= self.first:
            return ""
        return f", about {(now - self.began) * (self.total - done) / (done - self.first):.0f} s left"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
