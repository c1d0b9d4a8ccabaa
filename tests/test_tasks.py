"""Tasks: the contract of the family, and each one's rule by an independent brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta._errors import InputError
from quanta.frequencies import Uniform, Zipf
from quanta.tasks import TASKS, Copying, ModularArithmetic
from quanta.tasks.stream import Stream

SMALL = {"modular_arithmetic": ModularArithmetic(modulus=4), "copying": Copying(string=4, vocabulary=3)}
tasks = pytest.mark.parametrize("task", SMALL.values(), ids=SMALL)


def by_hand(task, rule, symbols):
    if isinstance(task, Copying):
        return symbols[rule[0]]
    (u, v, w), (x, y) = rule, symbols
    return (u * x + v * y + w) % task.modulus


def drawn(task, seed=0):
    n_subtasks = min(task.n_distinct, 6)
    return n_subtasks, task.draw(n_subtasks, np.random.default_rng(seed))


def test_every_member_of_the_family_is_tried_here():
    assert set(SMALL) == set(TASKS)


@tasks
def test_repr_evaluates_back_to_the_task(task):
    assert eval(repr(task), {type(task).__name__: type(task)}) == task


@tasks
def test_a_batch_asks_for_what_its_rule_says(task):
    n_subtasks, rules = drawn(task)
    rng = np.random.default_rng(1)
    subtask = rng.integers(n_subtasks, size=200)
    batch = task.batch(rules, subtask, rng)
    assert batch.tokens.shape == (200, task.length)
    assert batch.targets.shape == batch.mask.shape == (200, len(task.readout))
    assert batch.mask.all()
    np.testing.assert_array_equal(batch.tokens[:, -1], task.n_symbols + subtask)
    for tokens, target, k in zip(batch.tokens, batch.targets[:, 0], subtask, strict=True):
        assert target == by_hand(task, rules[k], tokens[:-1])


@tasks
def test_a_batch_is_a_function_of_its_generator(task):
    n_subtasks, rules = drawn(task)
    subtask = np.arange(n_subtasks)
    one, two, other = (task.batch(rules, subtask.repeat(9), np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.tokens, two.tokens)
    assert not np.array_equal(one.tokens, other.tokens)


@tasks
def test_the_exhaustive_set_has_every_input_once_in_the_order_of_its_numbers(task):
    n_subtasks, rules = drawn(task)
    batch = task.exhaustive(rules, np.arange(n_subtasks))
    inputs = list(itertools.product(range(task.n_symbols), repeat=task.length - 1))
    assert task.n_inputs == len(inputs)
    for k in range(n_subtasks):
        rows = slice(k * len(inputs), (k + 1) * len(inputs))
        assert [tuple(t) for t in batch.tokens[rows, :-1]] == inputs
        assert batch.number[rows].tolist() == list(range(len(inputs)))
        assert batch.targets[rows, 0].tolist() == [by_hand(task, rules[k], symbols) for symbols in inputs]


@tasks
def test_answers_of_a_subtask_are_equally_frequent(task):
    n_subtasks, rules = drawn(task)
    batch = task.exhaustive(rules, np.arange(n_subtasks))
    answers = batch.targets.reshape(n_subtasks, task.n_inputs)
    for row in answers:
        assert len(set(np.bincount(row, minlength=task.n_classes))) == 1


@tasks
def test_all_subtasks_there_are_are_different_functions(task):
    rules = task.draw(task.n_distinct, np.random.default_rng(0))
    answers = task.exhaustive(rules, np.arange(task.n_distinct)).targets.reshape(task.n_distinct, -1)
    assert len({row.tobytes() for row in answers}) == task.n_distinct


@tasks
def test_more_subtasks_than_there_are_is_refused(task):
    with pytest.raises(InputError, match=f"has only {task.n_distinct} distinct"):
        task.draw(task.n_distinct + 1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModularArithmetic(modulus=1), "modulus is 1"),
        (lambda: ModularArithmetic(modulus=10**9), "at most 10000"),
        (lambda: Copying(string=0), "string is 0"),
        (lambda: Copying(vocabulary=1), "vocabulary is 1"),
    ],
)
def test_fields_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_too_many_inputs_to_list_are_refused_and_not_numbered():
    task = Copying()
    rules = task.draw(3, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"7\.92e\+28 inputs"):
        task.exhaustive(rules, np.arange(3))
    assert task.batch(rules, np.arange(3), np.random.default_rng(0)).number is None


def stream(task=SMALL["modular_arithmetic"], seed=0, batch_size=64, n_subtasks=6):
    return Stream(frequencies=Zipf(n_subtasks=n_subtasks, exponent=1.0), task=task, batch_size=batch_size, seed=seed)


@given(step=st.integers(0, 10**9), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_the_batch_of_a_step_depends_on_seed_and_step_alone(step, seed):
    one, two = stream(seed=seed), stream(seed=seed)
    two.batch(step + 1)  # a generator with a memory would be moved on by this
    np.testing.assert_array_equal(one.batch(step).tokens, two.batch(step).tokens)
    assert not np.array_equal(one.batch(step).tokens, one.batch(step + 1).tokens)


def test_subtasks_occur_as_often_as_their_frequencies_say():
    run = stream(batch_size=200_000)
    count = np.bincount(run.batch(0).subtask, minlength=6)
    expected = run.probability * 200_000
    # five standard deviations of a binomial count
    assert np.all(np.abs(count - expected) < 5 * np.sqrt(expected * (1 - run.probability)))


def test_data_are_named_by_everything_that_decides_them():
    names = {stream().data_id, stream(seed=1).data_id, stream(batch_size=65).data_id, stream(n_subtasks=5).data_id}
    names.add(stream(task=SMALL["copying"], n_subtasks=4).data_id)
    assert len(names) == 5
    assert stream().data_id == stream().data_id


def test_the_evaluation_set_is_exhaustive_where_inputs_are_few_and_a_fixed_sample_elsewhere():
    few = list(stream().evaluation())
    assert sum(len(b.tokens) for b in few) == 6 * 16
    many = stream(task=Copying(string=8, vocabulary=4))
    one, two = (np.concatenate([b.tokens for b in many.evaluation()]) for _ in range(2))
    assert len(one) == 6 * 64
    np.testing.assert_array_equal(one, two)


def test_an_evaluation_set_beyond_memory_is_refused_with_the_memory_it_would_need():
    with pytest.raises(InputError, match=r"5000000 subtasks need .* GiB"):
        Stream(frequencies=Uniform(n_subtasks=5_000_000), task=ModularArithmetic(modulus=1009), batch_size=1, seed=0)
