"""The laws that learners declare, along every axis: sums over all subtasks, and their exponents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from quanta import record, simulate
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.learners import (
    LEARNERS,
    AbstractIndependent,
    ConvexAdam,
    Geometry,
    Hyperbolic,
    Mixture,
    Multilinear,
    PowerLaw,
    Quantum,
    Resource,
)
from quanta.learners.base import AXES

P = Zipf(n_subtasks=50, exponent=1.4).probabilities()
INDEPENDENT = {name: cls() for name, cls in LEARNERS.items() if issubclass(cls, AbstractIndependent)}
MEMBERS = {
    **INDEPENDENT,
    "missing quanta": Quantum(missing=7, before=2.0, after=0.5, parameters_per_subtask=2.5),
    "networks of Nam": Multilinear(target=5.0, parameters_per_subtask=4, examples_per_subtask=20),
    "neurons of Ren": Hyperbolic(timing=0.5),
}
LAWS = {f"{name}-{axis}": (member, axis) for name, member in MEMBERS.items() for axis in member.axes}
# Those of all. The resource model has its law once n demands are small beside what is wasted, which is, by default,
# beyond the 100 000th subtask; that without waste has its own.
DECLARED = {
    **{name: cls() for name, cls in LEARNERS.items() if cls is not Resource},
    **MEMBERS,
    "much waste": Resource(waste=100.0),
    "no waste": Resource(waste=0.0),
    "few steps": Mixture(sharp=Quantum(), fraction=0.2),
    "random directions": Geometry(directions="random"),
}
SCALED = {
    f"{name}-{axis}": (member, axis)
    for name, member in DECLARED.items()
    for axis in member.axes
    if math.isfinite(member.exponent(axis, 1.5))
}

independent = pytest.mark.parametrize("learner", MEMBERS.values(), ids=MEMBERS)
along_every_axis = pytest.mark.parametrize(("learner", "axis"), LAWS.values(), ids=LAWS)


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def floor(learner, p):
    """Loss of every subtask in the end: what is never learned stays at chance."""
    return np.where(np.isinf(learner.onset(p)), learner.chance_loss, learner.learned_loss)


def enough(learner, axis, p, rank):
    """The amount with which the subtask of that rank, from 0, is half learned; of compute, a product that suffices."""
    if axis == "steps":
        return learner.onset(p)[rank]
    if axis == "compute":
        return enough(learner, "steps", p, rank) * enough(learner, "parameters", p, rank)
    p = p[: rank + 2]  # rarer ones take nothing from it
    half = 0.5 * (learner.chance_loss + learner.learned_loss)
    return math.exp(optimize.bisect(lambda a: learner.limited(axis, p, math.exp(a))[rank] - half, -5, 40, rtol=1e-6))


# ------------------------------------------------------------------------------------------------ every axis


@along_every_axis
def test_with_more_of_a_resource_the_mean_loss_falls_from_chance_to_its_floor(learner, axis):
    last = 47  # of the rarest, one that is missing nowhere
    amounts = enough(learner, axis, P, last) * np.geomspace(1e-7, 1e4, 45)
    loss = np.array([learner.limited(axis, P, amount) for amount in amounts])
    assert loss.shape == (45, P.size)
    start = max(learner.chance_loss, loss[0].max())  # Nam's R = 0 for want of parameters is below R(0)
    assert start <= 1.2 * learner.chance_loss
    assert loss[0] @ P > 0.9 * start
    assert np.all(np.diff(loss @ P) <= 1e-12)
    if axis != "compute":  # of which a little more may be split otherwise
        assert np.all(np.diff(loss, axis=0) <= 1e-12)
    drop = learner.chance_loss - learner.learned_loss
    assert (loss[-1] - floor(learner, P)) @ P < 0.01 * drop


@pytest.mark.parametrize(("learner", "axis"), SCALED.values(), ids=SCALED)
def test_the_slope_tends_to_the_declared_exponent_as_subtasks_become_many(learner, axis):
    """Between the 30th and the 300th subtask: far from the first, which come one by one, and ever farther from the last.

    What ends at n is short of the infinite sum by a share of about (300/n)^(1/2), which bends the slope.
    """
    distance = []
    one_by_one = axis != "compute" and isinstance(learner, AbstractIndependent)
    for n in (10**4, 10**5, 10**6) if one_by_one else (10**3, 10**4, 10**5):
        p = Zipf(n_subtasks=n, exponent=1.5).probabilities()
        ends = [enough(learner, axis, p, rank) for rank in (29, 299)]
        amounts = np.geomspace(*ends, 6 if one_by_one else 3)
        left = [p @ (learner.limited(axis, p, amount) - floor(learner, p)) for amount in amounts]
        distance.append(abs(slope(amounts, left) - learner.exponent(axis, 1.5)))
    assert distance[0] > distance[1] > distance[2]
    assert distance[2] < (0.015 if one_by_one else 0.02)


@pytest.mark.parametrize("cls", LEARNERS.values(), ids=LEARNERS)
def test_of_an_axis_that_its_theory_does_not_have_a_learner_says_nothing(cls):
    for axis in {*AXES, "luck"} - {*cls().axes}:
        with pytest.raises(
            InputError, match=f"{cls.__name__} has no law along {axis}; expected (one of steps|a learner that)"
        ):
            cls().limited(axis, P, 10.0)
        assert math.isnan(cls().exponent(axis, 1.5))


@along_every_axis
@pytest.mark.parametrize("amount", [0.0, -1.0, math.nan, math.inf])
def test_an_amount_that_cannot_be_is_refused(learner, axis, amount):
    with pytest.raises(InputError, match=f"the amount of {axis} is {amount}; expected a finite number above 0"):
        learner.limited(axis, P, amount)


@along_every_axis
def test_what_is_frequent_comes_first_whatever_its_number(learner, axis):
    order = np.random.default_rng(0).permutation(P.size)
    for rank in (3, 22):
        amount = enough(learner, axis, P, rank) * 1.01
        plain, permuted = learner.limited(axis, P, amount), learner.limited(axis, P[order], amount)
        np.testing.assert_allclose(permuted, plain[order], rtol=1e-9)


@along_every_axis
def test_what_never_occurs_is_learned_with_no_amount(learner, axis):
    p = np.array([0.0, 0.7, 0.3])
    assert learner.limited(axis, p, 1e12)[0] >= learner.chance_loss * (1 - 1e-12)
    np.testing.assert_allclose(learner.limited(axis, p, 1e12)[1:], learner.learned_loss, atol=1e-5)


@independent
def test_steps_are_examples_of_the_mean_field(learner):
    when = learner.onset(P)[22]
    np.testing.assert_array_equal(learner.limited("steps", P, when), learner.expected(P, when))


# ------------------------------------------------------------------------------------------------ sums over subtasks


def sharing(p, t):
    """The resource model: the effort s at which Σ (1 - e^-ps) + N₀ s = η t, by bisection."""
    effort = optimize.brentq(lambda s: math.fsum(-np.expm1(-p * s)) + 0.003 * s - 0.02 * t, 0, t / 0.1 + 1, xtol=1e-9)
    return np.exp(-2 * p * effort)


def mixed(p, t):
    """Every second one, by multiples of the golden ratio, is learned sharply, as a share of its chance."""
    sharp = np.arange(1, p.size + 1) * (math.sqrt(5) - 1) / 2 % 1 < 0.5
    return np.where(sharp, FORMULAS["multilinear"](p, t) / (0.5 * 0.99**2), FORMULAS["exponential"](p, t))


FORMULAS = {  # of the defaults, written out, at the frequency p after t examples
    "quantum": lambda p, t: np.where(p * t < 10, 1.0, 0.0),
    "threshold": lambda p, t: stats.binom.cdf(9, t, p),
    "multilinear": lambda p, t: 0.5 * (1 - 1 / (1 + 99 * np.exp(-0.02 * p * t))) ** 2,
    "hyperbolic": lambda p, t: 0.5 * (1 - np.minimum(1, 1 / np.maximum(20 - 0.08 * p * t, 1e-9))) ** 2,
    "exponential": lambda p, t: (1 - 0.005 * p) ** t,
    "power_law": lambda p, t: 1 / (1 + p * t / 100) ** 2,
    "stretched": lambda p, t: np.exp(-((p * t / 200) ** 0.6)),
    "convex_adam": lambda p, t: np.log(1 + 10 * np.exp(-0.001 * p**0.65 * t)),
    "resource": sharing,
    "domino": lambda p, t: (1 - np.clip(t / 50 - np.arange(p.size), 0, 1)) ** 2,
    "mixture": mixed,
    "synchronous": lambda p, t: special.expit(-np.log(np.maximum(t, 1e-9) / 1000) * 2 * np.log(9) / 0.5) + 0 * p,
}


def test_every_law_of_steps_has_its_sum_written_out():
    assert {name for name, cls in LEARNERS.items() if math.isfinite(cls().exponent("steps", 1.5))} <= {*FORMULAS}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_macro_curve_of_a_simulation_is_the_finite_sum_and_so_is_its_slope(name):
    learner, law = LEARNERS[name](), Zipf(n_subtasks=1000, exponent=1.5)
    ds = simulate.simulate(law, learner, n_checkpoints=300)
    p, step = law.probabilities(), ds["step"].values
    exact = np.array([math.fsum(p * FORMULAS[name](p, t)) for t in step.astype(float)])
    mean = record.mean_loss(ds).values
    np.testing.assert_allclose(mean, exact, rtol=1e-5, atol=1e-9)  # float32, on disk
    first, last = learner.onset(p)[[9, 99]]
    if first == last:  # all at once
        first, last = 0.5 * first, 2 * last
    inside = (step >= first) & (step <= last)
    assert inside.sum() > 5
    assert slope(step[inside], mean[inside]) == pytest.approx(slope(step[inside], exact[inside]), abs=1e-3)


@pytest.mark.parametrize(("power", "exponent"), [(0.1, -0.1), (0.3, -0.3), (0.8, -9 / 19)])
def test_the_slower_of_each_power_law_and_the_frontier_sets_the_slope(power, exponent):
    """-min(c, α / (1 + α)), α = 0.9, approached as t grows."""
    learner, p = PowerLaw(power=power), Zipf(n_subtasks=10**6, exponent=1.9).probabilities()
    assert learner.exponent("steps", 1.9) == pytest.approx(exponent)
    distance = []
    for start in (1e2, 1e6):
        times = learner.scale * start * np.geomspace(1, 10, 5)
        distance.append(abs(slope(times, [p @ learner.expected(p, t) for t in times]) - exponent))
    assert distance[1] < min(distance[0], 0.02)


def test_without_order_in_time_there_is_no_exponent():
    assert math.isnan(INDEPENDENT["synchronous"].exponent("steps", 1.5))


@pytest.mark.parametrize("learner", [Hyperbolic(timing=0.5), ConvexAdam(timing=0.65)], ids=repr)
def test_a_slower_clock_of_the_rare_makes_a_steeper_law(learner):
    assert learner.exponent("steps", 1.5) == pytest.approx(-0.5 / 1.5 / learner.timing)


# ------------------------------------------------------------------------------------------------ compute


@pytest.mark.parametrize("learner", [Quantum(), Multilinear(rate=1.0), Hyperbolic(timing=0.5)], ids=repr)
def test_the_best_split_is_the_best_of_all(learner):
    """Against every number of subtasks that parameters may hold, one by one."""
    for compute in enough(learner, "compute", P, 10) * np.array([0.02, 1, 30]):
        split = learner.best_split(P, compute)
        assert split.steps * split.parameters == pytest.approx(compute)
        everywhere = [
            P @ np.maximum(learner.limited("steps", P, compute / n), learner.limited("parameters", P, float(n)))
            for n in range(1, P.size + 1)
        ]
        assert P @ learner.limited("compute", P, compute) <= min(everywhere) * (1 + 1e-3)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_best_split_grows_as_declared(gamma):
    """Nam et al. (2024), corollary 4: N ∝ C^(1 / (α + 2)), T ∝ C^((α + 1) / (α + 2)), here at γ = 1."""
    learner, p = Hyperbolic(timing=gamma, initial=0.01), Zipf(n_subtasks=20_000, exponent=1.9).probabilities()
    compute = np.geomspace(enough(learner, "compute", p, 20), enough(learner, "compute", p, 200), 5)
    steps, parameters = np.transpose([learner.best_split(p, c) for c in compute])
    assert slope(compute, parameters) == pytest.approx(1 / (1.9 * gamma + 1), abs=0.02)
    assert slope(compute, steps) == pytest.approx(1.9 * gamma / (1.9 * gamma + 1), abs=0.02)


# ------------------------------------------------------------------------------------------------ data and quanta


@given(st.integers(1, 120), st.integers(1, 3000), st.floats(1e-6, 1.0))
def test_what_data_leave_is_the_mean_over_data_sets(needed, examples, p):
    """Nam et al. (2024), equation 17, over d ~ Binomial(D, p), summed one by one."""
    learner = Multilinear(target=2.0, examples_per_subtask=needed)
    d = np.arange(examples + 1)
    exact = stats.binom.pmf(d, examples, p) @ (0.5 * (2.0 - learner.strength_from(d)) ** 2)
    assert learner.limited("data", np.array([p]), examples)[0] == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_parameters_beyond_whole_skills_learn_the_next_in_part():
    """Nam et al. (2024), extended model, N_c = 4: S below q, S r/N_c at q = ⌊(N - 1)/N_c⌋ + 1, nothing beyond."""
    learner, p = Multilinear(target=2.0, parameters_per_subtask=4), np.full(5, 0.2)
    for n in range(1, 21):
        q = (n - 1) // 4 + 1
        r = n - 4 * (q - 1)
        strength = np.where(np.arange(1, 6) < q, 2.0, np.where(np.arange(1, 6) == q, 2.0 * r / 4, 0.0))
        np.testing.assert_allclose(learner.limited("parameters", p, n), 0.5 * (2.0 - strength) ** 2, atol=1e-15)


@pytest.mark.parametrize("missing", [0, 3])
@pytest.mark.parametrize("axis", ["steps", "parameters", "data", "compute"])
def test_quanta_are_counted_as_the_paper_counts_them(axis, missing):
    """Michaud et al. (2023), section 2: n(S), n(N), n(D); of a million quanta, up to rank 100 or so."""
    learner = Quantum(before=3.0, after=1.0, hits=20, missing=missing, parameters_per_subtask=2.5)
    p = Zipf(n_subtasks=10**5, exponent=2.2).probabilities()
    rank = learner.last_learned(axis, 2.2, enough(learner, axis, p, 100))
    found = learner.learned(axis, p, enough(learner, axis, p, 100))
    assert rank == pytest.approx(101, rel=0.02)
    assert found == pytest.approx(rank * (1 - 1 / missing if missing else 1), abs=2)
    loss = p @ learner.limited(axis, p, enough(learner, axis, p, 100))
    assert learner.loss_beyond(rank + 0.5, 2.2) == pytest.approx(loss, rel=1e-3)


def test_missing_quanta_are_every_third_by_frequency_and_never_learned():
    learner, p = Quantum(missing=3), np.array([0.1, 0.3, 0.05, 0.25, 0.2, 0.1])
    np.testing.assert_array_equal(np.isinf(learner.onset(p)), [False, False, True, False, True, False])
    for dynamics in learner.dynamics:
        state = learner.advance(learner.start(p, np.random.default_rng(0), dynamics=dynamics), 10**6)
        np.testing.assert_array_equal(learner.measure(state)["loss"], [0, 0, 1, 0, 1, 0])
        np.testing.assert_array_equal(np.isnan(learner.truth(state).onset), [False, False, True, False, True, False])
        np.testing.assert_allclose(state.hits / 10**6, p, atol=0.01)  # seen they are


def test_missing_quanta_are_counted_among_all():
    learner, p = Quantum(missing=3), Zipf(n_subtasks=20_000).probabilities()
    state = learner.advance(learner.start(p, np.random.default_rng(0)), 10**12)
    np.testing.assert_array_equal(np.flatnonzero(learner.measure(state)["loss"]), np.arange(2, 20_000, 3))
