"""Sweeps on a Dask cluster: the same results as one after the other, whatever happens to workers and schedulers."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from quanta import _sweep_cluster, record, sweep, transitions, worlds

LocalCluster = pytest.importorskip("distributed").LocalCluster

GRID = """
command = "simulate"
[set]
n_subtasks = 8
steps = 300
n_checkpoints = 20
detect = false
[sweep]
learner = ["multilinear", "exponential"]
exponent = [1.3, 1.5]
"""
NETWORKS = """
command = "simulate"
[set]
learner = "parity_network"
n_subtasks = 10
n_bits = 20
batch_size = 2000
n_checkpoints = 20
detect = false
steps = %d
[sweep]
width = [16, 20]
seed = [0, 1]
"""


@pytest.fixture(scope="module")
def client():
    """Two worker processes, reached over tcp."""
    with sweep.cluster("local:2") as client:
        yield client


@pytest.fixture
def address(client):
    client.wait_for_workers(2, timeout=60)  # where a test has killed one
    return client.scheduler_info()["address"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def swept(text, *flags):
    """The exit status of a sweep."""
    Path("sweep.toml").write_text(text, encoding="utf-8")
    return sweep.main(["sweep.toml", "--quiet", "--json", *flags])


def results(folder):
    """The dataset of the one sweep there, without when it was made."""
    (found,) = Path(folder).glob("sweep-*")
    ds = sweep.load(found)
    del ds.attrs["created"]
    return ds


def test_a_cluster_gives_the_very_result_of_one_run_after_the_other(address, capsys):
    assert swept(GRID, "--scheduler", address, "--runs", "runs") == 0
    assert json.loads(capsys.readouterr().out)["made"] == 4
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as another:
        assert swept(GRID, "--scheduler", another.scheduler_address) == 0  # nothing is left to be done
    assert json.loads(capsys.readouterr().out)["made"] == 0
    on_cluster = results("runs")
    os.rename("runs", "on_cluster")
    assert swept(GRID) == 0
    xr.testing.assert_identical(on_cluster, results("runs"))


def test_a_worker_that_is_killed_loses_no_run_and_its_run_is_begun_once_more(client, address, capsys):
    killed = []

    def kill():
        begun = Path("runs")
        while len([*begun.glob("sweep-*/attempts/*.1")]) < 2:
            time.sleep(0.02)
        busy = next(worker for worker, tasks in client.processing().items() if tasks)
        killed.append(client.run(os.getpid, workers=[busy])[busy])
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert swept(NETWORKS % 150, "--scheduler", address) == 0
    killer.join()
    found = json.loads(capsys.readouterr().out)
    assert killed
    assert (found["done"], found["made"], found["failed"], found["retried"]) == (4, 4, 0, 1)
    on_cluster = results("runs")
    os.rename("runs", "on_cluster")
    assert swept(NETWORKS % 150) == 0
    xr.testing.assert_identical(on_cluster, results("runs"))


def test_where_the_scheduler_is_lost_what_is_done_is_kept_and_the_rest_is_left(address, monkeypatch, capsys):
    original = _sweep_cluster.execute_all

    def lost(client, tasks):
        yield next(original(client, dict([*tasks.items()][:1])))
        raise _sweep_cluster.Lost

    with monkeypatch.context() as patch:
        patch.setattr(_sweep_cluster, "execute_all", lost)
        assert swept(GRID, "--scheduler", address) == 1
    first = json.loads(capsys.readouterr().out)
    assert (first["done"], first["failed"], first["left"], first["why"]) == (1, 0, 3, "the scheduler was lost")
    assert swept(GRID, "--scheduler", address) == 0
    assert json.loads(capsys.readouterr().out)["made"] == 3


def test_a_run_that_fails_on_a_worker_is_reported_and_the_others_go_on(address, capsys):
    Path("scheduler.json").write_text(json.dumps({"address": address}), encoding="utf-8")
    text = GRID.replace("steps = 300\n", "").replace("exponent = [1.3, 1.5]", "steps = [0, 300]")
    assert swept(text, "--scheduler", "file:scheduler.json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["done"], found["failed"]) == (2, 2)
    assert {one["steps"] for one in found["errors"]} == {0}
    assert "steps is 0; expected" in found["errors"][0]["error"]


UNREACHABLE = {
    "nobody": ("tcp://127.0.0.1:1", "no Dask scheduler answers there"),
    "no address": ("localhost", "expected local, local:N, tcp://HOST:PORT"),
    "no workers": ("local:0", "expected local, local:N"),
    "no file": ("file:none.json", "none.json cannot be read: No such file"),
    "no certificates": ("tls://127.0.0.1:1", "TLS"),
}


@pytest.mark.parametrize(("scheduler", "said"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_scheduler_that_cannot_be_reached_is_said_in_a_line_within_five_seconds(scheduler, said, capsys, tmp_path):
    began = time.monotonic()
    assert swept(GRID, "--scheduler", scheduler) == 2
    assert time.monotonic() - began < 5
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


UNFIT = {
    "another version": ("__version__", "9.9.9", "has quanta 0.1.0; install quanta 9.9.9 there"),
    "no package": ("_VERSION", "__import__('quanta_of_old').__version__", "cannot import quanta (No module named"),
}


@pytest.mark.parametrize(("name", "value", "said"), UNFIT.values(), ids=UNFIT)
def test_workers_that_cannot_make_these_runs_are_named_before_any_is_begun(
    name, value, said, address, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(_sweep_cluster, name, value)
    assert swept(GRID, "--scheduler", address) == 2
    err = capsys.readouterr().err
    assert "the worker at tcp://127.0.0.1:" in err
    assert said in err
    assert not (tmp_path / "runs").exists()


def test_workers_that_do_not_see_the_directory_are_named(client, monkeypatch, capsys):
    monkeypatch.setattr(_sweep_cluster.os.path, "exists", os.path.islink)
    assert swept(GRID, "--scheduler", client.scheduler_info()["address"]) == 2
    assert "expected a directory that all machines share" in capsys.readouterr().err


def test_workers_of_several_threads_are_refused(capsys):
    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as broad:
        assert swept(GRID, "--scheduler", broad.scheduler_address) == 2
    assert "has 2 threads, and runs would share its process; start workers with --nthreads 1" in capsys.readouterr().err


def test_a_scheduler_without_workers_is_said(monkeypatch, capsys):
    monkeypatch.setattr(_sweep_cluster, "_WORKERS", 0.1)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty:
        assert swept(GRID, "--scheduler", empty.scheduler_address) == 2
    assert "has no workers; start some: dask worker tcp://127.0.0.1:" in capsys.readouterr().err


def test_without_dask_the_message_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert swept(GRID, "--scheduler", "local") == 2
    assert "pip install 'quanta[cluster]'" in capsys.readouterr().err


def test_a_record_in_chunks_is_analysed_on_the_cluster_as_in_memory(client, tmp_path):
    ds = worlds.make("mixed", n_subtasks=40)
    path = record.save(ds, tmp_path / "run.zarr")
    opened = xr.open_zarr(path, chunks={}, consolidated=False).chunk(subtask=10)
    client.wait_for_workers(2, timeout=60)
    loaded = "'quanta.transitions' in __import__('sys').modules"
    assert not any(client.run(eval, loaded).values())
    found = transitions.detect(opened, curves=False).compute()
    assert any(client.run(eval, loaded).values())
    whole = transitions.detect(ds, curves=False)
    assert (found["status"] == whole["status"]).mean() >= 0.95  # φ is pooled over a sample
    np.testing.assert_allclose(np.log(found["half_time"] / whole["half_time"]), 0, atol=0.05)
