"""The parity network: its data, its gradients, its Adam; against direct parity, PyTorch and plain NumPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity_networks import a_stream, copied, moving, trained_plainly
from scipy import stats

from quanta import record, simulate
from quanta._errors import InputError
from quanta.learners import _parity_data as data
from quanta.learners import _parity_engine as engine
from quanta.learners import _parity_reference as reference
from quanta.learners._parity_reference import Rule, Weights
from quanta.learners._parity_state import Look
from quanta.learners.base import Overflow
from quanta.learners.parity_network import ParityNetwork

COMPOSITES = ((0, 1), (2, 3, 4))
ADAM = Rule("adam", 1e-3, 0.0)
ADAMW = Rule("adam", 1e-3, 0.1)
SGD = Rule("sgd", 0.1, 0.01)


def a_world(n_subtasks=40, n_bits=70, width=35, depth=1, n_examples=0, composites=COMPOSITES, dtype=np.float32, seed=0):
    """Subtasks, a stream of examples and weights."""
    rng = np.random.default_rng(seed)
    sets = data.bit_sets("distinct", n_subtasks - len(composites), n_bits, 3, rng)
    subtasks = data.parities(sets, n_bits, composites)
    p = np.arange(1, n_subtasks + 1) ** -1.4
    stream = a_stream(p / p.sum(), rng, n_examples)
    return subtasks, stream, reference.initial(subtasks.n_controls, n_bits, width, depth, rng, dtype)


def largest_error(found, truth):
    """Over all arrays, each relative to its own largest number."""
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, truth, strict=True) if b.size)


# ------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(("kind", "most"), [("distinct", 120), ("disjoint", 3), ("overlapping", 10)])
def test_bit_sets_are_all_different_and_there_are_no_more_of_them(kind, most):
    sets = data.bit_sets(kind, most, 10, 3, np.random.default_rng(0))
    assert len({frozenset(row) for row in sets.tolist()}) == most
    assert all(len(set(row)) == 3 for row in sets.tolist())
    with pytest.raises(InputError, match=rf"expected at most {most}\."):
        data.bit_sets(kind, most + 1, 10, 3, np.random.default_rng(0))


def test_disjoint_sets_share_no_bit_and_neighbours_of_overlapping_ones_all_but_one():
    rng = np.random.default_rng(0)
    assert np.unique(data.bit_sets("disjoint", 5, 20, 4, rng)).size == 20
    rows = data.bit_sets("overlapping", 12, 20, 4, rng).tolist()
    assert all(len(set(a) & set(b)) == 3 for a, b in itertools.pairwise(rows))


@pytest.mark.parametrize("n_bits", [7, 64, 128])
def test_a_label_is_the_parity_of_the_bits_of_all_atoms(n_bits):
    sets = data.bit_sets("overlapping", 6, n_bits, 3, np.random.default_rng(1))
    subtasks = data.parities(sets, n_bits, COMPOSITES)
    stream = a_stream(np.ones(8) / 8, np.random.default_rng(2))
    batch = data.draw(stream, subtasks, 0, 500)
    bits = data.unpacked(batch.words, n_bits)
    atoms = [[k] for k in range(6)] + [list(c) for c in COMPOSITES]
    for k, x, label in zip(batch.subtask, bits, batch.label, strict=True):
        assert label == sum(x[i] for i in set(sets[atoms[k]].ravel())) % 2
    assert set(batch.subtask) == set(range(8))


@given(cuts=st.lists(st.integers(0, 300), max_size=4), n_examples=st.sampled_from([0, 1, 7, 64, 250]))
def test_examples_are_the_same_in_whatever_batches_they_are_drawn(cuts, n_examples):
    subtasks, stream, _ = a_world(n_examples=n_examples)
    whole = data.draw(stream, subtasks, 0, 300)
    edges = [0, *sorted(cuts), 300]
    parts = [data.draw(stream, subtasks, a, b - a) for a, b in itertools.pairwise(edges)]
    for i, array in enumerate(whole):
        np.testing.assert_array_equal(array, np.concatenate([part[i] for part in parts]))


@given(n=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_every_pass_over_a_finite_set_sees_each_example_once(n, key):
    places = data.shuffled(np.uint64(key), np.arange(2 * n, dtype=np.uint64), n)
    np.testing.assert_array_equal(np.sort(places.reshape(2, n), axis=1), [np.arange(n)] * 2)


def test_passes_over_a_finite_set_differ_in_their_order():
    places = data.shuffled(np.uint64(5), np.arange(3000, dtype=np.uint64), 1000).reshape(3, 1000)
    for a, b in ((0, 1), (1, 2)):
        assert abs(stats.spearmanr(places[a], places[b]).statistic) < 0.1
    assert abs(stats.spearmanr(places[0], np.arange(1000)).statistic) < 0.1


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(any))
def test_an_alias_table_holds_its_frequencies(counts):
    p = np.array(counts) / sum(counts)
    keep, alias = data.alias_table(p)
    share = keep.copy()
    np.add.at(share, alias, 1 - keep)
    np.testing.assert_allclose(share / p.size, p, atol=1e-12)


def test_subtasks_and_bits_are_drawn_with_their_frequencies():
    subtasks, stream, _ = a_world(n_subtasks=100)
    n = 200_000
    batch = data.draw(stream, subtasks, 10**9, n)
    p = np.arange(1, 101) ** -1.4
    assert stats.chisquare(np.bincount(batch.subtask, minlength=100), n * p / p.sum()).pvalue > 1e-3
    ones = data.unpacked(batch.words, 128).sum(axis=0)
    assert stats.chisquare(ones, np.full(128, n / 2), sum_check=False).statistic / 2 < stats.chi2.isf(1e-3, 128)
    pairs = np.corrcoef(data.unpacked(batch.words[:20_000], 64).T)
    assert np.abs(pairs - np.eye(64)).max() < 5.5 / np.sqrt(20_000)


@pytest.mark.parametrize("n_examples", [0, 700, 1001])
def test_the_fast_path_trains_on_the_very_examples_of_the_reference(n_examples):
    subtasks, stream, weights = a_world(n_examples=n_examples)
    trainer = engine.Trainer(moving(weights), stream, subtasks, SGD, batch_size=700)
    trainer.run(3)
    expected = data.draw(stream, subtasks, 1400, 700)
    batch, work = trainer.batches[2 % 2], trainer.work
    by_place = work.columns.astype("<u8").view(np.uint8).reshape(-1, 128, 8)  # 64 examples' bits at each place
    words = data.packed(np.unpackbits(by_place, axis=2, bitorder="little").transpose(0, 2, 1).reshape(-1, 128))
    found = data.Batch(batch.present[batch.row], words, work.label)
    tuples = [sorted(zip(b.subtask[:700], *b.words[:700].T, b.label[:700], strict=True)) for b in (found, expected)]
    assert tuples[0] == tuples[1]


# ------------------------------------------------------------------------------------------------- gradients


def in_torch(torch, weights, subtasks, dtype):
    """A dense network on one-hot control bits with two logits: its parameters, and z from a batch."""
    w = [torch.tensor(a, dtype=dtype) for a in weights]
    inputs = torch.cat(w[:2]).requires_grad_()
    two = torch.stack([-w[5] / 2, w[5] / 2]).requires_grad_()
    two_bias = torch.cat([-w[6] / 2, w[6] / 2]).requires_grad_()
    others = [a.requires_grad_() for a in w[2:5]]
    on = torch.zeros(len(subtasks.masks), subtasks.n_controls, dtype=dtype)
    for k in range(len(on)):
        on[k, subtasks.on[subtasks.begin[k] : subtasks.begin[k + 1]]] = 1

    def loss(batch):
        bits = torch.tensor(data.unpacked(batch.words, len(weights.bits)), dtype=dtype)
        h = torch.relu(torch.cat([on[batch.subtask], bits], dim=1) @ inputs + others[0])
        for matrix, bias in zip(others[1], others[2], strict=True):
            h = torch.relu(h @ matrix + bias)
        return torch.nn.functional.cross_entropy(h @ two.T + two_bias, torch.tensor(batch.label))

    def as_weights(of):
        first, rest = of(inputs), [of(a) for a in others]
        difference, bias = of(two), of(two_bias)
        n = subtasks.n_controls
        return Weights(first[:n], first[n:], *rest, difference[1] - difference[0], bias[1:] - bias[:1])

    return [inputs, *others, two, two_bias], loss, as_weights


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gradients_of_the_reference_are_those_of_autograd(depth):
    torch = pytest.importorskip("torch")
    subtasks, stream, weights = a_world(depth=depth, dtype=np.float64)
    batch = data.draw(stream, subtasks, 0, 5000)
    found_loss, found = reference.gradients(weights, subtasks, batch)
    _, loss, as_weights = in_torch(torch, weights, subtasks, torch.float64)
    value = loss(batch)
    value.backward()
    expected = as_weights(lambda a: a.grad.numpy() if a.grad is not None else np.zeros(a.shape))
    expected = expected._replace(out=expected.out / 2, out_bias=expected.out_bias / 2)  # of logit 1 alone
    assert found_loss == pytest.approx(value.item(), rel=1e-12)
    assert largest_error(found, expected) < 1e-12


# ------------------------------------------------------------------------------------------------- trajectories


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("rule", [ADAM, ADAMW, SGD], ids=["adam", "adamw", "sgd"])
def test_thirty_steps_of_the_reference_are_those_of_dense_torch(rule, depth):
    torch = pytest.importorskip("torch")
    subtasks, stream, weights = a_world(depth=depth, seed=3, dtype=np.float64)
    parameters, loss, as_weights = in_torch(torch, weights, subtasks, torch.float64)
    kind = torch.optim.AdamW if rule.name == "adam" else torch.optim.SGD
    optimizer = kind(parameters, lr=rule.learning_rate, weight_decay=rule.weight_decay)
    for step in range(30):
        optimizer.zero_grad()
        loss(data.draw(stream, subtasks, 700 * step, 700)).backward()
        optimizer.step()
    expected = as_weights(lambda a: a.detach().numpy())
    found = trained_plainly(weights, stream, subtasks, rule, 700, 30)
    assert all(np.abs(a - b).max() < 1e-10 for a, b in zip(found, expected, strict=True) if b.size)


def arrays(state):
    """All arrays of a state."""
    return [*state.weights, *state.moment1, *state.moment2, state.last, state.step]


@pytest.mark.parametrize(("n_examples", "rule"), [(0, ADAMW), (1000, ADAM)])
def test_the_result_is_bit_identical_at_any_number_of_threads_and_after_any_stop(n_examples, rule, monkeypatch):
    monkeypatch.setattr(engine, "_WORTH", 0)  # parts of few rows are shared, too
    subtasks, stream, weights = a_world(width=100, n_examples=n_examples)
    found = [engine.Trainer(moving(weights), stream, subtasks, rule, 700, threads).run(12) for threads in (1, 2, 3)]
    half = engine.Trainer(moving(weights), stream, subtasks, rule, 700).run(7)
    found.append(engine.Trainer(copied(half), stream, subtasks, rule, 700, 2).run(12))
    assert int(half.step) == 7
    for other in found[1:]:
        for a, b in zip(arrays(found[0]), arrays(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_columns_beyond_the_width_stay_zero():
    subtasks, stream, weights = a_world(width=35)
    state = engine.Trainer(moving(weights), stream, subtasks, ADAMW, 700).run(5)
    for kind in (state.weights, state.moment1, state.moment2):
        assert not kind.controls[:, 35:].any()
        assert not any(array[-1, :, 3:].any() for array in (kind.bits, kind.bias, kind.out))
    assert state.weights.bits[-1, :, :3].any()


def test_a_network_learns_its_parities():
    subtasks, stream, weights = a_world(n_subtasks=4, n_bits=10, width=64, composites=())
    trainer = engine.Trainer(moving(weights), stream, subtasks, Rule("adam", 3e-3, 0.0), 1000)
    trainer.run(1500)
    batch = data.draw(stream, subtasks, 10**9, 4000)
    z = reference.forward(engine.natural(trainer.state.weights, 64), subtasks, batch.subtask, batch.words)[-1]
    right = (z > 0) == batch.label
    assert min(right[batch.subtask == k].mean() for k in range(3)) > 0.99


# ------------------------------------------------------------------------------------------------- the learner


P = np.arange(1, 9) ** -1.4 / np.sum(np.arange(1, 9) ** -1.4)
SMALL = {"n_bits": 70, "width": 35, "n_test": 128, "n_composites": 2}


def begun(batch_size=300, **fields):
    """A small learner, and its state before the first step."""
    learner = ParityNetwork(**SMALL | fields)
    return learner, learner.start(P, np.random.default_rng(0), dynamics="sampled", batch_size=batch_size)


@pytest.mark.parametrize("fields", [{}, {"depth": 2}, {"descent": "sgd", "n_examples": 700}], ids=str)
def test_a_network_that_was_saved_goes_on_identically_and_its_past_does_not_change(fields, tmp_path):
    learner, start = begun(**fields)
    half = learner.advance(start, 4)
    np.savez(tmp_path / "state.npz", **half._asdict())
    with np.load(tmp_path / "state.npz") as stored:
        read = type(half)(**stored)
    for a, b in zip(learner.advance(read, 9), learner.advance(start, 9), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (int(start.step), int(half.step), int(start.hits.sum()), int(half.hits.sum())) == (0, 4, 0, 1200)


@pytest.mark.parametrize("test_bits", ["independent", "shared"])
@pytest.mark.parametrize("hidden_progress", [False, True])
def test_linear_algebra_trains_and_sees_the_same_network(test_bits, hidden_progress):
    seen = []
    for kernels in ("tables", "blas"):
        learner, state = begun(test_bits=test_bits, hidden_progress=hidden_progress, kernels=kernels)
        seen.append(learner.measure(learner.advance(state, 20)))
    assert set(seen[0]) == {"loss", "accuracy"} | ({"fourier_gap", "moved"} if hidden_progress else set())
    for name in set(seen[0]) - {"accuracy"}:
        np.testing.assert_allclose(seen[0][name], seen[1][name], atol=2e-5)
    np.testing.assert_allclose(seen[0]["accuracy"], seen[1]["accuracy"], atol=1.5 / 128)  # a logit near 0 at most


@pytest.mark.parametrize("hidden_progress", [False, True])
def test_shared_test_strings_are_those_of_the_first_subtask(hidden_progress):
    learner, state = begun(hidden_progress=hidden_progress)
    for shared in (False, True):
        look = Look(35, state.keys[2], 128, shared, hidden_progress)
        found = np.concatenate([piece.label for piece in learner._path.examined(state, ADAM, look)])
        number = np.arange(128, dtype=np.uint64)
        words = np.stack([data.word(state.keys[2], np.uint64(4) * number + np.uint64(i)) for i in (1, 2)], axis=1)
        same = [
            np.array_equal(label, data.parity(words & mask)) for label, mask in zip(found, state.masks, strict=True)
        ]
        assert same == [True] + [shared] * 7


@pytest.mark.parametrize("test_bits", ["independent", "shared"])
def test_the_record_and_the_report_say_whether_test_strings_are_shared(test_bits, tmp_path, capsys):
    flags = ["--learner", "parity_network", "--n-bits=9", "--k=2", "--width=8", "--n-test=64", "--n-subtasks=5"]
    flags += ["--steps=20", "--batch-size=100", "--no-detect", "--quiet", "--test-bits", test_bits]
    for control, kept in (([], test_bits), (["--control", "linearised"], test_bits), (["--control", "tabular"], None)):
        assert simulate.main([*flags, *control, "--out", str(tmp_path / str(control))]) == 0
        assert record.load(tmp_path / str(control)).attrs.get("test_bits") == kept
        said = "test strings are shared by all subtasks: their errors correlate" in capsys.readouterr().out
        assert said == (kept == "shared")


def test_deep_networks_have_hidden_progress_in_their_first_layer():
    learner, state = begun(depth=2, hidden_progress=True)
    before, after = learner.measure(state), learner.measure(learner.advance(state, 5))
    assert not before["moved"].any()
    assert 0 < after["moved"].min() <= after["moved"].max() < 6e-3  # Adam's steps are of about the rate, 0.001
    assert np.isfinite(after["fourier_gap"]).all()


def test_gates_see_the_bits_of_what_is_learned_and_not_of_what_is_not():
    learner = ParityNetwork(n_bits=10, k=3, width=64, rate=0.003, hidden_progress=True)
    state = learner.start(np.array([0.9, 0.1, 0]), np.random.default_rng(0), dynamics="sampled", batch_size=1000)
    before, after = (learner.measure(learner.advance(state, step)) for step in (0, 300))
    assert not before["moved"].any()
    assert before["fourier_gap"].max() < 0.05 < after["fourier_gap"][0]  # of 1024 strings: 1.6 standard errors
    assert after["fourier_gap"][2] < 0.05
    assert after["accuracy"][0] > 0.99
    assert after["loss"][0] < 0.05 < np.log(2) < after["loss"][2]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight_decay": 901.0}, "weight_decay is 901.0; expected 0 or more, and at most 900 at a rate of 0.001"),
        ({"bit_sets": "all"}, "bit_sets is 'all'; expected one of distinct, disjoint, overlapping"),
        ({"test_bits": "own"}, "test_bits is 'own'; expected one of independent, shared"),
        ({"kernels": "numba"}, "kernels is 'numba'; expected one of tables, blas"),
        ({"descent": "rmsprop"}, "descent is 'rmsprop'; expected one of adam, sgd"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(fields, message):
    with pytest.raises(InputError, match=message) as error:
        begun(**fields)
    assert "\n" not in str(error.value)


def first_bad_step(learner, state, most):
    """The first step, counted from 1, at which the reference's loss is not finite; None if there is none."""
    now, batch_size = reference.State(*map(state.layer, range(3)), 0), int(state.batch_size)
    for step in range(most):
        batch = data.draw(state.stream(learner.n_examples), state.subtasks, step * batch_size, batch_size)
        loss, gradient = reference.gradients(now.weights, state.subtasks, batch)
        if not np.isfinite(loss):
            return step + 1
        now = reference.move(now, gradient, learner._rule)
    return None


@pytest.mark.parametrize(("descent", "stable"), [("sgd", {1.0}), ("adam", {1.0, 1e12})])
@pytest.mark.parametrize("rate", [1.0, 1e12, 1e20, 1e25, 1e39, 1e300])
@np.errstate(all="ignore")
def test_all_paths_stop_at_the_first_step_whose_loss_is_not_finite_and_name_it(descent, stable, rate):
    how = {"descent": descent, "rate": rate}
    stopped, messages = {}, set()
    for depth, kernels in ((1, "tables"), (1, "blas"), (2, "blas")):
        learner, state = begun(depth=depth, kernels=kernels, **how)
        try:
            learner.advance(state, 60)
        except Overflow as error:
            stopped[depth, kernels] = error.time
            messages.add(str(error).replace(f"step {error.time};", "step …;"))
    expected = {depth: first_bad_step(*begun(depth=depth, kernels="blas", **how), 60) for depth in (1, 2)}
    assert stopped.get((1, "tables")) == stopped.get((1, "blas")) == expected[1]
    assert stopped.get((2, "blas")) == expected[2]
    assert messages <= {
        f"the loss is not finite at step …; expected it to stay finite. Lower the rate, which is {rate}."
    }
    assert (expected[1] is None) == (rate in stable)


def test_only_composites_are_of_another_kind():
    learner, state = begun()
    assert learner.kinds(8) == ["atom"] * 6 + ["composite"] * 2
    assert eval(repr(learner)) == learner
    bits = state.subtasks.bits(70)
    np.testing.assert_array_equal(bits[6:], [bits[0] | bits[1], bits[2] | bits[3]])
