"""The parity network trains as a dense network with two logits does, written here anew in PyTorch, in float64."""

import numpy as np
import pytest
from parity_networks import atoms_of, begun, weights_of
from scipy import stats

from quanta.learners import _parity_data as data
from quanta.learners._parity_reference import Weights

ATOMS_AND_COMPOSITES = {"n_composites": 3, "atoms": 3, "bit_sets": "overlapping"}


def inputs_and_labels(learner, state, batch):
    """What a dense network sees of a batch, and the parities of the bits themselves: (n, n_controls + n_bits) and (n,)."""
    bits = np.array([[int(word) >> i & 1 for word in pair for i in range(64)] for pair in batch.words])
    sets = np.array([[int(word) >> i & 1 for word in pair for i in range(64)] for pair in state.masks])
    x = np.concatenate([atoms_of(state)[batch.subtask], bits[:, : learner.n_bits]], axis=1)
    return x, (bits * sets[batch.subtask]).sum(axis=1) % 2


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
            error, size = (np.atleast_2d(np.abs(array)).max(axis=1) for array in (a - b, b))
            assert not np.any(error[size == 0])
            worst = max(worst, np.max(error[size > 0] / size[size > 0], initial=0))
    return worst


@pytest.mark.parametrize("batch_size", [1, 2, 63, 4096])
@pytest.mark.parametrize(
    "fields",
    [
        {"n_bits": 35, "k": 3, "width": 16},
        {"n_bits": 13, "k": 2, "width": 37, **ATOMS_AND_COMPOSITES},
        {"n_bits": 66, "k": 4, "width": 1},
        {"n_bits": 128, "k": 3, "width": 100, **ATOMS_AND_COMPOSITES},
    ],
    ids=lambda fields: f"{fields['n_bits']}-{fields['width']}",
)
def test_the_first_step_goes_down_the_gradient_of_dense_torch(fields, batch_size):
    torch = pytest.importorskip("torch")
    rate = 1e6  # so large that of the new weights nothing is old
    learner, state = begun(12, batch_size, descent="sgd", rate=rate, **fields)
    before, after = weights_of(learner, state), weights_of(learner, learner.advance(state, 1))
    x, label = inputs_and_labels(
        learner, state, data.draw(state.stream(learner.n_examples), state.subtasks, 0, batch_size)
    )
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
        batch = data.draw(state.stream(learner.n_examples), state.subtasks, step * batch_size, batch_size)
        x, label = inputs_and_labels(learner, state, batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(label)).backward()
        optimizer.step()
    truth, found = weights_in(model, len(start.controls)), weights_of(learner, learner.advance(state, 30))
    assert max(np.abs(a - b).max() for a, b in zip(found, truth, strict=True) if b.size) < 1e-5
    assert min(np.abs(a - b).max() for a, b in zip(start, truth, strict=True) if b.size) > 5e-4
