"""The controls of the parity network: what is linear in it, what its table is, and how the test takes them."""

import dataclasses
import re
import weakref

import numpy as np
import pytest

from quanta import _composition_report, _controls, _simulate_plan, _simulate_report, composition, record, simulate
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.learners import Exponential
from quanta.learners import _parity_data as data
from quanta.learners import _parity_flow as flow
from quanta.learners import _parity_reference as reference
from quanta.learners import _parity_tangent as tangent
from quanta.learners._parity_reference import Weights
from quanta.learners.base import Overflow
from quanta.learners.parity_controls import CONTROLS, control
from quanta.learners.parity_kernel import ParityKernel
from quanta.learners.parity_linearised import ParityLinearised
from quanta.learners.parity_network import ParityNetwork
from quanta.learners.parity_table import ParityTable

NETWORK = ParityNetwork(n_bits=9, k=2, width=24, n_composites=2, n_test=128, descent="sgd", rate=0.2)
P = Zipf(n_subtasks=8, exponent=1.2).probabilities()


def start(learner, batch_size=300, seed=3):
    return learner.start(P, np.random.default_rng(seed), dynamics=learner.dynamics[0], batch_size=batch_size)


def weights_of(state, network=NETWORK):
    """First weights of a network, in float64, as the reference has them."""
    rng = np.random.default_rng(state.keys[3])
    first = reference.initial(state.subtasks.n_controls, network.n_bits, network.width, 1, rng)
    return first.each(lambda array: array.astype(np.float64))


@pytest.fixture(scope="module")
def world():
    """First weights, subtasks, and twenty strings of each: their features, labels, subtasks and words."""
    state = start(NETWORK)
    first, subtasks = weights_of(state), state.subtasks
    words = flow.test_strings(NETWORK.look(state.keys), P.size, 20).reshape(-1, 2)
    subtask = np.repeat(np.arange(P.size), 20)
    label = data.parity(words & state.masks[subtask])
    return first, subtasks, subtask, words, label


def flat(weights):
    return np.concatenate([array.ravel() for array in weights])


def like(weights, vector):
    ends = np.cumsum([array.size for array in weights])
    pieces = np.split(vector, ends[:-1])
    return Weights(*(piece.reshape(array.shape) for piece, array in zip(pieces, weights, strict=True)))


# ------------------------------------------------------------------------------------------------- the tangent


def test_features_are_those_of_the_network_that_is_linearised(world):
    first, subtasks, subtask, words, _ = world
    found = tangent.features(first, subtasks, subtask, words)
    np.testing.assert_allclose(found.z, reference.forward(first, subtasks, subtask, words)[-1], rtol=1e-12, atol=1e-12)


def test_moves_of_the_logits_are_the_differences_that_small_moves_of_the_weights_make(world):
    first, subtasks, subtask, words, _ = world
    change = like(first, np.random.default_rng(0).normal(size=flat(first).size))
    found = tangent.moved(tangent.features(first, subtasks, subtask, words), subtasks, change)
    eps = 1e-7  # no unit of these strings changes sides within it
    up, down = (
        reference.forward(first.each(lambda w, d, s=s: w + s * d, change), subtasks, subtask, words)[-1]
        for s in (eps, -eps)
    )
    np.testing.assert_allclose(found, (up - down) / (2 * eps), rtol=1e-6, atol=1e-6)


def test_what_is_pulled_on_the_weights_is_the_gradient_of_the_network(world):
    first, subtasks, subtask, words, label = world
    f = tangent.features(first, subtasks, subtask, words)
    error = (1 / (1 + np.exp(-f.z)) - label) / label.size
    _, expected = reference.gradients(first, subtasks, data.Batch(subtask, words, label))
    for found, true in zip(tangent.pulled(f, subtasks, error), expected, strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-9, atol=1e-12)


def test_the_kernel_is_the_gram_matrix_of_the_gradients_of_a_dense_network_with_two_logits(world):
    torch = pytest.importorskip("torch")
    first, subtasks, subtask, words, _ = world
    kernel = tangent.gram(tangent.features(first, subtasks, subtask, words), subtasks)
    on = np.zeros((P.size, subtasks.n_controls))
    for k in range(P.size):
        on[k, subtasks.on[subtasks.begin[k] : subtasks.begin[k + 1]]] = 1
    inputs = torch.tensor(np.hstack([on[subtask], data.unpacked(words, NETWORK.n_bits)]))
    into = torch.tensor(np.vstack([first.controls, first.bits])).requires_grad_()
    bias = torch.tensor(first.bias).requires_grad_()
    out = torch.tensor(np.stack([-first.out / 2, first.out / 2])).requires_grad_()
    out_bias = torch.tensor([-first.out_bias[0] / 2, first.out_bias[0] / 2]).requires_grad_()
    logits = torch.relu(inputs @ into + bias) @ out.T + out_bias
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(z, (into, bias, out, out_bias), retain_graph=True)])
        for z in logits[:, 1] - logits[:, 0]
    ]
    jacobian = torch.stack(rows)
    np.testing.assert_allclose(kernel, (jacobian @ jacobian.T).numpy(), rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------------------------------------- the kernel flow


def explicit(first, subtasks, p, strings, time, n_steps):
    """Gradient descent of the linearised network by tiny steps, in weight space: its logits on the strings."""
    subtask, words = np.repeat(np.arange(p.size), strings.shape[1]), strings.reshape(-1, 2)
    label = data.parity(words & subtasks.masks[subtask])
    f = tangent.features(first, subtasks, subtask, words)
    weight = np.repeat(p / strings.shape[1], strings.shape[1])
    change = first.each(np.zeros_like)
    for _ in range(n_steps):
        z = f.z + tangent.moved(f, subtasks, change)
        gradient = tangent.pulled(f, subtasks, weight * (1 / (1 + np.exp(-z)) - label))
        rates = [time / n_steps * (2 if name.startswith("out") else 1) for name in Weights._fields]
        change = Weights(*(c - rate * g for c, rate, g in zip(change, rates, gradient, strict=True)))
    return f.z + tangent.moved(f, subtasks, change), label, change


def limit(first, subtasks, p, strings, others, time):
    """Losses of every subtask on the strings and on others, where steps become ever smaller."""
    by_size = []
    for n_steps in (1000, 2000):
        z, label, change = explicit(first, subtasks, p, strings, time, n_steps)
        words, subtask = others.reshape(-1, 2), np.repeat(np.arange(p.size), others.shape[1])
        f = tangent.features(first, subtasks, subtask, words)
        held = reference.losses(
            f.z + tangent.moved(f, subtasks, change), data.parity(words & subtasks.masks[f.subtask])
        )
        by_size.append([x.reshape(p.size, -1).mean(axis=1) for x in (reference.losses(z, label), held)])
    return (2 * fine - coarse for coarse, fine in zip(*by_size, strict=True))  # the error is of first order


@pytest.mark.parametrize("time", [2.0, 40.0])
def test_the_flow_is_descent_of_the_linearised_network_in_tiny_steps(time):
    learner = ParityKernel(network=NETWORK, n_inputs=12, rate=0.5)
    begun = start(learner)
    found = learner.measure(learner.advance(begun, round(time / 0.5)))
    network = start(NETWORK)
    strings = flow.test_strings(NETWORK.look(network.keys), P.size, 24)
    loss, held = limit(weights_of(network), network.subtasks, P, strings[:, :12], strings[:, 12:], time)
    assert np.abs(learner.measure(begun)["loss"] - loss).max() > 0.02  # it has moved
    np.testing.assert_allclose(found["loss"], loss, atol=10 * flow.TOLERANCE)
    np.testing.assert_allclose(found["held_out"], held, atol=10 * flow.TOLERANCE)


def test_a_flow_goes_on_from_a_state_as_if_it_had_not_stopped():
    learner = ParityKernel(network=NETWORK, n_inputs=12)
    once = learner.advance(learner.advance(start(learner), 10), 300)
    saved = learner.advance(start(learner), 10)
    ParityKernel(network=NETWORK, n_inputs=3).start(P, np.random.default_rng(0), dynamics="expected")  # another kernel
    again = learner.advance(type(saved)(*(array.copy() for array in saved)), 300)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_kernel_is_made_once_for_a_run_and_kept_no_longer_than_it(monkeypatch):
    made, products = [], []
    make, multiply = flow.Linear.__init__, flow.Linear._times_kernel
    monkeypatch.setattr(
        flow.Linear, "__init__", lambda self, *how: (made.append(weakref.ref(self)), make(self, *how))[1]
    )
    monkeypatch.setattr(flow.Linear, "_times_kernel", lambda self, v: (products.append(1), multiply(self, v))[1])
    learner = ParityKernel(network=NETWORK, n_inputs=12)
    one, other = start(learner), start(learner, seed=4)
    begun = len(products)
    for step in range(1, 41):  # turn by turn, as on two threads
        one, other = learner.advance(one, step), learner.advance(other, step)
        learner.measure(one)
    assert len(made) == 2
    assert len(products) - begun < 80 * 20  # how stiff it is is not found anew, by 60 looks
    del one
    assert [linear() is None for linear in made] == [True, False]
    del other
    assert made[1]() is None


@pytest.mark.parametrize("n_inputs", [16, 30])
def test_where_all_strings_are_listed_the_flow_is_that_of_the_whole_population(n_inputs):
    small = ParityNetwork(n_bits=4, k=2, width=16, n_test=64, descent="sgd", rate=0.1)
    learner, p = ParityKernel(network=small, n_inputs=n_inputs), np.array([0.6, 0.3, 0.1])
    assert learner.inputs == ""
    begun, network = (
        model.start(p, np.random.default_rng(0), dynamics=model.dynamics[0]) for model in (learner, small)
    )
    whole = np.zeros((3, 16, 2), dtype=np.uint64)
    whole[:, :, 0] = range(16)
    loss, _ = limit(weights_of(network, small), network.subtasks, p, whole, whole, time=60.0)
    found = learner.measure(learner.advance(begun, 600))
    assert set(found) == {"loss", "accuracy"}
    assert learner.n_measured == 2
    assert np.abs(learner.measure(begun)["loss"] - loss).max() > 0.1  # it has moved
    np.testing.assert_allclose(found["loss"], loss, atol=10 * flow.TOLERANCE)


# ------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("descent", "decay", "n_examples"), [("sgd", 0.0, 0), ("adam", 0.0, 0), ("adam", 0.1, 0), ("adam", 0.0, 400)]
)
def test_the_table_is_a_dense_embedding_trained_on_the_batches_of_the_network(descent, decay, n_examples):
    torch = pytest.importorskip("torch")
    how = {"descent": descent, "rate": 0.05, "weight_decay": decay, "n_examples": n_examples}
    network = ParityNetwork(n_bits=70, k=2, width=24, n_composites=2, n_test=128, **how)
    learner = ParityTable(network=network)
    state, n = start(learner), 300
    stream = data.Source(state.keys[0], state.keys[1], n_examples, state.keep, state.alias)
    subtasks = start(network).subtasks
    bits = subtasks.bits(70)
    table = torch.zeros(P.size, 2**4, 2, dtype=torch.float64, requires_grad=True)
    made = {"sgd": torch.optim.SGD, "adam": torch.optim.AdamW}[descent]([table], lr=0.05, weight_decay=decay)
    for step in range(30):
        batch = data.draw(stream, subtasks, step * n, n)
        strings = data.unpacked(batch.words, 70)
        cell = [int("".join(str(int(b)) for b in x[bits[k]]), 2) for k, x in zip(batch.subtask, strings, strict=True)]
        loss = torch.nn.functional.cross_entropy(table[batch.subtask, cell], torch.from_numpy(batch.label))
        made.zero_grad()
        loss.backward()
        made.step()
    with torch.no_grad():
        z = (table[..., 1] - table[..., 0]).numpy()
    expected = []
    for k in range(P.size):
        size = 2 ** int(bits[k].sum())
        label = np.array([f"{i:b}".count("1") % 2 for i in range(size)])
        expected.append(np.logaddexp(0, -(2 * label - 1) * z[k, :size]).mean())
    moved = learner.advance(state, 30)
    np.testing.assert_allclose(learner.measure(moved)["loss"], expected, rtol=1e-9)
    np.testing.assert_array_equal(moved.hits, network.advance(start(network), 30).hits)
    assert max(expected) < np.log(2)


# ------------------------------------------------------------------------------------------------- the linearised network


@pytest.mark.parametrize("n_examples", [0, 400])
@pytest.mark.parametrize("descent", ["sgd", "adam"])
def test_the_linearised_network_sets_out_as_the_network_does(descent, n_examples):
    """Same weights, same batches: while the weights have hardly moved they move together. On others they do not."""
    network = ParityNetwork(n_bits=20, k=2, width=32, n_test=1024, descent=descent, rate=1e-5, n_examples=n_examples)
    other = dataclasses.replace(network, n_examples=500)
    ends, moves = [], []
    for model in (network, ParityLinearised(network=network), ParityLinearised(network=other)):
        begun = start(model)
        ends.append(model.advance(begun, 5))
        moves.append(model.measure(ends[-1])["loss"] - model.measure(begun)["loss"])
    np.testing.assert_array_equal(ends[1].hits, ends[0].hits)
    apart = [np.abs(move - moves[0]).max() / np.abs(moves[0]).max() for move in moves[1:]]
    assert apart[0] < 0.02 < apart[1]


@pytest.mark.parametrize("test_bits", ["independent", "shared"])
@pytest.mark.parametrize("rows", [100, 4096])
def test_the_linearised_network_is_tested_on_the_strings_of_the_network(test_bits, rows, monkeypatch):
    """Piece by piece, and before it has moved it is the network."""
    network = dataclasses.replace(NETWORK, test_bits=test_bits)
    monkeypatch.setattr(reference, "ROWS", rows)
    true, found = (model.measure(start(model)) for model in (network, ParityLinearised(network=network)))
    np.testing.assert_array_equal(found["accuracy"], true["accuracy"])
    np.testing.assert_allclose(found["loss"], true["loss"], rtol=1e-6)


def test_a_step_of_the_linearised_network_is_the_gradient_of_its_own_loss(world):
    torch = pytest.importorskip("torch")
    first, subtasks, subtask, words, label = world
    now = first.each(lambda w, d: w + 0.3 * d, like(first, np.random.default_rng(1).normal(size=flat(first).size)))
    f = tangent.features(first, subtasks, subtask, words)
    basis = np.eye(flat(first).size)
    jacobian = np.stack([tangent.moved(f, subtasks, like(first, row)) for row in basis], axis=1)
    change = torch.tensor(flat(now) - flat(first), requires_grad=True)
    z = torch.tensor(f.z) + torch.tensor(jacobian) @ change
    torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(label, dtype=torch.float64)).backward()
    from quanta.learners import parity_linearised

    _, found = parity_linearised._gradients(first, now, subtasks, data.Batch(subtask, words, label))
    np.testing.assert_allclose(flat(found), change.grad.numpy(), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_of_a_deep_network_or_at_a_rate_below_0_is_refused_where_it_has_none(name):
    with pytest.raises(InputError, match=r"rate is -1"):
        control(NETWORK, f"{name}(rate=-1)")
    deep = ParityNetwork(depth=2, width=8)
    if name == "tabular":  # it does not look at the network
        assert control(deep, name).network == deep
        return
    with pytest.raises(InputError, match=r"depth is 2"):
        control(deep, name)


@pytest.mark.parametrize("cls", [ParityTable, ParityLinearised])
def test_a_rate_at_which_weights_that_decay_would_turn_over_is_refused(cls):
    network = dataclasses.replace(NETWORK, weight_decay=0.5)
    assert cls(network=network, rate=1.8).learning_rate == 1.8
    with pytest.raises(InputError, match=r"weight_decay is 0\.5; .* at most 0\.45 at a rate of 2\.0"):
        cls(network=network, rate=2.0)


@pytest.mark.parametrize("stride", [1, 40])
@pytest.mark.parametrize(("cls", "rate", "fails"), [(ParityTable, 1e308, 6), (ParityLinearised, 1e39, 7)])
@np.errstate(over="ignore", invalid="ignore")
def test_a_control_that_diverges_names_the_step_however_far_it_was_to_go(cls, rate, fails, stride):
    """What is not finite after step 6 is seen there in a table, and in the next loss of a network."""
    state = (sound := cls(network=NETWORK)).advance(start(sound), 5)
    wild = cls(network=NETWORK, rate=rate)
    for step in range(5 + stride, fails, stride):
        state = wild.advance(state, step)
    with pytest.raises(Overflow, match=f"not finite at step {fails};"):
        wild.advance(state, int(state.step) + stride)


@pytest.mark.parametrize(("field", "value"), [("weight_decay", 0.1), ("n_examples", 5000)])
def test_a_flow_refuses_what_no_flow_of_the_loss_on_new_strings_can_have(field, value):
    network = ParityNetwork(n_bits=9, k=2, width=24, n_test=128, **{field: value})
    with pytest.raises(InputError, match=rf"{field} is {value}"):
        ParityKernel(network=network)


def test_a_kernel_or_a_table_that_is_too_large_is_refused_with_its_size():
    with pytest.raises(InputError, match=r"16000 unknowns"):
        ParityKernel(n_inputs=16).check_count(1000)
    wide = ParityTable(network=ParityNetwork(n_bits=100, k=24, width=4))
    with pytest.raises(InputError, match=r"a table of 3 subtasks has 5\.03316e\+07 cells here"):
        wide.check_count(3)
    of_composites = ParityTable(network=ParityNetwork(n_bits=100, k=6, atoms=4, n_composites=1, width=4))
    of_composites.check_count(6)
    with pytest.raises(InputError, match=r"cells here"):  # as many as the sets drawn have in their unions
        of_composites.start(np.ones(6) / 6, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("kernal", r"'kernal' is unknown; expected one of kernel"),
        ("kernel(n=3)", r"no field n"),
        ("kernel(", r"cannot"),
    ],
)
def test_a_control_that_does_not_exist_is_refused_by_name(text, match):
    with pytest.raises(InputError, match=match):
        NETWORK.control(text)


def test_a_learner_without_a_network_has_no_control():
    with pytest.raises(InputError, match=r"Exponential has no control 'kernel'"):
        Exponential().control("kernel")


# ------------------------------------------------------------------------------------------------- the records


@pytest.fixture(scope="module")
def records():
    """A run of a few steps, and its controls."""
    how = {"steps": 30, "seed": 3, "batch_size": 300, "n_checkpoints": 25}
    law = Zipf(n_subtasks=8, exponent=1.2)
    return {name: simulate.simulate(law, model, **how) for name, model in models().items()}


def models():
    return {"network": NETWORK} | {name: NETWORK.control(name) for name in CONTROLS}


def test_a_record_says_of_what_it_is_the_control_and_shares_data_and_network_with_its_run(records):
    shared = {(ds.attrs["data_id"], ds.attrs["network"]) for ds in records.values()}
    assert len(shared) == 1
    kinds = {name: ds.attrs.get("control_kind", "") for name, ds in records.items()}
    assert kinds == {"network": ""} | {name: name for name in CONTROLS}
    assert records["kernel"].attrs["inputs"].startswith("16 of 2^9 strings")
    for ds in records.values():
        np.testing.assert_allclose(ds["learning_rate_sum"], 0.2 * ds["step"])


def test_the_test_takes_the_controls_of_a_run_and_refuses_those_of_another(records):
    controls = [records[name] for name in CONTROLS]
    for i, one in enumerate(controls):
        _controls.check(one, records["network"], i)
    other = simulate.simulate(
        Zipf(n_subtasks=8, exponent=1.2), NETWORK.control("tabular"), steps=30, seed=4, batch_size=300
    )
    with pytest.raises(InputError, match=r"was trained on other data"):
        _controls.check(other, records["network"], 0)
    wider = dataclasses.replace(NETWORK, width=25)
    run = simulate.simulate(Zipf(n_subtasks=8, exponent=1.2), wider, steps=30, seed=3, batch_size=300)
    with pytest.raises(InputError, match=r"of another network"):
        _controls.check(records["kernel"], run, 0)
    adam = simulate.simulate(
        Zipf(n_subtasks=8, exponent=1.2), dataclasses.replace(NETWORK, descent="adam"), steps=30, seed=3, batch_size=300
    )
    _controls.check(records["kernel"], adam, 0)  # a flow is of no optimiser
    with pytest.raises(InputError, match=r"trained by sgd and the run by adam"):
        _controls.check(records["tabular"], adam, 0)


def test_the_report_of_a_control_says_what_it_is_and_of_what_its_losses_are(records):
    for name, ds in records.items():
        plan = _simulate_plan.plan(Zipf(n_subtasks=8), models()[name], steps=30, seed=3, batch_size=300)
        summary = _simulate_report.summarise(ds, [plan], 1.2) | {"record": "", "seconds": 0.0}
        said = re.findall(r"the \w+ control of a network.*", _simulate_report.report(summary))
        loss = f"{float(record.mean_loss(ds.assign(loss=ds['held_out']))[-1]):.4g}" if name == "kernel" else ""
        seen = f"; it learns, and is measured on, 16 of 2^9 strings of each subtask, drawn at random; on others its mean loss is {loss}"
        assert said == ([] if name == "network" else [f"the {name} control of a network{seen if loss else ''}"])


def test_the_report_of_a_network_without_a_coupled_control_says_how_to_make_it(records):
    said = {
        name: _composition_report.report(
            composition.test(records["network"], controls=controls), records["network"], [], []
        )
        for name, controls in {"alone": [], "coupled": [records["kernel"]]}.items()
    }
    assert "make the coupled control: the run's own, with --control kernel" in said["alone"]
    assert "make the coupled control" not in said["coupled"]


def test_a_command_makes_a_control_beside_its_run(tmp_path, capsys):
    flags = ["--learner", "parity_network", "--n-bits=9", "--k=2", "--width=8", "--n-test=64", "--n-subtasks=5"]
    flags += ["--steps=20", "--batch-size=100"]
    for name, more in {"run": [], "control": ["--control", "kernel(n_inputs=5)"]}.items():
        out = ["--out", str(tmp_path / name), "--no-detect", "--quiet"]
        assert simulate.main([*flags, *more, *out]) == 0
    run, made = (record.load(tmp_path / name) for name in ("run", "control"))
    _controls.check(made, run, 0)
    assert made.attrs["inputs"].startswith("5 of 2^9")
    assert made["held_out"].shape == made["loss"].shape
    capsys.readouterr()
    assert simulate.main(["--control", "kernel", "--quiet", "--out", str(tmp_path / "none")]) != 0
    assert "Multilinear has no control 'kernel'" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- what the test says


@pytest.mark.parametrize(("text", "steps"), [("kernel(n_inputs=4)", 300_000), ("tabular(rate=4)", 20_000)])
def test_a_smooth_linear_world_is_not_sharp(text, steps):
    """The controls themselves, followed to their end: were they sharp, sharpness would prove nothing."""
    network = ParityNetwork(n_bits=30, k=2, width=64, n_test=64, descent="sgd", rate=0.1)
    law = Zipf(n_subtasks=32, exponent=1.2)
    ds = simulate.simulate(law, network.control(text), steps=steps, batch_size=500, n_checkpoints=100)
    result = composition.test(ds)
    assert result["n_complete"] >= 30
    assert result["fraction_sharp"] == 0
    assert result.attrs["verdict"] == "ordered-smooth"
