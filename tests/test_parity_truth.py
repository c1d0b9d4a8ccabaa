"""The parity network against what it claims to be: a dense network with two logits, written here anew in PyTorch and NumPy."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quanta import simulate
from quanta.frequencies import Zipf
from quanta.learners import _parity_data as data
from quanta.learners import _parity_engine as engine
from quanta.learners._parity_reference import Weights
from quanta.learners.parity_network import ParityNetwork

ATOMS_AND_COMPOSITES = {"n_composites": 3, "atoms": 3, "bit_sets": "overlapping"}


def zipf(n, exponent=1.4):
    """Frequencies of n subtasks."""
    p = np.arange(1, n + 1) ** -exponent
    return p / p.sum()


def begun(n_subtasks, batch_size, seed=0, **fields):
    """A learner, and its state before the first step."""
    learner = ParityNetwork(**fields)
    return learner, learner.start(zipf(n_subtasks), np.random.default_rng(seed), batch_size=batch_size)


def atoms_of(state):
    """Control bits of every subtask, one-hot or several-hot, (n_subtasks, n_controls)."""
    hot = np.zeros((len(state.masks), state.on.max() + 1))
    for row, (begin, end) in zip(hot, zip(state.begin[:-1], state.begin[1:], strict=True), strict=True):
        row[state.on[begin:end]] = 1
    return hot


def inputs_and_labels(learner, state, batch):
    """What a dense network sees of a batch, and the parities of the bits themselves: (n, n_controls + n_bits) and (n,)."""
    bits = np.array([[int(word) >> i & 1 for word in pair for i in range(64)] for pair in batch.words])
    sets = np.array([[int(word) >> i & 1 for word in pair for i in range(64)] for pair in state.masks])
    x = np.concatenate([atoms_of(state)[batch.subtask], bits[:, : learner.n_bits]], axis=1)
    return x, (bits * sets[batch.subtask]).sum(axis=1) % 2


def weights_of(learner, state):
    """The network's weights at its last step, in float64."""
    moving = engine.State(*map(state.layer, range(3)), state.last, state.step)
    now = engine.current(moving, learner._rule).weights
    return engine.natural(now, learner.width).each(lambda array: array.astype(np.float64))


def dense(torch, learner, state, seed=1):
    """The same network in PyTorch, in float64; only the difference of its two logits is that of the state."""
    start = weights_of(learner, state)
    torch.manual_seed(seed)
    n_inputs = len(start.controls) + learner.n_bits
    model = torch.nn.Sequential(
        torch.nn.Linear(n_inputs, learner.width), torch.nn.ReLU(), torch.nn.Linear(learner.width, 2)
    ).double()
    with torch.no_grad():
        model[0].weight[:] = torch.tensor(np.concatenate([start.controls, start.bits]).T)
        model[0].bias[:] = torch.tensor(start.bias)
        model[2].weight[1] = model[2].weight[0] + torch.tensor(start.out)
        model[2].bias[1] = model[2].bias[0] + torch.tensor(start.out_bias[0])
    return model


def weights_in(model, n_controls, of=lambda parameter: parameter.detach().numpy()):
    """Weights (or their gradients) of a dense network, logit 1 minus logit 0."""
    first, bias, two, two_bias = map(of, model.parameters())
    none = np.zeros((0, first.shape[0]))
    difference = two_bias[1:] - two_bias[:1]
    return Weights(first.T[:n_controls], first.T[n_controls:], bias, none, none, two[1] - two[0], difference)


def by_rows(found, truth):
    """Largest error of any row of any array, each relative to the row's own largest number; rows of zeros must be zeros."""
    worst = 0.0
    for a, b in zip(found, truth, strict=True):
        if b.size:
            error, size = np.abs(a - b), np.abs(b)
            if b.ndim == 2:
                error, size = error.max(axis=1), size.max(axis=1)
            assert not np.any(error[size == 0])
            worst = max(
                worst, float(np.max(error.max() / size.max() if b.ndim == 1 else error[size > 0] / size[size > 0]))
            )
    return worst


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("batch_size", [1, 2, 63, 4096])
@pytest.mark.parametrize(
    "fields",
    [
        {"n_bits": 35, "k": 3, "width": 16},
        {"n_bits": 13, "k": 2, "width": 37, **ATOMS_AND_COMPOSITES},
        {"n_bits": 66, "k": 4, "width": 1},
        {"n_bits": 127, "k": 3, "width": 100, **ATOMS_AND_COMPOSITES},
    ],
    ids=lambda fields: f"{fields['n_bits']}-{fields['width']}",
)
def test_the_first_step_goes_down_the_gradient_of_dense_torch(fields, batch_size):
    torch = pytest.importorskip("torch")
    rate = 1e6  # so large that of the new weights nothing is old
    learner, state = begun(12, batch_size, descent="sgd", rate=rate, **fields)
    before, after = weights_of(learner, state), weights_of(learner, learner.advance(state, 1))
    x, label = inputs_and_labels(learner, state, data.draw(learner._stream(state), state.subtasks, 0, batch_size))
    model = dense(torch, learner, state)
    torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(label)).backward()
    truth = weights_in(model, len(before.controls), of=lambda parameter: parameter.grad.numpy())
    assert by_rows(before.each(lambda a, b: (a - b) / rate, after), truth) < 1e-6


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_two_logits_move_as_their_difference_does_at_twice_the_rate_and_the_same_decay(kind):
    torch = pytest.importorskip("torch")
    make = {"adam": lambda groups: torch.optim.AdamW(groups, eps=1e-3), "sgd": torch.optim.SGD}[kind]
    rate, decay = {"adam": (1e-2, 0.3), "sgd": (0.3, 0.03)}[kind]
    torch.manual_seed(0)
    features, label = torch.rand(200, 9, dtype=torch.float64), torch.randint(2, (200,))
    first = torch.nn.Linear(9, 2).double()

    def after(n_logits, rate, decay):
        layer = torch.nn.Linear(9, n_logits).double()
        with torch.no_grad():
            for new, old in zip(layer.parameters(), first.parameters(), strict=True):
                new[:] = old if n_logits == 2 else old[1:] - old[:1]
        optimizer = make([{"params": list(layer.parameters()), "lr": rate, "weight_decay": decay}])
        for _ in range(60):
            optimizer.zero_grad()
            z = layer(features)
            z = z if n_logits == 2 else torch.cat([torch.zeros_like(z), z], dim=1)
            torch.nn.functional.cross_entropy(z, label).backward()
            optimizer.step()
        w = torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach().numpy()
        return w[1] - w[0] if n_logits == 2 else w[0]

    two = after(2, rate, decay)
    np.testing.assert_allclose(after(1, 2 * rate, decay / 2), two, rtol=0, atol=1e-13)
    for wrong in (after(1, rate, decay), after(1, 2 * rate, decay)):  # neither the rate nor the decay may be another
        assert np.abs(wrong - two).max() > 1e-3


@pytest.mark.parametrize("fields", [{}, ATOMS_AND_COMPOSITES], ids=["atoms", "composites"])
def test_first_weights_are_spread_as_those_of_torch(fields):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    ours, theirs = [], []
    for seed in range(150):
        learner, state = begun(12, 1, seed, n_bits=30, k=3, width=20, **fields)
        ours.append(weights_of(learner, state))
        n_controls = len(ours[0].controls)
        model = torch.nn.Sequential(torch.nn.Linear(n_controls + 30, 20), torch.nn.ReLU(), torch.nn.Linear(20, 2))
        theirs.append(weights_in(model, n_controls))
    for name in ("controls", "bits", "bias", "out", "out_bias"):
        a, b = (np.concatenate([getattr(w, name).ravel() for w in some]) for some in (ours, theirs))
        assert a.shape == b.shape
        assert stats.ks_2samp(a, b).pvalue > 1e-3
        assert stats.ks_2samp(2 * a, b).pvalue < 1e-3  # and the comparison tells another spread


# ------------------------------------------------------------------------------------------------- lazy Adam


def every_step(weight, m, v, t0, missed, decay, rate=1e-3, epsilon=1e-8):
    """Adam of Kingma and Ba with decoupled decay on gradients of zero, one step after another, in float64."""
    weight, m, v = (array.astype(np.float64) for array in (weight, m, v))
    for t in range(t0 + 1, t0 + missed + 1):
        m, v = 0.9 * m, 0.999 * v
        weight = weight - rate * decay * weight
        weight = weight - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
    return weight, m, v


@pytest.fixture(scope="module")
def at_once():
    """All those steps, as the engine makes them."""
    from numba import njit

    from quanta.learners import _parity_adam as adam

    @njit
    def catch_up(how, last, missed, numbers, weight, m, v):
        adam.summary(how, last, missed, numbers)
        for at in range(0, weight.size, 16):
            adam.catch_up(how, numbers, last, missed, at, weight, m, v)

    def run(weight, m, v, t0, missed, decay):
        how, new = adam.pace(True, 1e-3, decay, (0.9, 0.999), 1e-8), [array.copy() for array in (weight, m, v)]
        catch_up(how, t0, missed, np.zeros(adam.N_NUMBERS, np.float32), *new)
        return new

    return run


def check_lazy(at_once, t0, missed, decay, scales, seed=0):
    """Errors in units of what they are errors of: of the way moved, of what decay left, of the moments."""
    rng = np.random.default_rng(seed)
    gradient = np.repeat(scales, 16)
    m, v = rng.standard_normal(gradient.size) * gradient, 10 ** rng.uniform(-3, 0, gradient.size) * gradient**2
    still = np.zeros(gradient.size, np.float32)  # from 0, or the rounding of a weight would hide that of its way
    m, v = m.astype(np.float32), v.astype(np.float32)
    way, *moments = at_once(still, m, v, t0, missed, decay)
    true_way, *true_moments = every_step(still, m, v, t0, missed, decay)
    np.testing.assert_allclose(way, true_way, rtol=1e-6, atol=0)
    for found, truth in zip(moments, true_moments, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-6, atol=2e-38)  # what is less than float32 has
    weight = rng.standard_normal(gradient.size).astype(np.float32)
    moved, left = at_once(weight, m, v, t0, missed, decay)[0], weight * (1 - 1e-3 * decay) ** missed
    assert np.all(
        np.abs(moved - every_step(weight, m, v, t0, missed, decay)[0]) < 1e-6 * (np.abs(true_way) + np.abs(left))
    )


@given(
    t0=st.integers(1, 1000), missed=st.integers(1, 3000), decay=st.sampled_from([0.0, 0.01, 1.0, 30.0]),
    power=st.floats(-9, -3), seed=st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=60)
def test_missed_steps_of_adam_are_made_up_for(at_once, t0, missed, decay, power, seed):
    check_lazy(at_once, t0, missed, decay, [10.0**power], seed)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("t0", [1, 2, 95, 96, 97, 1000, 50_000])  # 96: where the sum becomes a series
@pytest.mark.parametrize("missed", [1, 2, 217, 218, 219, 3000])  # 219: where momentum is taken to be over
def test_missed_steps_of_adam_are_made_up_for_in_the_corners(at_once, t0, missed, decay):
    check_lazy(at_once, t0, missed, decay, 10.0 ** np.arange(-9, -2))


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"epsilon": 2e-8}, {"rate": 1.00001e-3}, {"t0": 100}], ids=str)
def test_another_adam_is_told_apart(at_once, wrong):
    still, m, v = (np.full(16, x, np.float32) for x in (0, 1e-9, 1e-18))
    how = {"t0": 99, "missed": 300, "decay": 0.1}
    way = at_once(still, m, v, **how)[0]
    assert np.all(np.abs(every_step(still, m, v, **how | wrong)[0] - way) > 5e-6 * np.abs(way))


# ------------------------------------------------------------------------------------------------- trajectories


@pytest.mark.parametrize(
    "how",
    [
        {"descent": "adam"},
        {"descent": "adam", "weight_decay": 0.3},
        {"descent": "sgd", "rate": 0.1, "weight_decay": 0.1},
    ],
    ids=["adam", "adamw", "sgd"],
)
@pytest.mark.parametrize(
    ("batch_size", "fields"),
    [
        (777, {"n_bits": 45, "k": 3, "width": 37, "n_examples": 1000, **ATOMS_AND_COMPOSITES}),
        (20, {"n_bits": 14, "k": 2, "width": 16}),
        (1, {"n_bits": 99, "k": 3, "width": 5}),
    ],
    ids=["finite", "small", "single"],
)
def test_thirty_steps_are_those_of_dense_torch(how, batch_size, fields):
    torch = pytest.importorskip("torch")
    learner, state = begun(40, batch_size, **how, **fields)
    model, start = dense(torch, learner, state), weights_of(learner, state)
    kind = torch.optim.SGD if learner.descent == "sgd" else torch.optim.AdamW
    optimizer = kind(model.parameters(), lr=learner.rate, weight_decay=learner.weight_decay)
    for step in range(30):
        batch = data.draw(learner._stream(state), state.subtasks, step * batch_size, batch_size)
        x, label = inputs_and_labels(learner, state, batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(label)).backward()
        optimizer.step()
    truth, found = weights_in(model, len(start.controls)), weights_of(learner, learner.advance(state, 30))
    assert max(np.abs(a - b).max() for a, b in zip(found, truth, strict=True) if b.size) < 1e-5
    assert min(np.abs(a - b).max() for a, b in zip(start, truth, strict=True) if b.size) > 5e-4


# ------------------------------------------------------------------------------------------------- distributions

P = zipf(8, 0.5)
N_NETWORKS, N_BITS, WIDTH, BATCH, RATE, N_TEST = 12, 12, 64, 512, 0.004, 256
SEEN = np.arange(25, 401, 25)
LEVEL = 0.01  # at which two samples of onsets are told apart


def log_onsets(losses):
    """Log of the step at which each loss (n_networks, n_seen, n_subtasks) is half of ln 2; of the last if it never is."""
    half, found = math.log(2) / 2, np.full(losses[:, 0].shape, math.log(SEEN[-1]))
    for (i, k), _ in np.ndenumerate(found):
        below = np.flatnonzero(losses[i, :, k] < half)
        if below.size and below[0]:
            j = below[0]
            found[i, k] = math.log(np.interp(half, losses[i, [j, j - 1], k], SEEN[[j, j - 1]]))
    return found


@pytest.fixture(scope="module")
def our_onsets():
    """Onsets in networks of ours."""
    losses, learner = [], ParityNetwork(n_bits=N_BITS, k=2, width=WIDTH, rate=RATE, n_test=N_TEST)
    for seed in range(N_NETWORKS):
        state = learner.start(P, np.random.default_rng(seed), batch_size=BATCH)
        for step in SEEN:
            state = learner.advance(state, int(step))
            losses.append(learner.measure(state)["loss"])
    return log_onsets(np.reshape(losses, (N_NETWORKS, SEEN.size, P.size)))


def onsets_in_torch(torch, seed, rate=RATE, n_logits=2):
    """Onsets in dense networks, trained side by side on strings, pairs of bits and weights of PyTorch's own."""
    torch.manual_seed(seed)
    n, n_inputs = N_NETWORKS, P.size + N_BITS
    shapes = [(n_inputs, n_inputs, WIDTH), (n_inputs, 1, WIDTH), (WIDTH, WIDTH, 2), (WIDTH, 1, 2)]
    weights = [(2 * torch.rand(n, *shape) - 1) * fan**-0.5 for fan, *shape in shapes]
    if n_logits == 1:
        weights[2:] = [w[..., 1:] - w[..., :1] for w in weights[2:]]
    first, bias, out, out_bias = [w.requires_grad_() for w in weights]
    pairs = torch.combinations(torch.arange(N_BITS))
    sets = torch.stack([pairs[torch.randperm(len(pairs))[: P.size]] for _ in range(n)])
    optimizer = torch.optim.Adam([first, bias, out, out_bias], lr=rate)

    def losses(subtask):
        bits = torch.randint(2, (*subtask.shape, N_BITS))
        label = bits.gather(2, sets.gather(1, subtask[..., None].expand(-1, -1, 2))).sum(dim=2) % 2
        x = torch.cat([torch.nn.functional.one_hot(subtask, P.size), bits], dim=2).float()
        z = torch.relu(x @ first + bias) @ out + out_bias
        z = z if n_logits == 2 else torch.cat([torch.zeros_like(z), z], dim=2)
        return torch.nn.functional.cross_entropy(z.transpose(1, 2), label, reduction="none")

    every, seen = torch.arange(P.size).repeat_interleave(N_TEST).expand(n, -1), []
    for step in range(1, SEEN[-1] + 1):
        optimizer.zero_grad()
        losses(torch.multinomial(torch.tensor(P), n * BATCH, replacement=True).reshape(n, BATCH)).mean(
            dim=1
        ).sum().backward()
        optimizer.step()
        if step in SEEN:
            with torch.no_grad():
                seen.append(losses(every).reshape(n, P.size, N_TEST).mean(dim=2).numpy())
    return log_onsets(np.stack(seen, axis=1))


def chance_of(a, b, n_shuffles=999):
    """How often as great a distance arises by shuffling networks, whole: of the medians, and of the pooled distributions.

    Subtasks of one network share its weights, so that their onsets are no independent sample.
    """
    both = np.concatenate([a, b])
    both, rng = both - np.median(both, axis=0), np.random.default_rng(0)
    grid = np.sort(both, axis=None)

    def distances(order):
        one, other = both[order[: len(a)]], both[order[len(a) :]]
        shift = np.abs(np.mean(np.median(one, axis=0) - np.median(other, axis=0)))
        below = [np.searchsorted(np.sort(some, axis=None), grid, side="right") / some.size for some in (one, other)]
        return shift, np.abs(below[0] - below[1]).max()

    shuffled = np.array([distances(rng.permutation(len(both))) for _ in range(n_shuffles)])
    return (1 + np.sum(shuffled >= distances(np.arange(len(both))), axis=0)) / (n_shuffles + 1)


def test_onsets_are_distributed_as_in_dense_torch(our_onsets):
    torch = pytest.importorskip("torch")
    theirs = onsets_in_torch(torch, 0)
    print(chance_of(our_onsets, theirs), np.mean(theirs == math.log(SEEN[-1])))
    assert np.all(chance_of(our_onsets, theirs) > LEVEL)
    assert np.mean(theirs == math.log(SEEN[-1])) < 0.2  # nearly all are onsets that were seen


@pytest.mark.parametrize("wrong", [{"rate": 1.25 * RATE}, {"n_logits": 1}], ids=str)
def test_onsets_of_a_network_trained_a_little_otherwise_are_told_apart(our_onsets, wrong):
    torch = pytest.importorskip("torch")
    assert np.all(chance_of(our_onsets, onsets_in_torch(torch, 1, **wrong)) < LEVEL)


# ------------------------------------------------------------------------------------------------- hidden progress

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
    layers = engine.blocked(weights.each(np.float32)).each(lambda array: np.stack([array] + 2 * [np.zeros_like(array)]))
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


# ------------------------------------------------------------------------------------------------- finite data


@pytest.mark.parametrize("batch_size", [300, 7, 1000])
def test_every_example_is_seen_once_an_epoch_whatever_the_batch(batch_size):
    learner, state = begun(12, batch_size, n_bits=128, k=3, width=4, n_examples=1000, n_composites=2)
    steps = 3000 // math.gcd(batch_size, 3000)  # whole batches that are whole epochs
    batch = data.draw(learner._stream(state), state.subtasks, 0, steps * batch_size)
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
    drawn = data.draw(learner._stream(state), state.subtasks, 0, 40 * 64).subtask
    expected = [np.bincount(drawn[: 64 * step], minlength=12) for step in run["step"].values]
    np.testing.assert_array_equal(run["exposures"].transpose("step", "subtask"), expected)
    assert expected[-1][8:].sum() > 100


@given(atoms=st.integers(2, 6), spare=st.integers(1, 20))
def test_no_two_composites_are_alike(atoms, spare):
    n_atoms = atoms + spare
    found = data.composites(n_atoms, atoms, n_atoms)
    assert len({frozenset(one) for one in found}) == n_atoms
    assert all(len(set(one)) == atoms and set(one) <= set(range(n_atoms)) for one in found)
    round_one = np.ravel(found[: n_atoms // atoms])
    assert np.unique(round_one).size == round_one.size  # disjoint as long as they can be


# ------------------------------------------------------------------------------------------------- bad input


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
        ("--n-composites 18", "n_composites is 18 of 20 subtasks; expected as many others at least, and more than 2"),
        ("--n-composites 11", "n_composites is 11 of 20 subtasks; expected as many others at least, and more than 2"),
        ("--n-composites 9 --atoms 11", "n_composites is 9 of 20 subtasks; expected .* more than 11"),
        ("--atoms 1", "atoms is 1; expected a whole number of at least 2"),
        ("--rate -1", "rate is -1.0; expected a finite number above 0"),
        ("--rate nan", "rate is nan; expected a finite number above 0"),
        ("--weight-decay -1", "weight_decay is -1.0; expected 0 or more"),
        ("--n-test 100", "n_test is 100; expected a multiple of 64"),
        ("--n-test 64000000000000", "GiB of memory"),
        ("--batch-size 10000000000", "GiB of memory"),
        ("--depth 2 --hidden-progress", "depth is 2; expected 1 where hidden progress is measured"),
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
