"""The exponent of onsets: right where the unlearned are many, sure of itself as often as it says, and of no fixed unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quanta import record
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.scaling import _censored as censored
from quanta.scaling import fit_timing, timing

P = Zipf(n_subtasks=60, exponent=1.4).probabilities()
EXPONENT, SCATTER, END = 0.8, 0.4, 6000.0
GRID = np.geomspace(10, END, 60)


def onsets(rng, *, p=P, exponent=EXPONENT, scatter=SCATTER, bend=0.0, runs=()):
    """Lognormal onsets about a power law, bent by so much."""
    line = np.log(100) - exponent * np.log(p) + bend * (np.log(p) + 4) ** 2
    return np.exp(line + scatter * rng.standard_normal((*runs, p.size)))


def seen(onset, end=END):
    """What is known of onsets when a run ends: exact, or later."""
    return np.minimum(onset, end), np.where(onset <= end, onset, np.inf)


def on_grid(onset, grid=GRID):
    """What is known of onsets from checkpoints."""
    learned = onset[..., None] <= grid
    ever, first = learned.any(axis=-1), learned.argmax(axis=-1)
    after = np.where(ever, np.where(first > 0, grid[first - 1], 0), grid[-1])
    return after, np.where(ever, grid[first], np.inf)


@pytest.fixture(scope="module")
def replicas():
    """Fits to 120 runs, whose onsets are known to lie between checkpoints."""
    rng = np.random.default_rng(0)
    return [fit_timing(P, *on_grid(onsets(rng))) for _ in range(120)]


def test_the_fit_that_drops_the_unlearned_is_too_shallow_and_the_censored_one_is_not(replicas):
    exponent = np.array([one.exponent for one in replicas])
    naive = np.array([one.naive_exponent for one in replicas])
    error = exponent.std() / np.sqrt(len(replicas))
    assert abs(exponent.mean() - EXPONENT) < 3 * error
    assert naive.mean() < EXPONENT - 0.05
    scatter = np.array([one.scatter for one in replicas])
    assert scatter.mean() == pytest.approx(SCATTER, rel=0.1)


def test_intervals_hold_the_truth_as_often_as_they_say(replicas):
    held = [one.interval[0] < EXPONENT < one.interval[1] for one in replicas]
    assert stats.binomtest(sum(held), len(held), 0.95).pvalue > 0.01
    assert np.mean([one.curvature_interval[0] < 0 < one.curvature_interval[1] for one in replicas]) >= 0.9


def test_a_power_law_that_bends_is_seen_to():
    rng = np.random.default_rng(1)
    found = [fit_timing(P, *seen(onsets(rng, bend=0.15), 1e9)) for _ in range(20)]
    assert np.mean([one.curvature for one in found]) == pytest.approx(0.15, abs=0.03)
    assert np.mean([one.curvature_interval[0] > 0 for one in found]) >= 0.9


def test_intervals_over_runs_hold_the_truth_though_each_run_is_quick_or_slow_as_a_whole():
    rng = np.random.default_rng(2)
    held = []
    for _ in range(100):
        quick = np.exp(0.5 * rng.standard_normal((6, 1)))
        found = fit_timing(P, *seen(onsets(rng, runs=(6,)) * quick))
        assert found.n_runs == 6
        held.append(found.interval[0] < EXPONENT < found.interval[1])
    assert np.mean(held) >= 0.9


def test_where_all_are_learned_it_is_least_squares_with_student_s_interval():
    onset = onsets(np.random.default_rng(3))
    found = fit_timing(P, onset, onset)
    line = stats.linregress(np.log(P), np.log(onset))
    half = stats.t.ppf(0.975, P.size - 2) * line.stderr
    assert found.n_censored == 0
    assert found.exponent == pytest.approx(-line.slope, rel=1e-6)
    assert found.naive_exponent == pytest.approx(-line.slope, rel=1e-9)
    assert found.interval == pytest.approx((-line.slope - half, -line.slope + half), rel=1e-3)
    assert found.constant == pytest.approx(line.intercept, rel=1e-6)
    assert found.onset(np.array([1.0]))[0] == pytest.approx(np.exp(line.intercept), rel=1e-5)


def test_the_likelihood_is_that_of_normal_errors_and_nothing_near_is_likelier():
    rng = np.random.default_rng(4)
    after, by = on_grid(onsets(rng))
    with np.errstate(divide="ignore"):
        data = censored.Data(np.log(after), np.log(by))
    columns = np.stack([np.ones_like(P), np.log(P)], axis=1)

    def likelihood(slopes, scatter):
        line = columns @ slopes
        return np.sum(np.log(stats.norm.cdf(data.high, line, scatter) - stats.norm.cdf(data.low, line, scatter)))

    best = censored.fit(columns, data)
    assert best.log_likelihood == pytest.approx(likelihood(best.slopes, best.scatter), rel=1e-9)
    for step in 1e-3 * np.concatenate([np.eye(3), -np.eye(3)]):
        assert likelihood(best.slopes + step[:2], best.scatter * (1 + step[2])) < best.log_likelihood


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.floats(0.01, 1))
@settings(deadline=None, max_examples=20)
def test_other_units_of_time_and_of_frequency_change_the_constant_alone(seed, faster, rarer):
    after, by = on_grid(onsets(np.random.default_rng(seed)))
    one, other = fit_timing(P, after, by), fit_timing(P * rarer, after * faster, by * faster)
    same = ("exponent", "scatter", "curvature", "naive_exponent")
    assert [getattr(other, name) for name in same] == pytest.approx(
        [getattr(one, name) for name in same], rel=1e-3, abs=1e-4
    )
    assert other.interval == pytest.approx(one.interval, rel=1e-2)
    expected = one.constant + np.log(faster) + one.exponent * np.log(rarer)
    assert other.constant == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_the_order_of_subtasks_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    (after, by), order = on_grid(onsets(rng)), rng.permutation(P.size)
    one, other = fit_timing(P, after, by), fit_timing(P[order], after[order], by[order])
    assert other.exponent == pytest.approx(one.exponent, rel=1e-4)


def test_checkpoints_a_little_apart_are_as_good_as_exact_times():
    onset = onsets(np.random.default_rng(5))
    exact, close = fit_timing(P, *seen(onset)), fit_timing(P, *on_grid(onset, np.geomspace(1, END, 20_000)))
    assert close.exponent == pytest.approx(exact.exponent, abs=1e-3)
    assert close.scatter == pytest.approx(exact.scatter, abs=1e-3)


def test_a_few_learned_of_hundreds_are_fitted_though_the_fit_begins_where_the_others_are_impossible():
    p = Zipf(n_subtasks=500, exponent=1.4).probabilities()
    after, by = np.full((3, p.size), END), np.full((3, p.size), np.inf)
    by[0, :5], by[1, [0, 1, 3]] = (360, 775, 2785, 2450, 3165), (316, 775, 1897)
    by[2, [0, 1, 2, 3, 5]] = 409, 1897, 4645, 3597, 1897  # least squares of these is a parabola that comes down again
    after[np.isfinite(by)] = 0.87 * by[np.isfinite(by)]
    found = fit_timing(p, after, by)
    assert np.isfinite([found.curvature, *found.interval, *found.curvature_interval]).all()
    assert found.interval[0] < found.exponent < found.interval[1]
    assert found.exponent > found.naive_exponent


def test_what_never_occurs_is_never_learned():
    onset = fit_timing(P, *seen(onsets(np.random.default_rng(10)))).onset(np.array([0.5, 0.0]))
    assert np.isfinite(onset[0])
    assert onset[1] == np.inf


def test_two_subtasks_give_a_slope_and_no_interval():
    found = fit_timing(np.array([0.5, 0.25]), np.array([100.0, 200.0]), np.array([100.0, 200.0]))
    assert found.exponent == pytest.approx(1.0, abs=1e-6)
    assert found.interval == (-np.inf, np.inf)
    assert np.isnan(found.curvature)


def test_subtasks_that_never_occur_are_left_out():
    after, by = seen(onsets(np.random.default_rng(6)))
    found = fit_timing(np.append(P, [0, np.nan]), np.append(after, [END, END]), np.append(by, [np.inf, np.inf]))
    assert found == fit_timing(P, after, by)


@pytest.mark.parametrize(
    ("p", "after", "by", "message"),
    [
        (P, np.full(60, END), np.full(60, np.inf), "0 of 60 subtasks were seen to be learned; expected two"),
        (P, np.full(60, END), np.append(7000, np.full(59, np.inf)), "1 of 60 subtasks"),
        (np.full(60, 0.1), *seen(onsets(np.random.default_rng(7))), "of different frequencies"),
        (P, np.full(60, 20.0), np.full(60, 10.0), "by one not before it"),
        (np.full(60, np.nan), np.full(60, 20.0), np.full(60, 30.0), "no frequency is above 0"),
        (P[:3], np.full(60, 20.0), np.full(60, 30.0), "expected one for all"),
        (np.stack([P, P]), np.full((3, 60), 20.0), np.full((3, 60), 30.0), "expected one for all"),
    ],
)
def test_what_has_no_slope_is_refused(p, after, by, message):
    with pytest.raises(InputError, match=message):
        fit_timing(p, after, by)


@pytest.fixture
def made():
    """A record of four seeds whose subtasks are learned at once."""
    onset = onsets(np.random.default_rng(8), runs=(4,))
    step = np.unique(np.geomspace(1, END, 80).round())
    runs = [
        record.new(np.where(step < one[:, None], np.log(2), 0.01), step=step, frequency=P, units="nat", source="simulated", chance_loss=np.log(2))
        for one in onset
    ]  # fmt: skip
    return record.combine(runs, "seed"), onset, step


def test_a_record_is_read_as_its_onsets_are_known(made):
    ds, onset, step = made
    found = timing(ds)
    expected = fit_timing(P, *on_grid(onset, step))
    assert found == expected
    assert (found.n_runs, found.n_learned + found.n_censored) == (4, 240)


def test_the_window_is_the_subtasks_that_are_kept(made):
    ds, onset, step = made
    after, by = on_grid(onset[:, :10], step)
    assert timing(ds.isel(subtask=slice(10))) == fit_timing(P[:10], after, by)


@pytest.mark.parametrize("name", ["frequency", "chance_loss"])
def test_a_record_without_what_is_needed_is_refused(made, name):
    with pytest.raises(InputError, match=f"the record has no {name}"):
        timing(made[0].drop_vars(name))


@pytest.mark.parametrize("given", [{"left": 0.0}, {"left": 1.0}])
def test_a_share_that_is_none_is_refused(made, given):
    with pytest.raises(InputError, match="left is"):
        timing(made[0], **given)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_a_confidence_that_is_none_is_refused(confidence):
    onset = onsets(np.random.default_rng(9))
    with pytest.raises(InputError, match="confidence is"):
        fit_timing(P, onset, onset, confidence=confidence)
