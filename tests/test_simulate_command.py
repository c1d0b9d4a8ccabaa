"""The command at its edges: interrupted where a run has ended, and what it says of runs that went wrong."""

import itertools
import json
import re

import numpy as np
import pytest
import xarray as xr
from test_simulate_resume import FLAGS

from quanta import _simulate_run, composition, record, simulate

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
    "making the record": (record, "new", 1, []),
    "writing": (record, "save", 1, []),
    "combining": (record, "combine", 1, SEVERAL),
    "writing several": (record, "save", 1, SEVERAL),
    "analysing": (composition, "test", 1, ["--detect"]),
    "writing an analysis": (record, "save", 3, ["--detect"]),
}


@pytest.mark.parametrize(("module", "name", "n", "more"), PLACES.values(), ids=PLACES)
def test_a_run_that_is_interrupted_while_its_record_is_written_is_not_lost(module, name, n, more, monkeypatch, capfd):
    monkeypatch.setattr(_simulate_run, "_LONG", 0.0)
    flags = [*FLAGS, *more]
    with monkeypatch.context() as patch:
        interrupted_in(patch, module, name, n)
        assert simulate.main(flags) == 130
    assert "The same command with --resume" in capfd.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("quanta.learners.ParityNetwork.advance", None)  # no step is made again
        assert simulate.main([*flags, "--resume"]) == 0
    assert simulate.main([*flags, "--no-detect", "--out", "whole"]) == 0
    xr.testing.assert_identical(record.load("run").drop_attrs(), record.load("whole").drop_attrs())


# ------------------------------------------------------------------------------------------------ runs that went wrong


def summary_of(capsys, flags):
    assert simulate.main([*flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("why", [["--rate", "50"], ["--n-examples", "60"]], ids=["diverges", "overfits"])
def test_a_run_that_ends_worse_than_it_began_says_so_and_where_it_was_best(why, capsys):
    flags = [*FLAGS, "--steps", "1000", *why]
    summary = summary_of(capsys, flags)
    mean = record.mean_loss(record.load("run"))
    best = int(mean.values.argmin())
    assert mean[-1] > mean[0]
    assert summary["lowest_step"] == mean["step"][best]
    assert summary["lowest_mean_loss"] == pytest.approx(float(mean[best]))
    said = f"the mean loss ends above where it began; lowest at step {int(mean['step'][best])}: {float(mean[best]):.4g}"
    assert summary["warning"] == said
    assert simulate.main(flags) == 0
    assert f"warning: {said}\n" in capsys.readouterr().out


def test_of_several_seeds_it_is_said_how_many_end_worse_than_they_began(capsys):
    summary = summary_of(capsys, [*FLAGS, "--rate", "50", "--steps", "200", *SEVERAL])
    mean = record.mean_loss(record.load("run")).values
    assert np.all(mean[:, -1] > mean[:, 0])
    assert re.match(
        r"the mean loss of 3 of 3 seeds ends above where it began; lowest, seed by seed, at step \d", summary["warning"]
    )
    assert summary["lowest_step"] == record.load("run")["step"].values[mean.argmin(axis=1)].tolist()


def test_a_run_that_learns_or_does_not_is_not_warned_of(capsys):
    assert "warning" not in summary_of(capsys, ["--n-subtasks", "20", "--no-detect", "--quiet", "--out", "learns"])
    assert "warning" not in summary_of(capsys, [*FLAGS, "--rate", "1e-9"])
