"""Learners whose subtasks meet: their flows against plain references, and the published results to be reproduced."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from quanta._errors import InputError
from quanta.frequencies import Uniform, Zipf
from quanta.learners import (
    LEARNERS,
    Dependent,
    Domino,
    Exponential,
    Geometry,
    LinearCoupled,
    Mixture,
    Overflow,
    Resource,
)
from quanta.simulate import simulate
from quanta.worlds import shapes


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def run(learner, p, when, *, seed=0, dynamics="expected", batch_size=1):
    """Losses at these times, (n_subtasks, n_times), and the last state."""
    state = learner.start(p, np.random.default_rng(seed), dynamics=dynamics, batch_size=batch_size)
    losses = []
    for time in when:
        state = learner.advance(state, int(time))
        losses.append(learner.measure(state)["loss"])
    return np.stack(losses, axis=-1), state


def two(rarity):
    """Two subtasks, the second so many times as frequent as the first."""
    return np.array([1.0, rarity]) / (1 + rarity)


# ---------------------------------------------------------------------------------------------------------- resource


def discrete(p, rate, waste, objective, n_steps):
    """Losses, (n_subtasks, n_steps), by the steps of the paper."""
    skill, losses = np.zeros(p.size), []
    for _ in range(n_steps):
        left = 1 - skill if objective == "squared" else np.exp(-skill) / (1 + np.exp(-skill))
        demand = p * left
        skill = skill + rate * demand / (demand.sum() + waste) if demand.any() else skill
        skill = np.minimum(skill, 1) if objective == "squared" else skill
        losses.append((1 - skill) ** 2 if objective == "squared" else np.log1p(np.exp(-skill)))
    return np.array(losses).T


@pytest.mark.parametrize("waste", [0.0, 0.003, 0.3, 10.0])
@pytest.mark.parametrize("objective", ["squared", "cross-entropy"])
def test_the_steps_of_the_paper_tend_to_the_closed_form_as_they_get_small(objective, waste):
    """Liu et al. (2025), resource model. A step of rate η is off by O(η): half the step, half the difference."""
    p = Zipf(n_subtasks=6, exponent=1.5).probabilities()
    off = []
    for rate in (0.02, 0.01):
        n_steps = int(5 / rate)
        flow, _ = run(Resource(rate=rate, waste=waste, objective=objective), p, range(1, n_steps + 1))
        off.append(np.abs(flow - discrete(p, rate, waste, objective, n_steps)).max())
    assert off[0] < 0.1 * 0.02
    assert off[0] / off[1] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("waste", [0.0, 1e-300, 1e-6, 0.003, 1.0, 1e9])
@pytest.mark.parametrize("objective", ["squared", "cross-entropy"])
def test_what_was_gained_and_wasted_is_what_was_spent_however_far_the_leap(objective, waste):
    p = Zipf(n_subtasks=40, exponent=2.0).probabilities()
    learner = Resource(waste=waste, objective=objective)
    for step in (1, 700, 1990, 10**6, 10**9):
        _, state = run(learner, p, [step])
        if np.isinf(state.effort):  # squared, all is learned in a finite time; of the other, next to nothing is left
            assert waste < 1e-100
            assert learner.rate * step >= p.size * (1 if objective == "squared" else 500)
            assert np.all(learner.measure(state)["loss"] == 0)
            continue
        given = p * state.effort
        skill = -np.expm1(-given) if objective == "squared" else np.log(special.wrightomega(1 + given))
        assert skill.sum() + waste * state.effort == pytest.approx(learner.rate * step, rel=1e-12)


def test_one_leap_is_as_good_as_many():
    p = Zipf(n_subtasks=40).probabilities()
    leap, _ = run(Resource(), p, [3000])
    walk, _ = run(Resource(), p, range(1, 3001, 7))
    np.testing.assert_allclose(walk[:, -1], run(Resource(), p, [2997])[0][:, 0], rtol=1e-11)
    assert np.all(leap <= walk[:, -1:])


@pytest.mark.parametrize("objective", ["squared", "cross-entropy"])
@pytest.mark.parametrize("waste", [0.0, 0.003, 100.0])
def test_the_loss_is_half_its_start_at_the_declared_onset(objective, waste):
    p = Zipf(n_subtasks=12, exponent=2.0).probabilities()
    learner = Resource(waste=waste, objective=objective, rate=1e-5)
    for k, onset in enumerate(learner.onset(p)):
        loss, _ = run(learner, p, [round(onset)])
        assert loss[k, 0] == pytest.approx(0.5 * learner.chance_loss, rel=1e-3)


def test_onsets_of_many_subtasks_are_those_of_the_sum_over_all_pairs():
    p = Zipf(n_subtasks=3000, exponent=1.5).probabilities()
    effort = math.log(2) / (2 * p)
    skill = np.array([np.sum(-np.expm1(-p * s)) for s in effort])
    np.testing.assert_allclose(Resource(waste=0.01, rate=0.1).onset(p), (skill + 0.01 * effort) / 0.1, rtol=1e-10)


def test_a_rare_subtask_waits_for_the_frequent_one_and_then_is_as_quick():
    """Liu et al. (2025): not ten times as long but about two; ratios of t90, the skill at 90 %."""
    when = np.rint(np.geomspace(1e4, 1e6, 2000))
    for rarity, ratio in {1.0: 1.00, 0.5: 1.20, 0.2: 1.53, 0.1: 1.78, 0.05: 2.02}.items():
        learner = Resource(waste=0.003, rate=2 * 3e-7 * math.sqrt(1000))  # a thousandth of the paper's learning rate
        loss, _ = run(learner, two(rarity), when)
        frequent, rare = when[np.argmax(loss <= 0.1**2, axis=1)]
        assert rare / frequent == pytest.approx(ratio, abs=0.02)


def test_with_much_waste_onsets_are_as_much_later_as_subtasks_are_rarer():
    """Liu et al. (2025): N₀ → ∞ is the quanta picture, t50 ∝ 1/p."""
    p = Zipf(n_subtasks=10, exponent=2.0).probabilities()
    half_skill = (0.25,)  # of the loss (1 - u)² is left at u = ½
    assert slope(p, Resource(waste=100.0)._crossings(p, half_skill)[0]) == pytest.approx(-1.0, abs=0.03)
    assert slope(p, Resource(waste=0.0)._crossings(p, half_skill)[0]) > -0.7  # the control


def test_onsets_are_inverse_to_frequency_only_beyond_the_rank_at_which_waste_outgrows_what_is_learned():
    """η t = c k + N₀ ln 2/(2 p), p = k^-2/ζ(2), c = (ln 2 / 2)^½ Γ(½): γ is ½, then ¾ where both are equal, then 1."""
    p = Zipf(n_subtasks=2 * 10**5, exponent=2.0).probabilities()
    onset = Resource().onset(p)
    equal = math.sqrt(math.log(2) / 2 * math.pi) / (0.003 * math.log(2) / 2 * special.zeta(2))
    for rank, gamma in {0.02 * equal: 0.5, equal: 0.75, 150 * equal: Resource().onset_exponent}.items():
        near = slice(round(0.9 * rank), round(1.1 * rank))
        assert slope(1 / p[near], onset[near]) == pytest.approx(gamma, abs=0.03)


@pytest.mark.parametrize("objective", ["squared", "cross-entropy"])
def test_as_much_waste_as_can_be_only_slows_the_clock(objective):
    p = Zipf(n_subtasks=5, exponent=100.0).probabilities()
    slow, slower = (Resource(waste=waste, rate=1e-3, objective=objective) for waste in (1e6, 1e12))
    np.testing.assert_allclose(slower.onset(p), 1e6 * slow.onset(p), rtol=1e-5)
    assert run(slower, p, [2**53])[0][0, 0] == pytest.approx(run(slow, p, [2**53 / 1e6])[0][0, 0], rel=1e-5)
    rare = np.array([1.0, 1e-300])
    assert slower.onset(rare)[1] == math.inf
    assert slower.horizon(rare) == math.inf


def test_the_null_of_shared_resources_is_that_of_no_known_optimizer():
    """Convex as it is, a world whose speed depends on all that is left looks sharper than SGD or Adam may make it."""
    from quanta.transitions.null import base_sharpness

    assert Resource().optimizer == Resource(waste=1e9).optimizer == "unknown"
    assert base_sharpness("unknown", np.array([np.nan]), "squared error")[0] == pytest.approx(math.e)


@pytest.mark.parametrize(("waste", "expected"), [(0.0, -0.6), (100.0, -0.375)])
def test_waste_decides_the_exponent(waste, expected):
    """-α without, -α/(1 + α) with much of it, α = 0.6: where subtasks are neither few nor running out."""
    p = Zipf(n_subtasks=10**5, exponent=1.6).probabilities()
    learner = Resource(waste=waste)
    assert learner.exponent("steps", 1.6) == pytest.approx(expected)
    window = learner._steps_for(0.35 / p[[30, 300]], p)
    when = np.rint(np.geomspace(*window, 8))
    loss, _ = run(learner, p, when)
    # of 10⁵ subtasks some never come: their share of the law is known
    beyond = special.zeta(1.6, 10**5 + 1) / special.zeta(1.6)
    assert slope(when, p @ loss * (1 - beyond) + beyond) == pytest.approx(expected, abs=0.03)


# ----------------------------------------------------------------------------------------------- the law along steps

IN_STEPS = {
    "resource": Resource(),
    "domino": Domino(),
    "geometry": Geometry(descent="sgd", rate=0.3),
    "geometry, cross-entropy": Geometry(descent="sgd", rate=0.3, objective="cross-entropy"),
    "dependent": Dependent(),
    "mixture": Mixture(),
}
in_steps = pytest.mark.parametrize("learner", IN_STEPS.values(), ids=IN_STEPS)


@in_steps
def test_the_loss_limited_by_steps_is_that_of_a_run_of_so_many(learner):
    p = Zipf(n_subtasks=6, exponent=1.0).probabilities()
    when = [1, 30, 31]
    loss, _ = run(learner, p, when)
    for i, steps in enumerate(when):
        np.testing.assert_allclose(learner.limited("steps", p, steps), loss[:, i], rtol=1e-9)
    np.testing.assert_allclose(learner.limited("steps", p, 30.25), 0.75 * loss[:, 1] + 0.25 * loss[:, 2], rtol=1e-12)


@pytest.mark.parametrize(
    ("learner", "axis"),
    [*((learner, "steps") for learner in IN_STEPS.values()), (Geometry(directions="random"), "parameters")],
    ids=str,
)
@pytest.mark.parametrize("amount", [0, -1.0, math.nan, math.inf])
def test_an_amount_of_a_resource_that_cannot_be_is_refused(learner, axis, amount):
    with pytest.raises(InputError, match=f"the amount of {axis} is {amount}; expected a finite number above 0"):
        learner.limited(axis, two(0.1), amount)


@pytest.mark.parametrize("learner", [LinearCoupled(), Geometry()], ids=str)
def test_where_features_are_drawn_at_random_no_law_in_steps_is_claimed(learner):
    with pytest.raises(InputError, match="has no law along steps; expected a learner that has one"):
        learner.limited("steps", two(0.1), 10)


@pytest.mark.parametrize("learner", [cls() for cls in LEARNERS.values()], ids=LEARNERS)
@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_a_batch_that_cannot_be_is_refused(learner, batch_size):
    with pytest.raises(InputError, match=f"batch_size is {batch_size}; expected a whole number of at least 1"):
        learner.start(two(0.1), np.random.default_rng(0), batch_size=batch_size)


# ------------------------------------------------------------------------------------------------------------ domino


@pytest.mark.parametrize(("alpha", "expected"), [(0.3, 0.333), (0.6, 0.605), (0.9, 0.897)])
def test_one_after_another_the_loss_falls_with_the_exponent_of_the_frequencies(alpha, expected):
    """Liu et al. (2025): α_S = α; of a million subtasks, truncation included, after 10 to 10⁴ of them."""
    p = Zipf(n_subtasks=10**6, exponent=1 + alpha).probabilities()
    turns = np.geomspace(10, 1e4, 12)
    loss, _ = run(Domino(turn=1000.0), p, np.rint(1000 * turns))
    assert slope(turns, p @ loss) == pytest.approx(-expected, abs=0.005)


def test_without_waste_far_apart_frequencies_fall_like_dominoes():
    """The limit of the resource model: du/dt = η for the most frequent that is left"""
    for gap in (1e-3, 1e-5):
        p = gap ** np.arange(5.0)
        p /= p.sum()
        when = np.arange(0, 3001, 10)
        domino, _ = run(Domino(turn=500.0), p, when)
        resource, _ = run(Resource(waste=0.0, rate=1 / 500), p, when)
        assert np.abs(domino - resource).max() < -2 * gap * math.log(gap)  # how long two are learned at once


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_without_waste_zipf_neighbours_overlap_and_take_so_many_turns_more(exponent):
    r"""Onset k → c k/η, a domino with c = 1.

    .. math:: c = \int_0^\infty (1 - 2^{-x^{-s}/2}) dx = (\ln 2 / 2)^{1/s}\, \Gamma(1 - 1/s)
    """
    p = Zipf(n_subtasks=10**5, exponent=exponent).probabilities()
    turns = (math.log(2) / 2) ** (1 / exponent) * special.gamma(1 - 1 / exponent)
    onset = Resource(waste=0.0, rate=1.0).onset(p)
    assert slope(np.arange(200, 800), onset[200:800]) == pytest.approx(1.0, abs=0.02)
    assert np.diff(onset)[300] == pytest.approx(turns, rel=0.05)
    assert np.diff(Domino(turn=1.0).onset(p))[300] == pytest.approx(1.0)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_without_waste_a_zipf_subtask_is_as_sharp_as_the_zipf_exponent(exponent):
    """Effort grows as t^s, far from the first onset and the last, so that the loss exp(-2 p · effort) is Weibull's."""
    p = Zipf(n_subtasks=10**5, exponent=exponent).probabilities()
    learner = Resource(waste=0.0, rate=1e-4)
    when = np.rint(learner.onset(p)[200] * np.exp(np.linspace(-0.5, 0.8, 60)))
    loss, _ = run(learner, p, when)
    assert math.e * np.max(-np.gradient(loss[200], np.log(when))) == pytest.approx(exponent, rel=0.05)


def test_subtasks_of_one_frequency_share_their_turns():
    p = np.array([0.1, 0.35, 0.35, 0.0, 0.2])
    loss, state = run(Domino(turn=10.0), p, [5, 10, 20, 25, 40])
    np.testing.assert_allclose(1 - np.sqrt(loss[:, 0]), [0, 0.25, 0.25, 0, 0])
    np.testing.assert_allclose(1 - np.sqrt(loss[:, 3]), [0, 1, 1, 0, 0.5])
    np.testing.assert_allclose(loss[:, 4], [0, 0, 0, 1, 0])
    resource, _ = run(Resource(waste=0.0, rate=0.1), np.array([0.5, 0.5]), [5])
    np.testing.assert_allclose(1 - np.sqrt(resource[:, 0]), 0.25)  # as they share the resource
    assert np.isnan(Domino().truth(state).onset[3])


# ---------------------------------------------------------------------------------------------------------- geometry

DESCENTS = {
    "sgd": Geometry(n_dim=7, directions="random", descent="sgd", rate=0.3),
    "signgd": Geometry(n_dim=7, descent="signgd", rate=0.01),
    "adam": Geometry(n_dim=7, rate=0.02, beta1=0.8, beta2=0.9),
    "adam, cross-entropy": Geometry(n_dim=4, directions="random", objective="cross-entropy", rate=0.02),
    "sgd, cross-entropy": Geometry(n_dim=7, objective="cross-entropy", descent="sgd", rate=1.0),
}
descents = pytest.mark.parametrize("learner", DESCENTS.values(), ids=DESCENTS)


def skill_and_pull(learner, directions, x):
    u = directions @ x
    return u, 2 * (1 - u) if learner.objective == "squared" else special.expit(-u)


def steps_in_numpy(learner, directions, weights):
    """Twin of the kernels: losses, (n_subtasks, n_steps), along gradients with these weights, (n_steps, n_subtasks)."""
    x = mean = square = np.zeros(directions.shape[1])
    losses = []
    for step, weight in enumerate(weights, start=1):
        gradient = -(weight * skill_and_pull(learner, directions, x)[1]) @ directions
        mean = learner.beta1 * mean + (1 - learner.beta1) * gradient
        square = learner.beta2 * square + (1 - learner.beta2) * gradient**2
        normalised = mean / (1 - learner.beta1**step) / (np.sqrt(square / (1 - learner.beta2**step)) + 1e-8)
        x = x - learner.rate * {"sgd": gradient, "signgd": np.sign(gradient), "adam": normalised}[learner.descent]
        u = directions @ x
        losses.append((1 - u) ** 2 if learner.objective == "squared" else np.log1p(np.exp(-u)))
    return np.array(losses).T


@descents
def test_full_gradients_are_followed_as_in_numpy(learner):
    p = Zipf(n_subtasks=5, exponent=1.0).probabilities()
    loss, state = run(learner, p, range(1, 61))
    directions = state.directions.astype(float) if state.directions.size else np.eye(5)
    np.testing.assert_allclose(loss, steps_in_numpy(learner, directions, np.tile(p, (60, 1))), rtol=1e-7, atol=1e-12)


@descents
def test_batches_are_followed_as_in_numpy(learner):
    p = Zipf(n_subtasks=5, exponent=1.0).probabilities()
    state = learner.start(p, np.random.default_rng(4), dynamics="sampled", batch_size=6)
    loss, hits = [], [state.hits]
    for step in range(1, 61):
        state = learner.advance(state, step)
        loss.append(learner.measure(state)["loss"])
        hits.append(state.hits)
    drawn = np.diff(hits, axis=0)
    assert np.all(drawn.sum(axis=1) == 6)
    directions = state.directions.astype(float) if state.directions.size else np.eye(5)
    np.testing.assert_allclose(np.array(loss).T, steps_in_numpy(learner, directions, drawn / 6), rtol=1e-7, atol=1e-12)


def test_batches_hold_subtasks_by_their_frequency_whatever_the_moments_between():
    p = np.array([0.5, 0.0, 0.3, 0.2])
    learner = Geometry(n_dim=4)
    leap, walk = (run(learner, p, when, dynamics="sampled", batch_size=50)[1] for when in ([400], range(1, 401)))
    for ours, theirs in zip(leap, walk, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert leap.hits[1] == 0
    assert stats.chisquare(leap.hits[p > 0], 20_000 * p[p > 0]).pvalue > 0.001


def test_directions_are_random_and_orthogonal():
    p = Uniform(n_subtasks=30).probabilities()
    rows = Geometry(n_dim=40).start(p, np.random.default_rng(0)).directions.astype(float)
    np.testing.assert_allclose(rows @ rows.T, np.eye(30), atol=1e-6)
    assert abs(rows.mean()) < 4 / math.sqrt(40 * 1200)
    assert stats.kstest(rows.ravel() * math.sqrt(40), "norm").statistic < 0.05
    unit = Geometry(n_dim=5, directions="random").start(p, np.random.default_rng(0)).directions
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)


def test_gradient_descent_moves_orthogonal_skills_apart_from_each_other():
    """1 - u = (1 - 2 η p)^t; also in directions that are no axes, as every learner but SGD has them."""
    p = Zipf(n_subtasks=4, exponent=1.0).probabilities()
    learner = Geometry(n_dim=6, descent="sgd", rate=0.2)
    loss, _ = run(learner, p, [1, 10, 100])
    np.testing.assert_allclose(loss, (1 - 0.4 * p[:, None]) ** (2 * np.array([1, 10, 100])), rtol=1e-9, atol=1e-15)
    oblique = Geometry(n_dim=6).start(p, np.random.default_rng(0)).directions.astype(float)
    np.testing.assert_allclose(loss[:, 1], steps_in_numpy(learner, oblique, np.tile(p, (10, 1)))[:, -1], rtol=1e-4)
    half = math.log(0.5) / (2 * np.log(1 - 0.4 * p))
    assert np.all(np.abs(learner.onset(p) - half) < 0.1)  # in proportion between two steps


def t90(learner, p, seed):
    """Steps at which skills reach 90 %, (2,)."""
    from quanta.learners import _geometry

    state = learner.start(p, np.random.default_rng(seed))
    crossed, level = np.full((2, 1), np.nan), np.array([0.1**2])
    path = (learner._how(), 0, int(0.12 / learner.rate), state.x, state.moments, level, crossed)
    _geometry.follow_gradient(p, state.directions, False, *path)
    return crossed[:, 0]


@pytest.mark.parametrize(
    ("rarity", "ratio"), {1.0: 0.99, 0.5: 1.21, 0.2: 1.58, 0.1: 1.80, 0.05: 1.93, 0.01: 2.05}.items()
)
def test_under_signs_the_second_of_two_skills_takes_twice_as_long_however_rare(rarity, ratio):
    """Liu et al. (2025), geometry model, two orthogonal skills in 1000 dimensions."""
    learner = Geometry(n_dim=1000, descent="signgd", rate=1e-4)
    frequent, rare = np.mean([t90(learner, two(rarity), seed) for seed in range(4)], axis=0)
    assert rare / frequent == pytest.approx(ratio, abs=0.04)
    frequent, rare = Geometry(descent="sgd", rate=1e-4).onset(two(rarity))
    assert rare / frequent == pytest.approx(1 / rarity, rel=0.001)  # by itself


def test_onsets_under_signs_are_those_of_the_mean_field_of_many_dimensions():
    p = Zipf(n_subtasks=6, exponent=1.0).probabilities()
    for objective in ("squared", "cross-entropy"):
        learner = Geometry(n_dim=4000, objective=objective, descent="signgd", rate=1e-4)
        ratio = []
        for seed in range(3):
            _, state = run(learner, p, [2 * max(learner.onset(p))], seed=seed)
            ratio.append(learner.truth(state).onset / learner.onset(p))
        np.testing.assert_allclose(np.mean(ratio, axis=0), 1.0, atol=0.06)


def test_no_onset_is_declared_under_adam_and_a_run_is_long_enough_all_the_same():
    p = Zipf(n_subtasks=6, exponent=1.0).probabilities()
    for objective in ("squared", "cross-entropy"):
        learner = Geometry(objective=objective)
        assert np.all(np.isnan(learner.onset(p)))
        loss, state = run(learner, p, [learner.horizon(p)])
        assert np.all(loss < 0.1 * learner.chance_loss)
        assert np.all(np.isfinite(learner.truth(state).width))


@pytest.mark.parametrize("descent", ["sgd", "signgd", "adam"])
def test_a_rate_so_low_that_no_run_is_long_enough_is_named_and_so_many_steps_are_made_all_the_same(descent):
    law, learner = Zipf(n_subtasks=3), Geometry(descent=descent, rate=1e-9)
    with pytest.raises(InputError, match=r"^rate is 1e-09[^\n]* Give --steps[.]$"):
        learner.horizon(law.probabilities())
    assert simulate(law, learner, steps=5, n_checkpoints=5)["step"][-1] == 5


def test_batches_that_hold_the_rarest_too_seldom_are_named():
    with pytest.raises(InputError, match=r"batch_size is 2, of which the rarest subtask takes 1e\+10 .* Give --steps"):
        Geometry(descent="signgd").sampled_horizon(two(1e-9), 2)


def test_a_memory_longer_than_any_run_is_named():
    p = Zipf(n_subtasks=3).probabilities()
    with pytest.raises(InputError, match=r"beta2 is 0.9999999999, and takes 1e\+10 steps .* Give --steps"):
        Geometry(beta2=0.9999999999).horizon(p)
    assert Geometry(beta2=0.9999999999, descent="signgd").horizon(p) == Geometry(descent="signgd").horizon(p)


@pytest.mark.parametrize("objective", ["squared", "cross-entropy"])
def test_only_skills_that_do_not_meet_have_laws_in_steps(objective):
    p = Zipf(n_subtasks=5, exponent=1.0).probabilities()
    alone = Geometry(descent="sgd", objective=objective)
    assert (alone.axes, alone.monotone, alone.exchangeable, alone.generalises) == (("steps",), True, True, False)
    assert alone.exponent("steps", 1.5) == pytest.approx(-0.5 / 1.5)
    assert slope(p, alone.onset(p)) == pytest.approx(-1, abs=0.02)
    for fields in ({"descent": "signgd"}, {"descent": "adam"}, {"descent": "sgd", "directions": "random"}):
        learner = Geometry(objective=objective, **fields)
        assert (learner.monotone, learner.exchangeable, learner.generalises) == (False, False, True)
        shared = objective == "squared" and learner.directions == "random"
        assert learner.axes == (("parameters",) if shared else ())
        assert math.isnan(learner.exponent("steps", 1.5))
        assert learner.exponent("parameters", 1.5) == pytest.approx(-0.5 if shared else math.nan, nan_ok=True)


@pytest.mark.parametrize(("descent", "exponent"), [("signgd", 0.45), ("adam", 0.335)])
def test_skills_that_share_dimensions_have_the_time_scaling_law_of_the_paper(descent, exponent):
    """Liu et al. (2025), figure 10, their α = 1.4: 1000 skills in 100 dimensions, between 80 and 200 steps.

    Settings of their scaling runs: cross-entropy, learning rate 0.01, batches of 1024. (Of the squared error it is .08
    and .28: at that rate SignGD has ended in its cycle.)
    """
    p = Zipf(n_subtasks=1000, exponent=1.4).probabilities()
    learner = Geometry(n_dim=100, directions="random", objective="cross-entropy", descent=descent, rate=0.01)
    when = [80, 200]
    slopes = [slope(when, p @ run(learner, p, when, seed=s, dynamics="sampled", batch_size=1024)[0]) for s in range(4)]
    assert np.mean(slopes) == pytest.approx(-exponent, abs=0.05)


SHARED = Geometry(directions="random")  # of a law of dimensions


def least_squares(p, n_dim, seed):
    """The squared errors, (n_subtasks,), at the minimum of their mean in random directions."""
    learner = Geometry(n_dim=n_dim, directions="random")
    rows = learner.start(p, np.random.default_rng(seed)).directions.astype(float)
    return (1 - rows @ np.linalg.solve(rows.T @ (p[:, None] * rows), rows.T @ p)) ** 2


def test_the_loss_that_so_many_dimensions_leave_falls_as_in_the_paper():
    """Liu et al. (2025), figure 10: α_N ≈ .63 between 40 and 220 dimensions, their α = 1.4; at the minimum, solved."""
    p = Zipf(n_subtasks=1000, exponent=1.4).probabilities()
    dimensions = [40, 220]
    law = np.stack([SHARED.limited("parameters", p, n) for n in dimensions], axis=-1)
    found = np.mean([np.stack([least_squares(p, n, s) for n in dimensions], axis=-1) for s in range(12)], axis=0)
    np.testing.assert_allclose(p @ law, p @ found, rtol=0.06)
    rare = slice(100, None)
    np.testing.assert_allclose(law[rare].mean(axis=0), found[rare].mean(axis=0), rtol=0.06)
    assert slope(dimensions, p @ law) == pytest.approx(-0.63, abs=0.05)
    assert slope(dimensions, p @ found) == pytest.approx(-0.63, abs=0.05)


def test_trained_to_the_end_in_so_many_dimensions_the_loss_falls_as_in_the_paper():
    """The same α_N, of gradient descent itself."""
    p = Zipf(n_subtasks=1000, exponent=1.4).probabilities()
    dimensions, left = [40, 220], []
    for n_dim in dimensions:
        learner = Geometry(n_dim=n_dim, directions="random", descent="sgd", rate=2.5)
        left.append(np.mean([p @ run(learner, p, [3000], seed=seed)[0][:, 0] for seed in range(4)]))
    assert slope(dimensions, left) == pytest.approx(-0.63, abs=0.05)


def test_gradient_descent_ends_where_the_law_of_dimensions_says():
    p = Zipf(n_subtasks=60, exponent=1.0).probabilities()
    learner = Geometry(n_dim=20, directions="random", descent="sgd", rate=2.0)
    loss, _ = run(learner, p, [20_000], seed=3)
    assert p @ loss[:, 0] == pytest.approx(p @ least_squares(p, 20, 3), rel=1e-6)


def test_the_law_of_dimensions_tends_to_its_exponent():
    p = Zipf(n_subtasks=10**6, exponent=1.6).probabilities()
    dimensions = np.geomspace(100, 1000, 4)
    loss = [p @ SHARED.limited("parameters", p, n) for n in dimensions]
    assert slope(dimensions, loss) == pytest.approx(SHARED.exponent("parameters", 1.6), abs=0.02)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_dim": 0}, "n_dim is 0; expected a whole number from 1 to 100000000"),
        *(({"n_dim": n}, f"n_dim is {n}; expected a whole number") for n in (math.inf, math.nan, 10.0, True)),
        ({"rate": 0.04}, r"rate is 0.04; expected at most 1/√n_dim = 0.0316 for adam"),
        ({"rate": -1.0}, "rate is -1.0"),
        ({"beta1": 1.0}, "beta1 is 1.0; expected at least 0, and below 1"),
        ({"beta2": -0.1}, "beta2 is -0.1"),
        ({"descent": "newton"}, "descent is 'newton'; expected one of adam, signgd, sgd"),
        ({"directions": "straight"}, "directions is 'straight'"),
        ({"objective": "hinge"}, "objective is 'hinge'"),
    ],
    ids=str,
)
def test_a_field_of_geometry_out_of_range_is_named(fields, said):
    with pytest.raises(InputError, match=said):
        Geometry(**fields)


@pytest.mark.parametrize(
    ("member", "fields", "said"),
    [
        (Resource, {"waste": -1.0}, "waste is -1.0; expected a finite amount of 0 or more"),
        (Resource, {"waste": 1e308}, r"waste is 1e\+308; expected a finite amount of 0 or more, at most 1e\+12"),
        (Resource, {"waste": math.nan}, "waste is nan"),
        (Resource, {"rate": 0.0}, "rate is 0.0"),
        (Resource, {"rate": 1e13}, "rate is 10000000000000.0; expected a finite number above 0, at most"),
        (Resource, {"objective": "hinge"}, "objective is 'hinge'; expected 'squared' or 'cross-entropy'"),
        (Domino, {"turn": 0.0}, "turn is 0.0"),
        (LinearCoupled, {"dimensions": 0.0}, "dimensions is 0.0"),
        (LinearCoupled, {"rate": math.nan}, "rate is nan"),
    ],
    ids=str,
)
def test_a_field_out_of_range_is_named(member, fields, said):
    with pytest.raises(InputError, match=said):
        member(**fields)


def test_too_few_dimensions_for_orthogonal_directions_are_refused():
    with pytest.raises(InputError, match="n_dim is 9; expected at least 10, for as many orthogonal directions"):
        Geometry(n_dim=9).start(Uniform(n_subtasks=10).probabilities(), np.random.default_rng(0))


def test_more_directions_than_memory_holds_are_refused():
    p = Uniform(n_subtasks=10**6).probabilities()
    with pytest.raises(
        InputError, match=r"1000000 directions in n_dim = 1000 dimensions have 1.0e\+09 components; .* at most"
    ):
        Geometry(directions="random").horizon(p)
    assert (
        Geometry(descent="sgd", n_dim=10**6, rate=1.0).start(p, np.random.default_rng(0)).x.size == 10**6
    )  # needs none


@pytest.mark.parametrize("directions", ["orthogonal", "random"])
@pytest.mark.parametrize(("dynamics", "batch_size"), [("expected", 1), ("sampled", 1), ("sampled", 8)])
def test_a_rate_beyond_stability_is_refused_with_the_most_that_is_stable(directions, dynamics, batch_size):
    p = Zipf(n_subtasks=10, exponent=1.0).probabilities()

    def begin(rate):
        learner = Geometry(n_dim=20, directions=directions, descent="sgd", rate=rate)
        return learner, learner.start(p, np.random.default_rng(0), dynamics=dynamics, batch_size=batch_size)

    with pytest.raises(InputError, match=r"rate is 50.0; expected less than .* beyond which SGD is unstable") as error:
        begin(50.0)
    most = float(str(error.value).split("less than ")[1].split(",")[0])
    learner, state = begin(0.98 * most)
    assert p @ learner.measure(learner.advance(state, 3000))["loss"] < 0.5
    if dynamics == "expected":  # the bound is sharp; of batches it is so for the mean square
        beyond = Geometry(n_dim=20, directions=directions, descent="sgd", rate=1.02 * most)
        assert p @ beyond.measure(beyond.advance(state, 3000))["loss"] > 1


@pytest.mark.parametrize("dynamics", ["expected", "sampled"])
def test_a_loss_that_overflows_is_told_by_step_and_subtask(dynamics):
    p = np.array([0.1, 0.9])
    safe, wild = (Geometry(n_dim=2, descent="sgd", rate=rate) for rate in (0.5, 50.0))
    state = safe.start(p, np.random.default_rng(0), dynamics=dynamics, batch_size=4)
    with pytest.raises(Overflow, match=r"loss of subtask 1 is not finite at step .* Lower the rate") as error:
        wild.advance(state, 10**6)
    last = error.value.time
    assert np.all(np.isfinite(wild.measure(wild.advance(state, last - 1))["loss"]))
    if dynamics == "expected":  # |1 - 2 η p|^(2 t) > 2^1024
        assert last == math.ceil(1024 * math.log(2) / (2 * math.log(2 * 50 * 0.9 - 1)))


# ---------------------------------------------------------------------------------------------------- linear, coupled


def sharpness(learner, n_subtasks, seed):
    """S of every subtask that learned, measured; of the mean loss; and how many rose on the way, as a share."""
    p = Zipf(n_subtasks=n_subtasks, exponent=1.0).probabilities()
    when = np.unique(np.rint(np.geomspace(1, 2 * learner.horizon(p), 3000)))
    loss, _ = run(learner, p, [0, *when], seed=seed)
    loss = np.vstack([loss, p @ loss])
    falling = -np.diff(loss[:, 1:]) / np.diff(np.log(when))
    drop = loss.max(axis=1) - loss[:, -1]
    measured = math.e * falling.max(axis=1) / drop
    return measured[:-1], measured[-1], np.mean(loss[:-1].max(axis=1) > 1.01)


def test_single_curves_of_a_convex_world_look_sharp_though_their_mean_is_not():
    """32 Zipf tasks, unit features in 64 dimensions: S above 1.2 in a quarter or so, and above 1.5 in some."""
    found = [sharpness(LinearCoupled(rate=1e-3), 32, seed) for seed in range(6)]
    single = np.concatenate([each for each, _, _ in found])
    assert 0.2 < np.mean(single > 1.2) < 0.35
    assert np.mean(single > 1.5) > 0.03
    assert max(mean for _, mean, _ in found) <= 1
    assert np.mean([rose for _, _, rose in found]) > 0.2


def test_without_shared_features_none_does():
    single, mean, rose = sharpness(Exponential(rate=1e-3), 32, 0)
    assert np.all(single < 1.02)
    assert (mean <= 1, rose) == (True, 0.0)


def test_coupled_residuals_are_those_of_their_differential_equation():
    p = Zipf(n_subtasks=5, exponent=1.0).probabilities()
    learner = LinearCoupled(dimensions=1.4, rate=0.05)
    when = np.array([0, 3, 30, 300, 3000])
    loss, state = run(learner, p, when)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((5, 7))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(shapes.coupled_residuals(0.05 * when, p, features, state.targets) ** 2, loss, atol=1e-12)
    flow = integrate.solve_ivp(
        lambda _, w: -0.05 * ((features @ w - state.targets) * p) @ features,
        (0, 3000), np.zeros(7), "DOP853", when, rtol=1e-11, atol=1e-13,
    )  # fmt: skip
    np.testing.assert_allclose(loss, (features @ flow.y - state.targets[:, None]) ** 2, atol=1e-8)


def test_with_fewer_dimensions_than_subtasks_not_all_is_learned():
    p = Zipf(n_subtasks=40, exponent=1.0).probabilities()
    loss, _ = run(LinearCoupled(dimensions=0.5), p, [0, 10**9])
    assert np.all(loss[:, 0] == 1)
    assert 0.05 < p @ loss[:, 1] < 0.5
    assert loss[20:, 1].mean() > 3 * loss[:5, 1].mean()
    assert loss[:, 1].max() > 2  # single ones end above their start
    assert 0.1 < np.mean(loss[:, 1] > 1) < 0.3


def test_what_linear_algebra_cannot_do_is_refused():
    with pytest.raises(InputError, match="n_subtasks is 4001; expected at most 4000 for LinearCoupled"):
        LinearCoupled().start(Zipf(n_subtasks=4001).probabilities(), np.random.default_rng(0))
    with pytest.raises(InputError, match="times as frequent as the rarest; expected at most 1e\\+12"):
        LinearCoupled().start(two(1e-13), np.random.default_rng(0))
    with pytest.raises(
        InputError, match=r"dimensions is 1000000000.0; expected at most 2.5e\+07 for each of 2 subtasks"
    ):
        LinearCoupled(dimensions=1e9).start(two(0.1), np.random.default_rng(0))
    assert LinearCoupled(dimensions=1e3).start(two(0.1), np.random.default_rng(0)).rates.shape == (2,)
