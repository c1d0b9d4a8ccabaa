"""Seeds: variance components and the dip against closed forms and published values, and worlds of either kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quanta import ensemble, record, worlds
from quanta._dip import _dip, _of_uniforms, dip_test
from quanta._errors import InputError


def of_seeds(name, n_seeds, n_subtasks=20):
    return record.combine([worlds.make(name, seed=s, n_subtasks=n_subtasks) for s in range(n_seeds)], "seed")


# ------------------------------------------------------------------------------------------------------- worlds


@pytest.mark.parametrize(
    ("name", "n_seeds", "word"),
    [
        ("ordered_logistic", 4, "subtask"),
        ("equal_frequencies", 10, "seed noise"),
        ("exponential", 4, "cannot tell"),
        ("one_shot", 3, "cannot tell"),
    ],
)
def test_phase_change_or_seed_noise(name, n_seeds, word):
    """Steps at times ∝ 1/p ± .2; steps at times drawn anew by each seed; no steps; nothing that can be tested."""
    found = ensemble.seeds(of_seeds(name, n_seeds))
    assert found.attrs["word"] == word
    assert found.attrs["reasons"]


def test_the_variances_are_those_of_the_world():
    found = ensemble.seeds(of_seeds("ordered_logistic", 8))
    assert float(found["variance_between_seeds"]) == pytest.approx(0.2**2, rel=0.3)  # 8 standard errors of 140
    log_frequency = np.log(worlds.make("ordered_logistic", n_subtasks=20)["frequency"].values)
    assert float(found["variance_between_subtasks"]) == pytest.approx(np.var(log_frequency, ddof=1), rel=0.1)
    assert found["variance_of_measurement"] < found["variance_between_seeds"]


def test_onsets_are_given_for_every_seed_and_summed_up_for_every_subtask():
    found = ensemble.seeds(of_seeds("ordered_logistic", 3))
    assert dict(found["onset"].sizes) == {"seed": 3, "subtask": 20}
    np.testing.assert_allclose(found["onset_median"], found["onset"].median("seed"), rtol=1e-12)
    assert (found["n_learned"] == 3).all()
    assert (found["onset_low"] <= found["onset_median"]).all()
    assert (found["onset_median"] <= found["onset_high"]).all()


def test_few_seeds_are_said_to_be_too_few_for_modes():
    found = ensemble.seeds(of_seeds("ordered_logistic", 7, n_subtasks=8))
    assert np.isnan(found["dip_p"]).all()
    assert any("too few seeds" in reason for reason in found.attrs["reasons"])


def test_two_modes_of_one_subtask_are_found_among_many():
    """Half of the seeds learn the second subtask eight times later."""
    runs = [worlds.make("ordered_logistic", seed=s, n_subtasks=10) for s in range(16)]
    late = [run["loss"].sel(subtask=6 if i % 2 else 1) for i, run in enumerate(runs)]
    for run, curve in zip(runs, late, strict=True):
        run["loss"].loc[{"subtask": 1}] = curve.values
    found = ensemble.seeds(record.combine(runs, "seed"))
    assert int(found["n_bimodal"]) == 1
    assert int(found["dip_p"].argmin("subtask")) == 1
    assert any("1 of 10 subtasks have onsets in two modes" in reason for reason in found.attrs["reasons"])


@pytest.mark.parametrize("n_seeds", [None, 1])
def test_a_single_run_has_no_seeds_to_compare(n_seeds):
    ds = worlds.make("ordered_logistic", n_subtasks=5)
    with pytest.raises(InputError, match="two runs or more"):
        ensemble.seeds(ds if n_seeds is None else record.combine([ds], "seed"))


# ------------------------------------------------------------------------------------------ variance components


def draw(rng, between, within, n_seeds, n_subtasks):
    return between * rng.standard_normal(n_subtasks) + within * rng.standard_normal((n_seeds, n_subtasks))


def test_estimates_are_unbiased():
    rng = np.random.default_rng(0)
    found = [ensemble.variance_components(draw(rng, 1.5, 0.5, 4, 20)) for _ in range(300)]
    assert np.mean([f["variance_between_subtasks"] for f in found]) == pytest.approx(2.25, rel=0.08)
    assert np.mean([f["variance_between_seeds"] for f in found]) == pytest.approx(0.25, rel=0.03)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("between", "within"), [(1.0, 0.3), (0.5, 0.5), (0.3, 1.0)])
def test_intervals_of_the_correlation_cover(between, within, missing):
    """Of 400 intervals of 95 %, 363 to 394 cover, but for one time in a thousand; a few less where numbers differ."""
    rng = np.random.default_rng(1)
    truth, covered = between**2 / (between**2 + within**2), 0
    for _ in range(400):
        values = draw(rng, between, within, 5, 15)
        values[rng.uniform(size=values.shape) < missing] = np.nan
        found = ensemble.variance_components(values)
        covered += found["intraclass_correlation_low"] <= truth <= found["intraclass_correlation_high"]
    assert 360 <= covered <= 396


def test_the_correlation_is_the_f_ratios_where_all_is_balanced():
    from scipy import stats

    values = draw(np.random.default_rng(2), 1.0, 0.5, 6, 10)
    f = stats.f_oneway(*values.T).statistic
    assert ensemble.variance_components(values)["intraclass_correlation"] == pytest.approx((f - 1) / (f + 5))


@pytest.mark.parametrize("values", [np.full((3, 4), np.nan), np.zeros((1, 5)), np.arange(3.0)[:, None]])
def test_without_replicates_or_subtasks_nothing_is_known(values):
    assert np.isnan(list(ensemble.variance_components(values).values())).all()


def test_seeds_that_agree_exactly_leave_all_variance_to_the_subtasks():
    found = ensemble.variance_components(np.tile([1.0, 2.0, 4.0], (3, 1)))
    assert found["intraclass_correlation"] == found["intraclass_correlation_low"] == 1
    assert found["variance_between_subtasks"] == pytest.approx(np.var([1, 2, 4], ddof=1))


# ----------------------------------------------------------------------------------------------------- the dip

# 5 %, 50 %, 95 % and 99 % points, from 1,000,001 samples: M. Maechler's extension (R package diptest) of table 1 of
# Hartigan and Hartigan (1985).
PUBLISHED = {
    10: (0.0718, 0.0978, 0.1396, 0.1597),
    20: (0.0527, 0.0733, 0.1051, 0.1206),
    50: (0.0353, 0.0489, 0.0703, 0.0812),
    100: (0.0257, 0.0355, 0.0511, 0.0590),
}


@pytest.mark.parametrize("n", PUBLISHED)
def test_dips_of_uniforms_have_the_published_quantiles(n):
    np.testing.assert_allclose(np.quantile(_of_uniforms(n), (0.05, 0.5, 0.95, 0.99)), PUBLISHED[n], rtol=0.02)


samples = hnp.arrays(float, st.integers(2, 25), elements=st.floats(-100, 100).map(lambda x: round(x, 3)), unique=True)


@given(samples, st.floats(0.1, 10), st.floats(-10, 10))
def test_the_dip_is_bounded_and_blind_to_scale_place_and_direction(x, scale, shift):
    dip = _dip(np.sort(x))
    assert 0.5 / x.size - 1e-12 <= dip <= 0.25 + 1e-12
    assert _dip(np.sort(-x)) == pytest.approx(dip, abs=1e-6)
    assert _dip(np.sort(scale * x + shift)) == pytest.approx(dip, abs=1e-6)


@given(st.integers(2, 40))
def test_evenly_spaced_points_dip_least(n):
    assert _dip(np.arange(float(n))) == pytest.approx(0.5 / n)


@given(st.integers(3, 15))
def test_two_points_far_apart_dip_most(n):
    x = np.concatenate([np.linspace(0, 1e-9, n), np.linspace(1, 1 + 1e-9, n)])
    assert _dip(x) == pytest.approx(0.25, abs=0.5 / n)


def test_the_dip_is_the_least_distance_from_a_unimodal_distribution():
    """By linear programming: the values of a convex, then concave F at the points, for every place of the mode."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(3)
    for _ in range(15):
        x = np.sort(np.r_[rng.normal(0, 1, 4), rng.normal(rng.uniform(0, 6), 1, 4)])
        n = x.size
        best = np.inf
        for mode in range(n):
            rows, bounds = [], []
            for i in range(1, n - 1):  # slopes grow before the mode and fall after it
                sign = 1 if i < mode else -1
                if i == mode:
                    continue
                row = np.zeros(n + 1)
                row[[i - 1, i, i + 1]] = np.array([-1, 1, 0]) / (x[i] - x[i - 1]) + np.array([0, 1, -1]) / (
                    x[i + 1] - x[i]
                )
                rows.append(sign * row)
                bounds.append(0.0)
            for i in range(n):  # (i + 1)/n - D <= F_i <= i/n + D
                for sign, level in ((1, i / n), (-1, (i + 1) / n)):
                    row = np.zeros(n + 1)
                    row[[i, n]] = sign, -1
                    rows.append(row)
                    bounds.append(sign * level)
            for i in range(n - 1):
                row = np.zeros(n + 1)
                row[[i, i + 1]] = 1, -1
                rows.append(row)
                bounds.append(0.0)
            cost = np.zeros(n + 1)
            cost[n] = 1
            done = linprog(cost, A_ub=np.array(rows), b_ub=bounds, bounds=[(None, None)] * n + [(0, None)])
            best = min(best, done.fun if done.success else np.inf)
        assert _dip(x) == pytest.approx(best, abs=1e-9)


def test_p_values_of_uniforms_are_uniform_and_two_modes_have_small_ones():
    rng = np.random.default_rng(4)
    p = np.array([dip_test(rng.uniform(size=12))[1] for _ in range(500)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.07)  # 3 standard errors
    assert dip_test(np.r_[rng.normal(0, 0.1, 10), rng.normal(1, 0.1, 10)])[1] < 0.01
    assert dip_test(rng.standard_normal(200))[1] > 0.05
