"""A fit: what it minimises, that it finds the least, what it is sure of, and every way in which it says that it is not."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.scaling import BrokenPowerLaw, Chinchilla, FiniteSum, Kaplan, PowerLaw, fit
from quanta.scaling._descent import descend
from quanta.scaling._objective import OBJECTIVES, Objective
from quanta.scaling.base import coefficients

RNG = np.random.default_rng(0)
X = np.geomspace(10, 1e5, 40)
CLEAN = 3 * X**-0.4 + 0.05
NOISY = CLEAN * np.exp(0.01 * RNG.standard_normal(X.size))
N, D = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e10, 9), np.geomspace(1e9, 1e12, 9)))
JOINT = Chinchilla().loss((482.0, 2085.0, 0.348, 0.366, 1.82), np.stack([N, D]))


# What is minimised


def huber(error, delta):
    """One error at a time."""
    return error**2 / 2 if abs(error) <= delta else delta * (abs(error) - delta / 2)


@given(st.floats(-10, 10), st.floats(1e-4, 1))
@settings(deadline=None)
def test_huber_s_function_is_the_plain_formula_with_its_slope_and_a_parabola_above_it(error, delta):
    measure, at = Objective(delta=delta), np.array([error])
    cost, (slope, bend, above) = measure.cost(at)[0], (of[0] for of in measure.derivatives(at))
    assert cost == pytest.approx(huber(error, delta), rel=1e-12)
    step = 1e-6
    assert slope == pytest.approx((huber(error + step, delta) - huber(error - step, delta)) / (2 * step), abs=1e-5)
    assert bend == (1 if abs(error) <= delta else 0)
    assert slope == pytest.approx(above * error)
    for other in np.linspace(-10, 10, 41):
        assert cost + slope * (other - error) + above * (other - error) ** 2 / 2 >= huber(other, delta) - 1e-9


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_likelihood_is_that_of_a_density_whose_integral_is_1(name):
    measure = Objective(name=name, delta=0.3)
    errors = np.random.default_rng(1).standard_normal(30)
    weights = np.random.default_rng(2).uniform(0.5, 2, 30)

    def minus(log_tau):
        tau = np.exp(log_tau)
        mass = (
            2 * integrate.quad(lambda r: np.exp(-measure.cost(np.array([r]))[0] / tau), 0, 200, points=[0.3, 1, 10])[0]
        )
        return weights @ (measure.cost(errors) / tau + np.log(mass))

    best = optimize.minimize_scalar(minus, bracket=(-2, 0))
    assert measure.log_likelihood(errors, weights) == pytest.approx(-best.fun, rel=1e-5)


def test_what_is_reported_is_the_sum_over_points():
    found = fit(PowerLaw(), X, NOISY, bootstrap=None)
    errors = np.log(found.predict(X)) - np.log(NOISY)
    assert found.total == pytest.approx(sum(huber(error, 1e-3) for error in errors), rel=1e-9)
    np.testing.assert_allclose(found.errors, errors, atol=1e-12)
    assert found.n == X.size
    assert found.window == {"x": (X[0], X[-1])}
    for words in ("sum of huber-log", "40 points", "x from 10 to 1e+05", "without intervals"):
        assert words in found.report()


@pytest.mark.parametrize(("objective", "scale"), [("squares", 1.0), ("squares-log", 1.0), ("huber-log", 1e6)])
def test_squares_are_least_squares_and_so_is_huber_s_function_with_a_delta_beyond_all_errors(objective, scale):
    found = fit(PowerLaw(), X, NOISY, objective=objective, delta=1e-3 * scale, bootstrap=None)
    transform = np.log if objective != "squares" else np.asarray
    exact = optimize.least_squares(
        lambda v: transform(v[0] * X ** -v[1] + v[2]) - transform(NOISY),
        [3, 0.4, 0.05],
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
    )
    np.testing.assert_allclose([*found.estimate.values()], exact.x, rtol=1e-5)


# That it finds the least


class Valley(NamedTuple):
    """Rosenbrock's, as errors; its least is at (1, 1), or where a bound stops it."""

    high: np.ndarray
    low: np.ndarray = np.array([-5.0, -5.0])
    objective: Objective = Objective(name="squares")

    def errors(self, z, y):
        return np.stack([10 * (z[..., 1] - z[..., 0] ** 2), 1 - z[..., 0]], axis=-1) - y

    def costs(self, z, y, weights):
        return (weights * self.objective.cost(self.errors(z, y))).sum(axis=-1)


def test_a_curved_valley_is_followed_to_its_end_from_everywhere():
    begin = np.random.default_rng(3).uniform(-4, 4, (50, 2))
    ends = descend(Valley(np.array([5.0, 5.0])), begin, np.zeros((1, 2)), np.ones((1, 2)), 300)
    assert ends.rests.all()
    np.testing.assert_allclose(ends.z, 1, rtol=1e-6)


def test_a_valley_is_followed_along_a_bound():
    begin = np.random.default_rng(3).uniform(-4, 0.4, (50, 2))
    ends = descend(Valley(np.array([0.5, 5.0])), begin, np.zeros((1, 2)), np.ones((1, 2)), 300)
    assert ends.rests.all()
    np.testing.assert_allclose(ends.z, [[0.5, 0.25]] * 50, rtol=1e-6)


def test_coefficients_are_the_best_with_signs_as_asked():
    rng = np.random.default_rng(4)
    columns, y = rng.uniform(0.1, 2, (20, 2, 30)), rng.uniform(0.5, 2, 30)
    for offset, lower in (("none", [0, 0]), ("positive", [0, 0, 0]), ("free", [0, 0, -np.inf])):
        found = coefficients(columns, y, offset=offset)
        for one, some in zip(found, columns, strict=True):
            whole = (some if offset == "none" else np.vstack([some, np.ones(30)])) / y
            best = optimize.lsq_linear(whole.T, np.ones(30), (lower, np.inf), method="bvls")
            assert np.sum((one @ whole - 1) ** 2) / 2 == pytest.approx(best.cost, rel=1e-4)


@pytest.mark.parametrize("law", [PowerLaw(), PowerLaw(offset="none"), BrokenPowerLaw()], ids=repr)
def test_no_start_of_another_optimiser_leads_lower(law):
    found, measure = fit(law, X, NOISY, bootstrap=None), Objective()
    near = np.array([*found.estimate.values()])
    rng = np.random.default_rng(5)

    def cost(values):
        with np.errstate(all="ignore"):
            total = measure.cost(measure.errors(law.loss(values, X[None]), NOISY)).sum()
        return total if np.isfinite(total) else 1e9

    bounds = [(p.lower, p.upper) for p in law.parameters]
    ends = [
        optimize.minimize(cost, near * np.exp(0.3 * rng.standard_normal(near.size)), method="Nelder-Mead", bounds=bounds,
                          options={"maxiter": 1000, "fatol": 1e-14, "xatol": 1e-10}).fun
        for _ in range(5)
    ]  # fmt: skip
    assert found.total <= min(ends) * (1 + 1e-6)


@given(st.lists(st.integers(0, 3), min_size=40, max_size=40).filter(lambda w: sum(v > 0 for v in w) > 10))
@settings(deadline=None, max_examples=10)
def test_a_weight_is_a_repetition(weights):
    weighted = fit(PowerLaw(), X, NOISY, weights=np.array(weights), bootstrap=None)
    repeated = fit(PowerLaw(), np.repeat(X, weights), np.repeat(NOISY, weights), bootstrap=None)
    assert weighted.total == pytest.approx(repeated.total, rel=1e-8)
    assert weighted.bic == pytest.approx(repeated.bic, rel=1e-6)
    assert weighted.estimate["alpha"] == pytest.approx(repeated.estimate["alpha"], rel=1e-4)


def test_points_outside_the_window_do_not_matter():
    y = np.where((X >= 100) & (X <= 1e4), NOISY, np.where(X < 50, 77.0, np.nan))
    found = fit(PowerLaw(), X, y, window=(100, 1e4), bootstrap=None)
    only = (X >= 100) & (X <= 1e4)
    assert found.estimate == fit(PowerLaw(), X[only], NOISY[only], bootstrap=None).estimate
    assert found.n == only.sum()
    joint = fit(
        Chinchilla(), {"N": N, "D": D}, np.where(N < 1e8, 77.0, JOINT), window={"N": (1e8, 1e11)}, bootstrap=None
    )
    assert joint.estimate["alpha_N"] == pytest.approx(0.348, rel=1e-6)
    assert joint.window["D"] == (1e9, 1e12)


def test_x_goes_by_name_or_by_row_and_the_mean_of_seeds_is_fitted():
    by_row = fit(Chinchilla(), np.stack([N, D]), JOINT, bootstrap=None)
    by_name = fit(Chinchilla(), {"D": D, "N": N}, JOINT, bootstrap=None)
    assert by_row.estimate == by_name.estimate
    np.testing.assert_array_equal(by_row.predict({"D": D, "N": N}), by_row.predict(np.stack([N, D])))
    seeds = np.stack([NOISY * 1.1, NOISY * 0.9])
    assert fit(PowerLaw(), X, seeds, bootstrap=None).total == pytest.approx(
        fit(PowerLaw(), X, NOISY, bootstrap=None).total
    )


def test_predict_is_the_loss_and_the_band_is_about_it():
    found = fit(PowerLaw(), X, NOISY)
    far = np.geomspace(1, 1e7, 30)
    np.testing.assert_array_equal(found.predict(far), found.law.loss(np.array([*found.estimate.values()]), far[None]))
    low, high = found.band(far)
    assert ((low <= found.predict(far)) & (found.predict(far) <= high)).all()
    inside = (far > X[5]) & (far < X[-5])
    assert (high - low)[~inside].max() > 3 * (high - low)[inside].max()
    assert np.isnan(fit(PowerLaw(), X, NOISY, bootstrap=None).band(far)).all()


def test_the_better_law_has_the_lesser_aic_and_bic_charges_more_for_parameters():
    fits = {law: fit(law, X, NOISY, bootstrap=None) for law in (PowerLaw(), PowerLaw(offset="none"), BrokenPowerLaw())}
    assert min(fits, key=lambda law: fits[law].aic) != PowerLaw(offset="none")
    assert min(fits, key=lambda law: fits[law].bic) == PowerLaw()
    for law, found in fits.items():
        assert found.bic - found.aic == pytest.approx((len(law.parameters) + 1) * (np.log(X.size) - 2))


# How sure it is


def covers(truth, fits):
    """Whether it is as often in the interval as nine in ten: not significantly less (p < .01)."""
    held = sum(one.interval["alpha"][0] <= truth <= one.interval["alpha"][1] for one in fits)
    return stats.binomtest(held, len(fits), 0.9, alternative="less").pvalue > 0.01


def test_intervals_over_points_hold_the_truth_where_points_are_independent():
    rng = np.random.default_rng(6)
    fits = [fit(PowerLaw(), X, CLEAN * np.exp(0.02 * rng.standard_normal(X.size)), n_bootstrap=100) for _ in range(25)]
    assert covers(0.4, fits)
    sd = np.std([one.estimate["alpha"] for one in fits])
    widths = [np.sqrt(one.covariance[1, 1]) for one in fits]
    assert 0.6 < np.median(widths) / sd < 1.6


def test_where_points_of_a_run_are_alike_intervals_over_seeds_hold_the_truth_and_those_over_points_do_not():
    rng = np.random.default_rng(7)

    def seeds():
        smooth = np.cumsum(0.03 * rng.standard_normal((12, X.size)), axis=1)
        return CLEAN * np.exp(smooth)

    drawn = [seeds() for _ in range(25)]
    assert covers(0.4, [fit(PowerLaw(), X, y, bootstrap="seeds", n_bootstrap=100) for y in drawn])
    over_points = [fit(PowerLaw(), X, y, n_bootstrap=100) for y in drawn]
    assert not covers(0.4, over_points)
    assert np.mean([any("neighbours are alike" in warning for warning in one.warnings) for one in over_points]) > 0.8


def test_a_fit_is_reproducible_and_its_bootstrap_comes_from_its_seed():
    one, same, other = (fit(PowerLaw(), X, NOISY, n_bootstrap=20, seed=seed).interval for seed in (1, 1, 2))
    assert one == same != other


def test_a_wider_confidence_has_a_wider_interval():
    wide, narrow = (fit(PowerLaw(), X, NOISY, confidence=c).interval["alpha"] for c in (0.95, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


# What speaks against it

ALONG_A_LINE = np.geomspace(1e7, 1e10, 30)
DOUBTFUL = {
    "E ended at the end of its range": lambda: fit(PowerLaw(offset="positive"), X, 3 * X**-0.4 - 0.02),
    "do not tell the parameters apart": lambda: fit(
        Chinchilla(), {"N": ALONG_A_LINE, "D": ALONG_A_LINE}, 1e3 * ALONG_A_LINE**-0.3 + 1e2 * ALONG_A_LINE**-0.1 + 1
    ),
    "8 points for 3 parameters": lambda: fit(PowerLaw(), X[::5], NOISY[::5]),
    "x spans 0.8 decades": lambda: fit(PowerLaw(), np.geomspace(10, 60, 40), 3 * np.geomspace(10, 60, 40) ** -0.4),
    "of the fall of ln loss": lambda: fit(PowerLaw(), X, 1 + np.sin(3 * np.log(X)) / 2),
    "errors of neighbours are alike": lambda: fit(PowerLaw(), X, 1 + np.sin(3 * np.log(X)) / 2),
    "alpha is known no better than": lambda: fit(PowerLaw(), X, 1 + 0.1 / X + 0.05 * RNG.standard_normal(X.size)),
    "alpha lies outside its interval": lambda: fit(PowerLaw(), X, NOISY, bootstrap=np.stack([2 * X**-0.7] * 5)),
}  # fmt: skip


@pytest.mark.parametrize("words", DOUBTFUL)
def test_a_fit_says_what_speaks_against_it(words):
    found = DOUBTFUL[words]()
    assert not found.trusted
    assert any(words in warning for warning in found.warnings), found.warnings
    assert f"caution: {next(warning for warning in found.warnings if words in warning)}" in found.report()


def test_nothing_speaks_against_a_good_fit():
    for found in (
        fit(PowerLaw(), X, NOISY),
        fit(Chinchilla(), {"N": N, "D": D}, JOINT * np.exp(0.005 * RNG.standard_normal(N.size))),
        fit(FiniteSum(frequencies=Zipf(n_subtasks=100, exponent=1.5), shape="exponential"), X,
            FiniteSum(frequencies=Zipf(n_subtasks=100, exponent=1.5), shape="exponential").loss((5.0, 1.0, 0.02), X[None])),
    ):  # fmt: skip
        assert found.trusted, found.warnings
        assert found.converged
        assert "caution" not in found.report()


def test_at_bound_names_what_is_and_nothing_else():
    assert fit(PowerLaw(offset="positive"), X, 3 * X**-0.4 - 0.02, bootstrap=None).at_bound == ("E",)
    assert fit(PowerLaw(), X, 3 * X**-0.4, bootstrap=None).at_bound == ()  # E is 0, and might have been less
    assert fit(PowerLaw(offset="none"), X[:9], np.geomspace(1, 1e-12, 9) ** 15, bootstrap=None).at_bound == ("alpha",)


# What cannot be fitted

NAN, INF = np.nan, np.inf


def but(row, i, value):
    """All the same, but for one."""
    row = row.copy()
    row[i] = value
    return row


WRONG = {
    "2 points are in the window; expected at least 3, as many as": lambda: fit(PowerLaw(), X[:2], NOISY[:2]),
    "3 points are in the window; expected at least 5": lambda: fit(Chinchilla(), {"N": N[:3], "D": D[:3]}, JOINT[:3]),
    "0 points are in the window": lambda: fit(PowerLaw(), X, NOISY, window=(1e8, 1e9)),
    "x is 0.0 at point 3; expected finite numbers above 0": lambda: fit(PowerLaw(), but(X, 3, 0), NOISY),
    "x is -1.0 at point 0": lambda: fit(PowerLaw(), but(X, 0, -1), NOISY),
    "x is inf at point 0": lambda: fit(PowerLaw(), but(X, 0, INF), NOISY),
    "the loss is nan at point 5": lambda: fit(PowerLaw(), X, but(NOISY, 5, NAN)),
    "the loss is 0.0 at point 39": lambda: fit(PowerLaw(), X, but(NOISY, 39, 0)),
    "D is -1.0 at point 0": lambda: fit(Chinchilla(), {"N": N, "D": -D / D[0]}, JOINT),
    "y has shape (1, 39); expected 40 points": lambda: fit(PowerLaw(), X, NOISY[1:]),
    "y has shape (2, 3, 40)": lambda: fit(PowerLaw(), X, np.ones((2, 3, 40))),
    "weights has shape (39,)": lambda: fit(PowerLaw(), X, NOISY, weights=np.ones(39)),
    "weights are negative or not finite": lambda: fit(PowerLaw(), X, NOISY, weights=-np.ones(40)),
    "x has shape (1, 81); expected 2 rows, for N, D": lambda: fit(Chinchilla(), N, JOINT),
    "x has N; expected N, D": lambda: fit(Chinchilla(), {"N": N}, JOINT),
    "window is (1, 2); expected one for each of N, D, by name": lambda: fit(Kaplan(), {"N": N, "D": D}, JOINT, window=(1, 2)),
    "window is of S; expected some of N, D": lambda: fit(Kaplan(), {"N": N, "D": D}, JOINT, window={"S": (1, 2)}),
    "objective is 'huber'; expected one of": lambda: fit(PowerLaw(), X, NOISY, objective="huber"),
    "delta is 0; expected a finite error": lambda: fit(PowerLaw(), X, NOISY, delta=0),
    "confidence is 95; expected a share": lambda: fit(PowerLaw(), X, NOISY, confidence=95),
    "bootstrap is 'point'; expected one of points, seeds": lambda: fit(PowerLaw(), X, NOISY, bootstrap="point"),
    "bootstrap is 'seeds', and y has one": lambda: fit(PowerLaw(), X, NOISY, bootstrap="seeds"),
    "bootstrap has shape (5, 39)": lambda: fit(PowerLaw(), X, NOISY, bootstrap=np.ones((5, 39))),
    "a loss drawn anew is nan at point 0": lambda: fit(PowerLaw(), X, NOISY, bootstrap=np.full((5, 40), NAN)),
    "n_bootstrap is 0": lambda: fit(PowerLaw(), X, NOISY, n_bootstrap=0),
    "law is 'power_law'; expected a scaling law": lambda: fit("power_law", X, NOISY),
    "expected a scaling law, such as PowerLaw()": lambda: fit(PowerLaw, X, NOISY),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_fitted_is_refused_in_one_line(message):
    with pytest.raises(InputError) as caught:
        WRONG[message]()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
