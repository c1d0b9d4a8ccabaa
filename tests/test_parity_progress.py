"""What is seen of a parity network, what it is trained on and what it refuses; against brute force and closed forms."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity_networks import atoms_of, begun, weights_of, zipf

from quanta import _simulate_many, simulate
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.learners import _parity_data as data
from quanta.learners import _parity_engine as engine
from quanta.learners._parity_state import at_start
from quanta.learners.parity_network import ParityNetwork

N_STRINGS = 2**20  # so that a Fourier coefficient is known to 0.001


def gaps_by_hand(learner, state):
    """Fourier gaps on all strings: |f̂| at S without each of its bits less |f̂| at S with each other, f = 1 where active."""
    weights, hot = weights_of(learner, state), atoms_of(state)
    x = np.array(list(itertools.product((0, 1), repeat=learner.n_bits)))
    found = []
    for k, members in enumerate(state.subtasks.bits(learner.n_bits)):
        active = x @ weights.bits + hot[k] @ weights.controls + weights.bias > 0
        size = []
        for i in range(learner.n_bits):
            without_or_with = members.copy()
            without_or_with[i] = not members[i]
            size.append(np.abs(((-1) ** x[:, without_or_with].sum(axis=1)) @ active / len(x)))
        size = np.array(size)
        found.append(np.max(size[members].min(axis=0) - size[~members].max(axis=0)))
    return np.array(found)


def test_fourier_gaps_are_those_over_all_strings():
    fields = {"n_bits": 8, "k": 2, "width": 21, "rate": 0.01, "n_composites": 2, "n_test": N_STRINGS}
    learner, start = begun(6, 500, hidden_progress=True, **fields)
    for state in (start, learner.advance(start, 150)):
        truth = gaps_by_hand(learner, state)
        np.testing.assert_allclose(learner.measure(state)["fourier_gap"], truth, rtol=0, atol=0.006)
    assert truth.min() < 0.05 < 0.1 < truth.max()  # some gates have formed, some not


def majority(n, level):
    """|Fourier coefficient| of the majority of n odd, as ± 1, at sets of a size (O'Donnell 2014, theorem 5.19)."""
    if level % 2 == 0:
        return 0.0
    half = (n - 1) // 2
    return math.comb(half, (level - 1) // 2) / math.comb(n - 1, level - 1) * math.comb(n - 1, half) / 2 ** (n - 1)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
def test_the_fourier_gap_of_a_majority_is_half_of_the_closed_form_in_signs(k):
    n, rng = 9, np.random.default_rng(k)
    learner, state = begun(1, 1, n_bits=n, k=k, width=1, n_test=N_STRINGS, hidden_progress=True)
    sign = rng.choice([-1, 1], size=n)  # w · s > 0 of the signs s = 1 - 2 x is a majority of w s
    weights = weights_of(learner, state)
    weights.bits[:, 0], weights.bias[:], weights.controls[:] = -2 * sign, sign.sum(), 0
    layers = at_start(engine.blocked(weights.each(np.float32)))
    found = learner.measure(state._replace(**layers._asdict()))["fourier_gap"]
    below = majority(n, k - 1) / 2 if k > 1 else 0.5  # of no bit at all: how often it is active
    assert found == pytest.approx(below - majority(n, k + 1) / 2, abs=0.005)


def test_what_moved_is_the_farthest_weight_of_the_bits_and_control_bits_of_a_subtask():
    fields = {"n_bits": 20, "k": 2, "width": 5, "weight_decay": 0.5, "hidden_progress": True, "n_test": 64}
    learner, start = begun(40, 16, n_composites=4, **fields)
    state = learner.advance(start, 30)
    assert np.any(state.last < 30)  # rows that wait for what they missed
    state.controls[0, 7] += 0.1  # else no control bit has moved farther than every bit
    far = weights_of(learner, start).each(lambda a, b: np.abs(a - b), weights_of(learner, state))
    own = [far.controls[hot > 0].max() for hot in atoms_of(state)]
    bits = [far.bits[members].max() for members in state.subtasks.bits(20)]
    np.testing.assert_allclose(learner.measure(state)["moved"], np.maximum(own, bits), rtol=1e-6)
    assert np.any(np.greater(own, bits))
    assert np.any(np.less(own, bits))


@pytest.mark.parametrize("batch_size", [300, 7, 1000])
def test_every_example_is_seen_once_an_epoch_whatever_the_batch(batch_size):
    learner, state = begun(12, batch_size, n_bits=128, k=3, width=4, n_examples=1000, n_composites=2)
    steps = 3000 // math.gcd(batch_size, 3000)  # whole batches that are whole epochs
    batch = data.draw(state.stream(learner.n_examples), state.subtasks, 0, steps * batch_size)
    example = [(int(k), *map(int, words)) for k, words in zip(batch.subtask, batch.words, strict=True)]
    first = set(example[:1000])
    assert len(first) == 1000
    assert all(set(example[begin : begin + 1000]) == first for begin in range(0, len(example), 1000))
    assert example[:1000] != example[1000:2000]
    hits = learner.advance(state, steps).hits
    np.testing.assert_array_equal(hits, np.bincount(batch.subtask[:1000], minlength=12) * (len(example) // 1000))


def test_examples_and_test_strings_come_from_far_apart_of_one_endless_sequence():
    """SplitMix64 has one cycle of 2^64 numbers: keys are places in it, and an overlap would be a test on training data."""
    inverse = pow(data.GOLDEN, -1, 2**64)
    for seed in range(100):
        _, state = begun(3, 1, seed, n_bits=8, k=2, width=1, n_test=64)
        place = sorted(int(key) * inverse % 2**64 for key in state.keys[:3])
        gaps = np.diff([*place, place[0] + 2**64])
        assert gaps.min() > 2**50  # 4 numbers an example: 2.8e14 examples


def test_what_is_measured_depends_on_the_test_strings_and_not_on_the_training_set():
    learner, state = begun(5, 50, n_bits=10, k=2, width=8, n_examples=200, n_test=64)
    loss = learner.measure(state)["loss"]
    for which, same in enumerate([True, True, False]):
        other = state.keys.copy()
        other[which] ^= np.uint64(1 << 40)
        assert np.array_equal(learner.measure(state._replace(keys=other))["loss"], loss) == same


def test_exposures_are_how_often_the_subtask_itself_was_drawn():
    """A composite shows the bits of its atoms, but asks another question: it is no exposure of theirs."""
    learner = ParityNetwork(n_bits=16, k=2, width=4, n_test=64, n_composites=4, n_examples=500)
    run = simulate.simulate(Zipf(n_subtasks=12, exponent=1.2), learner, steps=40, batch_size=64, n_checkpoints=10)
    state = learner.start(zipf(12, 1.2), np.random.default_rng(0), batch_size=64)
    drawn = data.draw(state.stream(learner.n_examples), state.subtasks, 0, 40 * 64).subtask
    expected = [np.bincount(drawn[: 64 * step], minlength=12) for step in run["step"].values]
    np.testing.assert_array_equal(run["exposures"].transpose("step", "subtask"), expected)
    assert expected[-1][8:].sum() > 100


def test_a_composite_may_be_of_all_atoms():
    begun(5, 1, n_bits=20, k=2, width=1, n_test=64, n_composites=1, atoms=4)


def test_subtasks_of_the_same_bits_are_refused_before_any_of_many_is_begun(monkeypatch):
    monkeypatch.setattr(_simulate_many, "Run", None)
    alike = ParityNetwork(n_bits=5, k=4, bit_sets="overlapping", width=4, n_test=64, n_composites=5)
    with pytest.raises(InputError, match=r"the 10 subtasks have 6 different sets of bits"):
        simulate.simulate_many([{"seed": 0}, {"seed": 1}], learner=alike, frequencies=Zipf(n_subtasks=10), steps=9)


@given(atoms=st.integers(2, 6), spare=st.integers(1, 20))
def test_no_two_composites_are_alike(atoms, spare):
    n_atoms = atoms + spare
    found = data.composites(n_atoms, atoms, n_atoms)
    assert len({frozenset(one) for one in found}) == n_atoms
    assert all(len(set(one)) == atoms and set(one) <= set(range(n_atoms)) for one in found)
    round_one = np.ravel(found[: n_atoms // atoms])
    assert np.unique(round_one).size == round_one.size  # disjoint as long as they can be


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--k 17", "k is 17; expected a whole number from 1 to 16"),
        ("--k 0", "k is 0; expected a whole number from 1 to 16"),
        ("--n-subtasks 561", "561 subtasks need as many distinct sets of 3 of 16 bits; expected at most 560"),
        ("--bit-sets disjoint", "20 subtasks need as many disjoint sets of 3 of 16 bits; expected at most 5"),
        ("--bit-sets overlapping", "20 subtasks need as many overlapping sets of 3 of 16 bits; expected at most 16"),
        ("--width 0", "width is 0; expected a whole number of at least 1"),
        ("--n-examples 63", "n_examples is 63; expected at least a batch, 64, or 0"),
        (
            "--n-examples 100000000000000000000",
            "n_examples is 100000000000000000000; expected a whole number from 0 to",
        ),
        ("--n-bits 129", "n_bits is 129; expected a whole number from 1 to 128"),
        ("--n-composites 18", "n_composites is 18 of 20 subtasks; expected at least 18 others, of which"),
        ("--n-composites 11", "n_composites is 11 of 20 subtasks; expected at least 11 others, of which"),
        ("--n-composites 9 --atoms 11", "n_composites is 9 of 20 subtasks; expected at least 12 others, .* each of 11"),
        ("--n-composites 1 --atoms 20", "n_composites is 1 of 20 subtasks; expected at least 20 others, .* each of 20"),
        (
            "--n-bits 10 --k 9 --bit-sets overlapping --n-composites 10",
            "the 20 subtasks have 11 different sets of bits, .* Take more bits, fewer composites or atoms, or disjoint",
        ),
        ("--n-bits 5 --k 2 --n-composites 10", "the 20 subtasks have 1[0-9] different sets of bits"),
        ("--atoms 1", "atoms is 1; expected a whole number of at least 2"),
        ("--rate -1", "rate is -1.0; expected a finite number above 0"),
        ("--rate nan", "rate is nan; expected a finite number above 0"),
        ("--weight-decay -1", "weight_decay is -1.0; expected 0 or more"),
        ("--n-test 100", "n_test is 100; expected at least 64, and a multiple of it"),
        ("--n-test 64000000000000", r"GiB of memory; .* Take a smaller n_test than 64000000000000\.$"),
        ("--batch-size 10000000000", r"GiB of memory; .* Take a smaller batch\.$"),
        ("--width 100000000", r"GiB of memory; .* Take a smaller width than 100000000\.$"),
        ("--width 300000 --depth 2", r"GiB of memory; .* Take a smaller width than 300000\.$"),
        ("--depth 1000000000", r"GiB of memory; .* Take a smaller depth than 1000000000\.$"),
        (
            "--width 100000000 --batch-size 10000000000",
            r"GiB of memory; .* Take a smaller batch and a smaller width than 100000000\.$",
        ),
        ("--n-bits 128 --k 20 --n-subtasks 10000000000", r"GiB of memory; .* Take fewer subtasks\.$"),
        ("--control linearised --width 100000000", r"GiB of memory; .* Take a smaller width than 100000000\.$"),
        ("--dynamics expected", "dynamics is 'expected'; expected 'sampled' for ParityNetwork"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags, said, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual = "--learner parity_network --n-subtasks 20 --steps 200 --batch-size 64 --n-bits 16 --width 8 --quiet"
    assert simulate.main([*usual.split(), *flags.split()]) == 2
    out, error = capfd.readouterr()
    assert (out, error.count("\n"), list(tmp_path.iterdir())) == ("", 1, [])
    assert error.startswith("quanta.simulate: error: ")
    assert re.search(said, error), error
