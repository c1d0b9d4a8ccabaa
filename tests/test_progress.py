"""Progress on stderr: how long the rest will take is said once that can be told, and not before."""

import io
import logging
import re

import pytest

from quanta import _progress
from quanta._progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, unless it is set."""
    now = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def lines(caplog, clock, moments, **more):
    """What is said of a run of 1000 steps at moments (seconds, steps done)."""
    caplog.set_level(logging.INFO)
    with Progress("quanta.toy", 1000, **more, shown=True) as bar:
        for clock[0], done in moments:
            bar.update(done, lambda: "a note")
    return [record.message for record in caplog.records]


def test_the_time_left_is_that_at_the_pace_after_the_first_steps(caplog, clock):
    """The first step takes 40 s, while kernels are compiled, and each after it a tenth of a second."""
    said = lines(caplog, clock, [(5, 0), (11, 0), (40, 1), (41, 11), (52, 121), (90, 501)])
    assert said == [
        "step 0 of 1000, a note",
        "step 1 of 1000, a note",
        "step 121 of 1000, a note, about 88 s left",
        "step 501 of 1000, a note, about 50 s left",
    ]


def test_a_run_that_is_gone_on_with_is_judged_by_what_is_done_since(caplog, clock):
    said = lines(caplog, clock, [(1, 500), (20, 510), (40, 610)], done=500)
    assert said == ["step 510 of 1000, a note", "step 610 of 1000, a note, about 78 s left"]


def test_on_a_terminal_the_first_steps_foretell_nothing_either(monkeypatch, clock):
    monkeypatch.setattr("sys.stderr", Terminal())
    with Progress("quanta.toy", 1000, shown=True) as bar:
        bar.bar.start_t -= 60  # a minute of compiling
        bar.bar.last_print_t -= 60
        bar.update(1, lambda: "a note")
        assert re.search(r" 1/1000 \[01:00<\?", str(bar.bar))
        bar.bar.last_print_t -= 1
        bar.update(101, lambda: "a note")
        left = re.search(r"101/1000 \[01:00<00:0(\d)", str(bar.bar))
        assert 7 <= int(left[1]) <= 9
