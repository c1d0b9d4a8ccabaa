"""Fits of the scaling curves of parity networks: on curves whose exponents are known."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STEP = np.unique(np.rint(np.geomspace(100, 200_000, 300)))


@pytest.fixture(scope="module")
def fits():
    sys.path.insert(0, str(BENCHMARKS))
    import parity_scaling_fits

    yield parity_scaling_fits
    sys.path.remove(str(BENCHMARKS))


def zipf(n: int, s: float) -> np.ndarray:
    p = np.arange(1, n + 1) ** -s
    return p / p.sum()


def world(p: np.ndarray, gamma: float, width: float = 0.05) -> np.ndarray:
    """Subtasks that fall from a bit to nothing at 100 p^-gamma, within `width` nats of log time."""
    distance = (np.log(100 * p**-gamma)[:, None] - np.log(STEP)) / width
    return np.log(2) / (1 + np.exp(np.clip(-distance, -50, 50)))


def test_an_exact_power_law_has_its_exponent_and_no_width_of_interval(fits):
    x = np.geomspace(10, 300, 8)
    found = fits.slope(x, 3 * x**-0.37)
    assert found.value == pytest.approx(-0.37)
    assert found.high - found.low < 1e-6


def test_the_interval_of_a_slope_holds_the_truth_as_often_as_it_says(fits):
    rng, x, n = np.random.default_rng(0), np.geomspace(10, 300, 8), 400
    draws = [fits.slope(x, x**-0.4 * np.exp(0.1 * rng.standard_normal(8))) for _ in range(n)]
    held = sum(draw.low <= -0.4 <= draw.high for draw in draws)
    assert abs(held - 0.95 * n) < 4 * np.sqrt(0.95 * 0.05 * n)


def test_two_points_have_no_slope(fits):
    assert np.isnan(fits.slope(np.array([1.0, 2.0]), np.array([1.0, 2.0])).value)


@pytest.mark.parametrize("exponent", [0.2, 0.7])
def test_a_floor_flattens_the_line_and_is_told_from_the_exponent(fits, exponent):
    x = np.geomspace(10, 1000, 10)
    y = 0.1 + 2 * x**-exponent
    assert -fits.slope(x, y).value < 0.95 * exponent
    assert fits.above_floor(x, y) == pytest.approx((exponent, 0.1), rel=1e-3)


def test_without_a_floor_none_is_found(fits):
    x = np.geomspace(10, 1000, 10)
    exponent, floor = fits.above_floor(x, 2 * x**-0.5)
    assert exponent == pytest.approx(0.5, abs=1e-3)
    assert floor < 1e-3


def test_a_subtask_converges_where_its_curve_crosses_the_level_and_never_if_it_does_not(fits):
    loss = np.stack([np.log(2) * (STEP < 1000), np.full(STEP.size, np.log(2)), np.log(2) / STEP])
    t = fits.converged_at(STEP, loss)
    assert t[0] == pytest.approx(1000, rel=0.04)  # the checkpoints are 2.6 % apart
    assert np.isnan(t[1:]).all()  # never, and before the first checkpoint


def test_the_law_of_timing_is_recovered_from_curves(fits):
    p = zipf(500, 1.4)
    t = fits.converged_at(STEP, world(p, 0.8))
    found = fits.timing(p, t, np.random.default_rng(0))
    assert np.isnan(t).any()
    assert found.value == pytest.approx(-0.8, abs=0.005)
    assert found.low <= found.value <= found.high


def test_the_interval_of_the_law_covers_scatter(fits):
    rng, p = np.random.default_rng(1), zipf(40, 1.4)
    found = [fits.timing(p, p**-0.8 * np.exp(0.3 * rng.standard_normal(40)), rng, 300) for _ in range(100)]
    assert sum(one.low <= -0.8 <= one.high for one in found) >= 85


def test_the_fall_of_a_power_law_is_its_exponent_in_every_window(fits):
    for window in (np.arange(400, 9001, 100), np.geomspace(500, 1e5, 30)):
        assert fits.fall(STEP, 2 * STEP**-0.45, window) == pytest.approx(0.45, abs=1e-6)


def test_sharp_subtasks_fall_as_steps_at_their_times_do_and_steeper_where_few_are_left(fits):
    p, window = zipf(500, 1.4), np.arange(400, 9001, 100)
    t = 100 / p
    sharp = fits.fall(STEP, p @ world(p, 1.0), window)
    assert sharp == pytest.approx(fits.stepped(p, t, window), abs=0.02)
    many = zipf(1_000_000, 1.4)
    assert fits.stepped(many, 100 / many, window) < sharp - 0.03  # of 500, the rest is a smaller part


def test_without_scatter_around_the_law_chance_moves_nothing(fits):
    p, window = zipf(100, 1.4), np.arange(400, 9001, 100)
    loss = world(p, 0.8)
    still = fits.falls_of_subtasks(STEP, loss, p, {"w": window}, np.random.default_rng(0), 20)["w"]
    assert still.high - still.low < 0.01
    late = np.exp(0.4 * np.random.default_rng(2).standard_normal(100))[:, None]
    scattered = np.array(
        [np.interp(np.log(STEP / d), np.log(STEP), one) for d, one in zip(late[:, 0], loss, strict=True)]
    )
    moved = fits.falls_of_subtasks(STEP, scattered, p, {"w": window}, np.random.default_rng(0), 20)["w"]
    assert moved.high - moved.low > 5 * (still.high - still.low)


def test_what_is_left_of_the_frequencies(fits):
    p = zipf(4, 1.0)
    np.testing.assert_allclose(
        fits.tail(p, np.array([0, 1, 1.5, 4])), [1, 1 - p[0], 1 - p[0] - p[1] / 2, 0], atol=1e-12
    )
