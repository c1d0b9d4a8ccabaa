"""The test of composition: every row of its table, every claim beside its null, and the command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from quanta import _claims, _composition_report, _verdict, composition, record, worlds
from quanta._errors import InputError
from quanta.transitions import DETECTORS, Logistic, detect

COMPOSITIONS = {"ordered-composition", "unordered-composition"}


def judge(name, seed=0, **how):
    return composition.test(worlds.make(name, seed=seed), controls=worlds.controls(name, seed=seed), **how)


def assert_sound(name, seed):
    """The right verdict or none; and never a composition where there is none."""
    verdict, right = judge(name, seed).attrs["verdict"], worlds.WORLDS[name].right
    assert verdict in right | {"undetermined"}


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_the_verdict_on_a_world_is_right_or_undetermined(name):
    assert_sound(name, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("name", worlds.WORLDS)
def test_the_verdict_on_a_world_is_right_or_undetermined_at_other_seeds(name, seed):
    if name in ("power_law", "polygenic", "shuffled_labels", "unordered", "equal_frequencies"):
        pytest.skip("of random order, which looks ordered one time in a thousand, or unclear one time in twenty")
    assert_sound(name, seed)


CLEAR = ("ordered_logistic", "unordered", "synchronous", "mixed", "exponential", "power_law", "macro_only")


@pytest.mark.parametrize("name", CLEAR)
def test_clear_worlds_are_not_left_undetermined(name):
    assert judge(name, seed=2).attrs["verdict"] in worlds.WORLDS[name].right


@pytest.mark.parametrize("seed", range(10))
def test_coupled_linear_regression_beside_its_control_is_never_a_composition(seed):
    result = judge("linear_coupled", seed)
    assert result.attrs["verdict"] not in COMPOSITIONS | {"synchronous"}
    assert result.attrs["controls"][0].startswith("kernel: ")


def test_a_mean_loss_alone_decides_nothing():
    result = judge("macro_only")
    assert (result.attrs["verdict"], result.attrs["row"]) == ("undetermined", "1: one subtask")


# ---------------------------------------------------------------------------------------------- the verdict table

SHARP = {
    "n_subtasks": 40,
    "n_tested": 40,
    "n_sharp": 40,
    "n_changed": 40,
    "n_complete": 40,
    "n_steep": 0,
    "fraction_sharp_low": 0.91,
    "fraction_sharp_high": 1.0,
    "sharp_weight_low": 0.9,
    "sharp_weight_high": 1.0,
    "testable_share": 1.0,
    "metric_only_low": 0.0,
    "dispersion": 0.9,
    "timing_p": 1e-4,
    "timing_correlation": -0.9,
    "timing_exponent": 1.0,
    "timing_exponent_low": 0.9,
    "timing_exponent_high": 1.1,
    "base_sharpness": 1.2,
}
NONE_SHARP = {"n_sharp": 0, "fraction_sharp_low": 0.0, "fraction_sharp_high": 0.09}
NONE_SHARP |= {"sharp_weight_low": 0.0, "sharp_weight_high": 0.1}
ROWS = [
    ({}, "ordered-composition", "4: sharp, dispersed, ordered"),
    ({"timing_p": 0.5}, "unordered-composition", "4: sharp, dispersed, unordered"),
    ({"timing_p": np.nan}, "unordered-composition", "4: sharp, dispersed, unordered"),
    ({"timing_p": 0.01}, "undetermined", "4: sharp, but the order is neither seen nor excluded"),
    ({"dispersion": 0.1}, "synchronous", "4: sharp, at one time (dispersion below .2)"),
    ({"dispersion": np.nan}, "synchronous", "4: sharp, at one time (dispersion below .2)"),
    (NONE_SHARP, "ordered-smooth", "4: smooth, ordered"),
    (NONE_SHARP | {"timing_p": 0.5}, "smooth", "4: smooth, unordered"),
    (NONE_SHARP | {"timing_p": 0.01}, "undetermined", "4: smooth, but the order is neither seen nor excluded"),
    (NONE_SHARP | {"n_steep": 8}, "ordered-smooth", "4: smooth, ordered"),
    (NONE_SHARP | {"n_steep": 9}, "undetermined", "3: steps may lie between the checkpoints"),
    (NONE_SHARP | {"sharp_weight_high": 0.6}, "undetermined", "3: too few tested to tell"),
    ({"sharp_weight_low": 0.2}, "mixed", "3: neither most nor hardly any of the tested are sharp"),
    (
        {"fraction_sharp_low": 0.3, "fraction_sharp_high": 0.6},
        "mixed",
        "3: neither most nor hardly any of the tested are sharp",
    ),
    ({"fraction_sharp_low": 0.05, "fraction_sharp_high": 0.6}, "undetermined", "3: too few tested to tell"),
    ({"n_subtasks": 1}, "undetermined", "1: one subtask"),
    ({"n_tested": 4}, "undetermined", "1: fewer than 5 subtasks can be tested"),
    ({"testable_share": 0.4}, "undetermined", "1: less than half of the changed weight can be tested"),
    ({"testable_share": np.nan}, "undetermined", "1: less than half of the changed weight can be tested"),
    ({"metric_only_low": 0.7}, "metric-only", "1: sharp in accuracy alone"),
]


@pytest.mark.parametrize(("changes", "word", "row"), ROWS)
def test_every_row_of_the_table_is_reached(changes, word, row):
    verdict = _verdict.decide(SHARP | changes, [], accuracy_alone=False)
    assert (verdict.word, verdict.row) == (word, row)
    assert verdict.reasons
    assert word in _verdict.SENTENCES


@pytest.mark.parametrize(
    ("low", "high", "says"), [(0.9, 1.0, "between 90% and 100% of the fall"), (0.999, 1.0, "100% of the fall")]
)
def test_bounds_that_read_the_same_are_one_number(low, high, says):
    changes = {"sharp_weight_low": low, "sharp_weight_high": high}
    assert _verdict.decide(SHARP | changes, [], accuracy_alone=False).reasons[1].startswith(says)


def test_of_nothing_tested_no_share_is_told():
    reason = _verdict.decide(SHARP | {"n_tested": 0, "n_sharp": 0}, [], accuracy_alone=False).reasons[0]
    assert reason == "none could be tested: of 40, 40 changed and 40 finished"


def test_the_fall_that_is_in_the_steps_themselves_is_told_apart_from_that_of_their_subtasks():
    changes = {"sharp_weight_low": 0.929, "composition_index": 0.884}
    said = _verdict.decide(SHARP | changes, [], accuracy_alone=False).reasons[1]
    assert said.startswith(
        "between 93% and 100% of the fall of the mean loss is in sharp subtasks (room for noise, and for what could not "
        "be tested), 88% in the steps themselves; the null"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("macro_only", "one subtask"),
        ("never", "fewer than 5 subtasks can be tested"),
        ("ordered_same_control", "a control fires"),
    ],
)
def test_an_undetermined_verdict_says_why_in_its_sentence(name, why):
    said = judge(name).attrs["sentence"]
    assert said.startswith(f"This run cannot tell whether its loss is a sum of sharp transitions: {why}, at this")


@pytest.mark.parametrize(
    ("q2", "null", "says"),
    [
        (0.996, 0.995, "about as good: this tells nothing of the order of times"),
        (0.9, 0.95, "about as good: this tells nothing of the order of times"),
        (0.99, 0.7, "it is their order that foretells"),
    ],
)
def test_the_half_that_was_held_out_tells_of_order_only_where_permuted_times_foretell_less(q2, null, says):
    result = composition.test(worlds.make("never", n_subtasks=10)).assign(held_out_q2=q2, held_out_q2_null=null)
    (line,) = [x for x in _composition_report.report(result, worlds.make("never"), [], []).splitlines() if "Q²" in x]
    assert says in line


def test_every_verdict_has_a_row_that_gives_it():
    reached = {word for _, word, _ in ROWS}
    assert reached == set(_verdict.SENTENCES)


def test_accuracy_alone_is_metric_only_whatever_it_shows():
    assert _verdict.decide(SHARP, [], accuracy_alone=True).word == "metric-only"


def test_a_control_that_fires_overrides_all_that_is_sharp():
    fired = {"kind": "kernel", "state": "fires", "reason": "it is as sharp"}
    verdict = _verdict.decide(SHARP, [fired], accuracy_alone=False)
    assert (verdict.word, verdict.row, verdict.reasons) == ("undetermined", "2: a control fires", ["it is as sharp"])


# ------------------------------------------------------------------------------------------------------- controls


@pytest.mark.parametrize(
    ("name", "state", "says"),
    [
        ("ordered_with_control", "ok", "sharper than the linearised network of the same run"),
        ("ordered_unfinished_control", "unfinished", "linear learning does not account for the drop"),
        ("ordered_unstable_control", "unstable", "no coupled control"),
        ("ordered_logistic", None, "no coupled control: faster than first-order learning with unshared features"),
    ],
)
def test_the_sentence_says_what_the_control_allows(name, state, says):
    result = judge(name)
    assert result.attrs["controls"] == ([f"kernel: {state}"] if state else [])
    assert result.attrs["verdict"] == "ordered-composition"
    assert says in result.attrs["sentence"]
    assert result.attrs["sentence"].endswith("at this partition into subtasks.")


def test_a_control_as_sharp_as_the_run_leaves_it_undetermined():
    result = judge("ordered_same_control")
    assert result.attrs["controls"] == ["kernel: fires"]
    assert result.attrs["row"] == "2: a control fires"
    assert any("fires" in reason for reason in result.attrs["reasons"])


def test_an_unstable_control_is_refused_with_the_reason():
    reasons = judge("ordered_unstable_control").attrs["reasons"]
    assert any("unstable" in reason and "refused" in reason for reason in reasons)


def test_a_control_of_other_data_is_refused():
    run = worlds.make("ordered_logistic").assign_attrs(data_id="aa11")
    control = worlds.make("exponential").assign_attrs(data_id="bb22", control_kind="kernel")
    with pytest.raises(
        InputError, match=r"control 1 \(kernel\) was trained on other data \(data_id bb22, the run's is"
    ):
        composition.test(run, controls=[control])


@pytest.mark.parametrize(
    ("its", "own", "message"),
    [
        (
            {"network": "Decoder(width=8)"},
            {"network": "Decoder(width=64)"},
            r"is of another network \(Decoder\(width=8\)",
        ),
        (
            {"config": '{"learning_rate": "0.1"}'},
            {"config": '{"learning_rate": "0.1", "weight_decay": "0.5"}'},
            r"rate × weight decay 0, and the run 0\.05: .* use --model linearised",
        ),
    ],
)
def test_the_control_of_another_network_or_of_another_decay_is_refused(its, own, message):
    run, (control,) = worlds.make("ordered_with_control"), worlds.controls("ordered_with_control")
    with pytest.raises(InputError, match=message):
        composition.test(run.assign_attrs(own), controls=[control.assign_attrs(its)])


def test_a_control_by_another_optimizer_or_on_a_part_of_the_inputs_is_named_as_such():
    run, (control,) = worlds.make("ordered_with_control"), worlds.controls("ordered_with_control")
    less = control.assign_attrs(inputs="28 of 64 inputs of each subtask, drawn at random")
    says = composition.test(run.assign_attrs(optimizer="adam"), controls=[less]).attrs
    assert "the linearised network of the same run (under gradient flow, on a part of its inputs)" in says["sentence"]
    assert not any("times the run's own time" in reason for reason in says["reasons"])


def test_a_control_of_another_number_of_subtasks_is_refused():
    with pytest.raises(InputError, match=r"control 1 \(given\) has 10 subtasks and the run has 40"):
        composition.test(worlds.make("ordered_logistic"), controls=[worlds.make("exponential", n_subtasks=10)])


# --------------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(("k", "n"), [(0, 40), (1, 7), (20, 40), (39, 40), (40, 40)])
def test_wilsons_bounds_solve_their_equation(k, n):
    """The shares p at which k/n lies 1.96 standard errors of p away: (k/n − p)² = z² p (1 − p)/n."""
    z2, share = 1.959964**2, k / n
    roots = np.sort(np.roots([1 + z2 / n, -2 * share - z2 / n, share**2]).real)
    np.testing.assert_allclose(_claims.wilson(k, n), np.clip(roots, 0, 1), atol=1e-9)


def test_of_nothing_tested_nothing_is_known():
    assert _claims.wilson(0, 0) == (0.0, 1.0)


def evidence(time, frequency, **changes):
    n = len(time)
    fields = {
        "status": np.full(n, "sharp"),
        "complete": np.ones(n, bool),
        "changed": np.ones(n, bool),
        "weight": np.full(n, 1 / n),
        "frequency": np.asarray(frequency, float),
        "start": np.ones(n),
        "end": np.zeros(n),
        "height": np.ones(n),
        "time": np.asarray(time, float),
        "log_time_mean": np.log(time),
        "log_time_variance": np.full(n, 0.1),
        "sharpness": np.full(n, 3.0),
        "metric_only": np.zeros(n, bool),
        "steep": np.zeros(n, bool),
        "fall_error": np.zeros(n),
    }
    return _claims.Evidence(**fields | changes)


def test_the_bounds_leave_room_for_the_noise_of_the_falls():
    error = np.full(8, 0.05)
    e = evidence(np.full(8, 10.0), np.full(8, 1 / 8), status=np.repeat(["sharp", "smooth"], 4), fall_error=error)
    drawn = 1 + 0.05 * np.random.default_rng(0).standard_normal((100_000, 8))
    spread = np.std(drawn[:, :4].sum(axis=1) / drawn.sum(axis=1))
    claims = _claims.sharpness(e)
    assert claims["sharp_weight_low"] == pytest.approx(0.5 - 1.96 * spread, rel=0.01)
    assert claims["sharp_weight_high"] == pytest.approx(0.5 + 1.96 * spread, rel=0.01)


ZIPF = np.arange(1, 21) ** -1.5


def test_times_that_do_not_depend_on_frequency_have_uniform_p_values():
    rng = np.random.default_rng(0)
    p = np.array([_claims.timing(evidence(rng.uniform(10, 1e4, 20), ZIPF), rng)["timing_p"] for _ in range(40)])
    for level in (0.1, 0.5, 0.9):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.24)  # 3 standard errors of 40
    assert p.min() > 1e-3


def test_times_in_order_of_frequency_have_a_small_p_value_and_their_exponent():
    rng = np.random.default_rng(0)
    time = 20 * ZIPF**-0.7 * np.exp(0.1 * rng.standard_normal(20))
    found = _claims.timing(evidence(time, ZIPF), rng)
    assert found["timing_p"] < 1e-3
    assert found["timing_correlation"] < -0.9
    assert found["timing_exponent"] == pytest.approx(0.7, abs=0.05)
    assert found["timing_exponent_low"] <= found["timing_exponent"] <= found["timing_exponent_high"]


def test_the_rare_first_is_not_the_order_that_is_claimed():
    found = _claims.timing(evidence(20 * ZIPF, ZIPF), np.random.default_rng(0))
    assert found["timing_p"] > 0.99
    assert found["timing_exponent"] == pytest.approx(-1)


@pytest.mark.parametrize("frequency", [np.full(20, 0.05), np.full(20, np.nan)])
def test_equal_or_unknown_frequencies_leave_timing_open(frequency):
    assert np.isnan(
        list(_claims.timing(evidence(np.arange(1, 21), frequency), np.random.default_rng(0)).values())
    ).all()


def test_dispersion_is_the_share_of_the_variance_between_subtasks():
    mu = np.array([1.0, 2.0, 4.0, 7.0])
    e = evidence(np.exp(mu), np.ones(4), log_time_variance=np.array([0.1, 0.2, 0.3, 0.4]))
    assert _claims.dispersion(e) == pytest.approx(np.var(mu) / (np.var(mu) + 0.25))
    assert _claims.dispersion(evidence(np.full(4, 9.0), np.ones(4))) == 0


def test_bounds_count_as_sharp_only_the_seen_or_also_what_could_not_be_tested():
    status = np.array(["sharp", "smooth", "incomplete", "unresolved", "early", "never"])
    complete = np.array([1, 1, 0, 1, 1, 0], bool)
    e = evidence(np.arange(1, 7), np.ones(6), status=status, complete=complete, changed=status != "never")
    found = _claims.sharpness(e)
    assert (found["n_tested"], found["n_sharp"], found["fraction_sharp"]) == (2, 1, 0.5)
    assert found["sharp_weight_low"] == pytest.approx(1 / 5)
    assert found["sharp_weight_high"] == pytest.approx(4 / 5)
    assert found["testable_share"] == pytest.approx(2 / 5)


@pytest.mark.parametrize("name", ["ordered_drift", "cut_window", "mixed", "never", "exponential_mixtures", "one_shot"])
def test_bounds_are_shares_and_in_order(name):
    result = judge(name)
    low, high = float(result["sharp_weight_low"]), float(result["sharp_weight_high"])
    assert (np.isnan(low) and np.isnan(high)) or 0 <= low <= high <= 1 + 1e-9
    assert 0 <= result["fraction_sharp_low"] <= result["fraction_sharp_high"] <= 1


# Not ordered_drift: its subtasks differ in shape, and with p_1 = .38 a permutation that spares the first predicts as well.
@pytest.mark.parametrize("name", ["ordered_logistic", "ordered_multilinear", "exponential"])
def test_the_half_that_was_held_out_is_predicted_where_there_is_order(name):
    result = judge(name)
    assert result["held_out_q2"] > 0.9
    assert result["held_out_q2"] > result["held_out_q2_null"]


def test_without_order_the_held_out_half_is_predicted_no_better_than_with_times_permuted():
    beats = [float(r["held_out_q2"]) > float(r["held_out_q2_null"]) for r in (judge("power_law", s) for s in range(8))]
    assert sum(beats) <= 2


def test_seeds_of_an_ensemble_are_judged_together():
    runs = [worlds.make("ordered_logistic", seed=seed, n_subtasks=15) for seed in range(3)]
    result = composition.test(record.combine(runs, "seed"))
    assert result["n_tested"] == 45
    assert result.attrs["verdict"] == "ordered-composition"


# -------------------------------------------------------------------------------------------------------- explain


@pytest.mark.parametrize("subtask", [0, 5])
def test_a_case_names_every_gate_and_draws_it(subtask):
    ds = worlds.make("mixed", n_subtasks=10)
    figure, text = composition.explain(ds, subtask)
    assert text.splitlines()[0] == f"subtask {subtask}: {detect(ds)['status'].values[subtask]}"
    gates = ("changed", "finished", "better than the null", "step high enough", "sharp enough", "no bump")
    for gate in (*gates, "enough exposures", "rate not decaying"):
        assert gate in text
    assert len(text.splitlines()) == 9
    assert all(line.split()[0] in ("passed", "failed") for line in text.splitlines()[1:])
    assert figure.axes


def test_a_sharp_subtask_passes_every_gate_and_a_smooth_one_fails_one():
    for name, all_passed in (("ordered_logistic", True), ("exponential", False)):
        _, text = composition.explain(worlds.make(name, n_subtasks=10), 2)
        assert ("failed" not in text) == all_passed


@pytest.mark.parametrize("subtask", [-1, 10])
def test_a_subtask_that_is_not_there_cannot_be_explained(subtask):
    with pytest.raises(InputError) as caught:
        composition.explain(worlds.make("never", n_subtasks=10), subtask)
    assert str(caught.value) == f"subtask is {subtask}; expected 0 to 9."


# ----------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run and its control, on disk."""
    folder = tmp_path_factory.mktemp("runs")
    record.save(worlds.make("ordered_with_control"), folder / "run.nc")
    record.save(worlds.controls("ordered_with_control")[0], folder / "kernel.nc")
    return folder


def command(*arguments, out):
    return composition.main([*map(str, arguments), "--out", str(out), "--quiet"])


def test_the_command_prints_the_verdict_its_row_and_the_figures(saved, tmp_path):
    arguments = [saved / "run.nc", "--control", saved / "kernel.nc", "--explain", 3, "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "quanta.composition", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "verdict: ordered-composition"
    assert "sharper than the linearised network of the same run" in lines[1]
    assert "  row of the verdict table: 4: sharp, dispersed, ordered" in lines
    for name in ("composition.png", "subtask-3.png"):
        assert f"figure: {tmp_path / 'out' / name}" in lines
        assert (tmp_path / "out" / name).stat().st_size > 1000


def test_json_is_one_object_that_says_all(saved, tmp_path, capsys):
    assert command(saved / "run.nc", "--json", out=tmp_path / "out") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["verdict"] == "ordered-composition"
    assert summary["fraction_sharp"] > 0.9
    assert summary["reasons"]
    assert set(summary) >= {"sentence", "row", "controls", "figures", "sharp_weight_low", "dispersion", "timing_p"}


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_run_and_its_control_are_read_with_the_detector_that_is_asked_for(saved, tmp_path, capsys, detector):
    arguments = [saved / "run.nc", "--control", saved / "kernel.nc", "--detector", detector, "--json"]
    assert command(*arguments, out=tmp_path / "out") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ordered-composition"
    found = xr.open_dataset(saved / "run.nc", group="transitions")
    assert found.attrs["detector"] == repr(DETECTORS[detector]())


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("ordered_logistic", "ordered-composition"),
        ("mixed", "mixed"),
        ("exponential", "ordered-smooth"),
        ("never", "undetermined"),
    ],
)
def test_a_logistic_gives_the_same_verdict_on_clear_worlds(name, verdict):
    assert judge(name, detector=Logistic()).attrs["verdict"] == verdict


def test_the_analyses_are_kept_with_the_record(saved, tmp_path):
    assert command(saved / "run.nc", out=tmp_path / "out") == 0
    assert (record.load(saved / "run.nc", "transitions")["status"] == "sharp").mean() > 0.9
    assert record.load(saved / "run.nc", "composition").attrs["verdict"] == "ordered-composition"


def truncated(folder):
    (folder / "torn.nc").write_bytes((folder / "run.nc").read_bytes()[:5000])
    return [folder / "torn.nc"]


def foreign(folder):
    (folder / "notes.nc").write_text("not a record at all")
    return [folder / "notes.nc"]


def short(folder):
    ds = worlds.make("ordered_logistic").isel(step=slice(0, 12))
    return [record.save(ds, folder / "short.nc", overwrite=True)]


def other_control(folder):
    control = worlds.make("exponential", n_subtasks=10)
    return [folder / "run.nc", "--control", record.save(control, folder / "other.nc", overwrite=True)]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (truncated, "torn.nc"),
        (lambda folder: [folder / "missing.zarr"], "missing.zarr"),
        (foreign, "notes.nc"),
        (short, "the record has 12 checkpoints; the test needs at least 17"),
        (other_control, "has 10 subtasks and the run has 40"),
        (lambda folder: [folder / "run.nc", "--explain", "99"], "subtask is 99; expected 0 to 39"),
        (lambda folder: [], "RUN"),
        (
            lambda folder: [folder / "run.nc", "--detector", "logistic", "--clock", "step", "--clock", "tokens"],
            "--detector is logistic, with --group or several --clock; expected one partition and one clock.",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_two(saved, tmp_path, capsys, bad, says):
    assert command(*bad(saved), out=tmp_path / "out") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("quanta.composition: error: ")
    assert says in said.err


def test_the_reasons_count_the_subtasks_of_every_run_of_an_ensemble():
    ds = record.combine([worlds.make("ordered_logistic", seed=seed) for seed in (0, 1)], "seed")
    n = ds.sizes["subtask"]
    said = composition.test(ds).attrs["reasons"][0]
    assert f"of {n} in each of 2 runs, {2 * n} changed and {2 * n} finished" in said


@pytest.mark.parametrize("dynamics", ["expected", "sampled"])
def test_steps_that_lie_between_two_checkpoints_are_not_smoothness(dynamics):
    """Half of the subtasks jump: too steep to be judged at 60 checkpoints, and no reason to call the rest the whole."""
    from quanta import frequencies, learners, simulate

    world = learners.Mixture(sharp=learners.Quantum(), smooth=learners.Exponential())
    ds = simulate.simulate(frequencies.Zipf(n_subtasks=100), world, n_checkpoints=60, dynamics=dynamics)
    result = composition.test(ds)
    assert result.attrs["verdict"] == "undetermined"
    assert "50 finished subtasks fall as steeply as a step" in result.attrs["reasons"][-1]
