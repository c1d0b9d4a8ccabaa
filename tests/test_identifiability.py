"""The benchmark of identifiability: its test names the right theory, guesses between equal ones, and its table is recorded."""

import sys
from pathlib import Path

import numpy as np
import pytest

from quanta.learners import Exponential, Multilinear, Threshold

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    import identifiability

    yield identifiability
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def telling(bench):
    return bench.telling


@pytest.fixture(scope="module")
def shared(telling):
    return telling.reference()


def counted(bench, telling, shared, learners, sigma, n=300):
    """Curves that tell the first of two learners from the second, at 25 checkpoints."""
    laws = telling.worlds(learners, shared)
    log_time = np.linspace(*np.log(shared.time[[0, -1]]), 25)
    shapes = [bench.left_at(one, bench.AGES) for one in learners.values()]
    dictionary = telling.Dictionary(shapes, bench.AGES, log_time)
    rates = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        sets, sums = telling.draws(n, rng), []
        for name, one in learners.items():
            exact = telling.curves(one, laws[name], shared, 25, n, rng)
            sums.append(telling.totals(dictionary.misfit(telling.noisy(exact, sigma, rng)), sets))
        rates.append(tuple(telling.wrong(sums[i][..., i], sums[i][..., 1 - i]) for i in (0, 1)))
    return telling.tell(*rates)


def test_an_exponential_and_a_sharp_step_are_told_by_one_curve(bench, telling, shared):
    told = counted(bench, telling, shared, {"a": Exponential(), "b": Multilinear(initial=1e-4)}, 0.05)
    assert told.n_curves == 1
    assert max(told.error_a, told.error_b) <= telling.HELD


def test_noise_makes_more_curves_necessary(bench, telling, shared):
    pair = {"a": Threshold(hits=5), "b": Threshold(hits=8)}
    few, many = (counted(bench, telling, shared, pair, sigma).n_curves for sigma in (0.03, 0.15))
    assert few < (many or np.inf)


def test_one_theory_under_two_names_is_never_told_apart(bench, telling, shared):
    told = counted(bench, telling, shared, {"a": Exponential(rate=0.005), "b": Exponential(rate=0.001)}, 0.05)
    assert told.n_curves is None
    assert 0.9 < told.error_a + told.error_b < 1.1


def test_onset_is_free_a_curve_fits_at_any_time(bench, telling, shared):
    log_time = np.linspace(*np.log(shared.time[[0, -1]]), 50)
    left = bench.left_at(Multilinear(), bench.AGES)
    onsets = np.random.default_rng(0).uniform(log_time[0] + 2, log_time[-1] - 2, 40)
    curves = np.interp(log_time[None] - onsets[:, None], bench.AGES, left)
    found = telling.Dictionary([left], bench.AGES, log_time).misfit(curves)[:, 0]
    own = np.sum(telling._whitened(curves) ** 2, axis=1)
    np.testing.assert_allclose(found + own, 0, atol=2e-3)


def test_a_world_whose_subtasks_meet_has_the_same_mean_loss_when_run(bench, shared):
    world = bench.coupled.resource(shared, 3.0)
    assert world.deviation < bench.telling.CLOSE
    curves = world.curves(shared, 25, 5, np.random.default_rng(0))
    place = bench.telling.chosen(world.onset, shared, 5, np.random.default_rng(0))
    time = np.geomspace(shared.time[0], shared.time[-1], 25)
    np.testing.assert_allclose(world.curve(world.onset[place], time), curves, atol=0.02)


def test_every_pair_is_in_the_recorded_table_and_was_told_with_the_promised_errors(bench):
    rows = bench.load()
    labels = [name for name, *_ in bench.MEMBERS]
    for cell in [(sigma, n) for sigma in bench.SIGMAS for n in bench.CHECKPOINTS]:
        found = bench.matrix(rows, "known", *cell)
        assert all((a, b) in found for a in labels for b in labels if a != b)
    told = np.array([(row["error_a"], row["error_b"]) for row in rows if row["n_curves"]])
    assert np.mean(told > bench.telling.HELD) < 0.02
