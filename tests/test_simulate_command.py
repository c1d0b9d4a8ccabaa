"""The command at its edges: interrupted where a run has ended, and what it says of runs that went wrong."""

import itertools
import json
import re

import numpy as np
import pytest
import xarray as xr
from test_simulate_resume import FLAGS

from quanta import composition, record, simulate

SEVERAL = ["--seeds", "0:3"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------------------------ interrupted at its end


def interrupted_in(patch, module, name, n=1):
    """Let the user interrupt at the n-th call of a function."""
    original, count = getattr(module, name), itertools.count(1)

    def interrupted(*args, **more):
        if next(count) == n:
            raise KeyboardInterrupt
        return original(*args, **more)

    patch.setattr(module, name, interrupted)


PLACES = {
    "making the record": (record, "new", 1),
    "combining": (record, "combine", 1),
    "writing": (record, "save", 1),
    "analysing": (composition, "test", 1),
    "writing an analysis": (record, "save", 3),
}
CASES = [
    pytest.param(*where, more, id=f"{place}{' of several' if more else ''}")
    for place, where in PLACES.items()
    for more in ([], SEVERAL)
    if place != ("making the record" if more else "combining")  # several make theirs on threads, which nobody interrupts
]


@pytest.mark.parametrize(("module", "name", "n", "more"), CASES)
def test_a_run_that_is_interrupted_while_its_record_is_written_is_not_lost(module, name, n, more, monkeypatch, capfd):
    flags = [flag for flag in FLAGS if flag != "--no-detect"] + more
    with monkeypatch.context() as patch:
        interrupted_in(patch, module, name, n)
        assert simulate.main(flags) == 130
    assert "The same command with --resume" in capfd.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("quanta.learners.ParityNetwork.advance", None)  # no step is made again
        assert simulate.main([*flags, "--resume"]) == 0
    assert simulate.main([*flags, "--out", "whole"]) == 0
    xr.testing.assert_identical(record.load("run").drop_attrs(), record.load("whole").drop_attrs())
