"""The contract of learners, over the whole family, and the closed forms that each member claims."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from quanta import learners
from quanta._errors import InputError
from quanta.frequencies import Uniform, Zipf
from quanta.learners import (
    LEARNERS,
    AbstractIndependent,
    ConvexAdam,
    Dependent,
    Exponential,
    Geometry,
    Hyperbolic,
    Mixture,
    Multilinear,
    ParityNetwork,
    PowerLaw,
    Quantum,
    Resource,
    Stretched,
    Synchronous,
    Threshold,
)

P = Zipf(n_subtasks=50, exponent=1.3).probabilities()
MEMBERS = {
    **{name: member() for name, member in LEARNERS.items()},
    "parity_network": ParityNetwork(n_bits=12, k=2, width=20, n_test=64, rate=0.01),
    "one hit": Threshold(hits=1),
    "tiny start": Multilinear(target=3.0, initial=1e-6, rate=0.5),
    "fast": Exponential(rate=0.4),
    "missing quanta": Quantum(before=2.0, after=0.5, hits=3, missing=7),
    "neurons of Ren": Hyperbolic(initial=0.3, timing=0.5),
    "chain of steps": Dependent(skill=Threshold(hits=3), graph="chain", n_parents=1),
    "against frequency": Dependent(skill=Exponential(), graph="shuffled"),
    "few sharp": Mixture(sharp=Quantum(), smooth=Exponential(), fraction=0.2),
    "all sharp": Mixture(sharp=Multilinear(target=2.0), fraction=1.0),
    "slow tail": PowerLaw(power=0.5),
    "slower tail": Stretched(stretch=0.3),
    "two classes": ConvexAdam(n_classes=2, timing=1.0),
    "vocabulary": ConvexAdam(n_classes=50257),
    "drawn out": Synchronous(spread=3.0),
    "no waste": Resource(waste=0.0),
    "all waste": Resource(waste=100.0, rate=1.0, objective="cross-entropy"),
    "descent": Geometry(descent="sgd", rate=0.5),
    "classes": Geometry(n_dim=64, objective="cross-entropy"),
    "signs": Geometry(n_dim=200, descent="signgd", rate=0.001),
    "overlaps": Geometry(n_dim=500, directions="random", descent="sgd", rate=0.5),
}
INDEPENDENT = {name: member for name, member in MEMBERS.items() if isinstance(member, AbstractIndependent)}
COUNTED = {name: member for name, member in INDEPENDENT.items() if "sampled" in member.dynamics}
EXCHANGEABLE = {name: member for name, member in MEMBERS.items() if member.exchangeable}
RUNS = {f"{name}-{how}": (member, how) for name, member in MEMBERS.items() for how in member.dynamics}

family = pytest.mark.parametrize("learner", MEMBERS.values(), ids=MEMBERS)
independent = pytest.mark.parametrize("learner", INDEPENDENT.values(), ids=INDEPENDENT)
counted = pytest.mark.parametrize("learner", COUNTED.values(), ids=COUNTED)
runs = pytest.mark.parametrize(("learner", "dynamics"), RUNS.values(), ids=RUNS)


def declaring(found, members):
    """Those of whose theory a number is found."""
    members = {name: member for name, member in members.items() if not math.isnan(found(member))}
    return pytest.mark.parametrize("learner", members.values(), ids=members)


def horizon(learner, p, dynamics):
    if not learner.foretold:
        return 100.0
    return learner.horizon(p) if dynamics == "expected" else learner.sampled_horizon(p, batch_size(learner))


def batch_size(learner):
    """Steps are made of batches; examples of one."""
    return 64 if learner.clock == "steps" else 1


def moments(learner, p=P, n=60, dynamics="expected"):
    """Times from 0 to well past the last onset."""
    end = int(2 * horizon(learner, p, dynamics))
    return np.unique(np.concatenate([[0], np.rint(np.geomspace(1, end, n))]).astype(np.int64))


def follow(learner, p, when, *, dynamics="expected", seed=0):
    """States at these times."""
    state = learner.start(p, np.random.default_rng(seed), dynamics=dynamics, batch_size=batch_size(learner))
    states = []
    for time in when:
        state = learner.advance(state, int(time))
        states.append(state)
    return states


def losses(learner, states):
    return np.stack([learner.measure(state)["loss"] for state in states], axis=-1)


@runs
def test_the_loss_begins_at_its_most_never_rises_in_the_mean_and_ends_near_zero(learner, dynamics):
    loss = losses(learner, follow(learner, P, moments(learner, dynamics=dynamics), dynamics=dynamics))
    np.testing.assert_allclose(loss[:, 0], learner.chance_loss, rtol=1e-12 if learner.starts_at_chance else 0.2)
    if dynamics == "expected":
        rounding = 1e-12 * learner.chance_loss
        if learner.descends:
            assert np.all(np.diff(P @ loss) <= rounding)
        if learner.monotone:
            assert np.all(np.diff(loss, axis=-1) <= rounding)
    assert np.all(loss >= 0)
    if not learner.foretold:  # who is to say when it ends?
        return
    floor = np.where(learner.onset(P) == math.inf, learner.chance_loss, learner.learned_loss)
    assert P @ (loss[:, -1] - floor) < 0.01 * learner.chance_loss


@pytest.mark.parametrize("learner", EXCHANGEABLE.values(), ids=EXCHANGEABLE)
def test_permuting_subtasks_permutes_rows(learner):
    order = np.random.default_rng(1).permutation(P.size)
    plain = losses(learner, follow(learner, P, moments(learner)))
    permuted = losses(learner, follow(learner, P[order], moments(learner)))
    np.testing.assert_allclose(permuted, plain[order], rtol=1e-9, atol=1e-12 * learner.chance_loss)


@runs
def test_a_state_that_was_saved_and_read_back_goes_on_identically(learner, dynamics, tmp_path):
    when = moments(learner, dynamics=dynamics)
    states = follow(learner, P, when, dynamics=dynamics, seed=5)
    half = len(when) // 2
    np.savez(tmp_path / "state.npz", **states[half]._asdict())
    with np.load(tmp_path / "state.npz") as stored:
        state = type(states[half])(**stored)
    for time, uninterrupted in zip(when[half + 1 :], states[half + 1 :], strict=True):
        state = learner.advance(state, int(time))
        for ours, theirs in zip(state, uninterrupted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@family
def test_the_repr_evaluates_back_to_the_part(learner):
    assert eval(repr(learner), vars(learners)) == learner


@runs
def test_the_same_seed_gives_the_same_run(learner, dynamics):
    when = moments(learner, dynamics=dynamics)[::6]
    first, again = (losses(learner, follow(learner, P, when, dynamics=dynamics, seed=2)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


# Of signs the declared onset is that of very many directions, met up to their fluctuations.
NEAR = {**MEMBERS, "signs": Geometry(n_dim=10_000, descent="signgd", rate=1e-4)}


@declaring(lambda learner: learner.onset(P)[0], NEAR)
def test_a_run_passes_half_of_its_drop_at_the_declared_onset(learner):
    p = Zipf(n_subtasks=10, exponent=1.3).probabilities()
    onset = learner.onset(p)
    assert np.all(onset > 0)
    known = np.isfinite(onset)
    assert known.any()
    off = 0.05 if learner == NEAR["signs"] else 1e-3
    around = np.floor(onset[known] * (1 - off)), np.ceil(onset[known] * (1 + off))
    when = np.unique(np.concatenate(around)).astype(np.int64)
    loss = losses(learner, follow(learner, p, when))[known]
    before, after = (np.take_along_axis(loss, np.searchsorted(when, at)[:, None], axis=1) for at in around)
    half = 0.5 * (learner.chance_loss + learner.learned_loss)
    assert np.all(before >= half)
    assert np.all(after <= half)
    assert np.all(after < before)


def test_only_features_at_random_a_memory_of_gradients_and_a_network_leave_the_onset_open():
    opened = {name for name, member in MEMBERS.items() if np.isnan(member.onset(P)).any()}
    assert opened <= {"linear_coupled", "overlaps", "geometry", "classes", "parity_network"}


@declaring(lambda learner: learner.onset_exponent, MEMBERS)
@given(st.floats(-10, -8), st.floats(1.5, 20.0))
def test_onsets_of_rare_subtasks_scale_with_frequency_as_declared(learner, log_p, ratio):
    """In two worlds of three, since others may move an onset, and kinds go by number."""
    p = 10**log_p
    frequent, rare = (learner.onset(np.array([1 - 2 * q, q, q]))[1:] for q in (p, p / ratio))
    np.testing.assert_allclose(rare / frequent / ratio**learner.onset_exponent, 1, atol=2e-4)


@independent
@given(st.floats(1e-7, 1e-2), st.floats(1.5, 50.0))
def test_onsets_scale_with_frequency_as_declared(learner, p, ratio):
    rare, frequent = learner.onset(np.array([p / ratio, p]))
    # of a discrete time the law holds up to one example
    assert abs(rare / frequent / ratio**learner.onset_exponent - 1) < 2 / frequent + 1e-5


@independent
def test_the_loss_passes_half_of_its_drop_at_the_declared_onset(learner):
    p = np.array([1e-2, 1e-4, 1e-6])
    half = 0.5 * (learner.chance_loss + learner.learned_loss)
    before, after = (learner.expected(p, learner.onset(p) * moment) for moment in (1 - 1e-4, 1 + 1e-4))
    assert np.all((before > half) & (half > after))


@declaring(lambda learner: learner.sharpness(), MEMBERS)
def test_the_measured_sharpness_is_the_declared_one(learner):
    p = np.array([1 - 1e-6, 1e-6])
    when = np.unique(np.rint(learner.onset(p)[1] * np.geomspace(0.1, 8, 2001)).astype(np.int64))
    loss = losses(learner, follow(learner, p, when))[1]
    drop = learner.chance_loss - learner.learned_loss
    if learner.sharpness() == math.inf:  # all of it between two points, however close
        assert np.max(-np.diff(loss)) == drop
        return
    measured = math.e * np.max(-np.gradient(loss, np.log(when))) / drop
    assert measured == pytest.approx(learner.sharpness(), rel=0.02)


@runs
def test_the_truth_is_where_the_curves_pass_a_half_and_from_a_tenth_to_nine_tenths(learner, dynamics):
    p = Uniform(n_subtasks=5).probabilities() * np.array([1.5, 0.9, 0.6, 1.2, 0.8])  # of any kind there is one
    end = int(0.6 * horizon(learner, p, dynamics))
    when = np.unique(np.rint(np.linspace(0, end, 4000)).astype(np.int64))  # dense enough to read crossings off
    states = follow(learner, p, when, dynamics=dynamics)
    done = (learner.chance_loss - losses(learner, states)) / (learner.chance_loss - learner.learned_loss)
    truth = learner.truth(states[-1])
    smooth = np.array(learner.kinds(p.size) or [""] * p.size) == "smooth"
    passed = done[:, when <= 0.9 * end].max(axis=1) >= 0.5
    if learner.has_steps:
        assert np.all(np.isfinite(truth.onset[passed & ~smooth]))
        assert np.any(passed & ~smooth)
    assert not np.isfinite(truth.onset[smooth]).any()
    for row, onset, width in zip(done, truth.onset, truth.width, strict=True):
        early, half, late = (np.argmax(row >= level) for level in (0.1, 0.5, 0.9))
        if math.isnan(onset):
            assert math.isnan(width)
            continue
        assert when[half - 1] - 1 <= onset <= when[half] + 1
        spacing = when[1] - when[0] + 1
        if row.max() < 0.9:
            assert not width < math.log(end / when[early]) - spacing / when[early]  # wider, or not yet known
            continue
        tolerance = spacing / when[early] + spacing / when[late]
        assert width == pytest.approx(math.log(when[late] / when[early]), abs=tolerance)


@pytest.mark.parametrize("learner", [Exponential(), Threshold(hits=1)], ids=repr)
def test_what_is_exponential_in_expectation_makes_no_step(learner):
    truth = learner.truth(follow(learner, P, moments(learner))[-1])
    assert np.all(np.isnan(truth.onset))
    assert np.all(np.isnan(truth.width))


@family
def test_a_subtask_that_never_occurs_is_never_learned(learner):
    p = np.array([0.7, 0.3, 0.0])
    for how in learner.dynamics:
        state = follow(learner, p, [min(10**7, int(10 * horizon(learner, p, how)))], dynamics=how)[0]
        loss = learner.measure(state)["loss"][2]
        assert loss > 0.25 * learner.chance_loss
        assert learner.generalises or loss == pytest.approx(learner.chance_loss)
        assert math.isnan(learner.truth(state).onset[2])
    assert not learner.onset(p)[2] < math.inf  # never, or not declared


@runs
def test_a_step_that_lies_ahead_is_not_yet_true(learner, dynamics):
    state = follow(learner, P, [0], dynamics=dynamics)[0]
    assert np.all(np.isnan(learner.truth(state).onset))


@family
def test_going_back_in_time_or_beyond_what_can_be_counted_is_refused(learner):
    state = follow(learner, P, [100], dynamics=learner.dynamics[0])[0]
    for time in (99, 2**53 + 1):
        with pytest.raises(InputError, match=f"cannot advance from 100 to {time}"):
            learner.advance(state, time)


@family
def test_dynamics_that_it_does_not_have_are_refused(learner):
    for how in {"expected", "sampled", "imagined"} - {*learner.dynamics}:
        with pytest.raises(InputError, match=f"dynamics is '{how}'; expected '{learner.dynamics[0]}'"):
            learner.start(P, np.random.default_rng(0), dynamics=how)


@family
@pytest.mark.parametrize("p", [[0.5, 0.4], [1.5, -0.5], [[1.0]], [], [np.nan]], ids=str)
def test_what_is_no_distribution_is_refused(learner, p):
    with pytest.raises(InputError, match="frequencies have shape"):
        learner.start(np.array(p), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("member", "fields"),
    [
        (Multilinear, {"initial": 0.0}),
        (Multilinear, {"initial": 1.0}),
        (Multilinear, {"initial": math.nan}),
        (Multilinear, {"target": math.inf}),
        (Multilinear, {"rate": 0.0}),
        (Threshold, {"hits": 0}),
        (Threshold, {"hits": 1.5}),
        (Exponential, {"rate": 1.0}),
        (Exponential, {"rate": math.nan}),
        (Quantum, {"before": 0.0}),
        (Quantum, {"before": math.inf}),
        (Quantum, {"after": 1.0}),
        (Quantum, {"after": -0.1}),
        (Quantum, {"after": math.nan}),
        (Quantum, {"hits": 0}),
        (Quantum, {"hits": math.nan}),
        (Quantum, {"missing": -2}),
        (Quantum, {"missing": 1}),
        (Quantum, {"missing": 2.5}),
        (Hyperbolic, {"initial": 0.0}),
        (Hyperbolic, {"initial": 1.0}),
        (Hyperbolic, {"initial": math.nan}),
        (Hyperbolic, {"rate": -1.0}),
        (Hyperbolic, {"timing": 0.0}),
        (Hyperbolic, {"timing": 2.1}),
        (PowerLaw, {"power": 0.001}),
        (PowerLaw, {"power": 101.0}),
        (PowerLaw, {"power": math.nan}),
        (PowerLaw, {"scale": 0.0}),
        (Stretched, {"stretch": 0.01}),
        (Stretched, {"stretch": 1.01}),
        (Stretched, {"scale": math.inf}),
        (ConvexAdam, {"n_classes": 1}),
        (ConvexAdam, {"n_classes": 2.5}),
        (ConvexAdam, {"n_classes": math.inf}),
        (ConvexAdam, {"rate": 0.0}),
        (ConvexAdam, {"timing": math.nan}),
        (Synchronous, {"moment": 0.0}),
        (Synchronous, {"spread": 0.0}),
        (Synchronous, {"spread": 11.0}),
        (Multilinear, {"examples_per_subtask": 0}),
        *((member, {"parameters_per_subtask": 0.0}) for member in (Quantum, Multilinear, Hyperbolic)),
    ],
    ids=str,
)
def test_a_field_out_of_range_is_named_with_its_value(member, fields):
    ((name, value),) = fields.items()
    with pytest.raises(InputError, match=f"{name} is {value}.*; expected "):
        member(**fields)


# ------------------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize(
    ("nats", "sharpness"),
    [*enumerate([1.26, 1.69, 2.25, 2.92, 3.64, 4.40, 5.18, 5.97], start=1)],
)
def test_multilinear_learning_is_the_sharper_the_smaller_its_start(nats, sharpness):
    """Nam et al. (2024), equation 34, differentiated on a grid."""
    assert Multilinear(initial=math.exp(-nats)).sharpness() == pytest.approx(sharpness, abs=0.006)


@pytest.mark.parametrize(
    ("hits", "sharpness"), [*{1: 1, 2: 1.47, 3: 1.83, 4: 2.12, 5: 2.38, 8: 3.04, 10: 3.40, 20: 4.83}.items()]
)
def test_waiting_for_m_hits_has_the_sharpness_of_erlang_m(hits, sharpness):
    r"""S = e m^m e^-m / (m - 1)!."""
    assert Threshold(hits=hits).sharpness() == pytest.approx(sharpness, abs=0.006)


@given(st.integers(1, 300), st.floats(1e-9, 1.0), st.integers(0, 10**6))
def test_waiting_for_hits_is_the_binomial_distribution_function(hits, p, n):
    ours = Threshold(hits=hits).expected(np.array([p]), n)[0]
    assert ours == pytest.approx(stats.binom.cdf(hits - 1, n, p), rel=1e-8, abs=1e-180)


@pytest.mark.parametrize(("hits", "n", "p"), [(40, 106, 0.999), (100, 103, 0.9999), (100, 160, 0.99), (3, 10, 1.0)])
def test_waiting_for_hits_holds_where_a_subtask_is_nearly_all_there_is(hits, n, p):
    """The chance to have missed all n examples, (1 - p)^n, is less than the smallest number."""
    ours = Threshold(hits=hits).expected(np.array([p]), n)[0]
    assert ours == pytest.approx(stats.binom.cdf(hits - 1, n, p), rel=1e-9)


@pytest.mark.parametrize(("n", "p"), [(10**6, 1e-5), (10**6, 5e-4), (3, 0.5), (12, 0.75)])
def test_waiting_for_hits_is_exact_to_the_last_digits(n, p):
    """Against the sum in fifty digits, which SciPy meets to nine."""
    with localcontext() as context:
        context.prec = 50
        q = Decimal(p)
        exact = sum(math.comb(n, j) * q**j * (1 - q) ** (n - j) for j in range(min(n, 9) + 1))
    assert Threshold(hits=10).expected(np.array([p]), n)[0] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("start", [1e-6, 1e-3])
def test_hyperbolic_learning_is_sharper_in_inverse_proportion_to_its_start(start):
    """8 e / (27 u₀) as u₀ → 0, where multilinear learning only gains the logarithm."""
    assert Hyperbolic(initial=start).sharpness() == pytest.approx(8 * math.e / (27 * start), rel=2 * start)


@pytest.mark.parametrize(("classes", "sharpness"), [(2, 1.09), (7, 1.26), (11, 1.31), (64, 1.51), (50257, 1.95)])
def test_a_convex_model_under_adam_passes_for_sharp(classes, sharpness):
    """e · max_u [u a e^-u / (1 + a e^-u)] / ln(1 + a), a = m - 1, on a grid."""
    u, a = np.linspace(0, 40, 400_001), classes - 1
    on_a_grid = math.e * np.max(u * a * np.exp(-u) / (1 + a * np.exp(-u))) / math.log1p(a)
    assert ConvexAdam(n_classes=classes).sharpness() == pytest.approx(on_a_grid, rel=1e-8)
    assert on_a_grid == pytest.approx(sharpness, abs=0.006)


@pytest.mark.parametrize("learner", [PowerLaw(power=0.3), PowerLaw(power=50.0), Stretched(stretch=1.0), Exponential()])
def test_what_is_a_mixture_of_exponentials_is_no_sharper_than_one(learner):
    assert learner.sharpness() <= 1


@pytest.mark.parametrize("hits", [1, 2, 10, 1000])
def test_the_median_of_rare_hits_is_that_of_erlang_m(hits):
    p = np.array([1e-7])
    np.testing.assert_allclose(Threshold(hits=hits).onset(p) * p, special.gammaincinv(hits, 0.5), rtol=1e-5)


def test_the_halving_time_of_the_exponential_is_the_logarithm_of_two():
    np.testing.assert_allclose(0.01 * 1e-6 * Exponential(rate=0.01).onset(np.array([1e-6])), math.log(2), rtol=1e-6)


# ------------------------------------------------------------------------------------------------ sampled runs


def mean_over_all_runs(learner, p, when):
    """E[loss] of sampled runs, (n_subtasks, n_moments): the loss at each count, weighed by the binomial law."""
    counts = np.arange(when[-1] + 1)
    at_start = follow(learner, p, [0], dynamics="sampled")[0]
    loss = learner.measure(at_start._replace(hits=counts))["loss"]
    return np.array([[stats.binom.pmf(counts, n, q) @ loss for n in when] for q in p])


@counted
def test_sampled_runs_agree_in_the_mean_with_the_law_of_their_counts(learner):
    """Within the standard error of 300 runs."""
    p = Zipf(n_subtasks=6, exponent=1.0).probabilities()
    when = np.ceil(learner.onset(p)[[0, 2, 5]]).astype(np.int64)
    runs = np.stack([losses(learner, follow(learner, p, when, dynamics="sampled", seed=s)) for s in range(300)])
    mean = mean_over_all_runs(learner, p, when)
    # of losses from 0 to chance none scatter more than those that are either; a rare outcome may not have been seen
    error = np.sqrt(mean * np.maximum(learner.chance_loss - mean, 0) / 300)
    one_run = 1.5 * learner.chance_loss / 300
    assert np.all(np.abs(runs.mean(axis=0) - mean) < np.maximum(4 * error, one_run))


@pytest.mark.parametrize("learner", [Threshold(), Threshold(hits=1), Exponential(), Exponential(rate=0.4)], ids=repr)
def test_the_expected_run_is_the_mean_of_the_sampled_ones(learner):
    p = Zipf(n_subtasks=6, exponent=1.0).probabilities()
    when = np.ceil(learner.onset(p)[[0, 2, 5]]).astype(np.int64)
    np.testing.assert_allclose(losses(learner, follow(learner, p, when)), mean_over_all_runs(learner, p, when), 1e-8)


def test_the_mean_field_of_multilinear_learning_is_off_by_the_learning_rate():
    p = Zipf(n_subtasks=6, exponent=1.0).probabilities()
    off = []
    for rate in (0.02, 0.01, 0.005):
        learner = Multilinear(rate=rate)
        when = np.ceil(learner.onset(p)[[0, 2, 5]]).astype(np.int64)
        off.append(np.abs(losses(learner, follow(learner, p, when)) - mean_over_all_runs(learner, p, when)).max())
    assert off[0] < 0.02 * learner.chance_loss
    np.testing.assert_allclose(np.divide(off[:-1], off[1:]), 2, rtol=0.05)


def test_counts_are_multinomial_whatever_the_moments_between():
    """Mean and covariance of counts after 40 examples, reached in one leap or in three."""
    p = np.array([0.5, 0.3, 0.2, 0.0])
    learner = Threshold()
    for when in ([40], [1, 17, 40]):
        counts = np.array([follow(learner, p, when, dynamics="sampled", seed=s)[-1].hits for s in range(4000)])
        assert np.all(counts.sum(axis=1) == 40)
        np.testing.assert_allclose(counts.mean(axis=0), 40 * p, atol=4 * math.sqrt(10 / 4000))
        covariance = 40 * (np.diag(p) - np.outer(p, p))
        np.testing.assert_allclose(np.cov(counts.T), covariance, atol=10 * 5 / math.sqrt(4000))


def test_crossings_within_a_leap_fall_as_if_every_example_had_been_drawn():
    """The moment of the third of the hits, given how many there were: SciPy's law of order statistics."""
    p, end = np.array([0.05, 0.95]), 200
    learner = Threshold(hits=3)
    leaps = [follow(learner, p, [end], dynamics="sampled", seed=s)[-1] for s in range(3000)]
    onset = np.array([learner.truth(state).onset[0] for state in leaps])
    onset = onset[np.isfinite(onset)]
    law = stats.nbinom(3, 0.05)  # of failures before the third hit
    grid = np.arange(3, end + 1)
    cumulative = law.cdf(grid - 3) / law.cdf(end - 3)
    observed = np.searchsorted(np.sort(onset), grid, side="right") / onset.size
    assert np.max(np.abs(observed - cumulative)) < 1.95 / math.sqrt(onset.size)  # Kolmogorov–Smirnov at 0.1 %
