"""One mean loss from many theories: frequencies that give it, and what is refused."""

import numpy as np
import pytest

from quanta import _same_macro as same_macro
from quanta import frequencies
from quanta._errors import InputError
from quanta.learners import (
    LEARNERS,
    AbstractIndependent,
    ConvexAdam,
    Domino,
    Exponential,
    Multilinear,
    PowerLaw,
    Quantum,
    Synchronous,
)

INDEPENDENT = [
    name for name, cls in LEARNERS.items() if issubclass(cls, AbstractIndependent) and cls().onset_exponent > 0
]


@pytest.fixture(scope="module")
def window():
    """The mean loss of a Zipf world of multilinear subtasks, from the onset of its 25th to that of its 1000th."""
    p = frequencies.Zipf(n_subtasks=5000, exponent=1.5).probabilities()
    learner = Multilinear()
    time = np.geomspace(*learner.onset(p[[24, 999]]), 60)
    return time, same_macro.mean_loss(learner, p, time)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_frequencies_are_found_with_which_the_mean_loss_is_the_one_asked_for(name, window):
    learner, n = LEARNERS[name](), 100_000
    time, loss = window
    world = same_macro.same_macro(learner, time, loss, n_subtasks=n)
    assert world.frequencies.shape == (n,)
    assert world.frequencies.sum() == pytest.approx(1)
    assert np.all(np.diff(world.frequencies) <= 0)
    found = same_macro.mean_loss(learner, world.frequencies, world.clock * time)
    np.testing.assert_allclose(np.log(found), np.log(loss), atol=0.01)
    assert world.deviation == pytest.approx(np.max(np.abs(np.log(found / loss))))


def test_steps_need_more_subtasks_and_then_have_the_same_mean_loss(window):
    few, many = (same_macro.same_macro(Quantum(), *window, n_subtasks=n).deviation for n in (3000, 300_000))
    assert few > 0.01 > many


def test_a_learner_whose_speed_is_a_power_of_the_frequency_has_a_steeper_law(window):
    fast, slow = (same_macro.same_macro(ConvexAdam(timing=g), *window, n_subtasks=100_000) for g in (1.0, 0.8))
    assert max(fast.deviation, slow.deviation) < 0.01
    slopes = [np.polyfit(np.log(np.arange(100, 1000)), np.log(w.frequencies[100:1000]), 1)[0] for w in (fast, slow)]
    assert slopes[1] < slopes[0] < -1


def test_a_loss_that_falls_faster_than_any_of_its_subtasks_is_out_of_reach():
    time = np.geomspace(10, 10_000, 40)
    assert same_macro.same_macro(PowerLaw(power=0.3), time, time**-0.8).deviation > 0.1
    assert same_macro.same_macro(PowerLaw(power=3.0), time, time**-0.8).deviation < 0.01


def test_one_mean_loss_has_many_laws_but_single_curves_differ(window):
    time, loss = window
    worlds = {one: same_macro.same_macro(one, time, loss) for one in (Exponential(), Multilinear(initial=1e-4))}
    middle = np.array([np.exp(np.log(time).mean())])
    steepest = []
    for learner, world in worlds.items():
        k = np.argmin(np.abs(np.log(learner.onset(world.frequencies) / world.clock / middle)))
        close = np.geomspace(time[0], time[-1], 2000)
        curve = learner.expected(world.frequencies[k], world.clock * close) / learner.chance_loss
        steepest.append(np.e * np.max(-np.gradient(curve, np.log(close))))
    assert steepest[0] == pytest.approx(Exponential().sharpness(), rel=0.02)
    assert steepest[1] == pytest.approx(Multilinear(initial=1e-4).sharpness(), rel=0.02)


@pytest.mark.parametrize(
    ("learner", "time", "loss", "complaint"),
    [
        (Domino(), np.geomspace(1, 9, 20), np.geomspace(0.5, 0.1, 20), "the subtasks of Domino meet"),
        (Synchronous(), np.geomspace(1, 9, 20), np.geomspace(0.5, 0.1, 20), "Synchronous learns all subtasks at once"),
        (Exponential(), np.geomspace(1, 9, 20), np.geomspace(0.5, 0.1, 19), "expected both"),
        (Exponential(), np.zeros(20), np.geomspace(0.5, 0.1, 20), "time does not ascend"),
        (Exponential(), np.geomspace(1, 9, 20), np.geomspace(2.0, 0.1, 20), "in units of chance"),
    ],
)
def test_what_has_no_answer_is_refused_with_the_reason(learner, time, loss, complaint):
    with pytest.raises(InputError, match=complaint):
        same_macro.same_macro(learner, time, loss)
