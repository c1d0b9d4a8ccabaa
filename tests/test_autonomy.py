"""Claim (D): a run foretells another under other frequencies exactly where its subtasks are independent, and nowhere else."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta import _autonomy, _intervention, compare, composition, frequencies, plot, record, simulate, transitions
from quanta._errors import InputError
from quanta.frequencies import Empirical, Reweighted, Uniform, Zipf, read_changes
from quanta.learners import LEARNERS, Exponential, Multilinear
from quanta.tasks import ModularArithmetic
from quanta.tasks.stream import Stream

BASE = Zipf(n_subtasks=20, exponent=1.2)
CHANGES = ((3, 2.0), (7, 4.0), (11, 0.5), (15, 3.0), (5, 0.0))
STEP = np.unique(np.rint(np.geomspace(1, 1e6, 400)))

laws = st.builds(Zipf, n_subtasks=st.integers(1, 40), exponent=st.floats(0, 3))


@st.composite
def reweighted(draw):
    base = draw(laws)
    factors = draw(st.dictionaries(st.integers(0, base.size - 1), st.floats(1e-3, 1e3), max_size=10))
    removed = draw(st.sets(st.integers(1, max(1, base.size - 1)), max_size=3)) if base.size > 1 else ()
    return Reweighted(base=base, factors=tuple({**factors, **dict.fromkeys(removed, 0.0)}.items()))


# ------------------------------------------------------------------------------------------- changed frequencies


@given(reweighted())
def test_changed_frequencies_are_the_old_ones_times_their_factors_renormalised(law):
    p, q = law.base.probabilities(), law.probabilities()
    factor = np.ones(law.size)
    factor[[k for k, _ in law.factors]] = [f for _, f in law.factors]
    np.testing.assert_allclose(q, p * factor / (p @ factor), rtol=1e-12)
    assert q.sum() == pytest.approx(1, abs=1e-12)
    assert np.all((q == 0) == (factor == 0))


@given(reweighted())
def test_the_repr_of_changed_frequencies_evaluates_back_to_them(law):
    assert eval(repr(law), vars(frequencies)) == law


@given(reweighted(), st.randoms(use_true_random=False))
def test_the_order_of_the_factors_and_factors_of_one_do_not_matter(law, random):
    pairs = [*law.factors, *((k, 1.0) for k in range(law.size) if k not in dict(law.factors))]
    random.shuffle(pairs)
    assert Reweighted(base=law.base, factors=tuple(pairs)) == law


@given(laws, st.floats(1e-3, 1e300))
def test_a_factor_that_all_share_changes_nothing(base, factor):
    law = Reweighted(base=base, factors=tuple((k, factor) for k in range(base.size)))
    np.testing.assert_allclose(law.probabilities(), base.probabilities(), rtol=1e-12)


@pytest.mark.parametrize(
    ("factors", "says"),
    [
        (((20, 2.0),), "subtask 20 is unknown; expected 0 to 19"),
        (((-1, 2.0),), "subtask -1 is unknown"),
        (((1.5, 2.0),), r"subtask 1\.5 is unknown"),
        (((1, -2.0),), r"the factor of subtask 1 is -2\.0; expected"),
        (((1, float("nan")),), "the factor of subtask 1 is nan"),
        (((1, 2.0), (1, 2.0)), "subtask 1 is named twice"),
        (tuple((k, 0.0) for k in range(20)), "leave no subtask"),
    ],
)
def test_factors_that_cannot_be_are_refused(factors, says):
    with pytest.raises(InputError, match=says):
        Reweighted(base=BASE, factors=factors)


def written(folder, text):
    path = folder / "changes.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["subtask,factor\n3,2\n5,0\n", "\ufefffactor, subtask\r\n2, 3\r\n\r\n0, 5\r\n"])
def test_factors_are_read_by_their_heading(tmp_path, text):
    law = read_changes(written(tmp_path, text), BASE)
    assert law == Reweighted(base=BASE, factors=((3, 2.0), (5, 0.0)))


def test_frequencies_may_be_given_anew(tmp_path):
    law = read_changes(written(tmp_path, "subtask,frequency\n1,0\n0,6\n2,2\n"), Uniform(n_subtasks=3))
    assert law == Empirical(counts=(6.0, 0.0, 2.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with ''; expected the heading subtask,factor or subtask,frequency"),
        ("3,2\n", "begins with '3,2'"),
        ("subtask,factor,frequency\n3,2,1\n", "begins with"),
        ("subtask,factor\n3\n", "the line '3' is not the number of a subtask and its factor"),
        ("subtask,factor\nthree,2\n", "the line 'three,2'"),
        ("subtask,factor\n99,2\n", "subtask 99 is unknown; expected 0 to 19"),
        ("subtask,factor\n3,2\n3,4\n", "subtask 3 is named twice"),
        ("subtask,frequency\n0,1\n", "subtask 1 has no frequency; expected one for each of 20"),
        ("subtask,frequency\n0,-1\n", "the frequency of subtask 0 is -1"),
        ("subtask,frequency\n" + "".join(f"{k},0\n" for k in range(20)), "not all 0"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line_that_names_it(tmp_path, text, says):
    with pytest.raises(InputError, match="changes") as caught:
        read_changes(written(tmp_path, text), BASE)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"missing\.csv cannot be read"):
        read_changes(tmp_path / "missing.csv", BASE)


# ------------------------------------------------------------------------------------------ the same subtasks again


def stream(law=BASE, **more):
    return Stream(frequencies=law, task=ModularArithmetic(modulus=5), batch_size=64, seed=3, **more)


def test_an_intervention_has_the_subtasks_and_the_evaluation_of_the_run():
    run, changed = stream(), stream(Reweighted(base=BASE, factors=CHANGES))
    np.testing.assert_array_equal(run.rules, changed.rules)
    for ours, theirs in zip(run.evaluation(), changed.evaluation(), strict=True):
        np.testing.assert_array_equal(ours.targets, theirs.targets)
    assert run.data_id != changed.data_id
    assert run.weight_seed == changed.weight_seed


def test_a_replicate_has_the_same_subtasks_and_other_batches_and_weights():
    run, again = stream(), stream(replicate=1)
    np.testing.assert_array_equal(run.rules, again.rules)
    assert not np.array_equal(run.batch(0).tokens, again.batch(0).tokens)
    assert len({stream(replicate=i).weight_seed for i in range(4)}) == 4
    assert len({stream(replicate=i).data_id for i in range(4)}) == 4


def test_a_removed_subtask_is_never_drawn():
    law = Reweighted(base=Uniform(n_subtasks=4), factors=((0, 0.0), (2, 0.0)))
    drawn = np.concatenate([stream(law).batch(i).subtask[:, 0] for i in range(50)])
    assert set(drawn.tolist()) == {1, 3}


def test_a_removed_last_subtask_is_not_drawn_where_the_others_sum_to_less_than_one_by_rounding(monkeypatch):
    class Largest(np.random.Generator):
        def random(self, size):
            return np.full(size, 1 - 2.0**-53)

    data = stream(Empirical(counts=(1,) * 10 + (0,)))
    assert np.cumsum(data.probability)[-1] < 1
    monkeypatch.setattr(Stream, "_rng", lambda self, *key: Largest(np.random.PCG64(0)))
    assert set(data.batch(0).subtask[:, 0].tolist()) == {9}


FORETOLD = [member() for member in LEARNERS.values() if member.foretold]
RUNS = [(learner, how) for learner in FORETOLD for how in learner.dynamics]


@pytest.mark.parametrize(("learner", "dynamics"), RUNS, ids=str)
def test_a_removed_subtask_of_a_simulation_is_never_learned_and_the_others_are(learner, dynamics):
    batch_size = 64 if learner.clock == "steps" else 1
    law = Reweighted(base=BASE, factors=CHANGES)
    ds = simulate.simulate(law, learner, dynamics=dynamics, batch_size=batch_size)
    record.validate(ds)
    learned = ds["loss"].values[:, -1] < 0.25 * learner.chance_loss
    never = {5, *np.flatnonzero(learner.onset(law.probabilities()) == np.inf)}  # what builds on it is not, either
    assert {*np.flatnonzero(~learned)} == never
    assert learner.generalises or np.ptp(ds["loss"].values[5]) == 0
    assert np.isnan(ds["true_onset"].values[5])


def test_a_run_with_a_removed_subtask_is_tested_compared_and_drawn():
    ds = simulate.simulate(Reweighted(base=Zipf(n_subtasks=70), factors=((5, 0.0),)), Multilinear())
    found = transitions.detect(ds)
    assert found["status"].values[5] == "never"
    assert np.all(np.delete(found["status"].values, 5) == "sharp")
    result = composition.test(ds, found)
    assert result.attrs["verdict"] == "ordered-composition"
    assert len(plot.run(ds, found, result).axes[0].lines) > 40
    compared = compare.compare(ds)
    assert 5 not in compared["subtask"].values
    assert compared.attrs["best"] == "multilinear"


# --------------------------------------------------------------------------------------------------- what is foretold


def foretold(base, changed, **more):
    """Claims of an intervention, from records."""
    return _intervention.judge(base, changed, **more).claims


def simulated(law, learner):
    return simulate.simulate(law, learner, steps=100_000, n_checkpoints=400)


@pytest.mark.parametrize("learner", [Multilinear(), Exponential()])
@pytest.mark.parametrize(
    "law", [Reweighted(base=BASE, factors=CHANGES), Zipf(n_subtasks=20, exponent=0.7), Uniform(n_subtasks=20)]
)
def test_independent_learners_are_foretold_exactly(learner, law):
    claims = foretold(simulated(BASE, learner), simulated(law, learner))
    for name in ("mean", "curves", "changed", "median"):
        assert claims[f"autonomy_q2_{name}"] > 0.999
        assert claims[f"autonomy_no_change_q2_{name}"] < 0.999
    assert claims["own_effect"] == pytest.approx(1, abs=0.01)
    assert claims["cross_effect"] == pytest.approx(0, abs=0.01)


def world(p, when, *, chance=1.0, steps=STEP, **attrs):
    """A record of steps l_k = exp(−(t/t_k)³) at times ``when``, as if it had been trained."""
    step = np.concatenate([[0], steps])
    loss = chance * np.exp(-((step / np.asarray(when)[:, None]) ** 3))
    return record.new(loss, step=step, frequency=p, chance_loss=chance, source="trained", attrs=attrs)


def pair(time, law=None):
    """A run and an intervention on it, in a world where ``time(p)`` says when each subtask is learned."""
    p, q = BASE.probabilities(), (law or Reweighted(base=BASE, factors=CHANGES)).probabilities()
    with np.errstate(divide="ignore"):
        return world(p, time(p)), world(q, time(q))


def of_one_teacher(p):
    """Times in a world where what subtask 3 teaches is of use to all."""
    return 30 / p / np.sqrt(p[3])


def test_where_times_depend_on_another_frequency_the_cross_effect_is_the_power_of_that():
    base, changed = pair(of_one_teacher)
    p, q = (ds["frequency"].values[3] for ds in (base, changed))
    claims = foretold(base, changed)
    assert claims["cross_effect"] == pytest.approx(-0.5 * np.log(q / p), abs=0.01)
    assert claims["cross_effect_high"] < -0.2
    assert claims["own_effect"] == pytest.approx(1, abs=0.01)
    assert claims["autonomy_q2_curves"] < 0.99


def test_the_cross_effect_is_read_off_the_fit_where_no_subtask_was_left_alone():
    base, changed = pair(of_one_teacher, Zipf(n_subtasks=20, exponent=0.8))
    p, q = (ds["frequency"].values[3] for ds in (base, changed))
    assert foretold(base, changed)["cross_effect"] == pytest.approx(-0.5 * np.log(q / p), abs=0.01)


def test_where_times_are_drawn_anew_nothing_is_foretold():
    rng = np.random.default_rng(0)
    base, changed = pair(lambda p: rng.permutation(10 / BASE.probabilities()))
    again = world(base["frequency"].values, rng.permutation(10 / BASE.probabilities()))
    claims = foretold(base, changed, reseeds=[again])
    assert claims["autonomy_q2_curves"] < 0.8
    assert claims["autonomy_q2_changed_low"] < claims["autonomy_no_change_q2_changed"]
    assert "autonomy holds" not in _intervention.reasons(claims)[0]


def test_where_times_do_not_depend_on_frequency_ignoring_the_change_is_better():
    base, changed = pair(lambda p: 10 / BASE.probabilities())
    claims = foretold(base, changed, reseeds=[world(base["frequency"].values, 10.001 / BASE.probabilities())])
    assert claims["own_effect"] == pytest.approx(0, abs=0.01)
    assert claims["autonomy_no_change_q2_changed"] > 0.999 > claims["autonomy_q2_changed_high"]
    assert "fails" in _intervention.reasons(claims)[0]


def test_a_power_of_the_frequency_is_foretold_with_that_power_alone():
    law = Reweighted(base=BASE, factors=((3, 10.0), (7, 10.0), (11, 0.1)))
    claims = foretold(*pair(lambda p: 30 / p**0.6, law), gamma=0.6)
    assert claims["own_effect"] == pytest.approx(0.6, abs=0.01)
    assert claims["autonomy_gamma_q2_curves"] > 0.999 > 0.99 > claims["autonomy_q2_curves"]
    bent = foretold(*pair(lambda p: 100 / p, law), gamma=0.6)
    assert bent["autonomy_q2_curves"] > 0.999 > 0.99 > bent["autonomy_gamma_q2_curves"]


@given(st.integers(-6, 6), st.integers(0, 2**32 - 1))
def test_a_curve_stretched_by_whole_spacings_is_itself_displaced(places, seed):
    step = 2.0 ** np.arange(12)
    loss = np.random.default_rng(seed).random((1, 12))
    run = _autonomy.Run(step, loss, np.ones(1), np.ones(1))
    curve = _autonomy.stretched(run, step, np.array([2.0**places]))[0]
    expected = np.full(12, np.nan)
    inside = (np.arange(12) + places >= 0) & (np.arange(12) + places < 12)
    expected[inside] = loss[0, np.arange(12)[inside] + places]
    np.testing.assert_allclose(curve, expected, rtol=1e-12)


def test_what_lies_beyond_the_window_is_left_out_and_counted():
    p = Uniform(n_subtasks=8).probabilities()
    q = Reweighted(base=Uniform(n_subtasks=8), factors=((0, 4.0), (1, 0.0))).probabilities()
    steps = 2.0 ** np.arange(0, 12)
    found = _intervention.judge(world(p, np.full(8, 64.0), steps=steps), world(q, np.full(8, 64.0), steps=steps))
    ratio = q / p  # 3.2, 0 and .8: the first leaves the window two doublings before the end
    beyond = [np.sum(np.append(0, steps) * r > steps[-1]) for r in ratio]
    assert beyond == [2, 0, 0, 0, 0, 0, 0, 0]
    assert found.claims["autonomy_unpredicted"] == pytest.approx(2 / (7 * 13))
    assert np.isnan(found.mean["p'/p"]).tolist() == [False] * 11 + [True] * 2
    assert found.claims["n_removed"] == 1


def test_checkpoints_that_were_not_measured_are_bridged():
    base, changed = pair(lambda p: 100 / p)
    holes = np.random.default_rng(0).random(base["loss"].shape) < 0.05
    whole, torn = foretold(base, changed), foretold(base.assign(loss=base["loss"].where(~holes)), changed)
    assert torn["autonomy_q2_mean"] == pytest.approx(whole["autonomy_q2_mean"], abs=1e-3)
    assert torn["own_effect"] == pytest.approx(whole["own_effect"], abs=1e-2)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=4, max_size=30), st.floats(0.1, 10))
def test_those_left_alone_are_the_largest_group_that_shares_a_ratio(factors, common):
    with np.errstate(divide="ignore"):
        alone = _autonomy.renormalised(np.log(np.array(factors) * common))
    sizes = {f: factors.count(f) for f in factors if f > 0}
    most = max(sizes.values(), default=0)
    assert alone.sum() == (most if most >= 3 else 0)
    assert len(set(np.array(factors)[alone])) <= 1


def test_a_removed_subtask_that_is_learned_all_the_same_is_seen():
    p = Uniform(n_subtasks=8).probabilities()
    q = Reweighted(base=Uniform(n_subtasks=8), factors=((1, 0.0),)).probabilities()
    twin = foretold(world(p, np.full(8, 64.0)), world(q, np.full(8, 64.0)))
    gone = foretold(world(p, np.full(8, 64.0)), world(q, [64, np.inf, *[64] * 6]))
    assert twin["removed_fall"] == pytest.approx(1)
    assert gone["removed_fall"] == 0


def test_a_subtask_that_is_new_is_not_foretold_and_left_out():
    old = Reweighted(base=BASE, factors=((4, 0.0),))
    claims = foretold(simulated(old, Multilinear()), simulated(BASE, Multilinear()))
    assert claims["autonomy_q2_mean"] > 0.999
    assert claims["autonomy_unpredicted"] > 1 / 20 - 1e-9


def noisy(p, when, seed):
    """Times that scatter by .1 nats from run to run."""
    return world(p, when * np.exp(np.random.default_rng(seed).normal(0, 0.1, p.size)))


@pytest.mark.parametrize(
    ("time", "says"),
    [
        (lambda p: 100 / p, "holds as far as this shows"),
        (of_one_teacher, "moved by what was done to others"),
        (lambda p: 30 / p**0.6, "not in proportion to it"),
        (lambda p: 10 / BASE.probabilities(), "fails"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_said_of_a_world_is_what_it_is(time, says, seed):
    p = BASE.probabilities()
    q = Reweighted(base=BASE, factors=((3, 4.0), (7, 4.0), (11, 0.25), (15, 4.0), (18, 0.25))).probabilities()
    claims = foretold(
        noisy(p, time(p), 10 * seed), noisy(q, time(q), 10 * seed + 1), reseeds=[noisy(p, time(p), 10 * seed + 2)]
    )
    lines = _intervention.reasons(claims)
    assert lines[0].startswith("(D) autonomy ")
    assert says in lines[0]


def test_without_a_reseed_nothing_is_claimed_of_a_run_that_chance_has_part_in():
    assert "is open: without a re-seed" in _intervention.reasons(foretold(*pair(lambda p: 100 / p)))[0]


# ------------------------------------------------------------------------------------------------------- what is refused


def config(ds, **words):
    return ds.assign_attrs(config=record.config_json(**words), design_id=record.design_id(**words))


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        ({"model": "Decoder(width=32)"}, "its model is Decoder(width=32), not Decoder(width=64)"),
        ({"task": "Copying()"}, "its task is Copying(), not ModularArithmetic()"),
        ({"seed": 1}, "its seed is 1, not 0"),
        ({"learning_rate": 0.2}, "its learning_rate is 0.2, not 0.1"),
    ],
)
def test_another_design_is_refused_with_what_differs(theirs, says):
    words = {"model": "Decoder(width=64)", "task": "ModularArithmetic()", "learning_rate": 0.1, "seed": 0}
    base, changed = pair(lambda p: 10 / p)
    with pytest.raises(InputError, match="the intervention differs from the run in more than frequencies") as caught:
        foretold(config(base, **words), config(changed, **{**words, **theirs}))
    assert says in str(caught.value)


def test_roles_that_are_mixed_up_are_refused_with_the_right_one():
    base, changed = pair(lambda p: 10 / p)
    with pytest.raises(InputError, match="give it as --reseed"):
        foretold(base, base)
    with pytest.raises(InputError, match="give it as --intervention"):
        foretold(base, changed, reseeds=[changed])
    with pytest.raises(InputError, match="the re-seed is the run itself"):
        foretold(base, changed, reseeds=[base])
    with pytest.raises(InputError, match="8 subtasks and the run has 20"):
        foretold(base, changed.isel(subtask=slice(8)).assign(weight=("subtask", np.full(8, 1 / 8))))
    with pytest.raises(InputError, match="is an ensemble over seed"):
        foretold(base, record.combine([changed, changed], "seed"))
    with pytest.raises(InputError, match="no loss, or unknown frequencies"):
        foretold(base, changed.drop_vars("frequency"))


# ------------------------------------------------------------------------------------------------------- the commands


def test_the_whole_way_from_the_shell_and_the_verdict_stays(tmp_path, capsys):
    changes = written(tmp_path, "subtask,factor\n3,3\n5,0\n8,3\n")
    flags = ["--n-subtasks", "12", "--exponent", "1", "--steps", "60000", "--quiet", "--no-detect"]
    flags += ["--learner", "multilinear", "--dynamics", "sampled", "--n-checkpoints", "60"]
    for name, more in {"base": [], "changed": ["--reweight", str(changes)], "again": ["--seed", "1"]}.items():
        assert simulate.main([*flags, *more, "--out", str(tmp_path / name)]) == 0
    kept = json.loads(record.load(tmp_path / "changed").attrs["config"])["frequencies"]
    assert eval(kept, vars(frequencies)).factors == ((3, 3.0), (5, 0.0), (8, 3.0))
    capsys.readouterr()

    test = [str(tmp_path / "base"), "--quiet", "--json"]
    assert composition.main([*test, "--out", str(tmp_path / "plain")]) == 0
    plain = json.loads(capsys.readouterr().out)
    more = ["--intervention", str(tmp_path / "changed"), "--reseed", str(tmp_path / "again")]
    assert composition.main([*test, *more, "--out", str(tmp_path / "test")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["verdict"] == plain["verdict"]
    assert summary["autonomy_q2_mean"] > 0.99
    assert summary["autonomy_q2_changed"] > summary["autonomy_no_change_q2_changed"]
    added = [reason for reason in summary["reasons"] if reason not in plain["reasons"]]
    assert added[0].startswith("(D) autonomy")
    assert (tmp_path / "test" / "intervention.png").stat().st_size > 10_000
    assert record.load(tmp_path / "base", "composition")["own_effect"] == pytest.approx(1, abs=0.2)

    assert composition.main([*test, "--reseed", str(tmp_path / "again"), "--out", str(tmp_path / "x")]) == 2
    assert "a re-seed is given without an intervention" in capsys.readouterr().err


def test_a_file_of_changes_with_other_content_is_another_run(tmp_path, capsys):
    flags = ["--n-subtasks", "12", "--steps", "60000", "--quiet", "--no-detect", "--out", str(tmp_path / "run")]
    flags += ["--reweight", str(written(tmp_path, "subtask,factor\n3,3\n"))]
    assert simulate.main(flags) == 0
    assert simulate.main(flags) == 0
    assert "finished already" in capsys.readouterr().out
    written(tmp_path, "subtask,factor\n3,4\n")
    assert simulate.main(flags) == 2
    assert "holds a run with other settings" in capsys.readouterr().err


def test_a_network_is_trained_on_changed_frequencies_with_its_control(tmp_path, capsys):
    pytest.importorskip("torch")
    from quanta import train

    changes = written(tmp_path, "subtask,factor\n0,0\n2,3\n")
    flags = ["--n-subtasks", "4", "--modulus", "3", "--steps", "40", "--n-checkpoints", "20", "--batch-size", "32"]
    flags += ["--width", "8", "--heads", "1", "--quiet"]
    for name, more in {"base": [], "changed": ["--reweight", str(changes)], "again": ["--replicate", "1"]}.items():
        assert train.main([*flags, *more, "--out", str(tmp_path / name)]) == 0
    base, changed, again = (record.load(tmp_path / name) for name in ("base", "changed", "again"))
    assert changed["exposures"].values[0].max() == 0
    assert changed["frequency"].values[0] == changed["weight"].values[0] == 0
    assert base.attrs["design_id"] == changed.attrs["design_id"] == again.attrs["design_id"]
    assert len({ds.attrs["data_id"] for ds in (base, changed, again)}) == 3
    np.testing.assert_array_equal(base["loss"].values[:, 0], changed["loss"].values[:, 0])
    assert not np.array_equal(base["loss"].values[:, 0], again["loss"].values[:, 0])

    words = changed.attrs["kernel_command"].split()
    assert words[:3] == ["python", "-m", "quanta.train"]
    assert train.main([*words[3:], "--quiet"]) == 0
    assert record.load(tmp_path / "changed-kernel").attrs["data_id"] == changed.attrs["data_id"]
    capsys.readouterr()

    assert train.main([*flags, "--seed", "1", "--reweight", str(changes), "--out", str(tmp_path / "other")]) == 0
    with pytest.raises(InputError, match="its seed is 1, not 0"):
        foretold(base, record.load(tmp_path / "other"))
