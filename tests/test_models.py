"""Models: the contract of the family, and the kernel control against brute force and an implicit integrator."""

import subprocess
import sys

import numpy as np
import pytest

from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.models import MODELS, Decoder, Kernel, Lazy, Linearised, Readout, Tabular
from quanta.models.base import Diverged, Setting
from quanta.tasks import Copying, DigitAddition, ModularAddition, ModularArithmetic
from quanta.tasks.stream import Stream

SMALL = {
    "decoder": Decoder(width=16, heads=2),
    "tabular": Tabular(),
    "kernel": Kernel(width=16, heads=2),
    "linearised": Linearised(width=16, heads=2),
    "readout": Readout(width=16, heads=2),
    "lazy": Lazy(scale=3.0, width=16, heads=2),
}
models = pytest.mark.parametrize("model", SMALL.values(), ids=SMALL)


def stream(n_subtasks=4, task=None, seed=0, batch_size=64):
    task = task or ModularArithmetic(modulus=3)
    return Stream(frequencies=Zipf(n_subtasks=n_subtasks, exponent=1.0), task=task, batch_size=batch_size, seed=seed)


def setting(model, optimizer="sgd", rate=None):
    rate = rate or model.default_rate(optimizer, stream())
    return Setting(optimizer=optimizer, learning_rate=rate, device="cpu")


def follow(run, steps):
    rows = [run.measure()]
    for step in steps:
        while run.advance(step) < step:
            pass
        rows.append(run.measure())
    return {name: np.stack([row[name] for row in rows], axis=-1) for name in rows[0]}


def test_every_member_of_the_family_is_tried_here():
    assert set(SMALL) == set(MODELS)


@models
def test_repr_evaluates_back_to_the_model(model):
    assert eval(repr(model), {type(model).__name__: type(model)}) == model


def test_the_parts_are_made_without_importing_torch_or_scipy():
    code = "import sys; from quanta.models import MODELS; from quanta.tasks import TASKS; " + (
        "[m() for m in (*MODELS.values(), *TASKS.values())]; print({'torch', 'scipy', 'xarray'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Decoder(width=10, heads=4), "width 10 is not a multiple of heads 4"),
        (lambda: Kernel(width=10, heads=4), "width 10 is not a multiple of heads 4"),
        (lambda: Decoder(depth=0), "depth is 0"),
        (lambda: Setting(optimizer="muon", learning_rate=0.1, device="cpu"), "'muon' is unknown; expected one of sgd"),
        (lambda: Setting(optimizer="sgd", learning_rate=0.0, device="cpu"), "learning_rate is 0.0"),
        (lambda: Setting(optimizer="sgd", learning_rate=float("nan"), device="cpu"), "learning_rate is nan"),
    ],
)
def test_fields_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_the_kernel_refuses_too_many_logits_and_says_what_memory_they_need():
    # 40 subtasks × 11² inputs × 10 contrasts = 48,400 unknowns; 8 bytes × 48,400² = 17.5 GiB; 9 × 1210 < 12,000;
    # 30 × 40 × 10 = 12,000
    message = r"48400 unknowns .* 17\.5 GiB; .* Use at most 9 subtasks, or n_inputs, at most 30: that many inputs"
    with pytest.raises(InputError, match=message):
        Kernel().check(stream(n_subtasks=40, task=ModularArithmetic(modulus=11)), setting(Kernel()))


def test_the_kernel_refuses_an_optimizer_that_is_no_gradient_flow():
    assert np.isfinite(Kernel().default_rate("adam", stream()))  # so that it is this message which is met
    with pytest.raises(InputError, match="gradient flow, but optimizer is 'adam'"):
        Kernel().check(stream(), setting(Kernel(), "adam"))


def test_the_largest_part_of_the_inputs_that_is_named_fits_and_one_more_does_not():
    data = stream(task=Copying())  # 8³² strings, 4 subtasks, 7 contrasts: 12,000 / 28
    with pytest.raises(InputError, match=r"2\.21839e\+30 unknowns .* Use n_inputs, at most 428: "):
        Kernel().check(data, setting(Kernel()))
    Kernel(n_inputs=428).check(data, setting(Kernel()))
    with pytest.raises(InputError, match=r"12012 unknowns .* at most 428"):
        Kernel(n_inputs=429).check(data, setting(Kernel()))


def test_a_part_of_a_training_set_is_refused():
    data = stream(n_subtasks=2, task=ModularAddition(modulus=5), batch_size=9)
    with pytest.raises(InputError, match=r"n_inputs is 3, but .* has a training set of its own"):
        Kernel(n_inputs=3).check(data, setting(Kernel()))


def test_the_kernel_learns_a_part_of_the_inputs_and_says_so():
    """Random ones of each subtask, each once, the same for every run of the seed; weighted so that each subtask counts as before."""
    pytest.importorskip("torch")
    data, model = stream(task=Copying(string=12, vocabulary=3)), Kernel(width=16, heads=2, n_inputs=30)
    run = model.start(data, setting(model))
    assert np.bincount(run.batch.subtask[:, 0]).tolist() == [30] * 4
    assert len(np.unique(run.batch.tokens, axis=0)) == 120
    of_each = [float(run.weight[run.batch.subtask == k].sum()) for k in range(4)]
    np.testing.assert_allclose(of_each, data.probability)
    np.testing.assert_array_equal(run.batch.tokens, stream(task=data.task).inputs(30).tokens)
    assert not np.array_equal(run.batch.tokens, stream(task=data.task, seed=1).inputs(30).tokens)
    assert model.inputs(data) == "30 of 531441 inputs of each subtask, drawn at random"
    losses = follow(run, [3_000])["loss"]
    assert losses[0, -1] < 0.75 * losses[0, 0]


def test_more_inputs_than_there_are_is_all_of_them():
    pytest.importorskip("torch")
    one, all_ = (Kernel(width=16, heads=2, n_inputs=n) for n in (9, 0))
    assert one.inputs(stream()) == ""
    runs = [follow(model.start(stream(), setting(model)), [100])["loss"] for model in (one, all_)]
    np.testing.assert_array_equal(*runs)


def test_a_part_of_a_task_that_asks_several_subtasks_is_of_sequences():
    pytest.importorskip("torch")
    task = DigitAddition(digits=2)
    data = Stream(frequencies=task.shares(), task=task, batch_size=16, seed=0)
    model = Kernel(width=16, heads=2, n_inputs=50)
    assert model.inputs(data) == "50 of 10000 sequences, drawn at random"
    run = model.start(data, setting(model))
    assert len(run.batch.tokens) <= 50  # the same sum may be drawn twice
    np.testing.assert_allclose(float(run.weight.sum()), 1.0)
    losses = follow(run, [1_000])["loss"]
    assert np.all(losses[:, -1] < 0.5 * losses[:, 0])


def test_the_table_refuses_a_task_whose_cases_cannot_be_listed():
    with pytest.raises(InputError, match=r"needs a list of what each answer depends on, and \w+\(.*\) has none"):
        Tabular().check(stream(task=ModularArithmetic(modulus=1031)), setting(Tabular()))  # 1031² > 2²⁰


@models
def test_a_run_starts_at_the_same_place_and_learns_the_most_frequent_subtask(model):
    pytest.importorskip("torch")
    # Linear learning takes longer; a step of the linearised network, too.
    steps = {Kernel: 12_000, Lazy: 2_000, Linearised: 200}.get(type(model), 400)
    least = {Linearised: 0.95, Readout: 0.95}.get(type(model), 0.25)
    runs = [follow(model.start(stream(), setting(model)), [steps]) for _ in range(2)]
    for name, values in runs[0].items():
        assert values.shape == (4, 2)
        np.testing.assert_array_equal(values, runs[1][name])
    assert runs[0]["loss"][0, -1] < least * np.log(3)
    assert np.all((runs[0]["probability"] >= 0) & (runs[0]["probability"] <= 1))
    np.testing.assert_allclose(runs[0]["exposures"][:, -1].sum(), steps * 64)


@models
def test_a_restored_run_goes_on_to_the_last_bit(model):
    pytest.importorskip("torch")
    whole = model.start(stream(), setting(model))
    expected = follow(whole, [30, 90])
    first, second = (model.start(stream(), setting(model)) for _ in range(2))
    follow(first, [30])
    second.restore(first.state())
    for name, values in follow(second, [90]).items():
        np.testing.assert_array_equal(values, expected[name][:, 1:])


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step():
    pytest.importorskip("torch")
    run = SMALL["decoder"].start(stream(), setting(SMALL["decoder"], rate=1e38))
    with pytest.raises(Diverged, match=r"not finite at step 1; .* Lower the learning rate \(it is 1e\+38\)"):
        follow(run, [100])


def test_the_table_is_softmax_regression():
    """One entry, exact: under full frequency, each logit follows −rate · (softmax − onehot) · its share of hits."""
    torch = pytest.importorskip("torch")
    one = stream(n_subtasks=1, batch_size=8)
    run = Tabular().start(one, setting(Tabular(), rate=2.0))
    table = np.zeros((9, 3))
    for step in range(5):
        run.advance(step + 1)
        batch = one.batch(step)
        probability = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
        pull = np.zeros_like(table)
        for case, target in zip(batch.case[:, 0], batch.targets[:, 0], strict=True):
            pull[case] += probability[case] - np.eye(3)[target]
        table -= 2.0 * pull / 8
    np.testing.assert_allclose(run.module.logits.detach(), torch.tensor(table), atol=1e-5)


def test_equal_examples_computed_once_give_the_gradient_of_all(monkeypatch):
    """Batches of 64 from 36 inputs have equal ones; kept apart, they take the plain path."""
    pytest.importorskip("torch")
    from quanta.models import _training

    model = Decoder(width=16, heads=2)
    assert len(_training.distinct(stream().batch(0), 7)[0].tokens) < 64
    a = follow(model.start(stream(), setting(model)), [20])
    monkeypatch.setattr(_training, "distinct", lambda batch, n_tokens: (batch, np.ones(len(batch.tokens))))
    b = follow(model.start(stream(), setting(model)), [20])
    np.testing.assert_allclose(a["loss"], b["loss"], atol=2e-5)  # float32, 20 steps


NETWORKS = {
    "plain": Decoder(width=8, heads=2),
    "deep": Decoder(width=8, heads=2, depth=2),
    "no norm": Decoder(width=8, heads=2, norm="none"),
    "relu": Decoder(width=8, heads=2, activation="relu"),
    "no bias": Decoder(width=8, heads=2, bias=False),
    "attention only": Decoder(width=8, heads=2, mlp=0),
    "all at once": Decoder(width=8, heads=4, depth=2, norm="none", activation="relu", bias=False, mlp=0),
}
networks = pytest.mark.parametrize("made", NETWORKS.values(), ids=NETWORKS)
readouts = pytest.mark.parametrize("readout", [(3,), (0, 2)], ids=["one readout", "two"])


def moved_network(made, task, readout=None):
    """A network with nothing at its special initial value, in float64, and all inputs of three subtasks."""
    import torch

    from quanta.models._network import build

    run = stream(n_subtasks=3, task=task)
    network = build(made, run).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double()
    tokens = torch.from_numpy(task.exhaustive(run.rules, np.arange(3)).tokens)
    return network.read_at(readout or task.readout), tokens


@networks
@readouts
def test_the_last_layer_may_be_evaluated_at_the_readout_alone(made, readout):
    torch = pytest.importorskip("torch")
    network, tokens = moved_network(made, Copying(string=3, vocabulary=2), readout)
    at_readout = network(tokens)
    everywhere = network.read_at(range(4))(tokens)
    torch.testing.assert_close(at_readout, everywhere[:, list(readout)])


@networks
def test_earlier_positions_do_not_see_later_tokens(made):
    torch = pytest.importorskip("torch")
    network, _ = moved_network(made, ModularArithmetic(modulus=3), range(3))
    logits = network(torch.tensor([[0, 1, 3], [0, 2, 4]]))
    torch.testing.assert_close(logits[0, 0], logits[1, 0])
    assert not torch.allclose(logits[0, 1], logits[1, 1])


@networks
def test_attention_is_the_causal_softmax_of_queries_and_keys(made):
    """Of the first layer by loops over heads and positions; of the others, that every row is a distribution."""
    torch = pytest.importorskip("torch")
    network, tokens = moved_network(made, Copying(string=3, vocabulary=2))
    tokens = tokens[:2]
    found = network.attention(tokens).detach()
    assert found.shape == (made.depth, 2, made.heads, 4, 4)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:-1], dtype=torch.float64))
    assert float(found.triu(1).abs().max()) == 0.0
    layer, size = network.layers[0], made.width // made.heads
    z = network.token(tokens) + network.position.weight
    if made.norm == "layer":
        z = torch.nn.functional.layer_norm(z, (made.width,), layer.norm_attention.weight, layer.norm_attention.bias)
    query, key = layer.query(z), layer.key_value(z)[..., : made.width]
    for head in range(made.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(4):
            score = torch.einsum("nd,njd->nj", query[:, i, part], key[:, : i + 1, part]) / size**0.5
            torch.testing.assert_close(found[0, :, head, i, : i + 1], score.exp() / score.exp().sum(-1, keepdim=True))


@networks
def test_attention_is_what_mixes_the_values(made):
    """The layer's own output, from its attention probabilities and values."""
    torch = pytest.importorskip("torch")
    network, tokens = moved_network(made, Copying(string=3, vocabulary=2))
    layer, x = network.layers[0], network.embed(tokens)
    value = layer.key_value(layer.norm_attention(x))[..., made.width :].view(len(x), 4, made.heads, -1)
    mixed = torch.einsum("nhij,njhd->nihd", layer.attention(x, network.everywhere), value).flatten(2)
    out = x + layer.out(mixed)
    if made.mlp:
        out = out + layer.down(layer.activation(layer.up(layer.norm_mlp(out))))
    torch.testing.assert_close(layer(x, network.everywhere), out)


@networks
@pytest.mark.parametrize(
    ("task", "readout"),
    [
        (ModularArithmetic(modulus=3), None),
        (ModularArithmetic(modulus=7), None),
        (Copying(string=3, vocabulary=2), (1, 3)),
    ],
    ids=["mod 3", "more tokens than pairs of positions", "copy at two places"],
)
def test_the_tangent_kernel_is_the_gram_matrix_of_the_jacobian(made, task, readout):
    torch = pytest.importorskip("torch")
    from quanta.models._linearised import contrasts, tangent_kernel

    network, tokens = moved_network(made, task, readout)
    tokens = tokens[:: len(tokens) // 16 + 1]
    basis = contrasts(task.n_classes)
    logits, kernel = tangent_kernel(network, tokens, basis)
    rows = []
    for logit in (network(tokens) @ basis).flatten():
        gradient = torch.autograd.grad(logit, list(network.parameters()), retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in gradient]))
    jacobian = torch.stack(rows)
    torch.testing.assert_close(kernel, jacobian @ jacobian.T)
    torch.testing.assert_close(logits, network(tokens) @ basis)


def flat(tensors):
    import torch

    return torch.cat([t.flatten() for t in tensors])


def jacobian_of(network, tokens, parameters):
    """Rows of gradients of all logits."""
    import torch

    logits = network(tokens).flatten()
    return torch.stack([flat(torch.autograd.grad(logit, parameters, retain_graph=True)) for logit in logits])


@networks
def test_the_linearised_network_is_its_first_order_expansion(made):
    """Its logits are f₀ + J (θ − θ₀), and its gradient is that of J, anywhere."""
    torch = pytest.importorskip("torch")
    from quanta.models._tangent import Tangent

    network, tokens = moved_network(made, Copying(string=3, vocabulary=2), (1, 3))
    tokens = tokens[::3]
    parameters = list(network.parameters())
    before, jacobian = network(tokens).detach(), jacobian_of(network, tokens, parameters)
    tangent = Tangent(network)
    step = torch.randn(jacobian.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(parameters) + step, parameters)
    logits = tangent(tokens)
    torch.testing.assert_close(logits, before + (jacobian @ step).view_as(before))
    pull = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradient = torch.autograd.grad((pull * logits).sum(), parameters)
    torch.testing.assert_close(flat(gradient), jacobian.T @ pull.flatten())


def test_the_linearised_network_in_small_steps_goes_along_the_kernel_flow():
    """Same weights, same data law; where the network itself has long left it, the linearised one has not."""
    pytest.importorskip("torch")
    run = stream(batch_size=2048)
    small = (Decoder(width=16, heads=2), Linearised(width=16, heads=2), SMALL["kernel"])
    network, linear, kernel = (follow(m.start(run, setting(m, rate=0.02)), [200])["loss"][:, -1] for m in small)
    start = follow(SMALL["kernel"].start(run, setting(SMALL["kernel"])), [])["loss"][:, 0]
    assert np.abs(linear - kernel).max() < 0.05 * np.abs(kernel - start).max()
    assert np.abs(network - kernel).max() > 0.15 * np.abs(kernel - start).max()


@pytest.mark.parametrize("frozen", [False, True], ids=["all weights", "the output layer alone"])
def test_the_largest_eigenvalue_is_that_of_the_explicit_matrix(frozen):
    torch = pytest.importorskip("torch")
    from quanta.models import _tangent
    from quanta.models._network import build

    data = stream(n_subtasks=3, batch_size=1024)
    network = build(Decoder(width=8, heads=2), data)
    network = _tangent.only_unembedding(network) if frozen else network
    tokens, count = np.unique(data.batch(0).tokens, axis=0, return_counts=True)
    parameters = [p for p in network.parameters() if p.requires_grad]
    jacobian = jacobian_of(network, torch.from_numpy(tokens), parameters).view(len(tokens), 3, -1)
    jacobian = (jacobian - jacobian.mean(1, keepdim=True)) * torch.from_numpy(count / 1024).float().sqrt()[
        :, None, None
    ]
    exact = float(torch.linalg.matrix_norm(jacobian.flatten(0, 1), ord=2)) ** 2
    found = _tangent.largest_eigenvalue(network, data)
    assert 0.98 * exact < found < 1.0001 * exact
    # Half of what is stable, 2 / (λ/2), and 10 % less, since λ is found from below; in two digits.
    assert 0.88 < _tangent.stable_rate(network, data, "sgd") / (2 / (1.1 * found)) <= 1
    assert _tangent.stable_rate(network, data, "momentum") == pytest.approx(
        _tangent.stable_rate(network, data, "sgd") / 10
    )


@pytest.mark.parametrize("kind", ["linearised", "readout"])
def test_a_linear_control_is_stable_at_its_default_rate_and_not_far_above_it(kind):
    pytest.importorskip("torch")
    model, data = SMALL[kind], stream()
    rate = model.default_rate("sgd", data)

    def mean_losses(factor):
        return (
            data.probability @ follow(model.start(data, setting(model, rate=factor * rate)), [20, 40, 60, 80])["loss"]
        )

    assert np.all(np.diff(mean_losses(1.0)) < 0)
    assert mean_losses(30.0).max() > 2 * mean_losses(1.0)[0]


def test_the_readout_control_is_softmax_regression_on_what_the_untrained_network_computes():
    torch = pytest.importorskip("torch")
    data, model = stream(), Readout(width=16, heads=2)
    run = model.start(data, setting(model, rate=0.1))
    before = {name: p.detach().clone() for name, p in run.module.named_parameters()}
    features = []
    run.module.unembed.register_forward_hook(lambda module, args, out: features.append(args[0][:, 0].double()))
    weight, bias = (before[f"unembed.{name}"].double() for name in ("weight", "bias"))
    for step in range(5):
        batch = data.batch(step)
        with torch.no_grad():
            run.module(torch.from_numpy(batch.tokens))
        pull = (features[-1] @ weight.T + bias).softmax(-1) - torch.eye(3, dtype=torch.float64)[batch.targets[:, 0]]
        weight, bias = weight - 0.1 * pull.T @ features[-1] / 64, bias - 0.1 * pull.mean(0)
    run.advance(5)
    after = dict(run.module.named_parameters())
    torch.testing.assert_close(after["unembed.weight"].double(), weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(after["unembed.bias"].double(), bias, atol=1e-5, rtol=0)
    assert not torch.equal(after["unembed.weight"], before["unembed.weight"])
    for name, values in before.items():
        if not name.startswith("unembed"):
            torch.testing.assert_close(after[name], values, rtol=0, atol=0)


def test_contrasts_keep_all_that_a_softmax_sees():
    torch = pytest.importorskip("torch")
    from quanta.models._linearised import contrasts

    logits = torch.randn(10, 5, dtype=torch.float64)
    basis = contrasts(5)
    torch.testing.assert_close((logits @ basis @ basis.T).softmax(-1), logits.softmax(-1))
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64))


def test_the_kernel_flow_agrees_with_an_implicit_integrator_of_all_logits():
    """Against scipy's Radau, with the analytic Jacobian, on every logit and an explicit Jacobian product."""
    torch = pytest.importorskip("torch")
    from scipy.integrate import solve_ivp

    from quanta.models._linearised import tangent_kernel
    from quanta.models._network import build

    run, steps, rate = stream(), [1, 10, 100, 1000, 10_000], 0.5
    model = SMALL["kernel"]
    measured = follow(model.start(run, setting(model, rate=rate)), steps)

    batch = run.task.exhaustive(run.rules, np.arange(4))
    network = build(Decoder(width=16, heads=2), run).double()
    logits, kernel = tangent_kernel(network, torch.from_numpy(batch.tokens), torch.eye(3, dtype=torch.float64))
    kernel, weight = kernel.numpy(), run.probability.repeat(9)[:, None] / 9
    right = np.eye(3)[batch.targets[:, 0]]

    def softmax(f):
        e = np.exp(f.reshape(-1, 3) - f.reshape(-1, 3).max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def jacobian(_, f):
        p = softmax(f)
        blocks = weight[:, :, None] * (p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :])
        return -np.einsum("inc,ncd->ind", kernel.reshape(-1, len(p), 3), blocks).reshape(kernel.shape)

    solved = solve_ivp(
        lambda _, f: -kernel @ (weight * (softmax(f) - right)).ravel(), (0, rate * steps[-1]), logits.numpy().ravel(),
        method="Radau", jac=jacobian, t_eval=[0, *(rate * s for s in steps)], rtol=1e-7, atol=1e-9,
    )  # fmt: skip
    for i, f in enumerate(solved.y.T):
        losses = -np.log((softmax(f) * right).sum(axis=1)).reshape(4, 9).mean(axis=1)
        np.testing.assert_allclose(measured["loss"][:, i], losses, atol=1e-4)
    assert measured["loss"][0, -1] < 0.1 * measured["loss"][0, 0]  # it had something to integrate


def test_the_network_in_small_steps_sets_out_along_the_kernel_flow():
    """Same weights, same data law: over a short time they move together, far closer than they move."""
    pytest.importorskip("torch")
    run = stream(batch_size=4096)
    network, kernel = (follow(m.start(run, setting(m, rate=0.003)), [40]) for m in (SMALL["decoder"], SMALL["kernel"]))
    np.testing.assert_allclose(network["loss"][:, 0], kernel["loss"][:, 0], atol=1e-5)
    moved = kernel["loss"][:, 1] - kernel["loss"][:, 0]
    apart = network["loss"][:, 1] - kernel["loss"][:, 1]
    assert np.abs(moved).max() > 0.005
    assert np.abs(apart).max() < 0.2 * np.abs(moved).max()


@pytest.mark.parametrize("stiffness", [1e4, 1e6])
def test_chebyshev_steps_solve_a_stiff_linear_flow_in_few_products(stiffness):
    torch = pytest.importorskip("torch")
    from quanta._chebyshev import Chebyshev, Problem

    rates = torch.logspace(0, np.log10(stiffness), 20, dtype=torch.float64)
    start = torch.ones(20, dtype=torch.float64)
    flow = Chebyshev(Problem(lambda y: -rates * y, lambda y, v: rates * v), start, tolerance=1e-5)
    while flow.time < 1.0:
        flow.advance(1.0)
    torch.testing.assert_close(flow.y, torch.exp(-rates), atol=1e-4, rtol=0)
    assert flow.n_products < 20 * np.sqrt(stiffness)  # without stabilisation, stability alone takes stiffness/2
