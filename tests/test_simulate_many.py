"""Many simulations at once: each gives what it gives alone, what is done is never lost, and the report tells seeds apart."""

import itertools
import json
import re
import threading

import numpy as np
import pytest
import xarray as xr
from test_simulate import RUNS, SMALL, SMALL_NETWORK
from test_simulate_resume import FLAGS, HOW, ONE, Forgetting, same

from quanta import _simulate_many, _simulate_plan, _simulate_run, ensemble, record, simulate
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.learners import LEARNERS, Exponential, ParityNetwork, Threshold, _threads

SAMPLED = {name: learner for name, (learner, dynamics) in RUNS.items() if dynamics == "sampled"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A directory of its own, and two threads to share."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def interrupted_at(patch, n, method="measure"):
    """Let the user interrupt at the n-th call of a method of the parity network, on whatever thread."""
    original, count = getattr(ParityNetwork, method), itertools.count(1)

    def interrupted(self, *args):
        if next(count) == n:
            raise KeyboardInterrupt
        return original(self, *args)

    patch.setattr(ParityNetwork, method, interrupted)


# ------------------------------------------------------------------------------------------------ the function


@pytest.mark.parametrize("learner", SAMPLED.values(), ids=SAMPLED)
def test_each_of_many_is_what_it_is_alone(learner):
    how = HOW | {"dynamics": "sampled"}
    many = simulate.simulate_many([{"seed": seed} for seed in (5, 1)], **how | {"learner": learner}, frequencies=SMALL)
    for ds, seed in zip(many, (5, 1), strict=True):
        same(ds, simulate.simulate(SMALL, learner, **how | {"seed": seed}))


def test_widths_and_frequencies_and_learners_may_differ_and_records_come_in_order():
    runs = [
        {"frequencies": Zipf(n_subtasks=n, exponent=exponent), "learner": learner}
        for n, exponent in ((3, 1.2), (5, 1.6))
        for learner in (Threshold(), ParityNetwork(n_bits=12, k=2, width=20, n_test=64))
    ]
    many = simulate.simulate_many(runs, steps=50, dynamics="sampled")
    assert [ds.sizes["subtask"] for ds in many] == [3, 3, 5, 5]
    for ds, run in zip(many, runs, strict=True):
        same(ds, simulate.simulate(**run, steps=50, dynamics="sampled"))
    assert simulate.simulate_many([]) == []


@pytest.mark.parametrize(("granted", "n", "at_a_time", "each"), [(2, 5, 2, 1), (8, 3, 3, 2), (1, 3, 1, 1)])
def test_as_many_run_at_a_time_as_threads_are_granted_and_share_them(granted, n, at_a_time, each, monkeypatch):
    seen, running, most = [], 0, 0
    lock, together = threading.Lock(), threading.Barrier(at_a_time)

    def follow(self, tell, until=None):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            seen.append(_threads.granted())
        if len(seen) <= at_a_time:
            together.wait(10)  # so many are here at once, or this fails
        with lock:
            running -= 1

    monkeypatch.setattr(_simulate_run.Run, "follow", follow)
    plans = [_simulate_plan.plan(SMALL, Exponential(), seed=seed) for seed in range(n)]
    with _threads.grant(granted), pytest.raises(KeyError):  # nothing was made
        _simulate_many.execute(plans)
    assert (most, seen) == (at_a_time, [each] * n)
    assert _threads.granted() == 2  # outside


@pytest.mark.parametrize("said", ["", "many", "0", "2,1"])
def test_without_a_word_there_are_as_many_threads_as_processors(said, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr(_threads.os, "cpu_count", lambda: 5)
    assert _threads.granted() == 5


def diverging(monkeypatch, seed, step, n_subtasks=30):
    """Let the network of a seed diverge at a step."""
    measure, key = ParityNetwork.measure, key_of(seed, n_subtasks)

    def bursting(self, state):
        found = measure(self, state)
        return found | {"loss": found["loss"] * (np.nan if state.keys[0] == key and state.step >= step else 1)}

    monkeypatch.setattr(ParityNetwork, "measure", bursting)


def key_of(seed, n_subtasks=30):
    """What a small network of a seed can be told by."""
    return SMALL_NETWORK.start(
        Zipf(n_subtasks=n_subtasks, exponent=1.2).probabilities(), np.random.default_rng(seed)
    ).keys[0]


def test_where_one_fails_the_others_are_finished_and_all_is_kept(monkeypatch):
    how = HOW | {"learner": SMALL_NETWORK, "frequencies": SMALL}
    whole = simulate.simulate_many([{"seed": seed} for seed in range(3)], **how)
    diverging(monkeypatch, 1, 20)
    said = r"run 1, seed 1: the loss is not finite at step 2\d; expected it to stay finite\. Lower the rate, which is 0\.\d+\.$"
    with pytest.raises(simulate.Failed, match=said) as caught:
        simulate.simulate_many([{"seed": seed} for seed in range(3)], **how)
    assert caught.value.errors.keys() == {1}
    kept = caught.value.records
    same(kept[0], whole[0])
    same(kept[2], whole[2])
    assert kept[1]["step"][-1] < 20
    xr.testing.assert_equal(kept[1]["loss"], whole[1]["loss"].isel(step=slice(kept[1].sizes["step"])))


FINITE = ParityNetwork(n_bits=12, k=2, width=20, n_test=64, n_examples=10)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learner": FINITE, "batch_size": 50}, "n_examples is 10; expected at least a batch, 50"),
        (
            {"learner": FINITE.control("linearised"), "batch_size": 50},
            "n_examples is 10; expected at least a batch, 50",
        ),
        ({"dynamics": "expected"}, "dynamics is 'expected'; expected 'sampled' for ParityNetwork"),
        ({"frequencies": Zipf(n_subtasks=67)}, "67 subtasks need as many distinct sets of 2 of 12 bits"),
        ({"learner": ParityNetwork(k=24).control("tabular")}, "cells here; at most"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_a_bad_run_is_refused_before_any_is_begun(bad, said, monkeypatch):
    monkeypatch.setattr(_simulate_many, "Run", None)  # to begin one would be another error
    good = {"learner": SMALL_NETWORK, "frequencies": SMALL, "batch_size": 4}
    with pytest.raises(InputError, match=said):
        simulate.simulate_many([good, good | bad], steps=90)


def test_what_is_refused_of_all_alike_is_said_once():
    network = ParityNetwork(n_bits=100, k=6, atoms=5, n_composites=1, width=4)  # the sets drawn decide of the cells
    how = {"learner": network.control("tabular"), "frequencies": Zipf(n_subtasks=6), "steps": 9}
    with pytest.raises(InputError, match=r"^a table of 6 subtasks has .* cells here"):
        simulate.simulate_many([{"seed": i} for i in (0, 1)], **how, batch_size=50)


def test_a_fault_in_one_stops_the_others_and_is_not_hidden(tmp_path, monkeypatch):
    measure = ParityNetwork.measure

    def faulty(self, state):
        if state.step > 10 and state.keys[0] == key_of(1):
            raise ZeroDivisionError
        return measure(self, state)

    monkeypatch.setattr(ParityNetwork, "measure", faulty)
    with pytest.raises(ZeroDivisionError):
        simulate.simulate_many(
            [{"seed": seed} for seed in (0, 1)], **HOW | {"steps": 10**6}, learner=SMALL_NETWORK, frequencies=SMALL,
            checkpoints=tmp_path,
        )  # fmt: skip
    assert (tmp_path / "run-0.checkpoint").exists()


@pytest.mark.parametrize("n", [7, 65])
def test_many_go_on_from_where_they_were_interrupted_and_make_no_step_twice(n, tmp_path, monkeypatch):
    how = HOW | {"learner": SMALL_NETWORK, "frequencies": SMALL}
    runs = [{"seed": seed} for seed in range(3)]
    whole = simulate.simulate_many(runs, **how)
    with monkeypatch.context() as patch:
        interrupted_at(patch, n)
        with pytest.raises(KeyboardInterrupt) as caught:
            simulate.simulate_many(runs, **how, checkpoints=tmp_path)
    done = [ds is not None for ds in caught.value.records]
    assert (sum(done) > 0) == (n == 65)
    made, advance = [], ParityNetwork.advance
    monkeypatch.setattr(ParityNetwork, "advance", lambda self, s, t: made.append(t - s.step) or advance(self, s, t))
    for ds, other in zip(simulate.simulate_many(runs, **how, checkpoints=tmp_path, resume=True), whole, strict=True):
        same(ds, other)
    assert sum(made) < 3 * 90


def test_seeds_with_patience_go_on_until_all_have_stopped_and_are_their_own_runs(capsys, monkeypatch):
    monkeypatch.setitem(LEARNERS, "forgetting", Forgetting)
    how = {"steps": 10_000, "n_checkpoints": 200, "patience": 4}
    plans = [_simulate_plan.plan(ONE, Forgetting(late=late), **how) for late in (0, 300)]
    alone = [_simulate_run.execute(plan) for plan in plans]
    assert alone[0].sizes["step"] < alone[1].sizes["step"]
    early, late = _simulate_many.execute(plans, together=True)
    same(late, alone[1])
    xr.testing.assert_equal(early["loss"].isel(step=slice(alone[0].sizes["step"])), alone[0]["loss"])
    assert early.sizes == late.sizes


# ------------------------------------------------------------------------------------------------ the command

SEEDS = [*FLAGS[:-1], "many", "--seeds", "0:3"]


def test_the_command_makes_one_record_with_a_dim_seed_of_the_runs_alone(capsys):
    assert simulate.main(SEEDS) == 0
    assert "(means of 3 seeds)" in capsys.readouterr().out
    ds = record.load("many")
    assert ds["loss"].dims == ("seed", "subtask", "step")
    assert ds["seed"].values.tolist() == [0, 1, 2] == json.loads(ds.attrs["config"])["seed"]
    network = ParityNetwork(n_bits=12, k=2, width=20, n_test=64, rate=0.01)
    how = {"steps": 60, "n_checkpoints": 25, "batch_size": 30}
    alone = [simulate.simulate(Zipf(n_subtasks=6), network, **how, seed=seed) for seed in range(3)]
    xr.testing.assert_identical(ds.drop_attrs(), record.combine(alone, "seed").drop_attrs())
    assert ds.attrs["design_id"] == alone[0].attrs["design_id"]
    assert sorted(path.name for path in record.locate("many").parent.iterdir()) == ["record.zarr", "run.json"]


def test_seeds_are_the_same_run_however_they_are_written(capsys):
    assert simulate.main(SEEDS) == 0
    assert simulate.main([*SEEDS[:-1], "0,1,2"]) == 0
    assert "this very run is finished already" in capsys.readouterr().out
    assert simulate.main([*SEEDS[:-1], "0:4"]) == 2


NO_SEEDS = {
    **dict.fromkeys(["8", "", "-1:2", "a:b", "0:", "0:2:1", "1.5,2"], ""),
    **dict.fromkeys(["3:1", "3:3"], ", which is empty"),
    "1,1": ", with 1 twice",
}


@pytest.mark.parametrize(("text", "fault"), NO_SEEDS.items(), ids=NO_SEEDS)
def test_what_names_no_seeds_is_refused(text, fault, capfd, tmp_path):
    assert simulate.main([*FLAGS, f"--seeds={text}"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"--seeds is '{text}'{fault}; expected a range such as 0:8, for 0 to 7, or several such as 0,3,5." in line
    assert list(tmp_path.iterdir()) == []


def test_seed_and_seeds_are_too_much(capfd):
    assert simulate.main([*SEEDS, "--seed", "4"]) == 2
    assert "--seed is 4, and --seeds 0:3 names them all; drop one of them." in capfd.readouterr().err


def test_the_command_goes_on_with_seeds_that_were_interrupted(capfd, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        interrupted_at(patch, 60)
        assert simulate.main(SEEDS) == 130
    err = capfd.readouterr().err
    assert re.search(
        r"^The record of the \d of 3 seeds that ended is many/record.zarr. The same command with --resume", err
    )
    assert record.load("many")["step"][-1] == 60
    assert simulate.main(SEEDS) == 2
    assert "holds an unfinished run; add --resume" in capfd.readouterr().err
    assert simulate.main([*SEEDS, "--resume", "--k", "3"]) == 2
    said = capfd.readouterr().err  # of the first that is kept: the one that was interrupted may not be
    assert re.search(r"many/run-\d\.checkpoint is of a run with other settings: k was 2, is 3\. ", said)
    assert simulate.main([*SEEDS, "--resume"]) == 0
    assert simulate.main([*SEEDS, "--out", "whole"]) == 0
    xr.testing.assert_identical(record.load("many").drop_attrs(), record.load("whole").drop_attrs())
    assert not list(tmp_path.glob("*/*checkpoint*"))


def test_a_seed_that_diverges_is_named_and_the_record_of_the_others_is_kept(capfd, monkeypatch):
    diverging(monkeypatch, 1, 50, 6)
    assert simulate.main(SEEDS) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(
        r"run 1, seed 1: the loss is not finite at step \d+; .* The record of the 2 of 3 seeds that ended is", line
    )
    assert record.load("many")["seed"].values.tolist() == [0, 2]


def test_the_report_has_the_verdict_of_each_seed_and_whether_they_agree(capsys, tmp_path):
    flags = ["--n-subtasks", "16", "--learner", "threshold", "--dynamics", "sampled", "--n-checkpoints", "80"]
    flags += ["--seeds", "0:2", "--out", "run"]
    assert simulate.main([*flags, "--quiet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["verdict_by_seed"] == dict.fromkeys("01", "ordered-composition")
    assert summary["n_true"] == 32
    assert summary["learned"] == 16
    over = ensemble.seeds(record.load("run"))
    assert summary["seeds"]["word"] == over.attrs["word"] == "subtask"
    xr.testing.assert_allclose(record.load("run", group="seeds")["onset"], over["onset"])
    with open(summary["seeds_figure"], "rb") as figure:
        assert figure.read(4) == b"\x89PNG"
    assert simulate.main([*flags, "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "each seed by itself: ordered-composition (2 of 2)" in text
    assert f"seeds: {over.attrs['sentence']}." in text
