"""Adam on rows that are mostly untouched, against Adam step by step in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def every_step(weight, m, v, t0, missed, decay, rate=1e-3, epsilon=1e-8):
    """Adam of Kingma and Ba with decoupled decay on gradients of zero, one step after another, in float64."""
    weight, m, v = (array.astype(np.float64) for array in (weight, m, v))
    for t in range(t0 + 1, t0 + missed + 1):
        m, v = 0.9 * m, 0.999 * v
        weight = weight - rate * decay * weight
        weight = weight - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
    return weight, m, v


@pytest.fixture(scope="module")
def at_once():
    """All those steps, as the engine makes them."""
    from numba import njit

    from quanta.learners import _parity_adam as adam

    @njit
    def catch_up(how, last, missed, numbers, weight, m, v):
        adam.summary(how, last, missed, numbers)
        for at in range(0, weight.size, 16):
            adam.catch_up(how, numbers, last, missed, at, weight, m, v)

    def run(weight, m, v, t0, missed, decay):
        how, new = adam.pace(True, 1e-3, decay, (0.9, 0.999), 1e-8), [array.copy() for array in (weight, m, v)]
        catch_up(how, t0, missed, np.zeros(adam.N_NUMBERS, np.float32), *new)
        return new

    return run


def check_lazy(at_once, t0, missed, decay, scales, seed=0):
    """Errors in units of what they are errors of: of the way moved, of what decay left, of the moments."""
    rng = np.random.default_rng(seed)
    gradient = np.repeat(scales, 16)
    m, v = rng.standard_normal(gradient.size) * gradient, 10 ** rng.uniform(-3, 0, gradient.size) * gradient**2
    still = np.zeros(gradient.size, np.float32)  # from 0, or the rounding of a weight would hide that of its way
    m, v = m.astype(np.float32), v.astype(np.float32)
    way, *moments = at_once(still, m, v, t0, missed, decay)
    true_way, *true_moments = every_step(still, m, v, t0, missed, decay)
    # decay about as fast as momentum, or faster, leaves hardly anything of the way: then of what a step moves
    least = 1e-8 * 1e-3 * np.abs(m) / (np.sqrt(v) + 1e-8) if decay > 30 else 0
    assert np.all(np.abs(way - true_way) <= 1e-6 * np.abs(true_way) + least)
    for found, truth in zip(moments, true_moments, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-6, atol=2e-38)  # what is less than float32 has
    weight = rng.standard_normal(gradient.size).astype(np.float32)
    moved, left = at_once(weight, m, v, t0, missed, decay)[0], weight * (1 - 1e-3 * decay) ** missed
    error = np.abs(moved - every_step(weight, m, v, t0, missed, decay)[0])
    assert np.all(error <= 1e-6 * (np.abs(true_way) + np.abs(left)) + least)


@given(
    t0=st.integers(1, 1000), missed=st.integers(1, 3000), decay=st.sampled_from([0.0, 0.01, 1.0, 30.0, 60.0, 300.0, 900.0]),
    power=st.floats(-9, -3), seed=st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=60)
def test_missed_steps_of_adam_are_made_up_for(at_once, t0, missed, decay, power, seed):
    check_lazy(at_once, t0, missed, decay, [10.0**power], seed)


@pytest.mark.parametrize("decay", [0.0, 0.1, 100.0, 900.0])  # 100: as fast as momentum; 900: the most
@pytest.mark.parametrize("t0", [1, 2, 95, 96, 97, 1000, 50_000])  # 96: where the sum becomes a series
@pytest.mark.parametrize("missed", [1, 2, 50, 217, 218, 219, 3000])  # 219: where momentum is taken to be over
def test_missed_steps_of_adam_are_made_up_for_in_the_corners(at_once, t0, missed, decay):
    check_lazy(at_once, t0, missed, decay, 10.0 ** np.arange(-9, -2))


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"epsilon": 2e-8}, {"rate": 1.00001e-3}, {"t0": 100}], ids=str)
def test_another_adam_is_told_apart(at_once, wrong):
    still, m, v = (np.full(16, x, np.float32) for x in (0, 1e-9, 1e-18))
    how = {"t0": 99, "missed": 300, "decay": 0.1}
    way = at_once(still, m, v, **how)[0]
    assert np.all(np.abs(every_step(still, m, v, **how | wrong)[0] - way) > 5e-6 * np.abs(way))
