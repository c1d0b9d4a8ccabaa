"""Drawing subtasks: the alias table, Poisson and multinomial counts, and when counts were reached, each by its law."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import stats

from quanta.frequencies import Zipf
from quanta.learners import Quantum, Threshold, _hits, _kernels, _random

CHANCE = 1e-4  # of a sound kernel failing a test of its law


def keys(n, seed=0):
    rng = np.random.default_rng(seed)
    return [_random.new_key(rng) for _ in range(n)]


def scattered(n, p, runs=1, seed=0):
    """Counts of n examples, (runs, n_subtasks)."""
    table = _kernels.table_of(p)
    hits = np.zeros((runs, p.size), dtype=np.int64)
    for key, row in zip(keys(runs, seed), hits, strict=True):
        _kernels.scatter_hits(key, n, p, table, row)
    return hits


def by_chi_square(observed, law):
    """P-value of counts (n_outcomes,), neighbours pooled until 10 of each are expected."""
    order = np.argsort(law)
    bins = np.floor(np.cumsum(law[order]) * observed.sum() / 10).astype(int)
    pooled, expected = (np.bincount(bins, weights=values[order]) for values in (observed, law * observed.sum()))
    kept = expected > 5
    return stats.chisquare(pooled[kept], expected[kept] * pooled[kept].sum() / expected[kept].sum()).pvalue


# ------------------------------------------------------------------------------------------------ the alias table


def masses(table):
    """Probability of each subtask by the table, in units of 2^-63, as whole numbers of Python."""
    bits = table.size.bit_length() - 1
    mass = [0] * table.size
    for own, entry in enumerate(table.tolist()):
        share, other = entry >> bits, entry % 2**bits
        mass[own] += share
        mass[other] += 2 ** (63 - bits) - share
    return mass


@given(st.lists(st.floats(0, 1) | st.floats(-40, 0).map(math.exp), min_size=1, max_size=70).filter(any))
@settings(deadline=None, max_examples=50)
def test_an_alias_table_holds_every_probability_to_the_last_bit(weights):
    p = np.array(weights) / sum(weights)
    mass = masses(_kernels.alias_table(p))
    assert sum(mass) == 2**63
    np.testing.assert_allclose(np.array(mass[: p.size]) / 2**63, p / p.sum(), rtol=1e-14, atol=2**-62)
    assert not any(mass[p.size :])
    assert all(mass[k] == 0 for k in np.flatnonzero(p == 0))


@pytest.mark.parametrize(("n_subtasks", "exponent"), [(1, 1.5), (2, 1.5), (100, 1.5), (300_000, 1.5), (300_000, 0.2)])
def test_subtasks_are_drawn_with_the_probabilities_of_the_table(n_subtasks, exponent):
    p = Zipf(n_subtasks=n_subtasks, exponent=exponent).probabilities()
    p = np.random.default_rng(0).permutation(p)  # the most frequent are anywhere
    drawn = np.empty(2_000_000, dtype=np.uint64)
    table = _kernels.table_of(p)
    assert (table[0] > 0) == (n_subtasks == 300_000 and exponent == 1.5)  # half of the mass is in 4095 of them
    _kernels.draw(keys(1)[0], np.uint64(0), table, drawn)
    counts = np.bincount(drawn.astype(int), minlength=n_subtasks)
    assert counts.size == n_subtasks
    assert n_subtasks == 1 or by_chi_square(counts, p) > CHANCE


@njit
def numbers_used(key, n, p, counts):
    """Random numbers that ``scatter_hits`` takes for n examples, of which it draws all but a few by Poisson counts."""
    missing, counter, passes = n, np.uint64(0), 0
    while missing > max(_kernels._FEW, 2 * p.size):
        total, counter = _kernels.poisson_counts(key, counter, missing - _kernels._SHORT * np.sqrt(missing), p, counts)
        passes += 1
        if total <= missing:
            missing -= total
    return int(counter) + missing, passes


def test_the_cost_of_a_checkpoint_does_not_grow_with_the_examples_before_it():
    """Counted in random numbers and in passes over all subtasks, not in time: 10³ to 10¹² examples."""
    p = Zipf(n_subtasks=100).probabilities()
    counts = np.empty(p.size, dtype=np.int64)
    numbers, passes = np.transpose(
        [np.mean([numbers_used(key, 10**e, p, counts) for key in keys(200)], axis=0) for e in range(3, 13)]
    )
    assert np.all(numbers < 20 * p.size)
    assert np.all(passes < 6)
    assert np.all(np.diff(passes[2:]) < 1)  # log log n


def test_what_is_drawn_is_a_function_of_its_number_from_either_table():
    p = Zipf(n_subtasks=300_000).probabilities()
    (key,), table = keys(1), _kernels.table_of(p)
    whole, part = np.empty(3000, dtype=np.uint64), np.empty(1000, dtype=np.uint64)
    _kernels.draw(key, np.uint64(0), table, whole)
    _kernels.draw(key, np.uint64(1700), table, part)
    np.testing.assert_array_equal(part, whole[1700:2700])


def test_what_never_occurs_is_never_drawn_from_either_table():
    p = Zipf(n_subtasks=300_000, exponent=1.2).probabilities()
    p[::2] = 0
    drawn = np.empty(1_000_000, dtype=np.uint64)
    _kernels.draw(keys(1)[0], np.uint64(0), _kernels.table_of(p / p.sum()), drawn)
    assert np.all(drawn % 2 == 1)
    assert drawn.max() > 10_000


# ------------------------------------------------------------------------------------------------ Poisson counts


@njit
def poisson(key, p, n):
    counts = np.empty(p.size, dtype=np.int64)
    return counts, _kernels.poisson_counts(key, np.uint64(0), n, p, counts)[0]


@pytest.mark.parametrize("mean", [1e-3, 0.3, 4.0, 9.99, 10.0, 30.0, 1e4, 1e9, 1e15])
def test_poisson_counts_have_their_law(mean):
    """By the chi-square test where single counts have a chance, else Kolmogorov–Smirnov's on the scale of the mean."""
    counts, total = poisson(keys(1)[0], np.full(200_000, mean), 1.0)
    assert total == counts.sum()
    if mean < 1e3:
        k = np.arange(counts.max() + 50)
        law = stats.poisson.pmf(k, mean)
        assert by_chi_square(np.bincount(counts, minlength=k.size), law / law.sum()) > CHANCE
    else:  # spread over the width of a count, so that ties do not matter; the skew of 1/√mean is in the law
        spread = counts + np.random.default_rng(1).random(counts.size) - 0.5
        assert stats.kstest((spread - mean) / math.sqrt(mean), edgeworth(mean)).pvalue > CHANCE


def edgeworth(mean):
    """Distribution function of a standardised Poisson count, to 1/mean."""
    return lambda z: stats.norm.cdf(z) - (z**2 - 1) / (6 * math.sqrt(mean)) * stats.norm.pdf(z)


@pytest.mark.parametrize("mean", [10.0, 1e3, 1e6, 1e12, 2.0**50])
def test_the_poisson_probability_keeps_its_digits_at_any_mean(mean):
    """Against SciPy where that has digits, and its local limit where not."""
    sigma = math.sqrt(mean)
    for distance in (-3, -1, 0, 0.5, 2, 4):
        count = math.floor(mean + distance * sigma)
        ours = _log_pmf(float(count), mean)
        if mean < 1e7:
            assert ours == pytest.approx(stats.poisson.logpmf(count, mean), abs=1e-7)
        else:
            z = (count - mean) / sigma
            limit = -0.5 * z**2 - 0.5 * math.log(2 * math.pi * mean) + (z**3 - 3 * z) / (6 * sigma)
            assert ours == pytest.approx(limit, abs=1e-11 + 2e-15 * sigma)


@njit
def _log_pmf(count, mean):
    return _kernels.poisson_log_pmf(count, mean)


# ------------------------------------------------------------------------------------------------ multinomial counts


@given(st.integers(0, 2**53), st.integers(1, 300), st.integers(0, 2**32))
@settings(deadline=None, max_examples=200)
def test_all_examples_are_given_to_some_subtask(n, n_subtasks, seed):
    hits = scattered(n, Zipf(n_subtasks=n_subtasks).probabilities(), seed=seed)
    assert hits.sum() == n
    assert hits.min() >= 0


@pytest.mark.parametrize("n", [3, 40, 10**5, 10**9, 2**45])
def test_counts_have_multinomial_mean_and_covariance(n):
    p, runs = np.array([0.5, 0.3, 0.15, 0.05, 0.0]), 4000
    z = (scattered(n, p, runs) - n * p) / math.sqrt(n)
    assert np.all(z[:, -1] == 0)
    spread = np.sqrt(p * (1 - p))
    assert np.all(np.abs(z.mean(axis=0)) <= 4.5 * spread / math.sqrt(runs))
    covariance = np.diag(p) - np.outer(p, p)
    # of the square of a count, less than twice the Gaussian error; of few examples somewhat more
    error = (math.sqrt(2) + 1 / math.sqrt(n * 0.05)) * np.outer(spread, spread) / math.sqrt(runs)
    assert np.all(np.abs(np.cov(z.T) - covariance) <= 4.5 * error)


@pytest.mark.parametrize("n", [3, 20, 60, 1000])
def test_every_count_is_binomial(n):
    """Both of what is drawn one by one and of what is drawn at once, of frequent and of rare subtasks."""
    p = np.array([0.6, 0.25, 0.1, 0.04, 0.01])
    hits = scattered(n, p, runs=20_000, seed=n)
    k = np.arange(n + 1)
    for column, share in zip(hits.T, p, strict=True):
        assert by_chi_square(np.bincount(column, minlength=n + 1), stats.binom.pmf(k, n, share)) > CHANCE


def test_two_counts_are_jointly_multinomial():
    p = np.array([0.5, 0.3, 0.2])
    hits = scattered(17, p, runs=40_000)  # the fewest of which not all are drawn one by one
    first, second = np.meshgrid(range(18), range(18), indexing="ij")
    inside = first + second <= 17
    rest = np.where(inside, 17 - first - second, 0)
    law = np.where(inside, stats.multinomial.pmf(np.stack([first, second, rest], axis=-1), 17, p), 0)
    observed = np.bincount(hits[:, 0] * 18 + hits[:, 1], minlength=18 * 18)
    assert observed[~inside.ravel()].sum() == 0
    assert by_chi_square(observed[inside.ravel()], law[inside]) > CHANCE


def test_frequencies_that_span_twelve_decades_keep_theirs():
    """The sum over many leaps of each count, in units of its own standard error."""
    p = 10.0 ** -np.arange(13)
    p /= p.sum()
    n, runs = 10**13, 400
    total = scattered(n, p, runs).sum(axis=0)
    assert np.all(np.abs(total - runs * n * p) < 4 * np.sqrt(runs * n * p * (1 - p)))


def test_one_key_gives_one_result_and_another_another():
    p = Zipf(n_subtasks=3000).probabilities()
    first, again, other = (scattered(10**8, p, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.3


# ------------------------------------------------------------------------------------------------ when


def places_in_numpy(rng, hits, gap):
    """Twin of the kernel for one subtask: the counts' places are a random subset of the examples between."""
    return np.sort(rng.choice(gap, hits, replace=False)) + 1


@pytest.mark.parametrize(
    ("gap", "hits"), [(40, 3), (40, 20), (40, 38), (5, 5), (17, 16), (10**6, 12), (10**4, 500), (90, 90), (301, 300)]
)
def test_the_kernel_that_marks_crossings_has_the_law_of_its_numpy_twin(gap, hits):
    """Two levels crossed in one leap: the first, and the time between them, by the two-sample Kolmogorov–Smirnov test."""
    start, before, runs = 1000, 7, 3000
    levels = np.array([before - 1, before + 2, before + (hits + 3) // 2, before + hits])  # one was reached long ago
    counts = np.full(runs, before)
    crossed = np.full((runs, 4), np.nan)
    crossed[:, 0] = 900
    _kernels.mark_crossings(np.random.default_rng(1), start, start + gap, counts, counts + hits, levels, crossed)
    rng = np.random.default_rng(2)
    nth = [1, (hits + 3) // 2 - 1, hits - 1]
    twin = start + np.array([places_in_numpy(rng, hits, gap)[nth] for _ in range(runs)])
    assert np.all(crossed[:, 0] == 900)
    ours = crossed[:, 1:]
    for a, b in ((ours[:, 0], twin[:, 0]), *zip(np.diff(ours).T, np.diff(twin).T, strict=True)):
        assert a.min() >= 0
        assert stats.ks_2samp(a, b, method="asymp").pvalue > CHANCE


@given(st.integers(1, 10**12), st.integers(1, 3000), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_a_place_lies_in_the_leap_and_leaves_room_for_the_others(gap, hits, seed):
    hits = min(hits, gap)
    levels, crossed = (
        np.arange(1, hits + 1, max(1, hits // 5)),
        np.full((1, 1 + (hits - 1) // max(1, hits // 5)), np.nan),
    )
    _kernels.mark_crossings(np.random.default_rng(seed), 0, gap, np.array([0]), np.array([hits]), levels, crossed)
    assert np.all(np.diff(crossed[0]) >= np.diff(levels))
    assert np.all(crossed[0] >= levels)
    assert np.all(crossed[0] <= gap - (hits - levels))


def test_a_level_that_was_not_reached_is_not_marked():
    crossed = np.full((1, 3), np.nan)
    before, after, levels = np.array([0]), np.array([4]), np.array([4, 4, 5])
    _kernels.mark_crossings(np.random.default_rng(0), 0, 4, before, after, levels, crossed)
    np.testing.assert_array_equal(crossed, [[4, 4, np.nan]])


# ------------------------------------------------------------------------------------------------ many subtasks


@pytest.mark.parametrize("learner", [Threshold(), Quantum(missing=3)], ids=repr)
def test_many_subtasks_are_measured_in_blocks_as_they_would_be_at_once(learner):
    p = Zipf(n_subtasks=2 * _hits._BLOCK + 5).probabilities()
    for dynamics in learner.dynamics:
        state = learner.advance(learner.start(p, np.random.default_rng(0), dynamics=dynamics), 10**6)
        loss = learner.measure(state)["loss"]
        if dynamics == "expected":
            np.testing.assert_array_equal(loss, learner.expected(p, 1e6))
        else:
            learned = np.ones(p.size, dtype=bool)
            learned[learner._never(p) if isinstance(learner, Quantum) else []] = False
            np.testing.assert_array_equal(loss, np.where(learned, learner.loss(state.hits), learner.chance_loss))
