"""How often each subtask occurs: what every law of occurrence promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta import frequencies
from quanta._errors import InputError
from quanta.frequencies import Empirical, Uniform, Zipf

counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(any)
laws = st.one_of(
    st.builds(Zipf, n_subtasks=st.integers(1, 300), exponent=st.floats(0, 4)),
    st.builds(Uniform, n_subtasks=st.integers(1, 300)),
    st.builds(Empirical, counts=counts.map(tuple)),
)


@given(laws)
def test_probabilities_are_one_per_subtask_and_sum_to_one(law):
    p = law.probabilities()
    assert p.dtype == np.float64
    assert p.shape == (law.size,)
    assert np.all(p >= 0)
    assert math.fsum(p) == pytest.approx(1, abs=1e-12)


@given(laws)
def test_the_repr_of_a_law_evaluates_back_to_it(law):
    assert eval(repr(law), vars(frequencies)) == law


@given(n=st.integers(2, 300), exponent=st.floats(0, 4))
def test_each_step_of_a_zipf_law_is_the_power_of_the_ratio_of_ranks(n, exponent):
    p = Zipf(n_subtasks=n, exponent=exponent).probabilities()
    k = np.arange(1, n)
    np.testing.assert_allclose(p[1:] / p[:-1], (k / (k + 1)) ** exponent, rtol=1e-12)


@given(n=st.integers(1, 300))
def test_a_zipf_law_of_exponent_zero_is_uniform(n):
    np.testing.assert_allclose(Zipf(n_subtasks=n, exponent=0).probabilities(), Uniform(n_subtasks=n).probabilities())


@given(counts, st.floats(1e-3, 1e3))
def test_only_the_ratios_of_counts_matter(numbers, factor):
    scaled = Empirical(counts=tuple(factor * c for c in numbers))
    np.testing.assert_allclose(scaled.probabilities(), np.array(numbers) / sum(numbers), rtol=1e-12)


def test_counts_may_be_an_array():
    assert Empirical(counts=np.array([3, 1])) == Empirical(counts=(3.0, 1.0))


def test_counts_near_the_largest_number_do_not_overflow():
    assert Empirical(counts=(1.7e308, 1.7e308)).probabilities().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("law", [Zipf, Uniform])
@pytest.mark.parametrize("n", [0, -3, 2.5, math.nan, "many", None, True])
def test_a_number_of_subtasks_that_is_no_whole_positive_number_is_refused(law, n):
    with pytest.raises(InputError, match=f"n_subtasks is {n}"):
        law(n_subtasks=n)


@pytest.mark.parametrize("exponent", [-0.1, math.nan, math.inf, -math.inf])
def test_an_exponent_that_is_negative_or_not_finite_is_refused(exponent):
    with pytest.raises(InputError, match=f"exponent is {exponent}"):
        Zipf(exponent=exponent)


@pytest.mark.parametrize("bad", [(), (0, 0), (1, -1), (1, math.nan), (1, math.inf), ((1, 2), (3, 4)), ("a",), 7])
def test_counts_that_are_no_counts_are_refused(bad):
    with pytest.raises(InputError, match="counts"):
        Empirical(counts=bad)
