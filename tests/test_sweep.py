"""Sweeps: the same runs as the command's own, none twice, none lost, and put together exactly."""

import contextlib
import csv
import errno
import itertools
import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from quanta import __version__, _simulate_into, _sweep_grid, _sweep_result, _sweep_run, record, simulate, sweep
from quanta._errors import InputError

SETTINGS = {"n_subtasks": 8, "steps": 300, "n_checkpoints": 20, "detect": False}
SET = "[set]\nn_subtasks = 8\nsteps = 300\nn_checkpoints = 20\ndetect = false\n"
GRID = 'command = "simulate"\n' + SET + '[sweep]\nlearner = ["multilinear", "exponential"]\nexponent = [1.3, 1.5]\n'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def swept(text, *flags):
    """The exit status of a sweep."""
    Path("sweep.toml").write_text(text, encoding="utf-8")
    return sweep.main(["sweep.toml", "--quiet", *flags])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A directory in which the sweep has been made."""
    place = tmp_path_factory.mktemp("whole")
    with contextlib.chdir(place), contextlib.redirect_stdout(None):
        assert swept(GRID) == 0
    return place


@pytest.fixture
def made_before(whole, tmp_path):
    """That it has been made here."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)


def summary(capsys):
    return json.loads(capsys.readouterr().out)


def folder(tmp_path):
    (found,) = tmp_path.glob("runs/sweep-*")
    return found


def rows(tmp_path):
    """The list of runs, as CSV and as JSON have it."""
    with open(folder(tmp_path) / "runs.csv", encoding="utf-8") as file:
        return [*csv.DictReader(file)], json.loads((folder(tmp_path) / "runs.json").read_text())


def count_runs(monkeypatch):
    """Of runs that are made in this process from now on."""
    made = []
    original = _simulate_into.simulate_into

    def counted(out, job):
        made.append(out.path.name)
        original(out, job)

    monkeypatch.setattr(_simulate_into, "simulate_into", counted)
    return made


# ------------------------------------------------------------------------------------------------ the grid

VALUES = st.lists(st.integers(0, 50) | st.floats(0.5, 2, width=16) | st.sampled_from("abc"), min_size=1, max_size=4)
FIELDS = st.dictionaries(
    st.sampled_from(["exponent", "learner", "steps", "seed"]),
    VALUES.map(lambda values: list({json.dumps(value): value for value in values}.values())),
    min_size=1,
)


@given(FIELDS)
def test_a_grid_has_every_combination_once(fields):
    grid = _sweep_grid.grid({"command": "simulate", "sweep": fields})
    points = [tuple(point.items()) for point in grid.points()]
    assert grid.shape == tuple(map(len, fields.values()))
    assert len(points) == math.prod(grid.shape)
    assert len({json.dumps(point) for point in points}) == len(points)
    assert points == [tuple(zip(fields, row, strict=True)) for row in itertools.product(*fields.values())]


def test_fields_of_one_zip_go_together():
    table = {"sweep": {"seed": "0:2"}, "zip": [{"steps": [10, 20, 30], "batch-size": [1, 2, 3]}]}
    points = [*_sweep_grid.grid({"command": "simulate", **table}).points()]
    assert len(points) == 6
    assert {(point["steps"], point["batch_size"]) for point in points} == {(10, 1), (20, 2), (30, 3)}


REFUSED = {
    "no command": ("[sweep]\nseed = [0]", "there is no command; expected one of simulate, train"),
    "another command": ('command = "simulat"\n[sweep]\nseed = [0]', "'simulat'.*Did you mean 'simulate'"),
    "a misspelt section": ('command = "train"\n[sweeps]\nseed = [0]', "sweeps is unknown. Did you mean sweep"),
    "a field outside": ('command = "train"\nsteps = 3\n[sweep]\nseed = [0]', "steps is unknown.*under .set."),
    "nothing": ('command = "simulate"', "nothing is swept"),
    "an empty list": ('command = "simulate"\n[sweep]\nseed = []', "seed under .sweep. has no values"),
    "no list": ('command = "simulate"\n[sweep]\nexponent = 1.3', "exponent under .sweep. is 1.3; expected a list"),
    "a value twice": ('command = "simulate"\n[sweep]\nseed = [0, 1, 0]', "seed has the value 0 twice"),
    "a field twice": ('command = "simulate"\n[sweep]\nseed = [0]\n[[zip]]\nseed = [1]', "seed is swept twice"),
    "uneven": ('command = "simulate"\n[[zip]]\nseed = [1]\nsteps = [1, 2]', "seed has 1, steps has 2 values"),
    "its own flag": ('command = "simulate"\n[sweep]\nout = ["a", "b"]', "out under .sweep. is for the sweep"),
    "too many": (
        'command = "simulate"\n[sweep]\nseed = "0:200"\nsteps = "1:101"',
        "these are 20000 runs, more than 10000",
    ),
    "too many seeds": ('command = "simulate"\n[sweep]\nseed = "0:999999"', "seed has 999999 values"),
    "an unknown field": (
        'command = "simulate"\n[sweep]\nexponnet = [1.3]',
        "unknown flag --exponnet. Did you mean --exponent",
    ),
    "an unknown setting": (
        'command = "simulate"\n[set]\nstep = 3\n[sweep]\nseed = [0]',
        "--step. Did you mean --steps",
    ),
    "another's field": (
        'command = "simulate"\n[sweep]\nlearner = ["threshold", "exponential"]\nhits = [1]',
        "learner = exponential, hits = 1: --hits belongs to --learner .*threshold",
    ),
    "a bad value": (
        'command = "simulate"\n[sweep]\nexponent = [1.3, -1.0]',
        "the run of exponent = -1.0: exponent is -1",
    ),
    "a bad plan": ('command = "simulate"\n[sweep]\nsteps = [0]\n', "the run of steps = 0: steps is 0"),
    "no TOML": ("command = ", "is not TOML"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_no_sweep_can_be_is_refused_in_a_line_before_anything_is_made(text, said, capsys, tmp_path):
    assert swept(text) == 2
    err = capsys.readouterr().err
    assert err.startswith("quanta.sweep: error: sweep.toml")
    assert re.search(said, err), err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there_is_said(capsys):
    assert sweep.main(["no.toml"]) == 2
    assert "no.toml cannot be read: No such file" in capsys.readouterr().err


def test_a_dry_run_lists_the_runs_and_makes_none(capsys, tmp_path):
    assert swept(GRID, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].split() == ["learner", "exponent", "state", "directory"]
    assert lines[-1] == "4 runs, 4 to be made"
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------------------------ its runs


@pytest.mark.usefixtures("made_before")
def test_a_sweep_makes_the_very_runs_that_the_command_makes(tmp_path, capsys):
    flags = ["--n-subtasks", "8", "--steps", "300", "--n-checkpoints", "20", "--no-detect", "--quiet"]
    for learner, exponent in (("multilinear", "1.3"), ("exponential", "1.5")):
        own = [*flags, "--learner", learner, "--exponent", exponent]
        assert simulate.main(own) == 0  # the sweep's, found
        assert "finished already" in capsys.readouterr().out
        assert simulate.main([*own, "--out", "alone", "--overwrite"]) == 0
        ds = sweep.load(folder(tmp_path)).sel(learner=learner, exponent=float(exponent), drop=True)
        xr.testing.assert_equal(ds, record.load("alone"))
        record.validate(ds)


def test_finished_runs_are_not_made_again_by_the_same_sweep_or_a_larger_one(monkeypatch, capsys):
    made = count_runs(monkeypatch)
    assert swept(GRID, "--json") == 0
    assert len({*made}) == len(made) == 4
    first = summary(capsys)
    assert swept(GRID, "--json") == 0
    again = summary(capsys)
    assert swept(GRID.replace("1.5]", "1.5, 1.8]"), "--json") == 0
    larger = summary(capsys)
    assert [each["made"] for each in (first, again, larger)] == [4, 0, 2]
    assert [each["done"] for each in (first, again, larger)] == [4, 4, 6]
    assert len({*made}) == len(made) == 6


@pytest.mark.usefixtures("made_before")
def test_a_run_that_was_deleted_is_made_again(tmp_path, capsys, monkeypatch):
    gone = sorted(tmp_path.glob("runs/simulate-*"))[0]
    shutil.rmtree(gone)
    made = count_runs(monkeypatch)
    assert swept(GRID, "--json") == 0
    assert made == [gone.name]
    assert summary(capsys)["status"] == "done"


def failing(monkeypatch, error, nth=2):
    """Let the n-th run fail where it saves its record."""
    original, calls = record.save, itertools.count(1)

    def save(ds, path, *more, **how):
        if "simulate-" in str(path) and next(calls) == nth:
            raise error
        return original(ds, path, *more, **how)

    monkeypatch.setattr(record, "save", save)


FAULTS = {
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device", "record.zarr"),
        "No space left on device; free some space",
    ),
    "no memory": (MemoryError("3 GiB"), "out of memory: 3 GiB"),
    "a fault of ours": (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize(("error", "said"), FAULTS.values(), ids=FAULTS)
def test_a_run_that_fails_is_reported_and_the_others_go_on(error, said, monkeypatch, tmp_path, capsys):
    with monkeypatch.context() as patch:
        failing(patch, error)
        assert swept(GRID, "--json") == 1
    found = summary(capsys)
    assert (found["status"], found["done"], found["failed"], found["left"]) == ("unfinished", 3, 1, 0)
    (one,) = found["errors"]
    assert one.items() >= {"learner": "multilinear", "exponent": 1.5}.items()
    assert said in one["error"]
    assert found["record"] is None
    listed, detailed = rows(tmp_path)
    assert [row["status"] for row in listed] == ["done", "failed", "done", "done"]
    assert ("trace" in detailed[1]) == isinstance(error, ZeroDivisionError)
    made = count_runs(monkeypatch)
    assert swept(GRID) == 0
    assert len(made) == 1
    assert "4 runs: 4 done, of which 1 now" in capsys.readouterr().out


@pytest.mark.usefixtures("made_before")
def test_a_disk_that_fills_while_results_are_written_is_said_and_the_runs_are_kept(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "record.zarr")

    shutil.rmtree(folder(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(_sweep_result, "save", full)
        assert swept(GRID) == 1
    assert "no record of all: record.zarr: No space left on device" in capsys.readouterr().out
    made = count_runs(monkeypatch)
    assert swept(GRID) == 0
    assert not made


def test_an_interrupted_sweep_goes_on_where_it_was(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        failing(patch, KeyboardInterrupt(), nth=3)
        assert swept(GRID) == 130
    assert "2 of 4 runs have ended; the same command goes on" in capsys.readouterr().err
    made = count_runs(monkeypatch)
    assert swept(GRID) == 0
    assert len(made) == 2


def test_a_run_that_another_process_writes_is_left_to_it(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    assert swept(GRID, "--dry-run") == 0
    place = tmp_path / capsys.readouterr().out.splitlines()[3].split()[-1]
    place.mkdir(parents=True)
    monkeypatch.setattr(_sweep_run, "_WAIT", 0.0)
    handle = os.open(place, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert swept(GRID, "--json") == 1
    os.close(handle)
    found = summary(capsys)
    assert (found["done"], found["failed"]) == (3, 1)
    assert "is being written by another process" in found["errors"][0]["error"]


def test_a_run_whose_worker_was_lost_twice_is_not_begun_again(tmp_path, capsys):
    from quanta._sweep_run import Run, execute, work

    settings = {**SETTINGS, "quiet": True}
    task = Run("simulate", settings, {}, work("simulate", settings).place).task(tmp_path)
    for attempt in (1, 2):
        (tmp_path / f"{work('simulate', settings).place.path.name}.{attempt}").touch()
    assert "its worker was lost 2 times" in execute(task).error
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("made_before")
@pytest.mark.parametrize("flag", [(), ("--dry-run",), ("--overwrite",)], ids=str)
def test_runs_of_another_version_are_not_taken_for_this_one_s(flag, tmp_path, monkeypatch, capsys):
    for mark in tmp_path.glob("runs/simulate-*/run.json"):
        mark.write_text(mark.read_text().replace(f'"{__version__}"', '"0.0.7"'))
    made = count_runs(monkeypatch)
    status = swept(GRID, *flag)
    said = capsys.readouterr()
    if not flag:
        assert status == 2
        assert "4 of these 4 runs were made by quanta 0.0.7, and this is" in said.err
    elif flag == ("--dry-run",):
        assert said.out.count("of quanta 0.0.7") == 4
    else:
        assert status == 0
        assert len(made) == 4


# ------------------------------------------------------------------------------------------------ what they become


def test_runs_that_share_their_frequencies_are_one_record(tmp_path):
    text = (
        'command = "simulate"\n'
        + SET
        + 'learner = "threshold"\ndynamics = "sampled"\n[sweep]\nhits = [1, 3]\nseed = [4, 0]\n'
    )
    assert swept(text) == 0
    ds = record.load(folder(tmp_path))
    assert ds["loss"].dims == ("hits", "seed", "subtask", "step")
    assert ds["frequency"].dims == ("subtask",)
    assert json.loads(ds.attrs["config"])["seed"] == [4, 0]
    assert json.loads(ds.attrs["config"])["steps"] == 300
    runs = {(row["hits"], row["seed"]): row["record"] for row in rows(tmp_path)[1]}
    nested = record.combine(
        [record.combine([record.load(runs[hits, seed]) for seed in (4, 0)], "seed") for hits in (1, 3)], "hits"
    )
    xr.testing.assert_equal(ds, nested.assign_coords(hits=[1, 3]))


def test_what_goes_together_is_one_dim_with_both_as_coordinates(tmp_path):
    text = 'command = "simulate"\n' + SET.replace("n_checkpoints = 20\n", "") + "learner = 'threshold'\n"
    text += "[[zip]]\nhits = [1, 3]\nbatch_size = [2, 4]\n"
    assert swept(text) == 0
    ds = sweep.load(folder(tmp_path))
    assert ds.coords["batch_size"].dims == ("hits",)
    assert ds["batch_size"].values.tolist() == [2, 4]
    assert json.loads(ds.attrs["sweep"]) == {"hits": ["hits", "batch_size"]}
    assert ds["examples"].dims == ("hits", "step")


RAGGED = {
    "steps": ("steps = [100, 300]", "run 0 ends at step 100, and run 1 at step 300"),
    "subtasks": ("n_subtasks = [8, 9]", "run 1 differs from run 0 in subtasks"),
    "checkpoints": ("n_checkpoints = [10, 40]", "runs 0 to 1 have only"),
}


@pytest.mark.parametrize(("axis", "said"), RAGGED.values(), ids=RAGGED)
def test_runs_that_do_not_fit_together_stay_a_list(axis, said, tmp_path, capsys):
    assert swept(f'command = "simulate"\n{SET}[sweep]\n{axis}\n') == 0
    assert f"no record of all: {said}" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"has no record of all its runs.*see runs\.csv"):
        sweep.load(folder(tmp_path))
    assert all(record.load(row["record"]) for row in rows(tmp_path)[0])
    assert swept(f'command = "simulate"\n{SET}[sweep]\n{axis}\n') == 0


@pytest.mark.usefixtures("made_before")
def test_more_than_fits_into_memory_stays_a_list(tmp_path, monkeypatch, capsys):
    shutil.rmtree(folder(tmp_path))
    monkeypatch.setattr(_sweep_result, "memory_available", lambda: 1000)
    assert swept(GRID) == 0
    assert "together they need about" in capsys.readouterr().out


def test_transformers_are_swept_too(tmp_path):
    pytest.importorskip("torch")
    text = """
command = "train"
[set]
n_subtasks = 4
steps = 30
n_checkpoints = 5
batch_size = 16
[sweep]
learning_rate = [0.1, 0.2]
replicate = [3]
"""
    assert swept(text) == 0
    ds = record.load(folder(tmp_path))
    assert ds["loss"].dims == ("set_learning_rate", "replicate", "subtask", "step")
    np.testing.assert_allclose(ds["learning_rate"].isel(step=-1), [0.1, 0.2])
    for row in rows(tmp_path)[1]:
        one = ds.sel(set_learning_rate=row["learning_rate"], replicate=row["replicate"], drop=True)
        xr.testing.assert_equal(one, record.load(row["record"]).sel(step=ds.step))
