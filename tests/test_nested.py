"""Learners made of learners: how parts are written within parts, skills that depend on others, and weak quanta."""

import itertools
import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quanta import _cli, composition, learners, record, simulate, transitions
from quanta._errors import InputError
from quanta.frequencies import Reweighted, Zipf
from quanta.learners import (
    LEARNERS,
    AbstractIndependent,
    AbstractLearner,
    Dependent,
    Exponential,
    Mixture,
    Multilinear,
    PowerLaw,
    Quantum,
    Threshold,
    out_of_order,
)  # fmt: skip

P = Zipf(n_subtasks=40, exponent=1.2).probabilities()
INDEPENDENT = {name: cls for name, cls in LEARNERS.items() if issubclass(cls, AbstractIndependent)}
SKILLS = {name: cls for name, cls in INDEPENDENT.items() if cls().clock == "examples"}
COUNTED = {name: cls() for name, cls in SKILLS.items() if "sampled" in cls().dynamics}
FAMILIES = {"learner": (LEARNERS, "dependent")}

skills = pytest.mark.parametrize("skill", [cls() for cls in SKILLS.values()], ids=SKILLS)


def follow(learner, p, when, *, dynamics="expected", seed=0):
    state = learner.start(p, np.random.default_rng(seed), dynamics=dynamics)
    states = []
    for time in when:
        state = learner.advance(state, int(time))
        states.append(state)
    return states


def losses(learner, states):
    return np.stack([learner.measure(state)["loss"] for state in states], axis=-1)


# ------------------------------------------------------------------------------------------------ parts within parts


def parse(*argv):
    return _cli.parse("toy", _cli.Common, FAMILIES, argv)


@pytest.mark.parametrize("learner", [cls() for cls in LEARNERS.values()], ids=LEARNERS)
def test_the_text_of_a_learner_makes_it_again(learner):
    assert AbstractLearner.from_text(str(learner)) == learner
    assert eval(repr(learner), vars(learners)) == learner


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("threshold", Threshold()),
        (" threshold ( hits = 3 ) ", Threshold(hits=3)),
        ("exponential(rate=1e-3)", Exponential(rate=0.001)),
        ("threshold(hits=1e2)", Threshold(hits=100)),
        ("multilinear(target=2)", Multilinear(target=2.0)),
        ("mixture(sharp=threshold(hits=3), smooth=exponential)", Mixture(sharp=Threshold(hits=3))),
        ("dependent(graph=chain, skill=quantum)", Dependent(graph="chain", skill=Quantum())),
        ("dependent(edges=((0, 1), (1, 2)))", Dependent(edges=((0, 1), (1, 2)))),
    ],
)
def test_a_part_is_written_as_text_with_its_fields_in_brackets(text, part):
    found = AbstractLearner.from_text(text)
    assert (found, repr(found)) == (part, repr(part))


@pytest.mark.parametrize(
    "argv",
    [
        ("--skill", "threshold"),
        ("--skill=threshold(hits=3)", "--graph", "chain"),
        ("--edges", "0", "1", "1", "2"),
        ("--learner", "mixture", "--sharp", "quantum(hits=7)", "--smooth", "power_law", "--fraction", "0.2"),
    ],
)
def test_the_printed_configuration_of_a_nested_part_gives_itself_when_it_is_read(argv, tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(*argv, "--print-config")
    path = tmp_path / "run.toml"
    path.write_text(capsys.readouterr().out)
    again, first = parse("--config", str(path)), parse(*argv)
    assert again == first
    assert again.hash() == first.hash()
    assert again.parts["learner"] != LEARNERS[again.choices["learner"]]()


REFUSED = {
    "treshold": "'treshold' is unknown; expected one of .* Did you mean 'threshold'?",
    "dependent": "'dependent' is not possible here; expected one of quantum, threshold",
    "threshold(hit=3)": "it has no field hit; expected hits",
    "threshold(hits=0)": "hits is 0; expected a whole number",
    "threshold(hits=many)": "hits is 'many'; expected a number",
    "threshold(hits=2.5)": "hits is 2.5; expected a whole number",
    "threshold(3)": "expected plain values by name, such as hits=",
    "threshold(hits=3": "its fields cannot be read",
    "threshold(**{})": "its fields cannot be read",
    "threshold(hits=open('made', 'w'))": "its fields cannot be read",
    "": "'' is unknown; expected one of",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_part_that_cannot_be_read_is_refused_in_one_line(text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _cli.main("toy", lambda argv: parse(*argv) and 0, [f"--skill={text}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("quanta.toy: error: --skill: ")
    assert error.count("\n") == 1
    with pytest.raises(InputError, match=REFUSED[text].replace("?", r"\?")):
        AbstractIndependent.from_text(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("learner", ["dependent", "mixture"])
def test_help_shows_a_part_as_it_is_written_and_loads_nothing_heavy(learner):
    code = """
import runpy, sys
try:
    runpy.run_module("quanta.simulate", run_name="__main__")
except SystemExit as stop:
    assert not stop.code
print(*{name.partition(".")[0] for name in sys.modules} & {"numba", "scipy", "xarray", "matplotlib"})
"""
    argv = [sys.executable, "-c", code, "--learner", learner, "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "'multilinear(target=1.0" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


# ------------------------------------------------------------------------------------------------ dependent skills


@skills
def test_without_parents_every_subtask_is_learned_as_the_skill_says(skill):
    ours = Dependent(skill=skill, n_parents=0)
    when = np.unique(np.rint(np.geomspace(1, 1e6, 30)).astype(np.int64))
    np.testing.assert_array_equal(ours.onset(P), skill.onset(P))
    for how in skill.dynamics:
        states = [follow(learner, P, when, dynamics=how) for learner in (ours, skill)]
        np.testing.assert_array_equal(losses(ours, states[0]), losses(skill, states[1]))
        np.testing.assert_array_equal(states[0][-1].hits, states[1][-1].hits)
    for ours_too, its in zip(*(learner.truth(follow(learner, P, when)[-1]) for learner in (ours, skill)), strict=True):
        np.testing.assert_array_equal(ours_too, its)


def test_in_a_chain_of_quanta_waiting_times_add_up():
    p = np.array([0.5, 0.25, 0.125, 0.125])
    learner = Dependent(skill=Quantum(hits=10), graph="chain", n_parents=1)
    np.testing.assert_allclose(learner.onset(p), np.cumsum(10 / p))
    reverse = Dependent(skill=Quantum(hits=10), edges=((3, 2), (2, 1), (1, 0)))
    np.testing.assert_allclose(reverse.onset(p), np.cumsum(10 / p[::-1])[::-1])


def test_a_subtask_waits_until_a_quarter_of_its_parents_loss_is_left():
    """Exponential: ln ¼ / ln(1 - r p), in whole examples."""
    learner, p = Dependent(skill=Exponential(rate=0.01), edges=((0, 1),)), np.array([0.1, 0.9])
    began = math.ceil(math.log(0.25) / math.log1p(-0.01 * 0.1))
    np.testing.assert_allclose(learner.onset(p)[1], began + math.log(0.5) / math.log1p(-0.01 * 0.9))
    before, after = losses(learner, follow(learner, p, [began, began + 5]))[1]
    assert (before, after) == (1, pytest.approx((1 - 0.01 * 0.9) ** 5))


@pytest.mark.parametrize("dynamics", ["expected", "sampled"])
def test_of_smooth_skills_those_that_waited_longer_than_they_fall_make_steps(dynamics):
    """Sharpness of exp(-(t - d)/τ) in ln t: e max t/τ exp(-(t - d)/τ), which is 2 at d = τ ln 2 and e d/τ beyond d = τ."""
    learner = Dependent(skill=Exponential(rate=0.002), edges=((0, 1), (2, 3)))
    p = np.array([0.04, 0.5, 0.4, 0.06])
    state = follow(learner, p, [10**6], dynamics=dynamics)[0]
    np.testing.assert_array_equal(np.isfinite(learner.truth(state).onset), [False, True, False, False])
    began = learner.onset(p) - learner.skill.onset(p)
    time = np.geomspace(1, 1e7, 200_001)
    for k, steps in enumerate((False, True, False, False)):
        loss = learner.skill.expected(p[k], np.maximum(time - began[k], 0))
        sharpness = math.e * np.max(-np.gradient(loss, np.log(time)))
        assert sharpness > 2 if steps else sharpness < 1.3


def test_what_waits_for_a_subtask_that_never_occurs_never_starts():
    p = np.array([0.7, 0.3, 0.0])
    for how in ("expected", "sampled"):
        learner = Dependent(skill=Threshold(hits=2), edges=((2, 0),))
        state = follow(learner, p, [10**6], dynamics=how)[0]
        assert learner.measure(state)["loss"].tolist() == [1, pytest.approx(0), 1]
    assert np.isinf(learner.onset(p)[[0, 2]]).all()


def test_a_quantum_that_is_missing_teaches_no_other():
    learner, p = Dependent(skill=Quantum(hits=2, missing=2), edges=((1, 2),)), np.array([0.5, 0.3, 0.2])
    for how in ("expected", "sampled"):
        state = follow(learner, p, [1000], dynamics=how)[0]
        assert learner.measure(state)["loss"].tolist() == [0, 1, 1]


def one_by_one(learner, p, n_examples, runs, rng):
    """Every example of every run drawn and counted in turn: counts and onsets, (runs, n_subtasks)."""
    graph, skill = learner.build(p.size), learner.skill
    parents = [graph.parents[graph.first[k] : graph.first[k + 1]] for k in range(p.size)]
    counted, onset = np.zeros((runs, p.size), dtype=int), np.full((runs, p.size), np.nan)
    row = np.arange(runs)
    for i, k in enumerate(rng.choice(p.size, p=p, size=(n_examples, runs)), start=1):
        learned = skill.loss(counted) <= 0.25 * skill.chance_loss
        able = np.stack([learned[:, before].all(axis=1) for before in parents], axis=1)
        counted[row, k] += able[row, k]
        onset[(skill.loss(counted) <= 0.5 * skill.chance_loss) & np.isnan(onset)] = i
    return counted, onset


@pytest.mark.parametrize("moments", [[64], [16, 32, 64]], ids=["one leap", "three"])
@pytest.mark.parametrize("skill", [Threshold(hits=3), Multilinear(rate=0.6)], ids=["rote", "gradual"])
def test_leaps_have_the_law_of_examples_drawn_one_by_one(skill, moments):
    """Two parents, a child and its child: the joint law of their counts by χ², and of every onset by Kolmogorov–Smirnov."""
    p, runs = np.array([0.3, 0.15, 0.2, 0.35]), 3000
    learner = Dependent(skill=skill, edges=((0, 2), (1, 2), (2, 3)))
    counted, onset = one_by_one(learner, p, moments[-1], runs, np.random.default_rng(7))
    ends = [follow(learner, p, moments, dynamics="sampled", seed=seed)[-1] for seed in range(runs)]
    found = [Counter(tuple(row[2:]) for row in rows) for rows in (counted, [end.counted for end in ends])]
    common = [key for key in found[0] | found[1] if found[0][key] + found[1][key] >= 20]
    table = np.array([[one[key] for key in common] for one in found])
    table = np.column_stack([table, runs - table.sum(axis=1)])
    assert stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 0.001
    ours = np.array([learner.truth(end).onset for end in ends])
    for k in range(p.size):
        both = (np.nan_to_num(times[:, k], nan=999) for times in (ours, onset))
        assert stats.ks_2samp(*both, method="asymp").pvalue > 0.001


def test_a_subtask_that_did_not_wait_would_be_noticed():
    """The control of the test above: with a parent fewer the laws differ beyond doubt."""
    p, runs = np.array([0.3, 0.15, 0.55]), 1000
    counted, _ = one_by_one(Dependent(skill=Threshold(hits=3), edges=((1, 2),)), p, 30, runs, np.random.default_rng(0))
    learner = Dependent(skill=Threshold(hits=3), edges=((0, 2),))
    ours = [follow(learner, p, [30], dynamics="sampled", seed=seed)[-1].counted[2] for seed in range(runs)]
    assert stats.ks_2samp(ours, counted[:, 2], method="asymp").pvalue < 1e-9


@pytest.mark.parametrize("graph", ["chain", "tree", "random", "shuffled"])
@given(n=st.integers(1, 60), n_parents=st.integers(0, 4), layout=st.integers(0, 9))
@settings(deadline=None, max_examples=25)
def test_parents_come_first_in_every_graph_and_are_learned_first(graph, n, n_parents, layout):
    learner = Dependent(skill=Threshold(hits=2), graph=graph, n_parents=n_parents, layout=layout)
    built, p = learner.build(n), Zipf(n_subtasks=n, exponent=1.0).probabilities()
    place = np.argsort(built.order)
    onset = learner.truth(follow(learner, p, [10**5], dynamics="sampled", seed=layout)[0]).onset
    for k in range(n):
        parents = built.parents[built.first[k] : built.first[k + 1]]
        assert len(parents) == (0 if place[k] == 0 else n_parents)
        assert np.all(place[parents] < place[k])
        assert np.all(onset[parents] <= onset[k])


@pytest.mark.parametrize(("graph", "longest"), [("chain", 63), ("tree", 6)])
def test_a_chain_is_as_long_as_there_are_subtasks_and_a_tree_as_their_logarithm(graph, longest):
    built = Dependent(graph=graph, n_parents=1).build(64)
    depth = np.zeros(64, dtype=int)
    for k in range(1, 64):
        depth[k] = 1 + depth[built.parents[built.first[k]]]
    assert depth.max() == longest


def test_other_layouts_are_other_random_graphs_and_seeds_are_not():
    p = P
    onsets = [Dependent(layout=layout).onset(p) for layout in (0, 0, 1)]
    np.testing.assert_array_equal(onsets[0], onsets[1])
    assert not np.array_equal(onsets[0], onsets[2])


def test_edges_take_the_place_of_a_graph_and_their_order_does_not_matter():
    one = Dependent(edges=((1, 2), (0, 2), (0, 2)), graph="chain")
    assert one == Dependent(edges=[[0, 2], [1, 2]])
    assert one.edges == ((0, 2), (1, 2))
    assert one.graph == "edges"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"edges": ((2, 5), (5, 2))}, r"edges go round: (2 → 5 → 2|5 → 2 → 5); expected no cycle"),
        ({"edges": ((3, 3),)}, "edges go round: 3 → 3"),
        ({"edges": ((0, 1), (1, -2))}, "edges name subtask -2"),
        ({"edges": ((0, 1.5),)}, "edges name subtask 1.5"),
        ({"edges": ((0, 1, 2),)}, "expected pairs"),
        ({"edges": 3}, "expected pairs"),
        ({"graph": "edges"}, "edges are none"),
        ({"graph": "ring"}, "graph is 'ring'; expected one of random"),
        ({"n_parents": -1}, "n_parents is -1"),
        ({"n_parents": 1.5}, "n_parents is 1.5"),
        ({"n_parents": 2.0}, "n_parents is 2.0"),
        ({"n_parents": math.nan}, "n_parents is nan"),
        ({"n_parents": math.inf}, "n_parents is inf"),
        ({"layout": -1}, "layout is -1"),
        ({"skill": Dependent()}, "skill is Dependent.* expected a learner of independent subtasks"),
        ({"skill": "threshold"}, "skill is 'threshold'"),
        ({"skill": Multilinear(noise=0.1)}, "skill is Multilinear.* with noise; expected none"),
    ],
    ids=str,
)
def test_a_graph_that_cannot_be_is_refused(fields, says):
    with pytest.raises(InputError, match=says):
        Dependent(**fields)


@skills
def test_without_parents_the_command_says_of_a_skill_what_it_says_of_it_alone_whatever_a_batch(skill):
    """Onsets are on one clock: in steps of 64 examples."""
    law = Zipf(n_subtasks=8, exponent=1.0)
    how = {"steps": 10**6, "batch_size": 64, "n_checkpoints": 30}
    alone = simulate.simulate(law, skill, **how)
    learners_of_it = [
        Dependent(skill=skill, n_parents=0),
        Mixture(sharp=skill, fraction=1.0),
        Mixture(smooth=skill, fraction=0.0),
    ]
    for learner in learners_of_it:
        ds = simulate.simulate(law, learner, **how)
        share, its = (
            (run["loss"].values - one.learned_loss) / (one.chance_loss - one.learned_loss)
            for run, one in ((ds, learner), (alone, skill))
        )
        np.testing.assert_allclose(share, its, atol=1e-6)
        if skill.has_steps and learner.has_steps:
            np.testing.assert_allclose(ds["true_onset"], alone["true_onset"])


@pytest.mark.parametrize("name", sorted(INDEPENDENT.keys() - SKILLS.keys()))
def test_a_skill_that_counts_steps_is_refused(name):
    skill = INDEPENDENT[name]()
    for make in (
        lambda: Dependent(skill=skill),
        lambda: Mixture(sharp=skill),
        lambda: Mixture(smooth=skill),
    ):
        with pytest.raises(InputError, match="which counts steps; expected a learner that counts examples"):
            make()


def test_parents_are_learned_when_a_quarter_of_their_drop_is_left():
    """Not of their loss: one that ends at a third of its start is learned all the same."""
    p = np.array([0.5, 0.3, 0.2])
    learner = Dependent(skill=Quantum(before=3.0, after=1.0, hits=10), edges=((0, 1), (1, 2)))
    np.testing.assert_allclose(learner.onset(p), [20, 20 + 34, 54 + 50], atol=1)
    for how in learner.dynamics:
        state = follow(learner, p, [10**4], dynamics=how)[0]
        assert learner.measure(state)["loss"].tolist() == [1, 1, 1]


def test_a_cycle_is_named_out_of_many_edges():
    edges = [(k, k + 1) for k in range(50)] + [(40, 37)]
    with pytest.raises(InputError, match="go round") as caught:
        Dependent(edges=tuple(edges))
    named = [int(word) for word in str(caught.value).split(": ")[1].split(";")[0].split(" → ")]
    assert named[0] == named[-1]
    assert {*itertools.pairwise(named)} == {(37, 38), (38, 39), (39, 40), (40, 37)}


@pytest.mark.parametrize("values", [("0", "1", "2"), ("0",), ("0", "x")], ids=str)
def test_the_command_wants_edges_in_pairs(values):
    with pytest.raises(InputError, match=r"--edges: .*") as caught:
        parse("--edges", *values)
    assert "pairs" in str(caught.value)


def test_edges_of_subtasks_that_there_are_not_are_refused_when_their_number_is_known():
    learner = Dependent(edges=((3, 60),))
    for use in (lambda: learner.start(P, np.random.default_rng(0)), lambda: learner.onset(P)):
        with pytest.raises(InputError, match="edges name subtask 60; expected 0 to 39"):
            use()


def test_the_command_refuses_such_edges_before_it_writes(tmp_path, capsys):
    flags = ["--learner", "dependent", "--n-subtasks", "5", "--edges", "0", "9", "--no-detect", "--steps", "10"]
    assert simulate.main([*flags, "--out", str(tmp_path / "run")]) == 2
    assert "edges name subtask 9; expected 0 to 4" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ the order of learning


def test_the_share_of_pairs_out_of_order_is_0_in_order_and_1_in_reverse():
    p = np.array([0.4, 0.3, 0.2, 0.1])
    assert out_of_order(1 / p, p) == 0
    assert out_of_order(p, p) == 1
    assert out_of_order(np.array([1.0, 4.0, 3.0, 2.0]), p) == pytest.approx(3 / 6)
    assert out_of_order(np.array([2.0, 1.0, np.nan, np.inf]), p) == pytest.approx(1 / 5)  # the last two do not differ
    assert math.isnan(out_of_order(1 / p, np.full(4, 0.25)))
    assert math.isnan(out_of_order(np.full(4, np.nan), p))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_pairs_out_of_order_are_counted_as_by_going_through_all(pairs):
    onset, p = np.array(pairs, dtype=float).reshape(-1, 2).T
    differ = [(a, b) for a, b in itertools.combinations(zip(onset, p, strict=True), 2) if a[0] != b[0] and a[1] != b[1]]
    wrong = sum((a[0] < b[0]) == (a[1] < b[1]) for a, b in differ)
    np.testing.assert_equal(out_of_order(onset, p), wrong / len(differ) if differ else math.nan)


def test_first_hits_come_out_of_order_as_often_as_two_exponential_clocks():
    """P(the rarer first) = p_j / (p_i + p_j) for each pair, in the mean of 400 runs."""
    p, learner = Zipf(n_subtasks=12, exponent=1.0).probabilities(), Threshold(hits=1)
    shares = [
        out_of_order(learner.truth(follow(learner, p, [10**4], dynamics="sampled", seed=seed)[0]).onset, p)
        for seed in range(400)
    ]
    exact = np.mean([b / (a + b) for a, b in itertools.combinations(p, 2)])
    assert np.mean(shares) == pytest.approx(exact, abs=4 * np.std(shares) / math.sqrt(400))


def test_waiting_for_rarer_skills_reverses_the_order_of_learning():
    backwards = tuple((k + 1, k) for k in range(P.size - 1))
    assert out_of_order(Dependent(edges=backwards).onset(P), P) == 1
    assert out_of_order(Dependent(n_parents=0).onset(P), P) == 0
    assert 0.2 < out_of_order(Dependent(graph="shuffled").onset(P), P) < 0.6


# ------------------------------------------------------------------------------------------------ weak quanta


@pytest.mark.parametrize("skill", [*COUNTED.values(), Quantum(before=2.0, after=0.5)], ids=[*COUNTED, "floor"])
@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_mixture_of_one_learner_alone_is_that_learner(skill, fraction):
    other = Exponential(rate=0.3)
    ours = (
        Mixture(sharp=skill, smooth=other, fraction=1.0) if fraction else Mixture(smooth=skill, sharp=other, fraction=0)
    )
    when = np.unique(np.rint(np.geomspace(1, 1e6, 30)).astype(np.int64))
    to_learn = skill.chance_loss - skill.learned_loss
    for how in ours.dynamics:
        states = [follow(learner, P, when, dynamics=how) for learner in (ours, skill)]
        share = (losses(skill, states[1]) - skill.learned_loss) / to_learn
        np.testing.assert_array_equal(losses(ours, states[0]), share)
        np.testing.assert_array_equal(states[0][-1].hits, states[1][-1].hits)
        if fraction:
            for mixed, its in zip(ours.truth(states[0][-1]), skill.truth(states[1][-1]), strict=True):
                np.testing.assert_array_equal(mixed, its)
    np.testing.assert_array_equal(ours.onset(P), skill.onset(P))
    assert ours.horizon(P) == skill.horizon(P)
    np.testing.assert_equal(ours.sharpness(), skill.sharpness())
    np.testing.assert_equal(ours.exponent("steps", 1.5), skill.exponent("steps", 1.5))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 3000))
@settings(deadline=None)
def test_sharp_subtasks_are_spread_evenly_and_stay_sharp_when_there_are_more(one, another, n):
    less, more = (np.array(Mixture(fraction=f).kinds(n)) == "sharp" for f in sorted((one, another)))
    assert np.all(less <= more)
    for f, sharp in zip(sorted((one, another)), (less, more), strict=True):
        ranks = np.arange(1, n + 1)
        assert np.all(np.abs(np.cumsum(sharp) - f * ranks) < 2 + np.log2(ranks + 1))


@pytest.mark.parametrize("dynamics", ["expected", "sampled"])
def test_each_subtask_is_learned_as_its_kind_is_and_only_the_sharp_make_steps(dynamics):
    learner = Mixture(sharp=Threshold(hits=20), smooth=Exponential(), fraction=0.3)
    sharp = np.array(learner.kinds(P.size)) == "sharp"
    when = [0, 100, 5000, 10**7]
    ours = follow(learner, P, when, dynamics=dynamics)
    for member, mine in ((learner.sharp, sharp), (learner.smooth, ~sharp)):
        alone = losses(member, follow(member, P, when, dynamics=dynamics))
        np.testing.assert_array_equal(losses(learner, ours)[mine], alone[mine])
        np.testing.assert_array_equal(learner.onset(P)[mine], member.onset(P)[mine])
    np.testing.assert_array_equal(np.isfinite(learner.truth(ours[-1]).onset), sharp)


def test_an_intervention_on_the_frequencies_leaves_every_subtask_of_its_kind():
    law = Zipf(n_subtasks=30)
    before, after = (
        simulate.simulate(frequencies, Mixture(), n_checkpoints=30)
        for frequencies in (law, Reweighted(base=law, factors=((20, 100.0), (0, 0.1))))
    )
    np.testing.assert_array_equal(before["kind"], after["kind"])
    assert before.attrs["design_id"] == after.attrs["design_id"]
    assert {*before["kind"].values.tolist()} == {"sharp", "smooth"}
    assert "kind" not in simulate.simulate(law, Threshold(), n_checkpoints=30)


def test_what_the_members_do_not_share_is_not_claimed():
    learner = Mixture(sharp=Quantum(), smooth=LEARNERS["convex_adam"]())
    assert (learner.optimizer, learner.units, learner.dynamics) == ("unknown", "nat", ("expected",))
    assert math.isnan(learner.onset_exponent)
    assert math.isnan(learner.sharpness())
    slower = Mixture(sharp=Threshold(), smooth=Exponential())
    assert slower.exponent("steps", 1.5) == Threshold().exponent("steps", 1.5)
    many = Mixture(sharp=Quantum(), smooth=Multilinear())
    for axis in ("parameters", "data", "compute"):  # its members have them
        assert math.isnan(many.exponent(axis, 1.5))


@pytest.mark.parametrize("swapped", [False, True])
def test_the_slower_of_two_kinds_sets_the_slope_in_the_end(swapped):
    """t^-0.1 of a slow tail, after what is left at t^(-9/19) of the steps is gone."""
    members = [Multilinear(), PowerLaw(power=0.1)]
    sharp, smooth = members[::-1] if swapped else members
    learner, p = Mixture(sharp=sharp, smooth=smooth), Zipf(n_subtasks=10**4, exponent=1.9).probabilities()
    assert learner.exponent("steps", 1.9) == pytest.approx(-0.1)
    distance = []
    for start in (1e4, 1e9):
        when = np.rint(start * np.geomspace(1, 10, 5))
        found = np.polyfit(np.log(when), np.log(p @ losses(learner, follow(learner, p, when))), 1)[0]
        distance.append(abs(found + 0.1))
    assert distance[1] < min(distance[0], 0.01)


@pytest.mark.parametrize("fields", [{"fraction": -0.1}, {"fraction": 1.1}, {"fraction": math.nan}], ids=str)
def test_a_fraction_that_is_none_is_refused(fields):
    with pytest.raises(InputError, match=r"fraction is .*; expected a share"):
        Mixture(**fields)


@pytest.mark.parametrize("name", ["sharp", "smooth"])
def test_only_learners_of_independent_subtasks_are_mixed(name):
    with pytest.raises(InputError, match=f"{name} is Dependent"):
        Mixture(**{name: Dependent()})


@pytest.mark.parametrize("fraction", [0.4, 0.75])
def test_the_detector_finds_the_sharp_ones_and_no_others_and_each_kind_is_judged_as_what_it_is(fraction):
    ds = record.validate(simulate.simulate(Zipf(n_subtasks=150), Mixture(fraction=fraction), n_checkpoints=120))
    np.testing.assert_array_equal(transitions.detect(ds)["status"] == "sharp", ds["kind"] == "sharp")
    assert composition.test(ds).attrs["verdict"] == ("mixed" if fraction < 0.5 else "ordered-composition")
    table = composition.by(ds, "kind")
    assert dict(zip(table["kind"].values, table["verdict"].values, strict=True)) == {
        "sharp": "ordered-composition",
        "smooth": "ordered-smooth",
    }
