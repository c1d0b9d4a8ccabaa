"""The contract of every scaling law, and the closed forms of those that have one."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy import integrate

from quanta import scaling
from quanta._errors import InputError
from quanta.frequencies import Empirical, Uniform, Zipf
from quanta.scaling import (
    LAWS,
    AbstractScalingLaw,
    BrokenPowerLaw,
    Chinchilla,
    FiniteSum,
    Kaplan,
    OneExponent,
    PowerLaw,
    fit,
)

P = Zipf(n_subtasks=300, exponent=1.5)
X = np.geomspace(10, 1e5, 40)[None]
TWO = np.stack([axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 1e11, 7))])
THREE = np.stack([axis.ravel() for axis in np.meshgrid(*[np.geomspace(10, 1e4, 5)] * 3)])


class Planted(NamedTuple):
    """A law, its parameters, and where it is looked at."""

    law: AbstractScalingLaw
    values: tuple[float, ...]
    x: np.ndarray


PLANTED = {
    "power_law": Planted(PowerLaw(), (3.0, 0.4, -0.005), X),
    "power_law, positive": Planted(PowerLaw(offset="positive"), (3.0, 0.4, 0.2), X),
    "power_law, none": Planted(PowerLaw(offset="none"), (3.0, 0.05), X),
    "finite_sum": Planted(FiniteSum(frequencies=P, shape="exponential"), (3.0, 2.0, 0.1), X),
    "finite_sum, multilinear": Planted(FiniteSum(frequencies=P, shape="multilinear"), (3.0, 2.0, 0.1), X),
    "finite_sum, rank": Planted(FiniteSum(frequencies=P, shape="exponential", by="rank"), (30.0, 2.0, 0.1), X),
    "finite_sum, no floor": Planted(FiniteSum(frequencies=P, shape="exponential", floor=False), (3.0, 2.0), X[:, :30]),
    "broken_power_law": Planted(BrokenPowerLaw(), (3.0, 0.1, 0.05, 0.5, 800.0, 0.3), X),
    "chinchilla": Planted(Chinchilla(), (482.0, 2085.0, 0.348, 0.366, 1.82), TWO),
    "chinchilla, max": Planted(Chinchilla(join="max"), (482.0, 2085.0, 0.348, 0.366, 0.4), TWO),
    "chinchilla, no floor": Planted(Chinchilla(floor=False), (50.0, 20.0, 0.2, 0.13), TWO),
    "chinchilla, three": Planted(Chinchilla(variables=("N", "S", "D")), (2.0, 5.0, 3.0, 0.5, 0.3, 0.8, 0.3), THREE),
    "kaplan": Planted(Kaplan(), (8.8e9, 5.4e11, 0.19, 0.24), TWO),
    "one_exponent": Planted(OneExponent(), (1e6, 3e5, 0.45, 0.7), TWO),
}  # fmt: skip
planted = pytest.mark.parametrize("one", PLANTED.values(), ids=PLANTED)


def recovers(law, one, tolerance=1e-5):
    """Whether a fit of this law to noiseless losses of that one has its parameters, and says so."""
    found = fit(law, one.x, one.law.loss(one.values, one.x), bootstrap=None)
    values = np.array([*found.estimate.values()])
    return found.converged and values.shape == (len(one.values),) and np.allclose(values, one.values, rtol=tolerance)


def test_every_law_of_the_family_is_under_contract():
    assert {type(one.law) for one in PLANTED.values()} == {*LAWS.values()}


@planted
def test_a_law_recovers_its_own_parameters_without_noise(one):
    assert recovers(one.law, one)


def test_the_test_of_recovery_sees_a_law_that_does_not():
    assert not recovers(PowerLaw(offset="positive"), PLANTED["power_law"])
    assert not recovers(PowerLaw(offset="none"), PLANTED["power_law, positive"])
    assert not recovers(Chinchilla(join="max"), PLANTED["chinchilla"])
    assert not recovers(FiniteSum(frequencies=Zipf(n_subtasks=300, exponent=1.4)), PLANTED["finite_sum"])


@planted
def test_many_sets_of_parameters_are_evaluated_at_once(one):
    several = np.array([one.values, [1.1 * value for value in one.values]])
    together = one.law.loss(several.T[:, :, None], one.x)
    alone = [one.law.loss(values, one.x) for values in several]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


@planted
def test_repr_evaluates_back(one):
    names = {name: getattr(scaling, name) for name in scaling.__all__} | {"Zipf": Zipf}
    assert eval(repr(one.law), names) == one.law


@planted
def test_guesses_are_finite_and_within_bounds(one):
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(one.x.shape[1]))
    guesses = one.law.guesses(one.x, one.law.loss(one.values, one.x) * noise)
    assert np.isfinite(guesses).all()
    assert guesses.shape[1] == len(one.law.parameters) == len(one.values)
    for parameter, column in zip(one.law.parameters, guesses.T, strict=True):
        assert column.min() >= parameter.lower
        assert column.max() <= parameter.upper


@planted
def test_exponents_do_not_depend_on_the_units_of_loss_and_x(one):
    y = one.law.loss(one.values, one.x) * np.exp(0.01 * np.random.default_rng(1).standard_normal(one.x.shape[1]))
    here = fit(one.law, one.x, y, bootstrap=None)
    unit = 1.0 if isinstance(one.law, Kaplan | OneExponent) else 1e-9  # a power of a sum: E or nothing bears the unit
    there = fit(one.law, one.x * 1e3, y * unit, bootstrap=None)
    assert there.total == pytest.approx(here.total, rel=1e-4)
    for parameter in one.law.parameters:
        if parameter.exponent and here.converged:
            assert there.estimate[parameter.name] == pytest.approx(here.estimate[parameter.name], rel=0.01, abs=1e-4)


def test_a_smooth_break_lies_between_two_power_laws():
    law, values = BrokenPowerLaw(), (3.0, 0.1, 0.0, 0.5, 800.0, 0.3)
    early, late = np.array([[1e-3, 1e-2]]), np.array([[1e8, 1e9]])
    for x, exponent in ((early, 0.1), (late, 0.6)):
        loss = law.loss(values, x)
        assert np.log(loss[0] / loss[1]) / np.log(10) == pytest.approx(exponent, rel=1e-6)
    at_break = law.loss(values, np.array([[800.0]]))[0]
    assert at_break == pytest.approx(3.0 * 800**-0.1 * 2 ** (-0.5 * 0.3), rel=1e-12)


def test_one_exponent_is_the_quanta_s_in_parameters_and_in_data():
    law, much = OneExponent(), 1e30
    n = np.array([[1e3, 1e4], [much, much]])
    d = np.array([[much, much], [1e8, 1e9]])
    loss = law.loss((1.0, 1.0, 0.45, 0.0), n), law.loss((1.0, 1.0, 0.45, 0.0), d)
    slopes = [np.log(a / b) / np.log(10) for a, b in loss]
    assert slopes == pytest.approx([0.45, 0.45 / 1.45], rel=1e-6)


def direct(law, x):
    """A finite sum, summed."""
    p = np.sort(law.frequencies.probabilities())[::-1]
    rate = 1 / np.arange(1.0, p.size + 1) if law.by == "rank" else p
    return law.left(x[:, None] * rate) @ p


@pytest.mark.parametrize("by", ["frequency", "rank"])
@pytest.mark.parametrize("shape", ["exponential", "multilinear"])
@pytest.mark.parametrize("n_subtasks", [1, 7, 3000])
def test_the_table_is_the_sum(shape, by, n_subtasks):
    law = FiniteSum(frequencies=Zipf(n_subtasks=n_subtasks, exponent=1.5), shape=shape, by=by)
    x = np.geomspace(0.1, 30 * n_subtasks**1.5, 200)
    exact = direct(law, x)
    np.testing.assert_allclose(law.loss((1.0, 1.0, 0.0), x[None]), exact, atol=1e-4 * exact.max(), rtol=0)


def test_a_sum_of_steps_goes_through_the_middle_of_each_and_is_never_off_by_more_than_half_of_one():
    p = P.probabilities()
    law = FiniteSum(frequencies=P)
    middles = law.loss((1.0, 1.0, 0.0), 1 / p[None])
    tail = np.cumsum(p[::-1])[::-1]
    np.testing.assert_allclose(middles, tail - p / 2, rtol=1e-9)
    x = np.geomspace(0.5 / p[0], 2 / p[-1], 5000)
    off = np.abs(law.loss((1.0, 1.0, 0.0), x[None]) - direct(law, x))
    nearest = p[np.abs(np.log(x[:, None] * p)).argmin(axis=1)]
    assert (off <= nearest / 2 * (1 + 1e-9) + 1e-12).all()


def test_subtasks_of_one_frequency_are_one_step():
    law = FiniteSum(frequencies=Uniform(n_subtasks=8))
    assert law.loss((1.0, 1.0, 0.0), np.array([[1.0, 8.0, 64.0]])) == pytest.approx([1.0, 0.5, 0.0])


def test_a_subtask_that_never_occurs_is_no_part_of_the_sum():
    with_zero = FiniteSum(frequencies=Empirical(counts=(6, 3, 1, 0)), shape="exponential")
    without = FiniteSum(frequencies=Empirical(counts=(6, 3, 1)), shape="exponential")
    np.testing.assert_allclose(with_zero.loss((2.0, 1.0, 0.0), X), without.loss((2.0, 1.0, 0.0), X), atol=1e-12)


def test_before_and_after_all_learning_a_sum_is_its_height_and_its_floor():
    for shape in ("step", "exponential", "multilinear"):
        loss = FiniteSum(frequencies=P, shape=shape).loss((1.0, 2.0, 0.5), np.array([[1e-12, 1e12]]))
        assert loss == pytest.approx([2.5, 0.5], rel=1e-4)


@pytest.mark.parametrize("shape", ["step", "exponential", "multilinear"])
def test_half_of_a_subtask_is_left_at_one(shape):
    law = FiniteSum(frequencies=P, shape=shape)
    below, above = law.left(np.array([1 - 1e-9, 1 + 1e-9]))
    assert (below + above) / 2 == pytest.approx(0.5, abs=1e-6)
    assert law.left(np.array([0.0])) == pytest.approx([1.0])


def test_the_multilinear_subtask_solves_its_equation():
    ratio, law = 50.0, FiniteSum(frequencies=P, shape="multilinear", ratio=50.0)
    path = integrate.solve_ivp(
        lambda _, r: r * (1 - r), (0, 12), [1 / ratio], rtol=1e-10, atol=1e-12, dense_output=True
    )
    half = 1 - np.sqrt(0.5) * (1 - 1 / ratio)  # R where (1 - R)² is half of its beginning
    unit = np.log(half / (1 - half)) + np.log(ratio - 1)
    u = np.linspace(0, 12 / unit, 50)
    left = ((1 - path.sol(u * unit)[0]) / (1 - 1 / ratio)) ** 2
    np.testing.assert_allclose(law.left(u), left, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("by", "exponent"), [("frequency", 0.5 / 1.5), ("rank", 0.5)])
def test_of_many_subtasks_the_sum_is_the_power_law_of_the_theory(by, exponent):
    found = []
    for n_subtasks in (1000, 10_000, 100_000):
        law = FiniteSum(frequencies=Zipf(n_subtasks=n_subtasks, exponent=1.5), by=by)
        x = np.geomspace(30, 100, 20)[None] if by == "rank" else np.geomspace(1e3, 1e4, 20)[None]
        y = law.loss((1.0, 1.0, 0.0), x)
        found.append(abs(fit(PowerLaw(offset="none"), x, y, bootstrap=None).estimate["alpha"] - exponent))
    assert found[0] > found[1] > found[2]  # without an offset the end of the sum is seen from far away
    assert found[2] < 0.02


WRONG = {
    "offset is 'fre'; expected one of free, positive, none. Did you mean 'free'?": lambda: PowerLaw(offset="fre"),
    "join is 'min'; expected one of sum, max": lambda: Chinchilla(join="min"),
    "variables is ('N', 'N'); expected one name or more, all different": lambda: Chinchilla(variables=("N", "N")),
    "variables is (); expected one name": lambda: Chinchilla(variables=()),
    "shape is 'stairs'; expected one of": lambda: FiniteSum(frequencies=P, shape="stairs"),
    "by is 'k'; expected one of frequency, rank": lambda: FiniteSum(frequencies=P, by="k"),
    "ratio is 3; expected a finite number above 4": lambda: FiniteSum(frequencies=P, ratio=3),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_law_that_cannot_be_is_refused_in_one_line(message):
    with pytest.raises(InputError) as caught:
        WRONG[message]()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
