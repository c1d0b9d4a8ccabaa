"""Normal numbers for kernels, by their law; and noisy descent on a·b, by its plain twin and its own clock."""

import math

import numpy as np
import pytest
from numba import njit
from scipy import stats

from quanta import learners, simulate
from quanta._errors import InputError
from quanta.frequencies import Uniform, Zipf
from quanta.learners import Multilinear, Overflow, _random

CHANCE = 1e-4  # of a sound generator failing a test of its law
MASK = 2**64 - 1


def new_key(seed=0):
    return _random.new_key(np.random.default_rng(seed))


def normals(n, *, key=None, first=0):
    """Pairs ``first`` to ``first + n`` of a key, (2, n)."""
    x, y = np.empty((2, n), dtype=np.float32)
    _random.normals(new_key() if key is None else key, np.uint64(first), *np.empty((2, n), dtype=np.uint32), x, y)
    return np.stack([x, y])


@pytest.fixture(scope="module")
def many():
    return normals(2**21).astype(float)


# ------------------------------------------------------------------------------------------------ the generator


def squares(counter, key):
    """Five rounds, as Widynski (2020) writes them, in whole numbers of Python."""
    turn = lambda x: (x >> 32 | x << 32) & MASK  # noqa: E731
    y = x = counter * key & MASK
    z = y + key & MASK
    x = turn(x * x + y & MASK)
    x = turn(x * x + z & MASK)
    x = turn(x * x + y & MASK)
    t = x = x * x + z & MASK
    x = turn(x)
    return t ^ (x * x + y & MASK) >> 32


@njit
def compiled_squares(counter, key):
    return _random.squares(counter, key)


@njit
def compiled_minus_log(bits):
    return _random.minus_log(bits)


def box_muller(bits):
    """Twin in float64: a radius of the upper half, an angle of the lower."""
    radius = math.sqrt(-2 * math.log(((bits >> 32) + 0.5) / 2**32))
    low = bits & 0xFFFFFFFF
    part = (low & 0x3FFFFFFF) - (2**30 if low & 0x20000000 else 0)  # signed, in 2^-30 quarter turns
    x, y = math.cos(part * math.pi / 2**31), math.sin(part * math.pi / 2**31)
    x, y = (y, x) if low & 0x40000000 else (x, y)
    return (-radius * x, -radius * y) if low & 0x80000000 else (radius * x, radius * y)


@pytest.mark.parametrize("counter", [0, 1, 12345, 2**40 + 7, 2**64 - 1])
def test_the_bits_are_those_of_squares(counter):
    key = new_key()
    assert int(compiled_squares(np.uint64(counter), key)) == squares(counter, int(key))


def test_the_normals_are_those_of_box_and_muller():
    x, y = normals(3000, first=77)
    twin = np.array([box_muller(squares(i, int(new_key()))) for i in range(77, 3077)])
    np.testing.assert_allclose(np.stack([x, y], axis=-1), twin, atol=3e-6)


def test_the_logarithm_keeps_its_relative_precision_to_both_ends():
    bits = np.unique(np.rint(np.concatenate([np.geomspace(1, 2**32 - 1, 400), 2**32 - np.geomspace(1, 2**31, 400)])))
    for value in (0, *bits.astype(np.int64)):
        exact = -math.log(float(np.float32(np.float32(value) + np.float32(0.5))) / 2**32)
        assert compiled_minus_log(np.uint32(value)) == pytest.approx(exact, rel=4e-7, abs=1e-30)


def test_keys_have_no_digit_twice_in_a_half_and_differ():
    keys = {f"{int(new_key(seed)):016x}" for seed in range(300)}
    assert len(keys) == 300
    for digits in keys:
        assert len(set(digits[:8])) == len(set(digits[8:])) == 8
        assert "0" not in digits
        assert int(digits, 16) % 2 == 1


def test_normals_pass_kolmogorov_and_smirnov(many):
    for layer in many:
        assert stats.kstest(layer, "norm").pvalue > CHANCE


def test_moments_up_to_the_sixth_are_those_of_the_normal_law(many):
    for power, moment in enumerate([0, 1, 0, 3, 0, 15], start=1):
        even = math.prod(range(2 * power - 1, 0, -2))  # of twice the power
        error = math.sqrt((even - moment**2) / many.size)
        assert abs(np.mean(many**power) - moment) < 4.5 * error


def test_tails_have_their_weight_out_to_five_sigma():
    """Of 2^27 numbers 77 are expected beyond 5 σ: each count is tested against Poisson's law, and each side."""
    n, levels = 2**21, [2.0, 3.0, 4.0, 4.5, 5.0]
    beyond = np.zeros((2, len(levels)), dtype=int)
    for first in range(0, 2**26, n):
        x = normals(n, first=first).ravel()
        far = x[np.abs(x) > levels[0]]
        beyond += [[np.sum(side * far > level) for level in levels] for side in (-1, 1)]
    expected = 2**27 * stats.norm.sf(levels)
    assert expected[-1] > 35
    for counts in beyond:
        chance = 2 * np.minimum(stats.poisson.cdf(counts, expected), stats.poisson.sf(counts - 1, expected))
        assert np.all(chance > CHANCE)


def test_tails_reach_beyond_six_sigma_and_are_finite():
    edge = float(compiled_minus_log(np.uint32(0)))
    assert 6.6 < math.sqrt(2 * edge) < 6.8
    assert compiled_minus_log(np.uint32(2**32 - 1)) >= 0


@pytest.mark.parametrize("what", ["layers", "subtasks", "steps", "keys"])
def test_neighbours_are_independent(many, what):
    """Correlations of values, of squares, and of one with the other, at their standard error."""
    x = many[0]
    others = {
        "layers": many[1],
        "subtasks": np.roll(x, -1),
        "steps": np.roll(x, -1000),  # of 1000 subtasks
        "keys": normals(x.size, key=new_key(1))[0],
    }
    y = others[what].astype(float)
    for f, g in ((x, y), (x**2, y**2), (x**2, y), (x, y**2), (np.abs(x) > 2, np.abs(y) > 2)):
        assert abs(np.corrcoef(f, g)[0, 1]) < 4.5 / math.sqrt(x.size)


def test_a_number_does_not_depend_on_those_that_are_drawn_with_it():
    whole = normals(1000)
    np.testing.assert_array_equal(whole[:, 300:307], normals(7, first=300))


# ------------------------------------------------------------------------------------------------ noisy descent

NOISY = Multilinear(noise=0.05)
P = Zipf(n_subtasks=30, exponent=1.0).probabilities()


def follow(learner, p, when, *, batch_size=1, seed=0):
    state = learner.start(p, np.random.default_rng(seed), dynamics="sampled", batch_size=batch_size)
    states = []
    for time in when:
        state = learner.advance(state, time)
        states.append(state)
    return states


def in_numpy(learner, p, steps, batch_size, key):
    """Twin: a, b and the first step after which 10, 50, 90 % of the loss were gone, from the same normal numbers."""
    a, b = np.full((2, p.size), math.sqrt(learner.initial))
    crossed = np.full((p.size, 3), np.nan)
    for t in range(steps):
        x, y = normals(p.size, key=key, first=t * p.size).astype(float)
        pull = learner.rate * batch_size * p * (learner.target - a * b)
        kick = learner.rate * learner.noise * np.sqrt(batch_size * p)
        a, b = a + (pull * b + kick * x), b + (pull * a + kick * y)
        loss = 0.5 * (learner.target - a * b) ** 2
        passed = (loss[:, None] <= np.array([0.9, 0.5, 0.1]) * learner.chance_loss) | (a * b > learner.target)[:, None]
        crossed[passed & np.isnan(crossed)] = t + 1
    return a, b, crossed


@pytest.mark.parametrize(("n_subtasks", "batch_size"), [(1, 1), (30, 16), (1030, 64)])
def test_the_kernel_equals_its_numpy_twin(n_subtasks, batch_size):
    p = (
        Uniform(n_subtasks=n_subtasks).probabilities()
        if n_subtasks < 2
        else Zipf(n_subtasks=n_subtasks).probabilities()
    )
    steps = 150 if n_subtasks > 1 else 700
    state = follow(NOISY, p, [7 * batch_size, steps * batch_size], batch_size=batch_size)[-1]
    a, b, crossed = in_numpy(NOISY, p, steps, batch_size, np.uint64(state.key))
    np.testing.assert_allclose(state.a, a, rtol=1e-12)
    np.testing.assert_allclose(state.b, b, rtol=1e-12)
    np.testing.assert_array_equal(state.crossed, crossed * batch_size)
    assert np.isfinite(crossed).any()


def test_a_run_is_the_same_in_one_leap_or_many_and_after_it_was_saved(tmp_path):
    one = follow(NOISY, P, [20_000], batch_size=8)[-1]
    first = follow(NOISY, P, [1, 8, 9, 777, 5003], batch_size=8)[-1]
    np.savez(tmp_path / "state.npz", **first._asdict())
    with np.load(tmp_path / "state.npz") as stored:
        again = NOISY.advance(type(first)(**stored), 20_000)
    for ours, theirs in zip(again, one, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_examples_that_do_not_fill_a_batch_wait():
    before, same, moved = follow(NOISY, P, [80, 87, 88], batch_size=8)
    np.testing.assert_array_equal(before.a, same.a)
    assert not np.any(same.a == moved.a)


def test_without_noise_the_descent_is_the_closed_form():
    """A vanishing noise takes the steps; those of a small rate follow the flow."""
    learner = Multilinear(noise=1e-9, rate=1e-3)
    state = follow(learner, P, [30_000], batch_size=4)[-1]
    np.testing.assert_allclose(learner.measure(state)["loss"], learner.expected(P, 30_000), rtol=0.01, atol=1e-9)


def test_in_the_time_of_its_own_hits_every_subtask_obeys_one_equation():
    """Onsets and widths of subtasks a hundred times apart in frequency, by Kolmogorov–Smirnov."""
    learner, each = Multilinear(noise=0.6), 400
    p = np.repeat([1.0, 0.1, 0.01], each) / (each * 1.11)
    state = follow(learner, p, [int(1500 / p[-1])], batch_size=each)[-1]
    truth = learner.truth(state)
    clocks, widths = (truth.onset * p).reshape(3, each), truth.width.reshape(3, each)
    assert np.std(clocks[0]) > 0.1 * np.mean(clocks[0])  # noise that can be seen
    for row in (1, 2):
        assert stats.ks_2samp(clocks[0], clocks[row]).pvalue > CHANCE
        assert stats.ks_2samp(widths[0], widths[row]).pvalue > CHANCE


def test_strengths_end_with_the_spread_of_a_linear_restoring_force():
    """R = a b goes back to S at rate 2 η S, and is kicked by η σ √(2 S) in a hit: its variance is η σ² / 2."""
    learner = Multilinear(noise=0.1, rate=0.01)
    p = Uniform(n_subtasks=4000).probabilities()
    state = follow(learner, p, [4000 * 600], batch_size=4000)[-1]
    strength = state.a * state.b
    assert np.var(strength) == pytest.approx(learner.rate * learner.noise**2 / 2, rel=0.1)


def test_noise_of_zero_leaves_a_run_as_it_is_and_the_mean_field_has_none():
    times = np.geomspace(1, 1e5, 9)
    np.testing.assert_array_equal(NOISY.expected(P[:, None], times), Multilinear().expected(P[:, None], times))
    assert NOISY.dynamics == ("sampled",)  # so that noise that was asked for is never silently left out
    assert type(Multilinear(noise=0.0).start(P, np.random.default_rng(0), dynamics="sampled")).__name__ == "Hits"


def test_a_noisy_record_has_its_truth_in_steps_and_comes_from_its_seed():
    frequencies = Zipf(n_subtasks=10, exponent=0.5)
    how = {"dynamics": "sampled", "batch_size": 32, "n_checkpoints": 400}
    ds, again = (simulate.simulate(frequencies, NOISY, seed=3, **how) for _ in range(2))
    np.testing.assert_array_equal(ds["loss"], again["loss"])
    np.testing.assert_allclose(ds["exposures"].sum("subtask"), ds["examples"], rtol=1e-6)  # of float32
    step = ds["step"].values
    after = np.argmax(ds["loss"].values <= 0.5 * NOISY.chance_loss, axis=1)
    assert np.all(step[after - 1] <= ds["true_onset"])
    assert np.all(ds["true_onset"] <= step[after])
    assert np.all(ds["true_width"] > 0)


def test_a_rate_beyond_stability_is_refused_with_its_range():
    message = r"rate is 0\.5; expected a learning rate above 0 and below .* = 0\.02083.*steps of 64 examples diverge"
    with pytest.raises(InputError, match=message):
        follow(Multilinear(rate=0.5, noise=0.1), np.array([0.25, 0.75]), [64], batch_size=64)


@pytest.mark.parametrize("noise", [-1.0, math.nan, math.inf])
def test_a_noise_that_is_none_is_refused(noise):
    with pytest.raises(InputError, match=f"noise is {noise}; expected a standard deviation of 0 or more"):
        Multilinear(noise=noise)


def test_a_loss_that_overflows_is_named_with_its_first_step_and_its_subtask():
    """Found by the twin too; the record before it is kept."""
    learner = Multilinear(noise=40.0, rate=0.3)
    p = np.array([0.5, 0.5])
    with pytest.raises(Overflow) as caught:
        follow(learner, p, [64, 100_000])
    state = follow(learner, p, [caught.value.time - 1])[-1]
    assert np.all(learner.measure(state)["loss"] < 3.5e38)
    with np.errstate(all="ignore"):
        a, b, _ = in_numpy(learner, p, caught.value.time, 1, np.uint64(state.key))
        large = ~(0.5 * (1 - a * b) ** 2 < 3.4e38)
    assert np.flatnonzero(large)[0] == caught.value.subtask
    with pytest.raises(
        Overflow, match=r"is not finite at step .* Lower the rate of 0\.3 or the noise of 40\.0"
    ) as caught:
        simulate.simulate(Uniform(n_subtasks=2), learner, dynamics="sampled", steps=100_000)
    assert caught.value.record["step"][-1] < caught.value.time


def test_the_repr_of_a_noisy_learner_evaluates_back_to_it():
    assert eval(repr(NOISY), vars(learners)) == NOISY
