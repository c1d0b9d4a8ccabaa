"""Detection around the detector: clocks, gaps, metrics, controls at the noise of the run, runs larger than memory."""

import numpy as np
import pytest
import xarray as xr

from quanta import composition, record, worlds
from quanta._errors import InputError
from quanta.transitions import _blocks, _clock, _control, _gaps, detect
from quanta.worlds import Noise, shapes

STEP = worlds.checkpoints(100)
TIME = STEP.astype(float)


def run_of(loss, step=STEP, **fields):
    """A record of SGD on 11 classes, all subtasks alike."""
    known = {"source": "simulated", "optimizer": "sgd", "n_classes": 11, "frequency": np.full(len(loss), 1 / len(loss))}
    return record.new(loss, step=step, **known | fields)


def is_sharp(found):
    return (found["status"] == "sharp").values


def noisy(curves, sigma, seed=0):
    return curves + sigma * np.ptp(curves, axis=1, keepdims=True) * _control.ar1(
        curves.shape, 0.5, np.random.default_rng(seed)
    )


# ---------------------------------------------------------------------------------------------------------- clocks


def test_a_run_says_which_clocks_it_has():
    ds = worlds.make("learning_rate_warmup")
    assert _clock.available(ds) == ["step", "learning_rate_sum"]
    stopped = ds.assign(tokens=("step", np.minimum(ds["step"].values, 1000)))
    assert "tokens" not in _clock.available(stopped)
    assert "tokens" in _clock.available(ds.assign(tokens=("step", 64 * ds["step"].values)))


@pytest.mark.parametrize("clock", ["tokens", "tau", "exposures"])
def test_a_clock_that_the_run_lacks_is_refused_by_the_names_of_those_it_has(clock):
    with pytest.raises(InputError) as caught:
        detect(worlds.make("learning_rate_warmup").drop_vars("frequency"), clock=clock)
    assert str(caught.value) == (
        f"clock is {clock!r}, which the record lacks or which does not advance at every checkpoint; "
        "expected one of step, learning_rate_sum."
    )


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_widths_are_told_in_the_clock_and_onsets_in_steps(power):
    """On a clock t^a every width is a times as long, every S is S/a; what happens, happens at the same steps."""
    loss = 2.4 * shapes.weibull(TIME, np.geomspace(30, 3000, 8)[:, None], 0.8)
    ds = run_of(loss).assign(compute=("step", TIME**power))
    plain, warped = (detect(ds, clock=clock) for clock in ("step", "compute"))
    assert (plain.attrs["clock"], warped.attrs["clock"]) == ("step", "compute")
    np.testing.assert_allclose(warped["width"] / plain["width"], power, rtol=0.03)
    np.testing.assert_allclose(warped["sharpness"] * power, plain["sharpness"], rtol=0.03)
    np.testing.assert_allclose(np.log(warped["onset"] / plain["onset"]), 0, atol=0.02)
    np.testing.assert_allclose(np.log(warped["half_time"] / plain["half_time"]), 0, atol=0.02)


def test_warm_up_is_sharp_in_steps_and_cured_by_the_sum_of_the_rate():
    ds = worlds.make("learning_rate_warmup")
    assert is_sharp(detect(ds, clock="step")).sum() >= 20
    assert is_sharp(detect(ds, clock="learning_rate_sum")).sum() <= 1
    assert detect(ds).attrs["clock"] == "learning_rate_sum"


@pytest.mark.parametrize("clock", ["step", "learning_rate_sum"])
def test_nothing_is_claimed_inside_a_decay_on_any_clock(clock):
    ds = worlds.make("learning_rate_decay")
    found = detect(ds, clock=clock)
    assert not is_sharp(found).any()
    began = found["onset"] > ds["step"][np.argmax(ds["learning_rate"].values < ds["learning_rate"].values.max())]
    assert (found["in_decay"] | ~began).all()


def test_expected_exposures_say_what_examples_say():
    ds = worlds.make("ordered_drift", n_subtasks=20)
    ds = ds.assign(examples=("step", 64.0 * ds["step"].values))
    by_examples, by_exposures = (detect(ds, clock=clock) for clock in ("examples", "exposures"))
    np.testing.assert_array_equal(by_exposures["status"], by_examples["status"])
    for name in (
        "onset",
        "width",
    ):  # but for rounding, which may decide whether an exponential is needed beside the step
        error = np.log(by_examples[f"{name}_high"] / by_examples[f"{name}_low"]) / 3.92
        apart = np.abs(np.log(by_exposures[name] / by_examples[name])) / error
        assert apart.max() < 0.5
        assert apart.median() < 0.01


def test_on_counted_exposures_a_pause_in_the_data_is_no_wait():
    """Exponentials in exposures, whose examples all come late: steps in time, and smooth in exposures."""
    seen = np.rint(400 * (1 - shapes.logistic(TIME, 800.0, 0.8)) + 0.02 * TIME)
    loss = noisy(2.4 * np.exp(-seen / 40)[None].repeat(12, axis=0), 0.005)
    ds = run_of(np.clip(loss, 0, None), exposures=np.broadcast_to(seen, loss.shape))
    assert (np.diff(seen) == 0).any()
    assert is_sharp(detect(ds, clock="step")).all()
    assert not is_sharp(detect(ds, clock="exposures")).any()


# ------------------------------------------------------------------------------------------------------------ gaps


def test_a_curve_with_gaps_is_tested_on_the_checkpoints_it_has():
    ds = worlds.make("ordered_logistic", n_subtasks=12)
    holed = ds.copy(deep=True)
    holed["loss"].values[:6, 1::4] = np.nan
    whole, found = detect(ds), detect(holed)
    assert found["n_missing"].values.tolist() == [25] * 6 + [0] * 6
    np.testing.assert_array_equal(found["status"], whole["status"])
    np.testing.assert_allclose(np.log(found["onset"] / whole["onset"]), 0, atol=0.08)
    assert np.isnan(found["fitted"].values[:6, 1::4]).all()
    assert np.isfinite(found["fitted"].values[:6, ::4]).all()
    assert np.isfinite(found["fitted"].values[6:]).all()


def test_a_curve_with_gaps_is_judged_as_if_its_checkpoints_were_all_there_are():
    ds = worlds.make("mixed", n_subtasks=12)
    kept = np.arange(ds.sizes["step"]) % 3 > 0
    alone = detect(ds.isel(step=kept))
    found = detect(ds.where(xr.DataArray(kept, dims="step") | (ds["step"] < 0)).assign(ds.drop_vars("loss")))
    np.testing.assert_array_equal(found["status"], alone["status"])
    np.testing.assert_allclose(found["onset"], alone["onset"], rtol=1e-6)


@pytest.mark.parametrize("left", [0, 1, 16])
def test_what_has_too_few_checkpoints_left_is_unresolved_and_counted(left):
    ds = worlds.make("ordered_logistic", n_subtasks=8)
    ds["loss"].values[3, left:] = np.nan
    found = detect(ds)
    assert found["status"].values[3] == "unresolved"
    assert found["n_missing"].values[3] == 100 - left
    for name in ("onset", "width", "height", "sharpness", "hits", "start"):
        assert np.isnan(found[name].values[3]), name
    assert is_sharp(found).sum() == 7


def test_a_run_of_nothing_but_nan_is_undetermined():
    ds = worlds.make("ordered_logistic", n_subtasks=8)
    ds["loss"].values[:] = np.nan
    assert set(detect(ds)["status"].values) == {"unresolved"}
    result = composition.test(ds)
    assert result.attrs["verdict"] == "undetermined"
    assert any("8 of 8 curves have gaps" in reason for reason in result.attrs["reasons"])


def test_what_was_not_measured_may_have_been_anything():
    """Of 40 subtasks 30 are lost: ten sharp ones do not make the run sharp."""
    ds = worlds.make("ordered_logistic")
    ds["loss"].values[10:] = np.nan
    result = composition.test(ds)
    assert result["sharp_weight_high"] == pytest.approx(1)
    heavy = composition.test(ds.assign(weight=("subtask", np.repeat([0.01, 0.03], [10, 30]))))
    assert heavy.attrs["verdict"] == "undetermined"
    assert heavy["sharp_weight_low"] < 0.2


def test_gaps_are_bridged_in_log_time():
    step = np.array([0, 1, 2, 4, 8])
    filled = _gaps.fill(np.array([[5.0, 4, np.nan, 2, 1], [np.nan] * 5]), step)
    np.testing.assert_allclose(filled[0], [5, 4, 3, 2, 1])
    assert np.isnan(filled[1]).all()


# ------------------------------------------------------------------------------------------------------- bad input


def test_repeated_steps_are_refused():
    ds = worlds.make("never")
    step = ds["step"].values.copy()
    step[5] = step[4]
    with pytest.raises(InputError, match=f"step does not increase: {step[4]} is followed by {step[4]}"):
        detect(ds.assign_coords(step=step))


def test_losses_without_a_unit_are_refused():
    ds = worlds.make("never")
    ds["loss"].attrs.clear()
    with pytest.raises(
        InputError, match=r"loss has units None: bits would be taken for nats; expected one of nat, bit"
    ):
        detect(ds)


@pytest.mark.parametrize("name", ["ordered_drift", "exponential", "never", "above_chance"])
def test_bits_are_found_where_nats_are(name):
    ds = worlds.make(name, n_subtasks=15)
    bits = ds.assign(loss=(ds["loss"] / np.log(2)).assign_attrs(units="bit"), chance_loss=ds["chance_loss"] / np.log(2))
    nat, bit = detect(ds), detect(bits)
    np.testing.assert_array_equal(bit["status"], nat["status"])
    np.testing.assert_array_equal(bit["base_sharpness"], nat["base_sharpness"])
    np.testing.assert_allclose(bit["drop"], nat["drop"] / np.log(2), rtol=1e-3)
    assert bit["drop"].attrs["units"] == "bit"


def test_without_frequencies_timing_is_said_to_be_open():
    for world in ("ordered_logistic", "never"):
        result = composition.test(worlds.make(world).drop_vars("frequency"))
        assert any("timing is not testable" in reason for reason in result.attrs["reasons"]), world


# --------------------------------------------------------------------------------------------------------- metrics


def metrics_of(loss, probability, n_classes=11, optimizer="sgd", sigma=0.03):
    return run_of(
        np.clip(noisy(loss, sigma), 0, None),
        probability=np.clip(noisy(probability, sigma, seed=1), 0, 1),
        n_classes=n_classes,
        optimizer=optimizer,
        chance_loss=np.log(n_classes),
    )


ONSETS = np.geomspace(60, 3000, 20)[:, None]


@pytest.mark.parametrize("n_classes", [11, 1000])
def test_what_is_sharp_in_the_loss_of_many_inputs_is_not_vetoed_by_their_mean_probability(n_classes):
    rng = np.random.default_rng(0)
    onset = ONSETS[..., None] * np.exp(0.35 * rng.standard_normal((20, 50, 1)))
    loss = np.log(n_classes) * (0.02 + 0.98 * shapes.logistic(TIME, onset, 0.6))
    found = detect(metrics_of(loss.mean(axis=1), np.exp(-loss).mean(axis=1), n_classes))
    np.testing.assert_array_equal(is_sharp(found), found["sharp_in_loss"])
    assert found["sharp_in_loss"].sum() >= 18


def test_a_loss_that_steps_while_answers_come_gradually_is_not_called_sharp():
    """A tenth of the inputs are confidently wrong until they are put right; the rest are learned exponentially."""
    wrong = 8 * np.log(11) * shapes.logistic(TIME, ONSETS, 0.6)
    right = 1 - 10 / 11 * np.exp(-TIME / ONSETS)
    found = detect(metrics_of(-0.9 * np.log(right) + 0.1 * wrong, 0.9 * right + 0.1 * np.exp(-wrong)))
    assert found["sharp_in_loss"].sum() >= 15
    assert found["sharp_in_probability"].sum() == 0
    assert is_sharp(found).sum() <= 4
    assert set(found["status"].values[found["sharp_in_loss"].values]) <= {"unresolved", "sharp"}


@pytest.mark.parametrize(("optimizer", "shape"), [("sgd", shapes.softmax_sgd), ("adam", shapes.softmax_adam)])
@pytest.mark.parametrize("n_classes", [2, 11, 1000])
def test_a_convex_softmax_is_sharp_in_neither_loss_nor_probability(optimizer, shape, n_classes):
    loss = np.log(n_classes) * shape(TIME, shapes.half_life(shape, n_classes) / ONSETS, n_classes)
    found = detect(metrics_of(loss, np.exp(-loss), n_classes, optimizer))
    for name in ("sharp_in_loss", "sharp_in_probability"):
        assert found[name].sum() <= 1, name


def test_a_probability_alone_is_held_to_the_null_of_a_probability():
    loss = np.log(1000) * shapes.softmax_sgd(TIME, shapes.half_life(shapes.softmax_sgd, 1000) / ONSETS, 1000)
    found = detect(metrics_of(loss, np.exp(-loss), 1000).drop_vars("loss"))
    assert found.attrs["metric"] == "probability"
    assert found["sharpness"].median() > 2  # which of a loss would be a phase change
    assert is_sharp(found).sum() <= 1


def test_sharp_in_accuracy_alone_is_flagged_and_no_claim():
    found = detect(worlds.make("accuracy_only"))
    assert found["sharp_in_accuracy"].mean() > 0.9
    assert not found["sharp_in_loss"].any()
    assert (found["metric_only"] <= found["sharp_in_accuracy"]).all()
    assert "sharp_in_probability" in found
    assert "sharp_in_accuracy" not in detect(worlds.make("mixed"))


# -------------------------------------------------------------------------------------------------------- controls


def test_a_control_says_how_much_it_is_worth():
    ds, (control,) = worlds.make("ordered_with_control"), worlds.controls("ordered_with_control")
    found = detect(ds, control=control)
    n = found.attrs["control_subtasks"]
    assert 20 <= n <= 40
    assert found.attrs["control_error_rate"] == pytest.approx(1 / (n + 1))
    few = detect(ds, control=control.isel(subtask=slice(0, 5)).assign(weight=("subtask", np.full(5, 0.2))))
    assert few.attrs["control_error_rate"] >= 1 / 6
    both = detect(ds, control=[control, control])
    assert both.attrs["control_subtasks"] > 1.8 * n


def test_s0_is_the_larger_of_the_base_and_a_tenth_above_the_controls_sharpest():
    for world in ("linear_coupled", "ordered_with_control"):
        ds, (control,) = worlds.make(world), worlds.controls(world)
        found = detect(ds, control=control)
        expected = np.maximum(detect(ds)["base_sharpness"], found.attrs["control_sharpness"])
        np.testing.assert_allclose(found["base_sharpness"], expected)


def ramps(n, sigma, seed):
    """Convex learning at constant speed, as Adam's, which passes for sharp where it is taken for gradient flow."""
    onset = np.exp(np.random.default_rng(seed).uniform(np.log(60), np.log(2500), (n, 1)))
    falling = shapes.softmax_adam(TIME, shapes.half_life(shapes.softmax_adam, 64) / onset, 64)
    return run_of(np.clip(noisy(2.4 * (0.02 + falling), sigma, seed), 0, None), chance_loss=2.45)


@pytest.mark.parametrize("quiet", [0.005, 0.03])
def test_beside_a_control_like_it_a_ramp_is_not_sharp_however_quiet_the_control(quiet):
    ds = ramps(80, 0.03, seed=0)
    assert is_sharp(detect(ds, curves=False)).sum() >= 8
    assert is_sharp(detect(ds, control=ramps(25, quiet, seed=1), curves=False)).sum() <= 1


def test_a_control_is_given_the_noise_of_the_run():
    quiet, loud = (worlds.make("exponential", noise=Noise(sigma=sigma, phi=0.6)) for sigma in (0.003, 0.05))
    noise = _control.noise_of(detect(loud))
    assert noise.share == pytest.approx(0.05, rel=0.15)
    assert noise.phi == pytest.approx(0.6, abs=0.15)
    again = _control.renoised(quiet, detect(quiet), noise, np.random.default_rng(0))
    measured = _control.noise_of(_blocks.judge(again, detect.__globals__["LikelihoodRatio"](), "step"))
    assert measured.share == pytest.approx(noise.share, rel=0.15)
    assert measured.phi == pytest.approx(noise.phi, abs=0.15)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_autoregressive_noise_has_its_variance_and_correlation(phi):
    e = _control.ar1((400, 400), phi, np.random.default_rng(0))
    assert e.var() == pytest.approx(1, abs=0.05)
    assert np.mean(e[:, 1:] * e[:, :-1]) == pytest.approx(phi, abs=0.05)
    assert e[:, 0].var() == pytest.approx(e[:, -1].var(), rel=0.3)  # stationary from the first on


def test_a_control_without_the_metric_is_refused():
    control = worlds.make("accuracy_alone")
    with pytest.raises(InputError, match="control 1 has no loss, in which the run is judged; measure it there too"):
        detect(worlds.make("mixed"), control=control)


def configured(name, **settings):
    return worlds.make(name).assign_attrs(control_kind="tabular", config=record.config_json(**settings))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: configured("exponential", batch_size=64), "was trained on other data: batch_size 64, not 256"),
        (lambda c: c.assign_attrs(optimizer="adam"), "was trained by adam and the run by sgd"),
        (
            lambda c: c.assign(learning_rate=("step", np.where(c["step"] > 1000, 0.01, 0.1))),
            "has a learning rate that takes another course than the run's",
        ),
    ],
)
def test_a_control_of_other_batches_optimizer_or_schedule_is_refused(change, says):
    run = configured("ordered_logistic", batch_size=256)
    run = run.assign(learning_rate=("step", np.full(run.sizes["step"], 0.3)))
    control = configured("exponential", batch_size=256)
    with pytest.raises(InputError, match=says) as caught:
        composition.test(run, controls=[change(control)])
    assert len(str(caught.value).splitlines()) == 1


def test_a_slower_rate_of_the_same_course_and_a_flow_without_optimizer_are_no_difference():
    run = worlds.make("ordered_logistic").assign_attrs(optimizer="adam")
    run = run.assign(learning_rate=("step", np.full(run.sizes["step"], 0.3)))
    flow = worlds.make("exponential").assign_attrs(control_kind="kernel")
    slow = worlds.make("exponential").assign_attrs(control_kind="tabular", optimizer="adam")
    slow = slow.assign(learning_rate=("step", np.full(run.sizes["step"], 0.001)))
    assert len(composition.test(run, controls=[flow, slow]).attrs["controls"]) == 2


def test_the_error_rate_that_a_control_guarantees_is_among_the_reasons():
    result = composition.test(worlds.make("ordered_with_control"), controls=worlds.controls("ordered_with_control"))
    assert any(
        "finished subtasks of controls, at the noise of the run: at most 2." in r for r in result.attrs["reasons"]
    )


# ----------------------------------------------------------------------------------------------------------- scale


def assert_same(one, other, *, but=()):
    for name in set(one.data_vars) - set(but):
        if one[name].dtype.kind in "bU":
            np.testing.assert_array_equal(other[name], one[name], err_msg=str(name))
        else:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-5, err_msg=str(name))


def test_without_curves_everything_else_is_the_same():
    ds = worlds.make("mixed", n_subtasks=12)
    whole, bare = detect(ds), detect(ds, curves=False)
    assert set(whole.data_vars) - set(bare.data_vars) == {"fitted", "step_part"}
    assert_same(bare, whole[list(bare.data_vars)])


def test_blocks_change_nothing_but_the_pooling_of_noise(monkeypatch):
    ds = worlds.make("mixed")
    whole = detect(ds)
    monkeypatch.setattr(_blocks, "BLOCK", 15)
    found = detect(ds)
    assert (found["status"] == whole["status"]).mean() >= 0.95
    np.testing.assert_allclose(np.log(found["half_time"] / whole["half_time"]), 0, atol=0.05)


@pytest.mark.parametrize("chunks", [{"subtask": 15}, {"subtask": 40}, {"seed": 1, "subtask": 20}])
def test_a_record_in_chunks_is_judged_as_in_memory(chunks, tmp_path):
    pytest.importorskip("dask")
    ds = record.combine([worlds.make("mixed", seed=seed) for seed in range(2)], "seed")
    path = record.save(ds, tmp_path / "run.zarr")
    opened = xr.open_zarr(path, chunks={}, consolidated=False).chunk(chunks)
    found, whole = detect(opened, curves=False), detect(ds, curves=False)
    assert found["status"].dims == ("seed", "subtask")
    assert (found["status"] == whole["status"]).mean() >= 0.95  # φ is pooled over a sample
    np.testing.assert_allclose(np.log(found["half_time"] / whole["half_time"]), 0, atol=0.05)


def test_chunks_along_step_are_joined_and_said_aloud():
    pytest.importorskip("dask")
    ds = worlds.make("ordered_logistic", n_subtasks=10)
    with pytest.warns(UserWarning, match="loss is chunked along step, and a curve is tested whole: rechunked"):
        found = detect(ds.chunk(step=30))
    assert_same(detect(ds), found, but=("fitted", "step_part"))


def test_progress_counts_curves(monkeypatch):
    told = []
    monkeypatch.setattr(_blocks, "BLOCK", 10)
    monkeypatch.setattr(
        "quanta._progress.Progress.update", lambda bar, done, note: told.append((done, bar.total, note()))
    )
    detect(worlds.make("ordered_logistic", n_subtasks=25), progress=True)
    assert told == [(10, 25, "100% sharp"), (20, 25, "100% sharp"), (25, 25, "100% sharp")]
