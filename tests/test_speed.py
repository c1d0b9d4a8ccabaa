"""The benchmark of learners: that it measures what it says, on a small scale."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from quanta import simulate
from quanta._curves import Curves
from quanta.learners import Threshold

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    import learners

    yield learners
    sys.path.remove(str(BENCHMARKS))
    del sys.modules["learners"]


def test_kernels_are_timed_beside_numpy_and_their_floors(bench, capsys):
    bench.noisy(1000, 200_000)
    bench.drawing(1000, 20_000)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.search(r"ratio +[\d.]+ +over its floor +[\d.]+", line) for line in lines)


def test_the_cost_of_a_checkpoint_is_measured_at_every_gap(bench, capsys):
    bench.gaps(1000)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_million_are_measured_in_a_process_of_their_own(bench, capsys, monkeypatch):
    monkeypatch.setattr(bench, "LEARNERS", {"threshold": Threshold})
    bench.million(300, 20)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["threshold", "expected"], ["threshold", "sampled"]]
    assert all(0.05 < float(re.search(r"([\d.]+) GiB", line)[1]) < 3 for line in lines)


def test_curves_are_the_checkpoints_that_were_added():
    rows = np.random.default_rng(0).random((21, 5000)).astype(np.float32)
    curves = Curves(5000, 30)
    for i, row in enumerate(rows):
        curves.put(i, row)
        if i in (3, 8, 20):
            np.testing.assert_array_equal(curves.so_far(i + 1), rows[: i + 1].T)


def test_the_memory_that_is_foreseen_is_that_of_the_curves_and_of_the_work_on_them():
    expected, sampled = (simulate.memory_needed(Threshold(), 10**6, 200, how) for how in ("expected", "sampled"))
    assert sampled - expected == 10**6 * 200 * 4  # counts, as curves are
    assert 10**6 * 200 * 4 < expected < 1.2 * 2**30
    assert sampled < 3 * 2**30
