"""The benchmark of detectors: blind, reproducible, and able to tell a good detector from a bad one."""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
OPTIONS = argparse.Namespace(curves=40, checkpoints=60, sigma=0.03, phi=0.5, seed=7)


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    import detectors

    yield detectors
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def drawn(bench):
    return bench.rows(OPTIONS)


def test_the_set_holds_smooth_families_traps_and_steps_with_their_s0(drawn):
    kinds = [row.kind for row in drawn]
    assert {kind: kinds.count(kind) >= 5 for kind in set(kinds)} == {"smooth": True, "trap": True, "step": True}
    base = {row.name: row.base for row in drawn}
    assert base["softmax_adam_64"].mean() == pytest.approx(1.2 * 1.51, abs=0.01)
    assert base["ramp"].mean() == pytest.approx(np.e)
    assert base["linear_coupled (with its control)"].min() > 1.2  # raised by its control
    assert all(row.loss.shape == (row.base.size, 60) for row in drawn)


def test_the_blind_set_is_shuffled_and_comes_from_its_seed(bench, drawn):
    loss, step, base, label = bench.blind(drawn, 7)
    assert loss.shape == (label.size, step.size)
    assert np.mean(np.diff(label) == 0) < 0.1
    for i in (0, len(drawn) - 1):
        sent, own = loss[label == i], drawn[i].loss
        np.testing.assert_array_equal(sent[np.lexsort(sent.T)], own[np.lexsort(own.T)])
        np.testing.assert_array_equal(np.sort(base[label == i]), np.sort(drawn[i].base))
    np.testing.assert_array_equal(label, bench.blind(bench.rows(OPTIONS), 7)[3])
    assert not np.array_equal(label, bench.blind(drawn, 8)[3])


def test_verdicts_on_an_exported_set_are_scored_row_by_row(bench, drawn, tmp_path):
    bench.export(tmp_path, drawn, OPTIONS)
    sent = np.load(tmp_path / "curves.npz")
    assert set(sent) == {"loss", "step", "base_sharpness"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.npz", "sealed.json"]
    label = bench.blind(drawn, 7)[3]
    perfect = [drawn[i].kind == "step" for i in label]
    answers = tmp_path / "verdicts.csv"
    with answers.open("w", newline="") as file:
        csv.writer(file).writerows([("curve", "sharp"), *((i, int(word)) for i, word in enumerate(perfect))])
    shares = bench.shares_of(bench.read_verdicts(answers, label.size), label)
    assert shares == [float(row.kind == "step") for row in drawn]
    assert bench.table(drawn, {"perfect": shares}).endswith(
        "| **worst false positive rate, smooth** | **0.0%** |\n"
        "| **worst false positive rate, traps** | **0.0%** |\n| **mean power** | **100.0%** |"
    )


def test_a_set_is_drawn_again_from_its_seed_and_from_no_other(bench, drawn, tmp_path):
    bench.export(tmp_path, drawn, OPTIONS)
    given = argparse.Namespace(**vars(OPTIONS) | {"curves": 3, "sigma": 0.5})  # the set knows better
    again, label = bench.unseal(tmp_path, given)
    np.testing.assert_array_equal(label, bench.blind(drawn, 7)[3])
    assert [row.name for row in again] == [row.name for row in drawn]
    with pytest.raises(SystemExit, match="was not drawn from seed 8"):
        bench.unseal(tmp_path, argparse.Namespace(**vars(OPTIONS) | {"seed": 8}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("curve,verdict\n0,1\n", "has no columns curve,sharp"),
        ("curve,sharp\n0,1\n", "leaves 2 of 3 curves out, the first of them 1"),
        ("curve,sharp\n0,maybe\n", "expected a curve from 0 to 2 and sharp 0 or 1"),
        ("curve,sharp\n3,1\n", "expected a curve from 0 to 2 and sharp 0 or 1"),
    ],
)
def test_verdicts_that_cannot_be_read_are_refused(bench, tmp_path, text, message):
    path = tmp_path / "verdicts.csv"
    path.write_text(text)
    with pytest.raises(SystemExit, match=message):
        bench.read_verdicts(path, 3)


def test_a_function_of_ones_own_is_found_by_its_name_and_asked_blindly(bench, drawn, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def detect(curves, step, base):\n    return curves[:, 0] > 2 * curves[:, -1]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    shares = dict(zip([row.name for row in drawn], bench.score("mine:detect", drawn, 7), strict=True))
    assert shares["never"] < 0.1
    assert shares["exponential"] > 0.9
    with pytest.raises(SystemExit, match="expected module:function or one of likelihood_ratio"):
        bench.score("unheard_of", drawn, 7)


@pytest.mark.parametrize("rival", ["break_time", "level_crossing", "change_point", "naive_sigmoid"])
def test_every_rival_finds_a_narrow_step_and_is_fooled_by_something_smooth(bench, drawn, rival):
    shares = dict(zip([row.name for row in drawn], bench.score(rival, drawn, 7), strict=True))
    assert shares["logistic, 0.8 nats"] > 0.9
    assert max(shares[row.name] for row in drawn if row.kind != "step") > 0.2
