"""The description of a step, whatever its shape: closed forms, derivatives, and shapes that it recovers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta import worlds
from quanta.transitions import LikelihoodRatio, _burr, _dictionary, _fit, _spikes, _work

T = np.concatenate([[0.0], np.geomspace(1, 3e4, 99)])
D = _dictionary.make(T)
shapes = st.floats(-0.6, 4.0).filter(lambda nu: abs(nu) > 2e-3)


def burr(t, place):
    log_time, log_exponent, nu = place
    z = (t / np.exp(log_time)) ** np.exp(log_exponent)
    return np.maximum(1 + nu * z, 0) ** (-1 / nu)


def row_and_tangents(place):
    k = _work.allocate(D)
    _fit.pose(np.ones(T.size), D, 0.0, k)
    _burr._row_and_tangents(D, np.asarray(place, dtype=float), k)
    return k.rows[0].copy(), k.V[:3].copy()


@given(nu=shapes, log_exponent=st.floats(0.1, 3.0), log_time=st.floats(1.0, 9.0))
def test_onset_and_width_are_those_of_the_curve(nu, log_exponent, log_time):
    place = np.array([log_time, log_exponent, nu])
    onset, width = np.exp(_burr.log_onset(place)), np.exp(_burr.log_width(place))
    assert burr(onset, place) == pytest.approx(0.5, rel=1e-9)
    at = [np.exp(log_time) * ((share**-nu - 1) / nu) ** np.exp(-log_exponent) for share in (0.9, 0.1)]
    assert burr(np.array(at), place) == pytest.approx([0.9, 0.1], rel=1e-9)
    assert width == pytest.approx(np.log(at[1] / at[0]), rel=1e-9)


def test_between_its_shapes_lie_weibull_and_logistic():
    weibull, _ = row_and_tangents([np.log(300), np.log(3), 0.0])
    np.testing.assert_allclose(weibull, np.exp(-((T / 300) ** 3)), atol=1e-3)
    logistic, _ = row_and_tangents([np.log(300), np.log(3), 1.0])
    np.testing.assert_allclose(logistic, 1 / (1 + (T / 300) ** 3), atol=1e-12)
    assert np.exp(_burr.log_width(np.array([0.0, np.log(3), 1.0]))) == pytest.approx(2 * np.log(9) / 3)
    assert np.exp(_burr.log_width(np.array([0.0, np.log(3), 0.0]))) == pytest.approx(3.0843 / 3, rel=1e-3)


@given(nu=shapes, log_exponent=st.floats(0.1, 2.5), log_time=st.floats(2.0, 9.0))
def test_the_tangents_are_derivatives(nu, log_exponent, log_time):
    place = np.array([log_time, log_exponent, nu])
    row, V = row_and_tangents(place)
    np.testing.assert_allclose(row, burr(T, place), atol=1e-6)  # z is cut at e^60
    z = (T / np.exp(log_time)) ** np.exp(log_exponent)
    inside = np.abs(1 + nu * z) > 0.05  # at the end of a finite support the curve has a kink
    for i in range(3):
        step = 1e-6 * np.eye(3)[i]
        numeric = (burr(T, place + step) - burr(T, place - step)) / 2e-6
        np.testing.assert_allclose(V[i][inside], numeric[inside], atol=2e-5)


@pytest.mark.parametrize("family", ["logistic", "weibull", "gompertz", "hyperbolic"])
@pytest.mark.parametrize("width", [0.6, 1.2])
def test_steps_of_any_shape_are_recovered_when_there_is_hardly_any_noise(family, width):
    step, loss, truth = worlds.curves(family, n=20, seed=4, sigma=1e-4, width=width)
    found = LikelihoodRatio(misfit=0.0).detect(loss, step.astype(float), np.full(20, 1.2))
    inside = (truth.onset > 20) & (truth.onset < 3000)
    np.testing.assert_allclose(found["onset"][inside], truth.onset[inside], rtol=0.03)
    np.testing.assert_allclose(found["width"][inside], width, rtol=0.08)
    np.testing.assert_allclose(found["height"][inside], truth.height[inside], rtol=0.06)


@given(at=st.integers(2, 37), size=st.floats(0.5, 5.0), sign=st.sampled_from([-1, 1]))
def test_a_lone_spike_is_mended_and_a_wall_is_not(at, size, sign):
    smooth = np.linspace(2.0, 1.0, 40) + 0.01 * np.random.default_rng(0).standard_normal(40)
    spiked = smooth.copy()
    spiked[at] += sign * size
    out = np.empty(40)
    assert _spikes.despike(spiked, 5.0, out)
    assert abs(out[at] - smooth[at]) < 0.1
    wall = np.where(np.arange(40) < at, 2.0 + size, 1.0)
    assert not _spikes.despike(wall, 5.0, out)
    np.testing.assert_array_equal(out, wall)
