"""How sharp a model can look that has no phase changes: the null of the sharpness, and what S does not depend on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from quanta import record, worlds
from quanta._errors import InputError
from quanta.transitions import base_sharpness, detect, equivalent_hits, null_sharpness
from quanta.worlds import Noise

CLASSES = (2, 7, 11, 64, 256, 4096, 50257)
KNOWN = {"sgd": (0.77, 0.95, 1.02, 1.25, 1.41, 1.65, 1.81), "adam": (1.09, 1.26, 1.31, 1.51, 1.64, 1.83, 1.95)}


@pytest.mark.parametrize("optimizer", KNOWN)
def test_a_convex_softmax_is_as_sharp_as_was_measured(optimizer):
    found = [null_sharpness(optimizer, m) for m in CLASSES]
    np.testing.assert_allclose(found, KNOWN[optimizer], atol=0.01)


@pytest.mark.parametrize("optimizer", KNOWN)
@pytest.mark.parametrize("m", [3, 20])
def test_the_null_is_that_of_all_logits_integrated(optimizer, m):
    """Gradient flow of cross-entropy in m logits from zero; under Adam every logit moves at the speed of its sign."""
    right = np.eye(m)[0]

    def velocity(_, z):
        q = np.exp(z - z.max())
        downhill = right - q / q.sum()
        return downhill if optimizer == "sgd" else np.sign(downhill)

    t = np.concatenate([[0], np.geomspace(1e-3, 2e3 if optimizer == "sgd" else 20, 4000)])
    z = solve_ivp(velocity, (0, t[-1]), np.zeros(m), t_eval=t, rtol=1e-9, atol=1e-11, max_step=t[-1] / 50).y
    loss = np.log(np.exp(z - z[0]).sum(axis=0))
    slope = -np.gradient(loss[1:], np.log(t[1:]))
    assert null_sharpness(optimizer, m) == pytest.approx(math.e * slope.max() / math.log(m), abs=2e-3)


@pytest.mark.parametrize("optimizer", KNOWN)
@pytest.mark.parametrize("m", [2, 11, 1000])
def test_the_null_of_a_probability_is_that_of_all_logits_integrated(optimizer, m):
    """The m − 1 wrong logits stay equal: two numbers are integrated, in log time, and 1 − p differentiated."""

    def velocity(x, z):
        wrong = 1 / (1 + np.exp(z[0] - z[1]) / (m - 1))
        downhill = np.array([wrong, -wrong / (m - 1)])
        return np.exp(x) * (downhill if optimizer == "sgd" else np.sign(downhill))

    x = np.linspace(-8, np.log(60 * m if optimizer == "sgd" else 30), 6000)
    start = np.exp(x[0]) * velocity(0.0, np.zeros(2))
    z = solve_ivp(velocity, (x[0], x[-1]), start, t_eval=x, rtol=1e-9, atol=1e-12, method="LSODA").y
    wrong = 1 / (1 + np.exp(z[0] - z[1]) / (m - 1))
    slope = -np.gradient(wrong, x)
    expected = math.e * slope.max() / (1 - 1 / m)
    assert null_sharpness(optimizer, m, metric="probability") == pytest.approx(expected, rel=3e-3)


def test_of_a_probability_the_null_grows_with_the_logarithm_of_the_classes_without_limit():
    m = np.array([1e8, 1e10, 1e12])
    for optimizer, slope in (("sgd", 4 / 27 * math.e), ("adam", math.e / 4)):
        rising = [null_sharpness(optimizer, k, metric="probability") for k in m]
        np.testing.assert_allclose(np.diff(rising) / np.diff(np.log(m)), slope, rtol=0.02)
        assert rising[0] > math.e


def test_of_a_probability_what_is_not_known_is_taken_for_the_sharper():
    known = null_sharpness("adam", 2**18, metric="probability")
    for optimizer in ("unknown", "momentum", "adam"):
        assert null_sharpness(optimizer, None, metric="probability") == known
    assert base_sharpness("unknown", np.array([np.nan]), metric="probability") == pytest.approx([1.2 * known])
    assert base_sharpness("sgd", np.array([2.0, 11.0]), metric="accuracy") == pytest.approx([math.e, math.e])


@pytest.mark.parametrize(("sharpness", "hits"), [(1.0, 1), (1.47, 2), (2.38, 5), (4.83, 20)])
def test_s_is_read_as_a_number_of_hits(sharpness, hits):
    assert equivalent_hits(np.array([sharpness]))[0] == pytest.approx(hits, rel=0.01)


@settings(max_examples=50)
@given(st.floats(1, 1e4))
def test_an_erlang_wait_is_as_sharp_as_its_hits(m):
    log_s = 1 + m * math.log(m) - m - math.lgamma(m)
    assert equivalent_hits(np.exp(log_s)) == pytest.approx(m, rel=1e-3)


def test_what_is_duller_than_an_exponential_has_no_hits():
    assert np.isnan(equivalent_hits(np.array([0.0, 0.99, np.nan]))).all()


def test_more_classes_are_sharper_and_never_beyond_a_ramp():
    for optimizer in KNOWN:
        rising = [null_sharpness(optimizer, m) for m in np.geomspace(2, 1e7, 30)]
        assert np.all(np.diff(rising) > 0)
        assert rising[-1] < math.e


@pytest.mark.parametrize(
    ("optimizer", "n_classes", "units", "expected"),
    [
        ("unknown", 11, "nat", math.e),
        ("sgd", None, "nat", math.e),
        ("adam", math.nan, "nat", math.e),
        ("sgd", None, "squared error", 1.0),
        ("adam", None, "squared error", math.e / 2),
        ("unknown", None, "squared error", math.e),
    ],
)
def test_what_is_not_known_gets_the_widest_bound(optimizer, n_classes, units, expected):
    assert null_sharpness(optimizer, n_classes, units) == pytest.approx(expected)


def test_momentum_is_no_duller_than_a_convex_table_was_seen_to_be():
    assert null_sharpness("momentum", 2) == 1.18
    assert null_sharpness("momentum", 50257) == null_sharpness("sgd", 50257)


def test_the_base_is_a_fifth_above_the_null_within_its_limits():
    base = base_sharpness("sgd", np.array([2, 64, 50257, np.nan]))
    assert base == pytest.approx([1.2, 1.2 * null_sharpness("sgd", 64), 1.2 * null_sharpness("sgd", 50257), math.e])
    assert base_sharpness("unknown", np.array([2.0, 11.0])) == pytest.approx([math.e, math.e])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sdg", 11), "optimizer is 'sdg'; expected sgd, momentum, adam or unknown."),
        (("sgd", 1), "n_classes is 1; expected 2 or more."),
        (("sgd", 11, "nat", "accuracy"), "metric is 'accuracy'; expected loss or probability."),
    ],
)
def test_what_is_no_null_is_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        null_sharpness(*arguments)
    assert str(caught.value) == message


# ------------------------------------------------------------------------------------- sharpness through `detect`

STEP = worlds.checkpoints(90)


@settings(max_examples=25)
@given(data=st.data(), n=st.integers(1, 5))
def test_no_finished_mixture_of_exponentials_is_sharper_than_one(data, n):
    tau = np.array(data.draw(st.lists(st.floats(10, 3000), min_size=n, max_size=n)))
    share = np.array(data.draw(st.lists(st.floats(0.05, 1), min_size=n, max_size=n)))
    curve = share / share.sum() @ np.exp(-STEP / tau[:, None])
    found = detect(record.new(2.0 * curve[None], step=STEP, source="simulated", optimizer="sgd", n_classes=11))
    assert found["sharpness"].item() <= 1.001
    assert found["status"].item() != "sharp"


def test_one_exponential_attains_a_sharpness_of_one():
    curve = np.exp(-STEP / 300)[None]
    found = detect(record.new(curve, step=STEP, source="simulated", optimizer="sgd", n_classes=11))
    assert found["sharpness"].item() == pytest.approx(1, abs=0.01)
    assert (found["status"].item(), np.isnan(found["onset"].item())) == ("smooth", True)


def changed(ds, *, loss=1.0, time=1.0):
    """The same run in other units of loss or time."""
    curves = (ds["loss"] * loss).assign_attrs(ds["loss"].attrs)
    scaled = ds.assign(loss=curves, chance_loss=ds["chance_loss"] * loss)
    return scaled.assign_coords(step=ds["step"].values * time)


@pytest.mark.parametrize("name", ["ordered_drift", "exponential_mixtures", "mixed"])
@pytest.mark.parametrize("factor", [2.0**-7, 2.0**9])
def test_neither_the_unit_of_loss_nor_that_of_time_changes_what_is_found(name, factor):
    ds = worlds.make(name, n_subtasks=20)
    found, rescaled, slowed = (detect(run) for run in (ds, changed(ds, loss=factor), changed(ds, time=factor)))
    for other, loss, time in ((rescaled, factor, 1.0), (slowed, 1.0, factor)):
        np.testing.assert_array_equal(other["status"], found["status"])
        # Neighbouring exponentials are nearly parallel: rounding decides which stand in the fit, and moves S this much.
        np.testing.assert_allclose(other["sharpness"], found["sharpness"], rtol=0.01)
        np.testing.assert_allclose(other["width"], found["width"], rtol=1e-3)
        np.testing.assert_allclose(other["onset"], time * found["onset"], rtol=1e-3)
        np.testing.assert_allclose(other["height"], loss * found["height"], rtol=1e-3)


def test_s_does_not_depend_on_the_noise_on_average():
    noises = [Noise(sigma=sigma) for sigma in (0.0, 0.02)]
    quiet, noisy = (detect(worlds.make("ordered_weibull", noise=noise)) for noise in noises)
    ratio = (noisy["sharpness"] / quiet["sharpness"]).values
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
