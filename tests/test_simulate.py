"""Simulation end to end: the record, its slope beside theory, the sample of many subtasks, and the command."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest
import xarray as xr

from quanta import _simulate_report, learners, record, simulate
from quanta._errors import InputError
from quanta.frequencies import Empirical, Zipf
from quanta.learners import (
    LEARNERS,
    AbstractIndependent,
    Exponential,
    Multilinear,
    Overflow,
    ParityNetwork,
    Synchronous,
    Threshold,
)

SMALL_NETWORK = ParityNetwork(n_bits=12, k=2, width=20, n_test=64, rate=0.01)
MEMBERS = {**{name: member() for name, member in LEARNERS.items()}, "parity_network": SMALL_NETWORK}
RUNS = {f"{name}-{how}": (member, how) for name, member in MEMBERS.items() for how in member.dynamics}
FORETOLD = {name: run for name, run in RUNS.items() if run[0].foretold}
runs = pytest.mark.parametrize(("learner", "dynamics"), RUNS.values(), ids=RUNS)
both = pytest.mark.parametrize("dynamics", ["expected", "sampled"])
SMALL = Zipf(n_subtasks=30, exponent=1.2)


@runs
def test_the_record_is_valid_and_says_what_was_run(learner, dynamics):
    steps = None if learner.foretold else 200
    ds = simulate.simulate(SMALL, learner, steps=steps, seed=3, dynamics=dynamics, n_checkpoints=40, batch_size=4)
    record.validate(ds)
    assert (ds["step"][0], ds.sizes["step"] >= 20) == (0, True)
    assert (ds.attrs["source"], ds.attrs["dynamics"], ds.attrs["seed"]) == ("simulated", dynamics, 3)
    assert ds.attrs["optimizer"] == learner.optimizer
    assert ds["loss"].attrs["units"] == learner.units
    if learner.clock == "examples" or dynamics == "sampled":
        np.testing.assert_array_equal(ds["examples"], 4 * ds["step"])
    else:  # a step of the whole gradient draws none: no subtask was seen too few times
        assert "examples" not in ds
    np.testing.assert_allclose(ds["loss"][:, 0], ds["chance_loss"], rtol=1e-7 if learner.starts_at_chance else 0.2)
    config = json.loads(ds.attrs["config"])
    assert eval(config["learner"], vars(learners)) == learner
    assert eval(config["frequencies"], {"Zipf": Zipf}) == SMALL
    assert config["steps"] == ds["step"][-1]


@runs
def test_counts_are_kept_where_they_were_drawn(learner, dynamics):
    if dynamics == "expected":
        assert "exposures" not in simulate.simulate(SMALL, learner, steps=1000)
        return
    ds = simulate.simulate(SMALL, learner, steps=1000, dynamics="sampled", batch_size=3)
    np.testing.assert_array_equal(ds["exposures"].sum("subtask"), ds["examples"])


@both
def test_onsets_are_in_steps_of_a_batch_and_lie_where_the_curve_is_half_way_down(dynamics):
    ds = simulate.simulate(SMALL, Multilinear(), dynamics=dynamics, n_checkpoints=2000, batch_size=16)
    step = ds["step"].values
    after = np.argmax(ds["loss"].values <= 0.5 * ds["chance_loss"].values[:, None], axis=1)
    assert np.all(step[after - 1] - 1 <= ds["true_onset"])
    assert np.all(ds["true_onset"] <= step[after])


@pytest.mark.parametrize(("learner", "dynamics"), FORETOLD.values(), ids=FORETOLD)
@pytest.mark.parametrize("exponent", [0.5, 1.5])
def test_by_default_nearly_all_of_a_thousand_subtasks_are_learned_and_seen_to_be(learner, dynamics, exponent):
    """Learned: under a quarter of the start is left; seen to be: in the last 0.7 nats less than a tenth of it went."""
    batch_size = 1024 if learner.clock == "steps" else 1  # a step of one example is no step of the mean field
    ds = simulate.simulate(Zipf(n_subtasks=1000, exponent=exponent), learner, dynamics=dynamics, batch_size=batch_size)
    loss = ds["loss"].values / learner.chance_loss
    before = ds["step"].values <= ds["step"].values[-1] * np.exp(-0.7)
    complete = (loss[:, -1] < 0.25) & (loss[:, before][:, -1] - loss[:, -1] < 0.1)
    assert complete.mean() > 0.98


def test_a_run_never_goes_beyond_what_can_be_counted():
    ds = simulate.simulate(Zipf(n_subtasks=100, exponent=40), Threshold(), batch_size=7)
    assert 2**53 - 1e15 < ds["examples"][-1] <= 2**53


@pytest.mark.parametrize("learner", [member for member, how in RUNS.values() if how == "sampled"], ids=repr)
def test_one_seed_gives_one_result_and_another_another(learner):
    how = {"steps": 3000, "dynamics": "sampled", "batch_size": 1}
    first, again, other = (simulate.simulate(SMALL, learner, seed=seed, **how) for seed in (1, 1, 2))
    assert first.drop_attrs().identical(again.drop_attrs())
    assert not np.array_equal(first["exposures"], other["exposures"])


@runs
def test_a_batch_is_of_one_example_or_as_large_as_is_usual_of_a_network(learner, dynamics):
    ds = simulate.simulate(SMALL, learner, steps=4, dynamics=dynamics, n_checkpoints=3)
    assert json.loads(ds.attrs["config"])["batch_size"] == learner.usual_batch
    if "examples" in ds:
        assert ds["examples"][-1] == 4 * learner.usual_batch


def test_the_result_does_not_depend_on_the_number_of_threads():
    code = """
import zlib
from quanta import frequencies, learners, simulate
for name, cls in learners.LEARNERS.items():
    member, steps = (cls(), None) if cls.foretold else (cls(n_bits=16, n_test=64), 20)
    for dynamics in member.dynamics:
        law = frequencies.Zipf(n_subtasks=300)
        ds = simulate.simulate(law, member, steps=steps, seed=4, dynamics=dynamics, batch_size=64)
        found = [ds[v].values for v in ("loss", "true_onset", "true_width")]
        if not member.bitwise:
            found = [values.round(5) for values in found]
        print(name, dynamics, *(zlib.crc32(values.tobytes()) for values in found))
"""
    results = []
    for n in "12":
        threads = {"NUMBA_NUM_THREADS": n, "OMP_NUM_THREADS": n}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **threads}, capture_output=True, text=True, check=True
        )
        results.append(done.stdout)
    assert results[0] == results[1]
    assert results[0].count("\n") == len(RUNS)


# ------------------------------------------------------------------------------------------------ macro slopes


def slopes(learner, exponent=1.5, n_subtasks=1000, **how):
    ds = simulate.simulate(Zipf(n_subtasks=n_subtasks, exponent=exponent), learner, **how)
    return _simulate_report.slopes(ds, learner, exponent)


@pytest.mark.parametrize("exponent", [1.3, 1.5, 2.0])
def test_worlds_of_steps_and_of_exponentials_have_the_same_macro_slope(exponent):
    steps, smooth = (slopes(learner, exponent)["slope"] for learner in (Multilinear(), Exponential()))
    assert abs(steps - smooth) < 0.05


IN_ORDER = {name: run for name, run in RUNS.items() if math.isfinite(run[0].exponent("steps", 1.5))}


@pytest.mark.parametrize(("learner", "dynamics"), IN_ORDER.values(), ids=IN_ORDER)
def test_the_macro_slope_is_near_its_prediction_which_knows_only_onsets(learner, dynamics):
    found = slopes(learner, dynamics=dynamics, n_checkpoints=400)
    assert abs(found["slope"] - found["slope_predicted"]) < 0.03


def test_the_prediction_is_the_finite_sum():
    """Written out: Σ_k p_k 1[t < t_k] at every checkpoint of the window."""
    learner, p = Threshold(), Zipf(n_subtasks=1000).probabilities()
    ds = simulate.simulate(Zipf(n_subtasks=1000), learner)
    found = _simulate_report.slopes(ds, learner, 1.5)
    onset, step = learner.onset(p), ds["step"].values
    inside = step[(step >= found["window"][0]) & (step <= found["window"][1])]
    assert found["window"] == [onset[9], onset[99]]
    left = [sum(p_k for p_k, t_k in zip(p, onset, strict=True) if t < t_k) for t in inside]
    assert found["slope_predicted"] == pytest.approx(np.polyfit(np.log(inside), np.log(left), 1)[0], rel=1e-9)
    assert found["slope_asymptote"] == pytest.approx(-1 / 3)


def test_the_prediction_does_not_look_at_the_losses():
    learner = Multilinear()
    ds = simulate.simulate(Zipf(n_subtasks=1000), learner)
    before = _simulate_report.slopes(ds, learner, 1.5)
    steeper = ds.assign(loss=ds["loss"] * (1.0 + ds["step"]) ** -0.5)
    after = _simulate_report.slopes(steeper, learner, 1.5)
    assert after["slope_predicted"] == before["slope_predicted"]
    assert after["slope"] == pytest.approx(before["slope"] - 0.5, abs=0.001)


def test_the_slope_does_not_depend_on_the_size_of_a_batch():
    one, many = slopes(Multilinear()), slopes(Multilinear(), batch_size=64)
    assert many["slope"] == pytest.approx(one["slope"], abs=0.01)
    assert many["window"] == pytest.approx([edge / 64 for edge in one["window"]])


@pytest.mark.parametrize("how", [{"n_subtasks": 1}, {"n_subtasks": 3, "steps": 1}, {"exponent": 0.0}], ids=str)
def test_no_slope_is_said_where_there_is_no_window(how):
    found = slopes(Exponential(), **how)
    assert found["slope"] is None
    assert found["slope_predicted"] is None


def test_no_slope_is_said_where_all_is_learned_at_once():
    found = slopes(Synchronous())
    assert (found["slope"], found["slope_predicted"], found["slope_asymptote"]) == (None, None, None)


# ------------------------------------------------------------------------------------------------ the sample of many


def test_a_sample_has_one_subtask_of_each_stratum_with_its_mass():
    p = np.random.default_rng(0).permutation(Zipf(n_subtasks=5000).probabilities())
    ds = simulate.simulate(Empirical(counts=tuple(p)), Exponential(), n_checkpoints=20)
    few = _simulate_report.sample(ds, 300, seed=1)
    record.validate(few)
    assert 300 <= few.sizes["subtask"] <= 330
    assert len(np.unique(few["subtask"])) == few.sizes["subtask"]
    assert few["weight"].sum() == pytest.approx(1)
    frequency = few["frequency"].values
    assert np.all(np.diff(frequency) < 0)
    np.testing.assert_array_equal(frequency, ds["frequency"].values[few["subtask"].values])
    alone = np.isclose(few["weight"].values, frequency, rtol=1e-9)
    assert 20 < alone.argmin() < 100  # the most frequent are their own strata
    # the mean loss of the sample is that of the whole, within what strata of a few per cent in frequency leave
    np.testing.assert_allclose(record.mean_loss(few), record.mean_loss(ds), rtol=0.05)


def test_the_truth_is_compared_by_subtask():
    ds = simulate.simulate(Zipf(n_subtasks=4, exponent=1.0), Multilinear())
    onset = ds["true_onset"].values * np.exp([0.1, -0.3, 0.2, 5.0])
    found = xr.Dataset({"status": ("subtask", ["sharp", "sharp", "sharp", "smooth"]), "onset": ("subtask", onset)})
    ds["true_onset"][0] = np.nan
    compared = _simulate_report.against_truth(found, ds)
    assert (compared["n_true"], compared["n_found"], compared["n_false"]) == (3, 2, 1)
    assert compared["onset_error"] == pytest.approx(0.25)


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_command_writes_a_record_and_finds_it_again(capsys):
    flags = ["--n-subtasks", "50", "--no-detect", "--quiet"]
    assert simulate.main(flags) == 0
    first = capsys.readouterr().out
    assert "learned 50 of 50 subtasks" in first
    assert "predicts -" in first
    assert "-0.333" in first
    assert simulate.main(flags) == 0
    again = capsys.readouterr().out
    assert again.startswith("this very run is finished already: runs/simulate-multilinear-")
    assert first in again
    assert simulate.main([*flags, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["learned"] == 50
    assert record.load(summary["record"]).sizes["subtask"] == 50


def test_other_settings_are_another_run(capsys):
    for seed in "01":
        flags = ["--n-subtasks", "5", "--no-detect", "--quiet", "--dynamics", "sampled", "--seed", seed]
        assert simulate.main(flags) == 0
    assert "finished already" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--n-subtasks", "0"], "n_subtasks is 0; expected a whole number"),
        (["--n-subtasks", "-3"], "n_subtasks is -3; expected a whole number"),
        (["--n-subtasks", "1e9"], r"1000000000 subtasks .* need about \d+\.\d GiB of memory; .* GiB are available"),
        (["--n-subtask", "3"], "unknown flag --n-subtask. Did you mean --n-subtasks?"),
        (["--exponent", "nan"], "exponent is nan"),
        (["--learner", "quadratic"], "expected one of .*threshold, multilinear, .*exponential"),
        (["--hits", "3"], "--hits belongs to --learner quantum or threshold"),
        (["--learner", "threshold", "--initial", "0.1"], "--initial belongs to --learner multilinear"),
        (["--steps", "0"], "steps is 0"),
        (["--steps", "5"], "6 checkpoints; the test needs at least 17.* Or add --no-detect"),
        (["--n-checkpoints", "10"], "10 checkpoints; the test needs at least 17"),
        (["--steps", "1e16"], r"more than 2\^53 examples"),
        (["--initial", "1"], "initial is 1.0; expected a strength above 0 and below the target of 1.0"),
        (["--initial", "3", "--target", "2"], "initial is 3.0"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--n-checkpoints", "2"], "n_checkpoints is 2"),
        (["--n-checkpoints", "1e6"], "expected at most 10000"),
        (["--dynamics", "exact"], "exact"),
        (["--seed", "-1"], "--seed is -1"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_exit_status_2_and_nothing_written(flags, said, capfd, tmp_path):
    assert simulate.main([*flags, "--quiet"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("quanta.simulate: error: ")
    assert err.count("\n") == 1
    assert re.search(said.replace("?", r"\?"), err), err
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_are_refused_by_the_function_too():
    for how in ({"steps": 0}, {"steps": 2**53, "batch_size": 2}, {"batch_size": 0}, {"seed": -1}, {"n_checkpoints": 1}):
        with pytest.raises(InputError):
            simulate.simulate(SMALL, Multilinear(), **how)
    with pytest.raises(InputError, match="dynamics is 'exact'"):
        simulate.simulate(SMALL, Multilinear(), dynamics="exact")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Bursting(AbstractIndependent):
    """A learner that stops being a number after so many hits, on purpose."""

    hits: int = 100
    """Hits after which it bursts."""

    units: ClassVar[str] = "nat"
    optimizer: ClassVar[str] = "sgd"

    def measure(self, state):
        measured = AbstractIndependent.measure(self, state)
        return measured | {"accuracy": 1 - np.minimum(measured["loss"], 1), "unheard_of": 2 * measured["loss"]}

    def loss(self, hits):
        return np.where(hits < self.hits, np.exp(-np.asarray(hits) / 50), np.inf)

    def hits_at(self, left):
        return -50 * math.log(left)

    @property
    def chance_loss(self):
        return 1.0


def test_a_loss_that_overflows_stops_the_run_with_the_step_and_the_subtask_and_keeps_the_record_so_far():
    law = Empirical(counts=(1, 3, 1))
    with pytest.raises(Overflow, match="the loss of subtask 1 is not finite at step") as caught:
        simulate.simulate(law, Bursting(), steps=1000)
    kept, whole = caught.value.record, simulate.simulate(law, Bursting(hits=10**6), steps=1000)
    record.validate(kept)
    after = whole["step"].values[kept.sizes["step"]]  # the first checkpoint that was not kept
    assert kept["step"][-1] * 0.6 < 100 <= after * 0.6
    assert caught.value.time == after
    xr.testing.assert_equal(kept["loss"], whole["loss"].isel(step=slice(kept.sizes["step"])))
    np.testing.assert_allclose(kept["accuracy"], 1 - kept["loss"], atol=1e-6)
    np.testing.assert_allclose(kept["unheard_of"], 2 * kept["loss"])  # whatever is measured of every subtask is kept


def test_a_run_that_is_refused_leaves_no_directory_behind(capfd):
    flags = ["--learner", "domino", "--n-subtasks", "30", "--quiet", "--no-detect", "--out", "run"]
    assert simulate.main([*flags, "--dynamics", "sampled"]) == 2
    assert "dynamics is 'sampled'; expected 'expected' for Domino" in capfd.readouterr().err
    assert not os.path.exists("run")
    assert simulate.main(flags) == 0


def test_a_run_that_is_interrupted_keeps_the_record_so_far(capfd, monkeypatch):
    def interrupt(self, state, time):
        if time > 100:
            raise KeyboardInterrupt
        return AbstractIndependent.advance(self, state, time)

    monkeypatch.setattr(Bursting, "advance", interrupt, raising=False)
    monkeypatch.setitem(LEARNERS, "bursting", Bursting)
    assert simulate.main(["--learner", "bursting", "--n-subtasks", "20", "--quiet", "--out", "run"]) == 130
    said = re.search(r"The record up to step (\d+) is (\S+)\.", capfd.readouterr().err)
    assert 50 < int(said[1]) <= 100
    assert record.load(said[2])["step"][-1] == int(said[1])


def test_the_command_says_where_it_overflowed_and_where_the_record_is(capfd, monkeypatch):
    monkeypatch.setitem(LEARNERS, "bursting", Bursting)
    assert simulate.main(["--learner", "bursting", "--n-subtasks", "20", "--quiet", "--out", "run"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    said = re.fullmatch(r"quanta.simulate: error: the loss of subtask 0 .*The record up to step (\d+) is (\S+)\.", line)
    kept = record.load(said[2])
    assert kept["step"][-1] == int(said[1])
    assert np.isfinite(kept["loss"]).all()


def test_a_run_with_detection_saves_its_analyses_and_figure(capsys):
    flags = ["--n-subtasks", "60", "--out", "run", "--quiet", "--json"]
    assert simulate.main(flags) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_true"] == 60
    assert summary["n_found"] >= 50
    assert summary["onset_error"] < 0.05
    assert summary["verdict"] == "ordered-composition"
    assert isinstance(summary["reasons"], list)
    assert 0.8 < summary["fraction_sharp"] <= 1
    assert record.load("run", group="transitions").sizes["subtask"] == 60
    assert record.load("run", group="composition").attrs["verdict"] == summary["verdict"]
    with open(summary["figure"], "rb") as figure:
        assert figure.read(4) == b"\x89PNG"
    assert simulate.main(flags[:-1]) == 0
    text = capsys.readouterr().out
    assert "learned 60 of 60 subtasks" in text
    assert summary["sentence"] in text


def test_one_run_of_the_smooth_world_is_as_smooth_as_its_mean(capsys):
    """The default rate takes enough hits that their scatter does not look like steps."""
    flags = ["--n-subtasks", "100", "--learner", "exponential", "--dynamics", "sampled", "--quiet", "--json"]
    assert simulate.main(flags) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["n_true"], summary["n_false"]) == (0, 0)
    assert summary["verdict"] == "ordered-smooth"


def test_above_ten_thousand_subtasks_a_sample_is_analysed_and_that_is_said(capsys, monkeypatch):
    monkeypatch.setattr(_simulate_report, "_SAMPLE", 60)
    flags = ["--n-subtasks", "10001", "--n-checkpoints", "100", "--quiet", "--out", "run"]
    assert simulate.main(flags) == 0
    text = capsys.readouterr().out
    assert "learned 10001 of 10001 subtasks" in text
    n = int(re.search(r"a random sample of (\d+) subtasks, one from each stratum of frequency", text)[1])
    assert 60 <= n < 70
    assert record.load("run").sizes["subtask"] == 10001
    assert record.load("run", group="transitions").sizes["subtask"] == n
