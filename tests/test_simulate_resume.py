"""Resuming a simulation: whatever stopped it, it goes on to the very bits that it would have had; patience, and memory."""

import itertools
import json
import math
import re
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulate import MEMBERS, SMALL, SMALL_NETWORK, runs

from quanta import _simulate_checkpoint, _simulate_plan, _simulate_run, record, simulate
from quanta._errors import InputError
from quanta.frequencies import Uniform, Zipf
from quanta.learners import LEARNERS, AbstractIndependent, Exponential, Geometry, Multilinear, ParityNetwork, Threshold
from quanta.learners.parity_kernel import ParityKernel
from quanta.learners.parity_linearised import ParityLinearised
from quanta.learners.parity_table import ParityTable

HOW = {"steps": 90, "n_checkpoints": 25, "batch_size": 4, "seed": 3}
FLAGS = [
    "--learner", "parity_network", "--n-subtasks", "6", "--n-bits", "12", "--k", "2", "--width", "20", "--n-test", "64",
    "--rate", "0.01", "--batch-size", "30", "--steps", "60", "--n-checkpoints", "25", "--quiet", "--no-detect", "--out", "run",
]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def stopped(learner, path, n, method="measure", **how):
    """A run that the user has stopped at the n-th call of a method; returns what the exception had."""
    original, count = getattr(type(learner), method), itertools.count(1)

    def interrupted(self, *args, **more):
        if next(count) == n:
            raise KeyboardInterrupt
        return original(self, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(learner), method, interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            simulate.simulate(SMALL, learner, **HOW | how, checkpoint=path)
    return caught.value


def same(a, b):
    xr.testing.assert_identical(a.drop_attrs(), b.drop_attrs())
    assert a.attrs | {"created": ""} == b.attrs | {"created": ""}


# ------------------------------------------------------------------------------------------------ to the last bit


@runs
@settings(max_examples=2)
@given(n=st.integers(3, 22))
def test_a_run_goes_on_from_any_checkpoint_to_the_last_bit(tmp_path_factory, learner, dynamics, n):
    path = tmp_path_factory.mktemp("run") / "state"
    kept = stopped(learner, path, n, dynamics=dynamics).record
    whole = simulate.simulate(SMALL, learner, **HOW, dynamics=dynamics)
    assert kept.sizes["step"] == n - 1
    np.testing.assert_array_equal(kept["loss"], whole["loss"].isel(step=slice(n - 1)))
    same(simulate.simulate(SMALL, learner, **HOW, dynamics=dynamics, checkpoint=path, resume=True), whole)


STEPWISE = {
    **{name: learner for name, learner in MEMBERS.items() if learner.stepwise},
    "noisy": Multilinear(noise=0.5, rate=0.005, initial=0.05),
    "descent": Geometry(descent="sgd", rate=0.5),
    "signs": Geometry(n_dim=200, descent="signgd", rate=0.001),
    "network of sgd": ParityNetwork(n_bits=12, k=2, width=20, n_test=64, descent="sgd", rate=0.1),
    "decaying network": ParityNetwork(n_bits=12, k=2, width=20, n_test=64, rate=0.01, weight_decay=0.1),
    "deep network": ParityNetwork(n_bits=12, k=2, width=20, n_test=64, depth=2),
    "finite data": ParityNetwork(n_bits=12, k=2, width=20, n_test=64, n_examples=100, hidden_progress=True),
    "composites": ParityNetwork(n_bits=12, k=2, width=20, n_test=64, n_composites=4),
}


@pytest.mark.parametrize("learner", STEPWISE.values(), ids=STEPWISE)
def test_what_goes_step_by_step_may_be_stopped_at_any_step_between_checkpoints(learner, tmp_path, monkeypatch):
    dynamics = learner.dynamics[-1]
    whole = simulate.simulate(SMALL, learner, **HOW, dynamics=dynamics)
    monkeypatch.setattr(_simulate_run, "_STRIDE", 0.0)  # a step at a time
    monkeypatch.setattr(_simulate_run, "_COPIED", math.inf)
    stopped(learner, tmp_path / "state", 80, "advance", dynamics=dynamics)
    assert 79 not in whole["step"]
    same(simulate.simulate(SMALL, learner, **HOW, dynamics=dynamics, checkpoint=tmp_path / "state", resume=True), whole)


def test_a_checkpoint_that_forgot_a_part_of_the_state_would_be_noticed(tmp_path):
    """The control: with the moments of Adam at 0 the run goes on elsewhere."""
    path = tmp_path / "state"
    stopped(SMALL_NETWORK, path, 20)
    plan = _simulate_plan.plan(SMALL, SMALL_NETWORK, **HOW)
    run = _simulate_run.Run(plan, path, resume=True)
    run.state.bits[1:] = 0
    run.save()
    whole = simulate.simulate(SMALL, SMALL_NETWORK, **HOW)
    forgetful = simulate.simulate(SMALL, SMALL_NETWORK, **HOW, checkpoint=path, resume=True)
    assert not np.array_equal(forgetful["loss"], whole["loss"])


def test_what_is_of_linear_algebra_goes_on_with_as_many_threads_as_it_began_with_and_no_other_number(
    tmp_path, monkeypatch
):
    """With another number it would come to other bits, without a word."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kernel = ParityKernel(network=SMALL_NETWORK, n_inputs=4)
    assert not kernel.bitwise
    whole = simulate.simulate(SMALL, kernel, **HOW)
    for learner in (kernel, SMALL_NETWORK):
        stopped(learner, tmp_path / type(learner).__name__, 20)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with pytest.raises(InputError, match=r"OMP_NUM_THREADS was 1, is 3\. Resume with the old"):
        simulate.simulate(SMALL, kernel, **HOW, checkpoint=tmp_path / "ParityKernel", resume=True)
    simulate.simulate(SMALL, SMALL_NETWORK, **HOW, checkpoint=tmp_path / "ParityNetwork", resume=True)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    same(simulate.simulate(SMALL, kernel, **HOW, checkpoint=tmp_path / "ParityKernel", resume=True), whole)


def test_a_run_that_is_over_is_read_back_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(_simulate_run, "_SAVE_EVERY", -1.0)
    whole = simulate.simulate(SMALL, SMALL_NETWORK, **HOW, checkpoint=tmp_path / "state")
    monkeypatch.setattr(ParityNetwork, "advance", None)  # no step is made again
    same(simulate.simulate(SMALL, SMALL_NETWORK, **HOW, checkpoint=tmp_path / "state", resume=True), whole)


def test_a_short_run_writes_no_checkpoint(tmp_path):
    simulate.simulate(SMALL, Exponential(), **HOW, checkpoint=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_checkpoints_take_at_most_a_tenth_of_the_time(tmp_path, monkeypatch):
    now = 0.0
    saved = []

    def save(path, settings, state, rows):
        nonlocal now
        now += 60
        saved.append(now)

    def advance(self, state, time):
        nonlocal now
        now += 10
        return state._replace(examples=np.array(time))

    monkeypatch.setattr(_simulate_run.time, "monotonic", lambda: now)
    monkeypatch.setattr(_simulate_checkpoint, "save", save)
    monkeypatch.setattr(Exponential, "advance", advance, raising=False)
    simulate.simulate(SMALL, Exponential(), steps=10**6, checkpoint=tmp_path / "state")
    assert len(saved) > 3
    # but for the first, of which nobody knows how long it will take, and the last, when the run is over
    assert 60 * (len(saved) - 2) <= 0.1 * now


# ------------------------------------------------------------------------------------------------ the command

KILLED = """
import os, signal, sys
from quanta import _checkpoint, _simulate_run, simulate
_simulate_run._SAVE_EVERY, _simulate_run._SAVING = -1.0, 1.0  # at every occasion
replace, count = _checkpoint.replace, 0
def torn(path, write):
    global count
    count += 1
    def half(file):
        write(file)
        if count == 15:
            file.truncate(file.tell() // 2)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    replace(path, half)
_checkpoint.replace = torn
simulate.main(sys.argv[1:])
"""


def test_a_run_that_is_killed_while_it_saves_goes_on_to_the_last_bit(tmp_path, capfd):
    done = subprocess.run([sys.executable, "-c", KILLED, *FLAGS], check=False, capture_output=True)
    assert done.returncode == -9
    assert (tmp_path / "run" / ".simulate.checkpoint.tmp").exists()
    assert simulate.main(FLAGS) == 2
    assert "--out run holds an unfinished run; add --resume to go on with it" in capfd.readouterr().err
    assert simulate.main([*FLAGS, "--resume"]) == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["record.zarr", "run.json"]
    assert simulate.main([*FLAGS[:-1], "whole"]) == 0
    same(record.load("run"), record.load("whole"))


def test_the_command_says_how_to_go_on_and_goes_on(capfd, monkeypatch):
    with monkeypatch.context() as patch:
        measure, count = ParityNetwork.measure, itertools.count(1)

        def interrupted(self, state):
            if next(count) == 16:
                raise KeyboardInterrupt
            return measure(self, state)

        patch.setattr(ParityNetwork, "measure", interrupted)
        assert simulate.main(FLAGS) == 130
    said = capfd.readouterr().err
    found = re.search(
        r"The record up to step (\d+) is run/record.zarr. The same command with --resume goes on.\n", said
    )
    assert record.load("run")["step"][-1] == int(found[1])
    assert record.load("run").sizes["step"] == 15
    assert simulate.main([*FLAGS, "--resume", "--steps", "61"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "run/simulate.checkpoint is of a run with other settings: steps was 60, is 61. Resume with the old" in line
    assert simulate.main([*FLAGS, "--resume"]) == 0
    assert simulate.main([*FLAGS[:-1], "whole"]) == 0
    same(record.load("run"), record.load("whole"))
    assert simulate.main([*FLAGS, "--resume"]) == 0
    assert "this very run is finished already: run" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no such thing", "cannot be read as a checkpoint"), (b"", "cannot be read as a checkpoint")],
    ids=["other", "empty"],
)
def test_a_file_that_is_no_checkpoint_is_refused_and_left(content, said, capfd, tmp_path):
    assert simulate.main([*FLAGS[:-1], "other"]) == 0
    (tmp_path / "other" / "run.json").write_text(json.dumps({"hash": _hash(tmp_path / "other")}))
    file = tmp_path / "other" / "simulate.checkpoint"
    file.write_bytes(content)
    capfd.readouterr()
    assert simulate.main([*FLAGS[:-1], "other", "--resume"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert file.read_bytes() == content


def _hash(folder):
    return re.search(r'"hash": "(\w+)"', (folder / "run.json").read_text())[1]


def test_to_resume_where_nothing_is_begins_anew(tmp_path):
    assert simulate.main([*FLAGS, "--resume"]) == 0
    assert record.load("run")["step"][-1] == 60


def test_an_overflow_leaves_nothing_to_go_on_with(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(_simulate_run, "_SAVE_EVERY", -1.0)
    flags = [*FLAGS, "--descent", "sgd", "--rate", "1e25"]
    assert simulate.main(flags) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(
        r"error: the loss( of subtask \d)? is not finite at step \d; .* Lower the rate, which is 1e\+25\.", line
    )
    assert not list(tmp_path.glob("*/*checkpoint*"))


@pytest.mark.parametrize("kernels", ["tables", "blas"])
def test_what_diverges_at_once_keeps_the_record_of_its_first_checkpoint(kernels, capfd):
    flags = [*FLAGS, "--descent", "sgd", "--rate", "1e25", "--kernels", kernels]
    assert simulate.main(flags) == 2
    assert capfd.readouterr().err.endswith(
        "Lower the rate, which is 1e+25. The record up to step 0 is run/record.zarr.\n"
    )
    kept = record.load("run")
    record.validate(kept)
    assert kept["step"].values.tolist() == [0]
    assert np.isfinite(kept["loss"]).all()


# ------------------------------------------------------------------------------------------------ patience


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Forgetting(AbstractIndependent):
    """A learner that waits, learns, and then gets worse, at counts that a test knows."""

    late: int = 0
    """Hits before it begins."""

    units: ClassVar[str] = "nat"
    optimizer: ClassVar[str] = "sgd"
    monotone: ClassVar[bool] = False

    def loss(self, hits):
        since = np.maximum(np.asarray(hits, float) - self.late, 0)
        return 1 - np.minimum(since, 200) / 250 + np.maximum(since - 200, 0) / 1000

    def hits_at(self, left):
        return self.late + 250 * (1 - left)

    @property
    def chance_loss(self):
        return 1.0


ONE = Uniform(n_subtasks=1)


@pytest.mark.parametrize("late", [0, 3000])
@pytest.mark.parametrize("patience", [1, 4])
def test_a_run_stops_so_many_checkpoints_after_its_lowest_mean_loss_and_says_where_that_was(patience, late):
    how = {"steps": 10_000, "n_checkpoints": 200}
    whole = simulate.simulate(ONE, Forgetting(late=late), **how)
    lowest = int(np.argmin(whole["loss"].values))
    assert 20 < lowest < whole.sizes["step"] - 10  # a plateau at chance is longer than any patience, and is not counted
    ds = simulate.simulate(ONE, Forgetting(late=late), **how, patience=patience)
    assert ds.sizes["step"] == lowest + patience + 1
    xr.testing.assert_equal(ds["loss"], whole["loss"].isel(step=slice(lowest + patience + 1)))
    assert ds.attrs["lowest_step"] == whole["step"][lowest]
    assert ds.attrs["lowest_mean_loss"] == pytest.approx(float(whole["loss"][0, lowest]))
    assert "lowest_step" not in whole.attrs


def test_a_run_that_never_gets_worse_goes_on_to_its_end():
    ds = simulate.simulate(SMALL, Exponential(), patience=3, steps=10_000)
    assert ds["step"][-1] == ds.attrs["lowest_step"] == 10_000


def test_patience_is_the_same_after_a_stop(tmp_path):
    how = {"steps": 10_000, "n_checkpoints": 200, "patience": 4}
    whole = simulate.simulate(SMALL, Forgetting(), **how)
    assert whole["step"][-1] < 10_000
    stopped(Forgetting(), tmp_path / "state", whole.sizes["step"] - 2, **how, batch_size=1, seed=0)
    same(simulate.simulate(SMALL, Forgetting(), **how, checkpoint=tmp_path / "state", resume=True), whole)


def test_a_network_that_overfits_is_stopped_and_the_command_says_at_what_step_it_was_best(capsys):
    flags = [*FLAGS, "--n-examples", "60", "--steps", "3000", "--patience", "5"]
    assert simulate.main(flags) == 0
    ds, text = record.load("run"), capsys.readouterr().out
    assert ds["step"][-1] < 3000
    mean = record.mean_loss(ds).values
    assert ds.attrs["lowest_step"] == ds["step"][mean.argmin()]
    assert f"lowest at step {ds.attrs['lowest_step']}: {mean.min():.4g}" in text
    assert "out of patience, of 3e+03" in text


def test_what_ends_too_early_to_be_tested_says_so(capsys, monkeypatch):
    monkeypatch.setitem(LEARNERS, "forgetting", Forgetting)
    flags = ["--learner", "forgetting", "--n-subtasks", "1", "--steps", "10000", "--n-checkpoints", "18"]
    assert simulate.main([*flags, "--patience", "1", "--quiet", "--out", "run"]) == 0
    assert re.search(r"not tested: .* checkpoints; the test needs at least 17", capsys.readouterr().out)


# ------------------------------------------------------------------------------------------------ memory


def test_a_batch_that_does_not_fit_is_refused_with_what_it_needs_before_anything_is_allocated(capfd, tmp_path):
    tracemalloc.start()
    try:
        assert simulate.main([*FLAGS, "--batch-size", "1e9"]) == 2
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    (line,) = capfd.readouterr().err.splitlines()
    said = re.search(r"6 subtasks at 25 checkpoints in batches of 1000000000 need about ([\d.]+) GiB of memory; ", line)
    assert float(said[1]) > 60
    assert re.search(r"[\d.]+ GiB are available\. Take a smaller batch\.$", line)
    assert list(tmp_path.iterdir()) == []


def test_what_fits_once_may_not_fit_for_all_seeds(capfd, monkeypatch):
    once = simulate.memory_needed(SMALL_NETWORK, 6, 200, "sampled", 30)
    monkeypatch.setattr(_simulate_plan, "memory_available", lambda: 2 * once)
    assert simulate.main([*FLAGS, "--seeds", "0:2"]) == 0
    assert simulate.main([*FLAGS[:-1], "many", "--seeds", "0:2000"]) == 2
    assert re.search(r"GiB of memory for 2000 runs, 1 at a time; .* Take fewer runs\.", capfd.readouterr().err)


@pytest.mark.parametrize("learner", MEMBERS.values(), ids=MEMBERS)
def test_a_learner_measures_as_many_numbers_as_it_says(learner):
    state = learner.start(SMALL.probabilities(), np.random.default_rng(0), dynamics=learner.dynamics[0])
    assert len(learner.measure(state)) == learner.n_measured
    if isinstance(learner, ParityNetwork):
        looked = ParityNetwork(n_bits=12, k=2, width=20, n_test=64, hidden_progress=True)
        assert len(looked.measure(state)) == looked.n_measured


BIG = {
    "network": (ParityNetwork(width=200, n_test=64), 2000, 100),
    "batch": (ParityNetwork(width=100, n_test=64), 10, 100_000),
    "deep": (ParityNetwork(width=200, n_test=64, depth=2), 50, 20_000),
    "kernel": (ParityKernel(network=ParityNetwork(width=2000, n_test=64), n_inputs=4), 100, 1),
    "table": (ParityTable(network=ParityNetwork(width=100, n_test=64)), 50_000, 100),
    "linearised": (ParityLinearised(network=ParityNetwork(width=200, n_test=64 * 128)), 3, 64),
    "look": (ParityNetwork(width=20, n_test=2**19), 3, 64),
    "look at what is shared": (ParityNetwork(width=200, n_test=2**14, test_bits="shared"), 3, 64),
    "look by linear algebra": (ParityNetwork(width=100, n_test=2**14, kernels="blas", hidden_progress=True), 1, 64),
    "deep look": (ParityNetwork(width=100, n_test=2**14, depth=3), 1, 64),
    "threshold": (Threshold(), 300_000, 1),
    "multilinear": (Multilinear(), 300_000, 1),
}


@pytest.mark.parametrize(("learner", "n_subtasks", "batch_size"), BIG.values(), ids=BIG)
def test_the_memory_that_is_foreseen_is_what_a_run_takes_and_not_much_more(learner, n_subtasks, batch_size):
    law, dynamics = Zipf(n_subtasks=n_subtasks), learner.dynamics[-1]
    how = {"steps": 3, "n_checkpoints": 3, "batch_size": batch_size, "dynamics": dynamics}
    simulate.simulate(Zipf(n_subtasks=5), learner, **how | {"batch_size": 64, "steps": 1})  # compilers take memory, too
    tracemalloc.start()
    try:
        simulate.simulate(law, learner, **how)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    foreseen = simulate.memory_needed(learner, n_subtasks, 4, dynamics, batch_size)
    assert 0.3 * foreseen < taken < 1.1 * foreseen, (taken / 2**20, foreseen / 2**20)
