"""Worlds must be what they say: their truth is what every detector is measured against."""

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from quanta import record, transitions, worlds
from quanta._errors import InputError
from quanta.worlds import Noise, shapes
from quanta.worlds.training import _noisy_quadratic

QUIET = Noise(sigma=0.0)
VERDICTS = {
    *("ordered-composition", "unordered-composition", "synchronous", "mixed"),
    *("ordered-smooth", "smooth", "metric-only", "undetermined"),
}
STEP_WORLDS = [f"ordered_{shape}" for shape in ("logistic", "weibull", "gompertz", "gaussian", "multilinear")]
CONVEX_FAMILIES = {f for f in worlds.SMOOTH_FAMILIES if f.startswith("softmax")}  # linear, but not completely monotone
ALL_FAMILIES = [
    *(*worlds.SMOOTH_FAMILIES, *worlds.TRAP_FAMILIES),
    *(*worlds.STEP_FAMILIES, *worlds.MULTI_STEP_FAMILIES),
]


def sharpness(clock: np.ndarray, curve: np.ndarray, drop: np.ndarray | float) -> np.ndarray:
    """S = e · max(-dl/d ln t) / H from secants, which can only underrate it."""
    x, positive = np.log(clock[clock > 0]), curve[..., clock > 0]
    return math.e * np.max(-np.diff(positive) / np.diff(x), axis=-1) / drop


def quiet(name: str, **size: int) -> xr.Dataset:
    return worlds.make(name, noise=QUIET, **size)


def world_sharpness(ds: xr.Dataset, clock: str = "step") -> np.ndarray:
    loss = ds["loss"].values.astype(float)
    return sharpness(ds[clock].values.astype(float), loss, ds["chance_loss"].values / 1.05)


# ------------------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize("width", [0.3, 0.8, 1.5, 2.2])
@pytest.mark.parametrize("shape", shapes.STEPS)
def test_onset_and_width_of_a_step_are_where_the_curve_crosses(shape, width):
    def crossing(left: float) -> float:
        return brentq(lambda x: shapes.STEPS[shape](np.exp(x), 300.0, width) - left, -5, 25, xtol=1e-12)

    assert crossing(0.5) == pytest.approx(math.log(300), abs=1e-9)
    assert crossing(0.1) - crossing(0.9) == pytest.approx(width, abs=1e-9)


@pytest.mark.parametrize("shape", shapes.STEPS)
def test_a_step_falls_from_one_to_nothing(shape):
    t = np.concatenate([[0.0], np.geomspace(1e-3, 1e9, 500)])
    s = shapes.STEPS[shape](t, 300.0, 0.8)
    assert s[0] == pytest.approx(1, abs=1e-12)
    assert np.all(np.diff(s) <= 1e-15)
    assert s[-1] < 1e-6


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("logistic", math.e * math.log(9) / 2 / 0.8),
        ("weibull", 3.0843 / 0.8),
        ("gompertz", 3.0843 / 0.8),
        ("gaussian", math.e * 2.5631 / 0.8 / math.sqrt(2 * math.pi)),
    ],
)
def test_sharpness_of_a_step_has_its_closed_form(shape, expected):
    t = np.geomspace(1, 1e5, 20_000)
    assert sharpness(t, shapes.STEPS[shape](t, 300.0, 0.8), 1.0) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("log_ratio", "width", "expected"),
    [(1, 2.64, 1.26), (2, 2.13, 1.69), (4, 1.25, 2.92), (6, 0.77, 4.40), (8, 0.54, 5.97)],
)
def test_the_multilinear_step_has_the_known_width_and_sharpness(log_ratio, width, expected):
    t = np.geomspace(1e-4, 60, 200_000)
    left = ((1 - 1 / (1 + (math.exp(log_ratio) - 1) * np.exp(-t))) / (1 - math.exp(-log_ratio))) ** 2
    measured = math.log(np.interp(-0.1, -left, t) / np.interp(-0.9, -left, t))
    assert measured == pytest.approx(width, abs=0.006)
    assert shapes.multilinear_start(measured) == pytest.approx(-log_ratio, abs=1e-3)
    assert sharpness(t, left, 1.0) == pytest.approx(expected, abs=0.006)


def test_the_multilinear_step_solves_its_equation():
    start, rate = math.exp(shapes.multilinear_start(0.8)), 0.02
    t = np.linspace(0, 800, 200)
    ability = solve_ivp(lambda _, r: rate * r * (1 - r), (0, 800), [start], t_eval=t, rtol=1e-10, atol=1e-12).y[0]
    left = ((1 - ability) / (1 - start)) ** 2
    onset = np.interp(-0.5, -left, t)
    np.testing.assert_allclose(shapes.multilinear(t, onset, 0.8), left, atol=2e-3)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), n=st.integers(1, 6))
def test_no_mixture_of_exponentials_is_sharper_than_one(data, n):
    tau = np.array(data.draw(st.lists(st.floats(1e-2, 1e5), min_size=n, max_size=n)))
    share = np.array(data.draw(st.lists(st.floats(0.01, 1), min_size=n, max_size=n)))
    t = np.geomspace(1e-6, 1e8, 4000)
    s = shapes.mixture(t, tau[None], share[None] / share.sum())[0]
    assert sharpness(t, s, 1.0) <= 1 + 1e-9


def test_one_exponential_attains_the_bound():
    t = np.geomspace(1e-3, 1e3, 10_000)
    assert sharpness(t, shapes.exponential(t, 1.0), 1.0) == pytest.approx(1, abs=1e-5)


# --------------------------------------------------------------------------------------- convex softmax


def test_the_softmax_table_solves_gradient_flow_of_all_logits():
    m, rate = 5, 0.3

    def flow(_: float, z: np.ndarray) -> np.ndarray:
        q = np.exp(z - z.max())
        q /= q.sum()
        return rate * (np.eye(m)[0] - q)

    t = np.linspace(0, 60, 50)
    z = solve_ivp(flow, (0, 60), np.zeros(m), t_eval=t, rtol=1e-10, atol=1e-12).y
    loss = np.log(np.exp(z).sum(0)) - z[0]
    # u = z_right - z_wrong moves at rate · (1 - q_right) · m/(m - 1)
    expected = math.log(m) * shapes.softmax_sgd(t, rate * m / (m - 1), m)
    np.testing.assert_allclose(expected, loss, rtol=1e-7)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (shapes.softmax_sgd, [0.77, 0.95, 1.02, 1.25, 1.41, 1.65, 1.81]),
        (shapes.softmax_adam, [1.09, 1.26, 1.31, 1.51, 1.64, 1.83, 1.95]),
    ],
)
def test_convex_softmax_has_the_known_sharpness(shape, expected):
    t = np.geomspace(1e-6, 1e9, 200_000)
    found = [float(sharpness(t, shape(t, 1.0, m), 1.0)) for m in (2, 7, 11, 64, 256, 4096, 50257)]
    np.testing.assert_allclose(found, expected, atol=0.02)


# -------------------------------------------------------------------------------------- coupled regression


def test_coupled_regression_solves_gradient_flow_of_the_weights():
    rng = np.random.default_rng(3)
    features = rng.standard_normal((6, 9)) / 3
    frequency, target = rng.dirichlet(np.ones(6)), rng.choice([-1.0, 1.0], 6)
    t = np.linspace(0, 40, 30)

    def flow(_: float, w: np.ndarray) -> np.ndarray:
        return -(frequency * (features @ w - target)) @ features

    w = solve_ivp(flow, (0, 40), np.zeros(9), t_eval=t, rtol=1e-10, atol=1e-12).y
    expected = features @ w - target[:, None]
    np.testing.assert_allclose(shapes.coupled_residuals(t, frequency, features, target), expected, atol=1e-8)


def test_two_coupled_tasks_make_the_rare_one_sharp_though_the_total_is_not():
    t = np.geomspace(1e-3, 1e5, 20_000)
    frequency, cosine = np.array([0.95, 0.05]), -0.5
    features = np.array([[1, 0], [cosine, math.sqrt(1 - cosine**2)]])
    loss = shapes.coupled_residuals(t, frequency, features, np.ones(2)) ** 2
    assert sharpness(t, loss[1], 1.0) == pytest.approx(2.23, abs=0.15)
    assert sharpness(t, frequency @ loss, 1.0) <= 1 + 1e-9


def test_the_linear_world_has_sharp_subtasks_in_every_draw():
    share = [np.mean(world_sharpness(quiet("linear_coupled", seed=seed)) > 1.2) for seed in range(10)]
    assert min(share) > 0.1
    assert 0.25 < np.mean(share) < 0.5
    mean = record.mean_loss(quiet("linear_coupled", n_checkpoints=1000))
    assert sharpness(mean["step"].values.astype(float), mean.values, 1 / 1.05) <= 1.001


def test_the_control_of_the_linear_world_is_the_same_flow_measured_again():
    (exact,) = worlds.controls("linear_coupled", seed=4, noise=QUIET)
    xr.testing.assert_equal(exact["loss"], quiet("linear_coupled", seed=4)["loss"])
    run, (control,) = worlds.make("linear_coupled", seed=4), worlds.controls("linear_coupled", seed=4)
    error = (run["loss"] - exact["loss"]).values.ravel(), (control["loss"] - exact["loss"]).values.ravel()
    assert abs(np.corrcoef(error)[0, 1]) < 0.1
    assert control.attrs["control_of"] == run.attrs["run_id"]
    assert control.attrs["control_kind"] == "kernel"


# ------------------------------------------------------------------------------------------------- noise


def measured_errors(noise: Noise, n: int = 400, m: int = 400) -> np.ndarray:
    flat = np.full((n, m), 1e6)  # far from any floor
    return (noise.add(flat, np.full(n, 2.0), np.random.default_rng(0)) - flat) / 2.0


@pytest.mark.parametrize("tails", [math.inf, 5.0])
@pytest.mark.parametrize(("sigma", "phi", "shared"), [(0.03, 0.5, 0.0), (0.1, 0.8, 0.0), (0.05, 0.0, 0.5)])
def test_noise_has_its_stated_size_memory_and_sharing(sigma, phi, shared, tails):
    e = measured_errors(Noise(sigma=sigma, phi=phi, shared=shared, tails=tails))
    assert e.std() == pytest.approx(sigma, rel=0.06)
    assert np.mean(e[:, 1:] * e[:, :-1]) / np.mean(e**2) == pytest.approx(phi, abs=0.05)
    between = np.corrcoef(e[:40])
    assert between[np.triu_indices(40, 1)].mean() == pytest.approx(shared, abs=0.06)


def test_noise_is_stationary_from_the_first_checkpoint():
    deviation = measured_errors(Noise(sigma=1.0, phi=0.9), n=20_000, m=4).std(0)
    np.testing.assert_allclose(deviation, 1.0, rtol=0.03)


def test_growing_noise_is_proportional_to_the_loss():
    level = np.repeat([[4.0, 2.0, 0.5]], 20_000, axis=0)
    noise = Noise(sigma=0.02, phi=0.0, growth=1.0)
    e = noise.add(level, np.full(20_000, 3.0), np.random.default_rng(0)) - level
    np.testing.assert_allclose(e.std(0), [0.06, 0.03, 0.0075], rtol=0.03)


def test_heavy_tails_are_heavier_than_gaussian_at_the_same_variance():
    far = [np.mean(np.abs(measured_errors(Noise(sigma=1.0, phi=0.0, tails=tails))) > 5) for tails in (math.inf, 3.0)]
    assert far[0] < 1e-5
    assert far[1] > 1e-3


def test_the_floor_clips_and_none_does_not():
    nothing = np.zeros((10, 50))
    assert Noise(floor=0.0).add(nothing, np.ones(10), np.random.default_rng(0)).min() == 0
    assert Noise(floor=None).add(nothing, np.ones(10), np.random.default_rng(0)).min() < 0


@pytest.mark.parametrize(
    "bad", [{"sigma": -1}, {"sigma": math.nan}, {"phi": 1.0}, {"shared": 2}, {"growth": -1}, {"tails": 2}]
)
def test_impossible_noise_is_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Noise(**bad)


# ---------------------------------------------------------------------------------------------- families


@pytest.mark.parametrize("family", [f for f in worlds.SMOOTH_FAMILIES if f not in CONVEX_FAMILIES])
def test_smooth_families_are_never_sharper_than_first_order(family):
    step, loss, truth = worlds.curves(family, n=300, sigma=0, n_checkpoints=2000)
    assert sharpness(step.astype(float), loss, truth.drop).max() <= 1.001
    assert np.all(np.diff(loss) <= 1e-12)
    assert np.all(np.isnan(truth.onset))
    assert np.all(np.isnan(truth.width))


@pytest.mark.parametrize("family", worlds.STEP_FAMILIES)
def test_step_families_know_their_step(family):
    step, loss, truth = worlds.curves(family, n=100, sigma=0, n_checkpoints=3000, width=1.0)
    if family == "drift_step":
        np.testing.assert_allclose(truth.height, 0.6 * truth.drop)
        assert np.median(sharpness(step.astype(float), loss, truth.drop)) > 1.5
        return
    left = loss / truth.drop[:, None] - 0.05
    crossing = [np.array([np.interp(-s, -curve, step) for curve in left]) for s in (0.9, 0.5, 0.1)]
    np.testing.assert_allclose(crossing[1], truth.onset, rtol=0.01)
    np.testing.assert_allclose(np.log(crossing[2] / crossing[0]), truth.width, atol=0.02)


@pytest.mark.parametrize("family", sorted(CONVEX_FAMILIES))
def test_convex_families_are_as_sharp_as_their_optimizer_and_classes_say(family):
    step, loss, truth = worlds.curves(family, n=100, sigma=0, n_checkpoints=3000)
    fields = worlds.family_fields(family)
    expected = transitions.null_sharpness(fields["optimizer"], fields["n_classes"])
    found = sharpness(step.astype(float), loss, truth.drop)
    np.testing.assert_allclose(found, expected, rtol=0.02)
    assert truth.height.max() == 0


@pytest.mark.parametrize(
    ("family", "shares", "gap"),
    [
        ("two_steps", (0.5, 0.5), (1, 2.5)),
        ("unequal_steps_70_30", (0.7, 0.3), (1, 2.5)),
        ("unequal_steps_30_70", (0.3, 0.7), (1, 2.5)),
        ("three_steps", (1 / 3, 1 / 3, 1 / 3), (1.2, 2)),
    ],
)
def test_several_steps_are_as_high_and_as_far_apart_as_they_say(family, shares, gap):
    # Narrow steps leave flat treads between: their levels are the shares, the middle of each wall is an onset.
    step, loss, truth = worlds.curves(family, n=50, sigma=0, n_checkpoints=3000, width=0.1)
    left = loss / truth.drop[:, None] - 0.05
    levels = 1 - np.cumsum((0, *shares))
    onsets = [[np.interp(-(a + b) / 2, -curve, step) for curve in left] for a, b in itertools.pairwise(levels)]
    gaps = np.diff(np.log(onsets), axis=0)
    assert gap[0] - 0.02 <= gaps.min() < gap[0] + 0.1
    assert gap[1] - 0.2 < gaps.max() <= gap[1] + 0.02
    np.testing.assert_allclose(onsets[int(np.argmax(shares))], truth.onset, rtol=0.01)
    np.testing.assert_allclose(truth.height, truth.drop)


def test_a_ramp_is_as_sharp_as_a_convex_model_can_be():
    step, loss, truth = worlds.curves("ramp", n=100, sigma=0, n_checkpoints=3000)
    found = sharpness(step.astype(float), loss, truth.drop)
    assert found.max() <= math.e + 1e-9
    assert np.median(found) == pytest.approx(math.e, rel=0.01)  # whole steps are coarse where the ramp is short
    assert transitions.null_sharpness(**worlds.family_fields("ramp")) == math.e


def test_a_bump_rises_by_about_a_quarter_above_an_exponential():
    step, loss, truth = worlds.curves("bump", n=200, sigma=0, n_checkpoints=1000)
    rises = np.max(loss - np.minimum.accumulate(loss, axis=1), axis=1) / truth.drop
    assert 0.02 < np.median(rises) < 0.25
    assert np.median(sharpness(step.astype(float), loss, truth.drop)) > 1.3
    assert np.isnan(truth.onset).all()


def test_shot_noise_is_the_exponential_in_expectation_and_jumps_at_every_exposure():
    step, loss, truth = worlds.curves("shot_noise", n=4000, sigma=0, baseline=0)
    left = loss / truth.drop[:, None]
    hits = -np.log2(left[:, :60])  # in units of the 20 to 50 exposures after which half is learned
    assert np.all(np.diff(hits) >= 0)
    smallest = np.array([np.diff(h)[np.diff(h) > 1e-9].min() for h in hits])
    assert smallest.min() >= 1 / 50 - 1e-9
    reached = np.log([np.interp(-0.5, -curve, step) for curve in left])
    assert np.median(reached) == pytest.approx((math.log(20) + math.log(2500)) / 2, abs=0.1)


def test_small_steps_cluster_in_a_polygenic_curve():
    step, loss, truth = worlds.curves("polygenic", n=200, sigma=0, n_checkpoints=1000)
    share = np.mean(sharpness(step.astype(float), loss, truth.drop) > 1.2)
    assert 0.2 < share < 0.9  # so that no sharpness of the curve tells them from steps
    assert truth.height.max() == 0


def test_coupled_tasks_of_a_family_are_sharp_without_a_step_and_measured_twice_with_a_control():
    exact = {"n": 80, "sigma": 0.0, "n_checkpoints": 1000}
    step, loss, truth = worlds.curves("linear_coupled", **exact)
    assert 0.25 < np.mean(sharpness(step.astype(float), loss, truth.drop) > 1.2) < 0.5
    np.testing.assert_array_equal(loss, worlds.curves("linear_coupled", **exact, control=True)[1])
    (_, run, _), (_, control, _) = (worlds.curves("linear_coupled", n=80, control=c) for c in (False, True))
    quiet_loss = worlds.curves("linear_coupled", n=80, sigma=0)[1]
    assert abs(np.corrcoef((run - quiet_loss).ravel(), (control - quiet_loss).ravel())[0, 1]) < 0.1


def test_exponentials_start_above_the_chance_that_their_record_states():
    ds, truth = worlds.family_record("above_chance", n=200, sigma=0)
    ratio = ds["loss"].values[:, 0] / ds["chance_loss"].values
    assert 1.19 < ratio.min() < 1.3
    assert 1.9 < ratio.max() < 2.01
    np.testing.assert_allclose(ds["chance_loss"], truth.chance)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_record_of_a_family_holds_its_curves_and_fields(family):
    ds, truth = worlds.family_record(family, n=6, seed=3, n_checkpoints=25)
    step, loss, again = worlds.curves(family, n=6, seed=3, n_checkpoints=25)
    np.testing.assert_array_equal(ds["step"], step)
    np.testing.assert_allclose(ds["loss"], loss, rtol=1e-6)
    np.testing.assert_array_equal(truth.drop, again.drop)
    assert ds.attrs["optimizer"] == worlds.family_fields(family)["optimizer"]


def test_without_a_baseline_half_of_the_noise_of_what_is_learned_is_cut_at_the_floor():
    _, loss, truth = worlds.curves("weibull", n=3000, baseline=0.0)
    ended = loss[truth.onset < 500, -5:]
    assert loss.min() == 0
    assert np.mean(ended == 0) == pytest.approx(0.5, abs=0.05)
    _, free, _ = worlds.curves("weibull", n=3000, baseline=0.0, floor=None)
    np.testing.assert_array_equal(loss, np.maximum(free, 0))


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_curves_come_from_their_seed(family):
    step, loss, _ = worlds.curves(family, n=5, seed=1)
    assert step.shape == (100,)
    assert loss.shape == (5, 100)
    assert loss.min() >= 0
    np.testing.assert_array_equal(loss, worlds.curves(family, n=5, seed=1)[1])
    assert not np.array_equal(loss, worlds.curves(family, n=5, seed=2)[1])


def test_noise_of_curves_is_in_units_of_their_drop():
    _, clean, truth = worlds.curves("weibull", n=500, sigma=0, floor=None)
    _, noisy, _ = worlds.curves("weibull", n=500, sigma=0.1, phi=0.8, floor=None)
    error = (noisy - clean) / truth.drop[:, None]
    assert error.std() == pytest.approx(0.1, rel=0.05)
    assert np.mean(error[:, 1:] * error[:, :-1]) / np.mean(error**2) == pytest.approx(0.8, abs=0.03)


@settings(deadline=None)
@given(n=st.integers(3, 600))
def test_checkpoints_are_as_many_as_asked_and_increase(n):
    step = worlds.checkpoints(n)
    assert step.size == n
    assert step[0] == 0
    assert step[-1] == 30_000
    assert np.all(np.diff(step) > 0)


def test_unknown_names_are_refused_with_a_list():
    with pytest.raises(InputError, match="drift_step"):
        worlds.curves("sigmoid", n=1)
    with pytest.raises(InputError, match="drift_step"):
        worlds.family_fields("sigmoid")
    with pytest.raises(InputError, match="linear_coupled"):
        worlds.make("flat_earth")
    with pytest.raises(InputError, match="linear_coupled"):
        worlds.controls("flat_earth")


# ------------------------------------------------------------------------------------------------ worlds


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_a_world_is_a_valid_record_that_comes_from_its_seed(name):
    world = worlds.WORLDS[name]
    ds = worlds.make(name, seed=1)
    assert record.validate(ds) is ds
    assert ds.attrs["world"] == name == world.name
    assert world.right
    assert world.right <= VERDICTS
    assert world.summary.endswith(".")
    curve = "loss" if "loss" in ds else "accuracy"
    again, other = worlds.make(name, seed=1), worlds.make(name, seed=2)
    xr.testing.assert_identical(ds.drop_attrs(), again.drop_attrs())
    assert not np.array_equal(ds[curve], other[curve])
    if "true_onset" in ds:
        np.testing.assert_array_equal(np.isnan(ds["true_onset"]), np.isnan(ds["true_width"]))


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_controls_are_valid_records_of_the_same_subtasks(name):
    found = worlds.controls(name, seed=1)
    assert found or not worlds.WORLDS[name].needs_control
    run = worlds.make(name, seed=1)
    for control in found:
        record.validate(control)
        assert control.attrs["control_of"] == run.attrs["run_id"]
        xr.testing.assert_equal(control["frequency"], run["frequency"])


@pytest.mark.parametrize("name", [name for name, world in worlds.WORLDS.items() if world.right != {"undetermined"}])
def test_measured_losses_rarely_touch_the_floor(name):
    ds = worlds.make(name)
    if "loss" in ds:
        assert float((ds["loss"] == 0).mean()) < 0.05


@pytest.mark.parametrize("n_subtasks", [5, 40, 1000])
@pytest.mark.parametrize("name", ["ordered_logistic", "unordered", "exponential"])
def test_most_subtasks_finish_inside_the_window(name, n_subtasks):
    loss = quiet(name, n_subtasks=n_subtasks)["loss"].values
    assert np.mean(loss[:, -1] < 0.25 * loss[:, 0]) > 0.8


@pytest.mark.parametrize("name", STEP_WORLDS)
def test_ordered_worlds_step_where_they_say_in_the_order_of_frequency(name):
    ds = quiet(name, n_checkpoints=3000)
    left = ds["loss"].values / (math.log(11) / 1.05) - 0.05
    crossing = np.array([np.interp(-0.5, -curve, ds["step"].values) for curve in left.astype(float)])
    np.testing.assert_allclose(crossing, ds["true_onset"], rtol=0.01)
    assert world_sharpness(ds).min() > 1.9
    slope = np.polyfit(np.log(ds["frequency"]), np.log(ds["true_onset"]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)


def test_times_of_unordered_worlds_do_not_depend_on_frequency():
    slopes = []
    for seed in range(40):
        ds = quiet("unordered", seed=seed)
        slopes.append(np.corrcoef(np.log(ds["frequency"]), np.log(ds["true_onset"]))[0, 1])
    assert abs(np.mean(slopes)) < 4 / math.sqrt(40 * 40)


def test_synchronous_steps_are_one_event():
    spread = [np.log(quiet("synchronous", seed=seed)["true_onset"]).std() for seed in range(10)]
    assert max(spread) < 0.2


def test_half_of_a_mixed_world_is_sharp():
    ds = quiet("mixed", n_checkpoints=1000)
    stepped = np.isfinite(ds["true_onset"].values)
    assert stepped.sum() == 20
    s = world_sharpness(ds)
    assert s[stepped].min() > 1.9
    assert s[~stepped].max() <= 1.001


@pytest.mark.parametrize("name", ["polygenic", "shuffled_labels"])
def test_groups_of_many_steps_are_smooth_in_the_main(name):
    assert np.mean([np.mean(world_sharpness(quiet(name, seed=seed)) > 1.26) for seed in range(10)]) < 0.1


@pytest.mark.parametrize("name", ["exponential", "power_law", "stretched", "exponential_mixtures"])
def test_smooth_worlds_are_never_sharper_than_first_order(name):
    assert world_sharpness(quiet(name, n_checkpoints=1000)).max() <= 1.001


# ------------------------------------------------------------------------------------------------- traps


@pytest.mark.parametrize(("name", "hits"), [("one_shot", 1), ("three_shot", 3), ("many_shot", 100)])
def test_subtasks_learned_in_hits_step_at_that_exposure(name, hits):
    ds = quiet(name, seed=5)
    learned = ds["loss"].values < 0.5 * math.log(11)
    exposures = ds["exposures"].values
    np.testing.assert_array_equal(learned, exposures >= hits)
    np.testing.assert_array_equal(learned, ds["step"].values >= ds["true_onset"].values[:, None])
    assert np.all(np.diff(exposures) >= 0)


def test_first_hits_are_an_exponential_in_expectation():
    left = np.mean([quiet("one_shot", seed=seed)["loss"].values for seed in range(400)], axis=0)
    left = left[:, :] / (math.log(11) / 1.05) - 0.05
    step, frequency = quiet("one_shot")["step"].values, quiet("one_shot")["frequency"].values
    mean_wait = 40 * (frequency[0] / frequency) ** 0.8
    expected = np.exp(-step / mean_wait[:, None])
    assert np.abs(left - expected).max() < 5 * math.sqrt(0.25 / 400)


def test_warm_up_makes_exponentials_look_sharp_on_the_clock_of_steps_alone():
    ds = quiet("learning_rate_warmup", n_checkpoints=2000)
    np.testing.assert_allclose(world_sharpness(ds), 2.0, atol=0.02)
    assert world_sharpness(ds, "learning_rate_sum").max() <= 1.001
    rates = 0.3 * np.minimum((np.arange(30_000) + 1) / 10_000, 1)
    exact = np.concatenate([[0], np.cumsum(rates)])[ds["step"].values]
    np.testing.assert_allclose(ds["learning_rate_sum"], exact, rtol=1e-9)


def test_the_noisy_quadratic_solves_its_equation():
    t = np.union1d([0], np.geomspace(0.1, 1000, 3000))
    rate = np.clip((600 - t) / 400, 0.02, 1)
    found = _noisy_quadratic(t, rate, np.array([[50.0]]), np.array([[0.5]]))[0]

    def flow(time: float, v: np.ndarray) -> np.ndarray:
        r = np.clip((600 - time) / 400, 0.02, 1)
        return -r * (v - 0.5 * r) / 50

    exact = solve_ivp(flow, (0, 1000), [1.0], t_eval=t, rtol=1e-9, atol=1e-12, max_step=5).y[0]
    np.testing.assert_allclose(found, exact, atol=1e-4)


@pytest.mark.parametrize("name", ["learning_rate_decay", "learning_rate_decay_late"])
def test_the_decay_of_the_learning_rate_makes_a_drop_of_its_own(name):
    ds = quiet(name, n_checkpoints=1000)
    step, loss, height = ds["step"].values, ds["loss"].values, math.log(11) / 1.05
    before, after = np.searchsorted(step, [5_000, 12_000])
    assert np.mean((loss[:, before] - loss[:, after]) / height > 0.3) > 0.8
    rates = 0.3 * np.clip((12_000 - np.arange(30_001)) / 7_000, 0.02, 1)
    np.testing.assert_allclose(ds["learning_rate"], rates[step])
    exact = np.concatenate([[0], np.cumsum(rates)])[step]
    np.testing.assert_allclose(ds["learning_rate_sum"], exact, rtol=1e-3)


def test_a_cap_at_chance_would_make_exponentials_from_above_look_sharp():
    ds = quiet("above_chance", n_checkpoints=1000)
    loss, chance = ds["loss"].values, math.log(11)
    assert np.all((loss[:, 0] >= 1.49 * chance) & (loss[:, 0] <= 2.01 * chance))
    whole = loss[:, 0] / 1.05
    step = ds["step"].values.astype(float)
    assert sharpness(step, loss, whole).max() <= 1.001
    capped = np.minimum(loss, chance)
    assert sharpness(step, capped, capped[:, 0] - 0.05 * whole).min() > 1.3


def test_cut_windows_end_before_the_curve_does():
    ds = quiet("cut_window", n_checkpoints=1000)
    loss = ds["loss"].values.astype(float)
    left = loss[:, -1] / loss[:, 0]
    assert left.min() > 0.25
    assert left.max() < 0.64
    seen = sharpness(ds["step"].values.astype(float), loss, loss[:, 0] - loss[:, -1])
    assert np.median(seen) > 1.3


def test_an_overshoot_alone_learns_nothing():
    loss = quiet("overshoot")["loss"].values
    assert np.all(loss.max(1) > 1.5 * math.log(2))
    np.testing.assert_allclose(loss[:, [0, -1]], math.log(2), rtol=1e-3)
    learned = quiet("overshoot_exponential")["loss"].values
    assert np.mean(learned[:, -1] < 0.25 * math.log(2)) > 0.8


@pytest.mark.parametrize("name", ["bumps", "spikes"])
def test_the_way_down_from_a_rise_is_sharper_than_first_order(name):
    ds = quiet(name, n_checkpoints=300)
    assert np.mean(np.diff(ds["loss"].values).max(1) > 0.005) > 0.5
    assert np.median(world_sharpness(ds)) > 1.3


def test_accuracy_steps_while_the_loss_does_not():
    ds = quiet("accuracy_only", n_checkpoints=1000)
    step = ds["step"].values.astype(float)
    assert world_sharpness(ds).max() <= 1.001
    assert sharpness(step, 1 - ds["accuracy"].values.astype(float), 10 / 11).min() > 5
    np.testing.assert_allclose(ds["probability"], np.exp(-ds["loss"]), rtol=1e-5)
    alone = quiet("accuracy_alone")
    assert "loss" not in alone
    assert "probability" not in alone


def test_the_macro_world_keeps_one_curve():
    ds = worlds.make("macro_only")
    assert ds.sizes["subtask"] == 1
    assert ds["loss"].values[0, -1] < 0.25 * ds["loss"].values[0, 0]


def test_an_unknown_optimizer_is_not_told():
    ds = worlds.make("classes_unknown")
    assert ds.attrs["optimizer"] == "unknown"
    assert "n_classes" not in ds


def test_controls_of_ordered_worlds_are_finished_unfinished_and_unstable():
    means = {}
    for kind in ("with", "unfinished", "unstable"):
        name = f"ordered_{kind}_control"
        (control,) = worlds.controls(name, noise=QUIET)
        means[kind] = record.mean_loss(control).values / math.log(11)
    assert means["with"][-1] < 0.1
    assert means["unfinished"][-1] > 0.9
    assert means["unstable"].max() > 1.2
