"""The mirrored bootstrap: calibrated under the null, sure of steps, and honest about what it cannot do."""

import json

import numpy as np
import pytest

from quanta import composition, record, transitions, worlds
from quanta._errors import InputError
from quanta.transitions import LikelihoodRatio, Logistic, bootstrap

N = 60


def drawn(family, n, seed=0, **options):
    step, loss, truth = worlds.curves(family, n=n, seed=seed, **options)
    ds = record.new(loss, step=step, frequency=np.full(n, 1 / n), source="simulated", optimizer="sgd", n_classes=11)
    return ds, transitions.detect(ds), truth


def test_p_values_are_spread_evenly_where_there_is_no_step():
    ds, found, _ = drawn("exponential", 80)
    p = bootstrap(ds, found, LikelihoodRatio(), range(80), n=N)["p_value"].values
    assert p.min() >= 1 / (N + 1)
    for level in (0.1, 0.3, 0.5):
        assert np.mean(p <= level) <= level + 3 * np.sqrt(level * (1 - level) / p.size)
    assert np.mean(p <= 0.5) >= 0.25  # nor is it blind


def test_a_step_has_the_least_p_value_there_is_and_intervals_that_cover():
    ds, found, truth = drawn("logistic", 40, width=0.8)
    again = bootstrap(ds, found, LikelihoodRatio(), range(40), n=N)
    assert np.all(again["p_value"] == pytest.approx(1 / (N + 1)))
    assert np.all(again["n_found"] >= 0.9 * N)
    inside = (again["onset_low"] <= truth.onset) & (truth.onset <= again["onset_high"])
    assert inside.mean() >= 0.8
    ratio = np.log(again["onset_high"] / again["onset_low"]) / np.log(found["onset_high"] / found["onset_low"])
    assert 0.7 < ratio.median() < 1.5  # as wide as those by Gauss and Newton


def test_only_the_borderline_are_drawn_unless_asked():
    ds, found, _ = drawn("logistic", 60, width=1.5, sigma=0.1)
    near = np.flatnonzero(np.abs(found["statistic"] - found["statistic_needed"]) < 8)
    assert 0 < near.size < 60
    assert set(bootstrap(ds, found, LikelihoodRatio(), n=20)["subtask"].values) <= set(near)


def test_the_same_seed_draws_the_same_curves():
    ds, found, _ = drawn("logistic", 3)
    one, same, other = (bootstrap(ds, found, LikelihoodRatio(), [0, 2], n=20, seed=s) for s in (1, 1, 2))
    assert one.identical(same)
    assert not one.equals(other)


def test_what_it_cannot_do_is_refused():
    ds, found, _ = drawn("logistic", 3)
    with pytest.raises(InputError, match="has no null to draw from; use LikelihoodRatio"):
        bootstrap(ds, found, Logistic())
    with pytest.raises(InputError, match="n is 5; expected 20 or more"):
        bootstrap(ds, found, LikelihoodRatio(), n=5)
    with pytest.raises(InputError, match="no fitted curves"):
        bootstrap(ds, found.drop_vars("fitted"), LikelihoodRatio())
    with pytest.raises(InputError, match=r"select one, as record\.isel"):
        bootstrap(record.combine([ds, ds], "seed"), found, LikelihoodRatio())


def test_the_command_reports_the_borderline(tmp_path, capsys):
    ds = worlds.make("ordered_logistic", noise=worlds.Noise(sigma=0.1))
    record.save(ds, tmp_path / "run.zarr")
    argv = [str(tmp_path / "run.zarr"), "--bootstrap", "20", "--json", "--quiet", "--out", str(tmp_path / "out")]
    assert composition.main(argv) == 0
    rows = json.loads(capsys.readouterr().out)["bootstrap"]
    assert rows
    assert all(1 / 21 - 1e-9 <= row["p_value"] <= 1 for row in rows)
