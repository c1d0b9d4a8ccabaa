"""Runs as users log them: without a checkpoint at step 0, with gaps, with subtasks never measured."""

import json

import numpy as np
import pytest

from quanta import composition, record, transitions, worlds


def started_at(first, family, n=60, **options):
    step, loss, truth = worlds.curves(family, n=n, seed=91, n_checkpoints=120, **options)
    kept = step >= first
    known = {"frequency": np.full(n, 1 / n), "source": "simulated", **worlds.family_fields(family)}
    return record.new(loss[:, kept], step=step[kept], **known), truth, step[kept]


@pytest.mark.parametrize("first", [1, 10])
@pytest.mark.parametrize("family", ["logistic", "multilinear"])
def test_a_step_is_found_whether_or_not_step_0_was_logged(first, family):
    ds, truth, step = started_at(first, family, width=0.8)
    found = transitions.detect(ds, curves=False)
    inside = truth.onset > 8 * step[0]  # earlier ones had begun before the first checkpoint
    assert (found["status"].values[inside] == "sharp").mean() > 0.95
    assert np.all(found["drop"].values[inside] < 1.5 * truth.drop[inside])


@pytest.mark.parametrize("first", [1, 10])
@pytest.mark.parametrize("family", ["exponential", "power_law", "gamma_mixture", "early", "softmax_adam_11"])
def test_nothing_smooth_becomes_sharp_when_step_0_was_not_logged(first, family):
    for sigma in (0.03, 0.1):
        found = transitions.detect(started_at(first, family, sigma=sigma)[0], curves=False)
        assert (found["status"] == "sharp").sum() <= 1


def test_a_record_with_gaps_goes_through_the_command(tmp_path, capsys):
    ds = worlds.make("ordered_logistic")
    loss = ds["loss"].values.copy()
    loss[np.random.default_rng(0).uniform(size=loss.shape) < 0.1] = np.nan
    loss[7] = np.nan
    record.save(ds.assign(loss=ds["loss"].copy(data=loss)), tmp_path / "gaps.zarr")
    argv = [str(tmp_path / "gaps.zarr"), "--json", "--quiet", "--out", str(tmp_path / "out"), "--explain", "3"]
    assert composition.main(argv) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "ordered-composition"
    assert len(said["figures"]) >= 2
    argv = [str(tmp_path / "gaps.zarr"), "--quiet", "--out", str(tmp_path / "out2"), "--explain", "7"]
    assert composition.main(argv) == 2
    assert "subtask 7 was never measured" in capsys.readouterr().err
