"""Onsets in parity networks are distributed as in dense networks of PyTorch: rounding parts trajectories, but not these."""

import math

import numpy as np
import pytest
from parity_networks import zipf

from quanta.learners.parity_network import ParityNetwork

P = zipf(8, 0.5)
N_NETWORKS, N_BITS, WIDTH, BATCH, RATE, N_TEST = 12, 12, 64, 512, 0.004, 256
SEEN = np.arange(25, 401, 25)
LEVEL = 0.01  # at which two samples of onsets are told apart


def log_onsets(losses):
    """Log of the step at which each loss (n_networks, n_seen, n_subtasks) is half of ln 2; of the last if it never is."""
    half, found = math.log(2) / 2, np.full(losses[:, 0].shape, math.log(SEEN[-1]))
    for (i, k), _ in np.ndenumerate(found):
        below = np.flatnonzero(losses[i, :, k] < half)
        if below.size:
            j = below[0]
            assert j > 0, "an onset before the first look"
            found[i, k] = math.log(np.interp(half, losses[i, [j, j - 1], k], SEEN[[j, j - 1]]))
    return found


@pytest.fixture(scope="module")
def torch():
    """PyTorch, or nothing is to be compared."""
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def our_onsets(torch):
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
        drawn = torch.multinomial(torch.tensor(P), n * BATCH, replacement=True)
        losses(drawn.reshape(n, BATCH)).mean(dim=1).sum().backward()
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


def test_onsets_are_distributed_as_in_dense_torch(torch, our_onsets):
    theirs = onsets_in_torch(torch, 0)
    assert np.all(chance_of(our_onsets, theirs) > LEVEL)
    assert np.mean(theirs == math.log(SEEN[-1])) < 0.2  # nearly all are onsets that were seen


@pytest.mark.parametrize("wrong", [{"rate": 1.25 * RATE}, {"n_logits": 1}], ids=str)
def test_onsets_of_a_network_trained_a_little_otherwise_are_told_apart(torch, our_onsets, wrong):
    assert np.all(chance_of(our_onsets, onsets_in_torch(torch, 1, **wrong)) < LEVEL)
