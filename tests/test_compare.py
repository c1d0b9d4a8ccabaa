"""Comparing a run with models: what is calibrated, what is predicted unseen, and what cannot be told."""

import json

import numpy as np
import pytest
import xarray as xr

from quanta import compare, frequencies, plot, record, worlds
from quanta._compare_scores import SCORES, calibrate
from quanta._compare_templates import AGES, Curves, families, log_half_time
from quanta.learners import (
    LEARNERS,
    AbstractIndependent,
    Multilinear,
    PowerLaw,
    Stretched,
    Synchronous,
    Threshold,
)

MODELS = [name for name, cls in LEARNERS.items() if issubclass(cls, AbstractIndependent)]


def toy(learner, *, n_subtasks=60, exponent=1.4, n_steps=60, times=1000):
    """A noiseless run of a learner, measured until the rarest subtask has been learned."""
    p = frequencies.Zipf(n_subtasks=n_subtasks, exponent=exponent).probabilities()
    step = np.concatenate([[0], np.unique(np.rint(np.geomspace(1, times / p.min(), n_steps)))])
    return record.new(
        learner.expected(p[:, None], step[None, :]), step=step, frequency=p, units="squared error", source="simulated",
        chance_loss=learner.chance_loss,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ordered():
    """Multilinear steps in the order of frequency, with noise."""
    real = worlds.make("ordered_multilinear")
    return real, compare.compare(real)


def test_a_world_of_ordered_steps_is_predicted_unseen_and_above_permuted_onsets(ordered):
    _, result = ordered
    assert result["q2_macro"].sel(model="multilinear") > 0.95
    assert result["q2_curves"].sel(model="multilinear") > 0.9
    models = result["model"].values.tolist()
    assert models.index("multilinear") < models.index("permuted onsets")


def test_permuted_onsets_predict_worse(ordered):
    _, result = ordered
    assert result["q2_macro_high"].sel(model="permuted onsets") < result["q2_macro"].sel(model=result.attrs["best"])
    assert result.attrs["permutation_p"] <= 0.01


def test_all_models_and_the_permuted_null_are_ranked_by_error(ordered):
    _, result = ordered
    assert {*result["model"].values.tolist()} == {*MODELS, "permuted onsets"}
    assert np.all(np.diff(result["error"].values) >= 0)
    assert result.attrs["best"] == result["model"].values[0]


def test_every_score_lies_in_its_interval(ordered):
    _, result = ordered
    for score in SCORES:
        learners = result.sel(model=MODELS)
        assert np.all(learners[f"{score}_low"] <= learners[score] + 1e-9)
        assert np.all(learners[score] <= learners[f"{score}_high"] + 1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_a_learner_explains_its_own_run(name):
    result = compare.compare(toy(LEARNERS[name]()))
    own = result.sel(model=name)
    assert own["q2_macro"] > 0.99
    assert not own["told_apart"]
    assert own["onset_error"] < 0.1


@pytest.mark.parametrize(
    ("learner", "chosen"),
    [
        (Threshold(hits=20), {"hits=14", "hits=20", "hits=30"}),
        (PowerLaw(power=1.0), {"power=0.6", "power=1", "power=1.5"}),
        (Stretched(stretch=0.5), {"stretch=0.4", "stretch=0.5", "stretch=0.6"}),
        (Synchronous(spread=1.0), {"spread=0.5", "spread=1", "spread=2"}),
    ],
)
def test_the_shape_of_a_learner_is_recovered(learner, chosen):
    name = next(name for name, cls in LEARNERS.items() if cls is type(learner))
    result = compare.compare(toy(learner, exponent=1.1))
    assert {*result["shape"].sel(model=name).values.tolist()} <= chosen | {""}


def test_one_event_for_all_is_told_from_every_learner_that_frequency_orders():
    result = compare.compare(toy(Synchronous()))
    assert result.attrs["best"] == "synchronous"
    assert result["gamma"].sel(model="synchronous") == 0
    assert result["told_apart"].sel(model=[name for name in MODELS if name != "synchronous"]).all()


def test_a_slow_tail_is_no_floor():
    curves = Curves.of(toy(PowerLaw(power=0.6), exponent=1.1, times=50))
    half = np.arange(0, 60, 2)
    assert curves.share[half, -1].min() > 0.05
    assert calibrate(families({})["power_law"], curves, half).floor < 0.02


def test_a_sampled_threshold_is_predicted_best_by_its_mean_over_runs():
    """Single runs are steps, but at times that scatter: told its frequency alone, a subtask is best drawn as the mean."""
    ds = toy(Threshold(hits=3), n_subtasks=200, exponent=1.2, times=30)
    learned = np.random.default_rng(0).gamma(3, 1 / ds["frequency"])  # when the third hit comes
    ds["loss"] = (ds["loss"].dims, np.where(ds["step"].values < learned[:, None], 1.0, 0.0))
    result = compare.compare(ds)
    assert result["q2_curves"].sel(model="threshold") > result["q2_curves"].sel(model="quantum")


def test_a_simulated_run_is_a_model_of_its_own():
    simulated = toy(Multilinear(initial=0.001), n_subtasks=100)
    result = compare.compare(toy(Multilinear(initial=0.001), exponent=1.2), {"mine": simulated})
    own = result.sel(model="mine")
    assert own["q2_macro"] > 0.99
    assert own["gamma"] == pytest.approx(1, abs=0.05)


def test_unordered_steps_are_not_predicted_by_frequency():
    result = compare.compare(worlds.make("unordered"))
    assert result.attrs["permutation_p"] > 0.05
    assert "do not order" in result.attrs["sentence"]


def test_held_out_losses_leave_the_prediction_unchanged():
    real = toy(Multilinear())
    other = real.copy(deep=True)
    other["loss"][1::2, 1:] = other["loss"][1::2, 1:] ** 2  # every second subtask by frequency
    before, after = compare.compare(real), compare.compare(other)
    model = "multilinear"
    held = {"subtask": slice(1, None, 2)}
    np.testing.assert_array_equal(
        before["prediction"].sel(model=model).isel(held), after["prediction"].sel(model=model).isel(held)
    )
    assert not np.array_equal(before["prediction"].sel(model=model), after["prediction"].sel(model=model))


def test_transitions_give_the_onsets_of_the_real_curves():
    real = toy(Multilinear())
    late = np.exp(Curves.of(real).half_time + 1)
    found = xr.Dataset({"half_time": ("subtask", late)}, {"subtask": real["subtask"]})
    assert compare.compare(real, transitions=found)["onset_error"].sel(model="multilinear") == pytest.approx(1, abs=0.1)


def test_the_same_seed_gives_the_same_result(ordered):
    real, result = ordered
    assert result.identical(compare.compare(real))


@pytest.mark.parametrize("name", MODELS)
def test_templates_are_half_way_at_age_zero_and_fall(name):
    for template in families({})[name]:
        assert np.interp(0, AGES, template.left) == pytest.approx(0.5, abs=0.01)
        assert np.all(np.diff(template.left) <= 1e-9)
        assert template.left[0] == pytest.approx(1, abs=1e-3)


def test_the_half_time_of_a_falling_curve_is_its_crossing():
    time = np.linspace(0, 8, 400)
    np.testing.assert_allclose(log_half_time(1 / (1 + np.exp(5 * (time - 3)))[None], time), 3, atol=1e-3)


def test_a_spike_moves_the_half_time_by_no_more_than_its_width():
    time = np.linspace(0, 8, 81)
    curve = np.where(time < 3.05, 1.0, 0.0)
    spiked = curve.copy()
    spiked[60] = 1.0  # the spike is 0.1 nats wide at half height, 3 nats after the drop
    moved = log_half_time(spiked[None], time)[0] - log_half_time(curve[None], time)[0]
    assert 0 < moved <= 0.1 + 1e-9


def test_calibration_recovers_the_time_scale_of_the_learner():
    learner = Multilinear(initial=0.01)
    curves = Curves.of(toy(learner))
    fit = calibrate(families({})["multilinear"], curves, np.arange(20, 60))
    p = np.exp(curves.log_frequency)
    np.testing.assert_allclose(np.exp(fit.log_onset(curves.log_frequency)), learner.onset(p), rtol=0.05)
    assert fit.floor == pytest.approx(0, abs=1e-3)


# ------------------------------------------------------------------------------------------ bad input


def _without_loss(ds):
    return ds.rename(loss="accuracy").assign(accuracy=lambda d: d["accuracy"].clip(0, 1))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_without_loss, "no loss"),
        (lambda ds: ds.isel(subtask=[0]).assign(weight=("subtask", [1.0])), "one subtask"),
        (lambda ds: ds.drop_vars("frequency"), "frequencies above 0 for 0 of"),
        (lambda ds: ds.assign(frequency=ds["frequency"] * np.nan), "frequencies above 0 for 0 of 60"),
        (lambda ds: ds.isel(step=slice(0, 20)), "of 60 subtasks lost half of their loss; comparing needs 6"),
        (lambda ds: ds.isel(step=slice(None, None, 6)), "expected 17"),
        (lambda ds: record.combine([ds, ds], "seed"), "ensemble over seed"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(spoil, complaint):
    with pytest.raises(compare.InputError, match=complaint):
        compare.compare(spoil(toy(Multilinear())))


# ------------------------------------------------------------------------------------------ the command


@pytest.fixture
def stored(tmp_path, ordered):
    return record.save(ordered[0], tmp_path / "real.zarr")


def test_the_command_prints_a_table_and_finds_its_own_finished_run_again(stored, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare.main([str(stored), "--out", str(out)]) == 0
    first = capsys.readouterr().out
    assert "multilinear" in first
    assert "permuted onsets (null)" in first
    assert "does not show that its pieces are steps" in first
    assert (out / "compare.png").stat().st_size > 10_000
    assert compare.main([str(stored), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"this very comparison is finished already: {out}\n{first}"


def test_json_is_one_object(stored, tmp_path, capsys):
    p = tmp_path / "toy.zarr"
    record.save(toy(Multilinear()), p)
    assert compare.main([str(stored), str(p), "--out", str(tmp_path / "out"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {one["model"] for one in summary["models"]} == {*MODELS, "toy", "permuted onsets"}
    assert summary["best"] == summary["models"][0]["model"]


def test_a_record_made_anew_is_compared_anew(stored, ordered, tmp_path, capsys):
    out = tmp_path / "out"
    compare.main([str(stored), "--out", str(out)])
    record.save(ordered[0].assign_attrs(created="later"), stored, overwrite=True)
    capsys.readouterr()
    assert compare.main([str(stored), "--out", str(out)]) == 0
    assert "finished already" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["--sead", "1"]])
def test_bad_command_lines_are_one_line_and_status_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compare.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("quanta.compare: error: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_record_that_cannot_be_compared_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record.save(toy(Multilinear()).isel(subtask=[0]).assign(weight=("subtask", [1.0])), "one.zarr")
    assert compare.main(["one.zarr"]) == 2
    assert "one subtask" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_figure_has_one_panel(ordered):
    assert len(plot.compare(*ordered).axes) == 1
