"""The compiled detector computes what it says: its test beside a plain reference, its kernels beside their formulas."""

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, signal

from quanta import worlds
from quanta.transitions import LikelihoodRatio, _dictionary, _fit, _linear, _sharpness, _work

MIXED = ("exponential", "power_law", "random_mixture", "logistic", "drift_step", "multilinear")
# Judged by T alone, on the curves as they are: whatever T is, the fit of the step is returned, to be evaluated here.
ALWAYS = LikelihoodRatio(max_steps=1, misfit=0.0, despike=1e6, threshold=-1e9, exit=-1.0)
PHIS = (0.0, 0.3, 0.6, 0.9)
correlations = st.floats(0.0, 0.93)
seeds = st.integers(0, 10**6)


def mixed_curves(n_each, seed, width=1.2):
    """Checkpoints, and as many curves of each family, well above the floor."""
    drawn = [worlds.curves(family, n=n_each, seed=seed, width=width, floor=None) for family in MIXED]
    return drawn[0][0].astype(float), np.concatenate([loss + 0.3 * truth.drop[:, None] for _, loss, truth in drawn])


def compare(t, curves):
    """T of both, φ, and the compiled fit's weighted square as the reference evaluates it, each (n,)."""
    found = ALWAYS.detect(curves, t, np.full(len(curves), 1.2))
    plain = [oracle.one_step(y, t, phi, n_candidates=12) for y, phi in zip(curves, found["phi"], strict=True)]
    pairs = zip(curves - found["fitted"], found["phi"], strict=True)
    rss = np.array([np.sum(oracle.whiten(left, phi) ** 2) for left, phi in pairs])
    return found, np.array([fit.statistic for fit in plain]), np.array([fit.null_rss for fit in plain]), rss


@pytest.fixture(scope="module")
def compared():
    return compare(*mixed_curves(10, seed=5))


def verdicts_agree(found, plain):
    needed = 16 + 10 * np.maximum(0, found["phi"] - 0.5)
    return np.mean((found["statistic"] > needed) == (plain > needed))


@pytest.mark.parametrize("phi", PHIS)
def test_the_null_is_the_references_at_any_correlation(phi):
    t, curves = mixed_curves(2, seed=8)
    d = _dictionary.make(t)
    for y in curves:
        k = _work.allocate(d)
        _fit.pose(y, d, phi, k)
        rss = _fit.solve(y, d, 0, np.zeros(k.b.size), np.empty(t.size), k)
        assert rss == pytest.approx(oracle.fit(oracle.exponentials(t), y, phi)[1], rel=1e-8)


def test_no_better_step_is_missed_where_it_matters(compared):
    found, plain, _, _ = compared
    behind = plain - found["statistic"]
    assert np.all(behind[plain > 10] < 0.5)
    assert np.mean(behind < 0.5) >= 0.95
    assert np.all(behind < 4)  # on a null's flat likelihood the two may rest on different hills


def test_the_statistic_is_that_of_the_curve_that_was_fitted(compared):
    found, _, null_rss, rss = compared
    np.testing.assert_allclose(found["statistic"], 100 * np.log(null_rss / rss), atol=1e-3)  # fitted is float32


def test_the_statistic_decides_as_the_references_does(compared):
    found, plain, _, _ = compared
    assert verdicts_agree(found, plain) >= 0.99


@pytest.mark.slow
def test_the_statistic_decides_as_the_references_does_on_many_curves():
    found, plain, _, _ = compare(*mixed_curves(100, seed=6, width=2.0))
    assert verdicts_agree(found, plain) >= 0.99


def test_screened_candidates_find_what_the_whole_grid_finds():
    t, curves = mixed_curves(2, seed=9)
    for y in curves:
        whole, screened = oracle.one_step(y, t, 0.5), oracle.one_step(y, t, 0.5, n_candidates=12)
        assert screened.statistic == pytest.approx(whole.statistic, abs=0.5)


# ----------------------------------------------------------------------------------------------- linear algebra


def precision(m, phi):
    """Inverse covariance of a unit-variance AR(1) process."""
    return np.linalg.inv(phi ** np.abs(np.subtract.outer(np.arange(m), np.arange(m))))


@given(phi=correlations, m=st.integers(3, 40), seed=seeds)
def test_the_precision_is_the_inverse_of_the_covariance(phi, m, seed):
    v = np.random.default_rng(seed).standard_normal(m)
    out = np.empty(m)
    _linear.apply_precision(v, phi, out)
    np.testing.assert_allclose(out, precision(m, phi) @ v, atol=1e-9 / (1 - phi))
    assert _linear.quadratic(v, phi) == pytest.approx(v @ precision(m, phi) @ v, rel=1e-8)
    assert np.sum(oracle.whiten(v, phi) ** 2) == pytest.approx(v @ precision(m, phi) @ v, rel=1e-8)


@given(phi=correlations, seed=seeds)
def test_a_gram_matrix_at_any_correlation_comes_from_two_that_are_stored(phi, seed):
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((4, 20)), rng.standard_normal((6, 20))
    plain, lag = _dictionary._products(u, v)
    ends = [np.ascontiguousarray(rows[:, i]) for rows in (u, v) for i in (0, -1)]
    found = np.empty((4, 6))
    _linear.gram_at(phi, plain, lag, *ends, found)
    np.testing.assert_allclose(found, u @ precision(20, phi) @ v.T, atol=1e-9 / (1 - phi))


def non_negative(G, b, x):
    n = b.size
    work = np.empty(n, np.int64), np.empty((n, n)), np.empty(n), np.empty(n)
    _linear.nnls(G, b, 1 / np.sqrt(np.diag(G)), np.ones(n, bool), x, n, *work)


@given(seed=seeds, n=st.integers(1, 25), warm=st.booleans())
def test_non_negative_least_squares_are_scipys_from_any_start(seed, n, warm):
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((40, n)), rng.standard_normal(40)
    x = (rng.uniform(size=n) < 0.4 * warm).astype(float)
    non_negative(A.T @ A, A.T @ y, x)
    np.testing.assert_allclose(x, optimize.nnls(A, y)[0], atol=1e-8)


@settings(max_examples=30)
@given(seed=seeds, phi=correlations)
def test_non_negative_least_squares_hold_on_nearly_parallel_exponentials(seed, phi):
    rng = np.random.default_rng(seed)
    t = np.concatenate([[0.0], np.geomspace(1, 3e4, 60)])
    rows = oracle.whiten(oracle.exponentials(t), phi)
    y = rng.uniform(0, 1, len(rows)) ** 8 @ rows + 0.05 * rng.standard_normal(t.size)
    x = np.zeros(len(rows))
    non_negative(rows @ rows.T, rows @ y, x)
    assert np.all(x >= 0)
    assert np.sum((y - x @ rows) ** 2) == pytest.approx(
        optimize.nnls(rows.T, y, maxiter=5000)[1] ** 2, rel=2e-6
    )  # T moves by m times as much


# ------------------------------------------------------------------------------------- slopes, errors, correlation


def model(d, places, amplitudes):
    """theta (q, 2) and x of a few exponentials {index: amplitude} and steps (τ, n, h)."""
    theta = np.array([(np.log(tau), np.log(n)) for tau, n, _ in places]).reshape(-1, 2)
    x = np.zeros(d.null.shape[0] + _work.MAX_STEPS)
    for j, amplitude in amplitudes.items():
        x[j] = amplitude
    x[d.null.shape[0] : d.null.shape[0] + len(places)] = [h for _, _, h in places]
    return theta, x


def evaluate(d, theta, x, t):
    rates = 1 / d.null_time
    return x[: rates.size] @ np.exp(-rates[:, None] * t) + sum(
        h * oracle.step(t, *place) for h, place in zip(x[rates.size :], theta, strict=False)
    )


def dense_sharpness(d, theta, x):
    log_t = np.linspace(-4, 16, 40_001)
    f = evaluate(d, theta, x, np.exp(log_t))
    return np.e * np.max(-np.gradient(f, log_t)) / x[1:].sum()


D = _dictionary.make(np.concatenate([[0.0], np.geomspace(1, 3e4, 80)]))
MODELS = {
    "a step": ([(300.0, 3.0, 1.0)], {0: 0.1}),
    "a step on exponentials": ([(300.0, 4.0, 0.5)], {0: 0.1, 20: 0.3, 45: 0.2}),
    "two steps": ([(50.0, 4.0, 0.5), (900.0, 6.0, 0.4)], {0: 0.1, 30: 0.2}),
    "an abrupt step": ([(300.0, 50.0, 1.0)], {0: 0.1}),
}


@pytest.mark.parametrize("name", MODELS)
def test_slope_and_drop_are_those_of_the_curve(name):
    theta, x = model(D, *MODELS[name])
    slope, _, drop = _sharpness.steepest(D, theta, len(theta), x)
    assert drop == pytest.approx(x[1:].sum(), rel=1e-12)  # from 0 to infinity: all but the constant
    assert np.e * slope / drop == pytest.approx(dense_sharpness(D, theta, x), rel=2e-3)


def test_one_exponential_has_a_sharpness_of_one():
    theta, x = model(D, [], {0: 0.5, 30: 2.0})
    slope, _, drop = _sharpness.steepest(D, theta, 0, x)
    assert np.e * slope / drop == pytest.approx(1, abs=1e-3)


def parameters(theta, x):
    """Active amplitudes, then (ln τ, ln n) of every step: the order of the covariance."""
    which = np.flatnonzero(x)
    return which, np.concatenate([x[which], theta.ravel()])


def rebuild(which, values, like):
    x = np.zeros_like(like)
    x[which] = values[: which.size]
    return values[which.size :].reshape(-1, 2), x


@pytest.mark.parametrize("phi", [0.0, 0.7])
@pytest.mark.parametrize("name", ["a step", "a step on exponentials", "two steps"])
def test_the_errors_are_those_of_numeric_derivatives(name, phi):
    theta, x = model(D, *MODELS[name])
    which, centre = parameters(theta, x)
    noise = 1e-4
    jacobian = np.empty((centre.size, D.t.size))
    gradient = np.empty(centre.size)
    for i in range(centre.size):
        sides = [rebuild(which, centre + sign * 1e-4 * np.eye(centre.size)[i], x) for sign in (1, -1)]
        jacobian[i] = np.subtract(*(evaluate(D, *side, D.t) for side in sides)) / 2e-4
        gradient[i] = np.subtract(*(np.log(dense_sharpness(D, *side)) for side in sides)) / 2e-4
    expected = noise * np.linalg.inv(jacobian @ precision(D.t.size, phi) @ jacobian.T)
    found = _sharpness.covariance(jacobian, centre.size, phi, noise, np.zeros(centre.size))
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-3)
    k = _work.allocate(D)
    _fit.pose(np.ones(D.t.size), D, phi, k)
    _fit.place_steps(D, theta, len(theta), k)
    slope, where, drop = _sharpness.steepest(D, theta, len(theta), x)
    error = _sharpness.log_sharpness_error(D, theta, len(theta), x, where, slope, drop, noise, k)
    assert error == pytest.approx(np.sqrt(gradient @ expected @ gradient), rel=0.03)


@given(seed=seeds, n_parameters=st.integers(0, 12))
def test_the_correlation_is_marriott_and_popes(seed, n_parameters):
    r = np.random.default_rng(seed).standard_normal(50).cumsum()
    centred = r - r.mean()
    raw = centred[1:] @ centred[:-1] / (centred @ centred)
    corrected = raw + (1 + 3 * raw) / r.size + n_parameters * (1 - raw) / r.size
    assert _fit.autocorrelation(r, n_parameters) == pytest.approx(np.clip(corrected, 0, 0.95), abs=1e-12)


@pytest.mark.parametrize("phi", [0.3, 0.5, 0.8])
def test_the_correlation_is_unbiased_on_noise_that_has_it(phi):
    innovations = np.random.default_rng(0).standard_normal((500, 300))
    noise = signal.lfilter([1.0], [1.0, -phi], innovations, axis=1)[:, -100:]
    assert np.mean([_fit.autocorrelation(row.copy(), 0) for row in noise]) == pytest.approx(phi, abs=0.02)
