"""What unlabelled curves tell, and what they cannot: groups that noise makes must not pass for groups."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quanta import _discovery_groups as grouping
from quanta import discovery, record
from quanta._errors import InputError
from quanta.discovery import discover
from quanta.worlds import Noise, checkpoints, shapes

STEP = checkpoints(90)
TIME = STEP.astype(float)
CLASSES = 11
CHANCE = math.log(CLASSES)


def curves(left, *, sigma=0.1, phi=0.2, seed=0):
    """Losses that fall from chance to a twentieth, measured."""
    drop = np.full(len(left), CHANCE / 1.05)
    noisy = Noise(sigma=sigma, phi=phi).add(drop[:, None] * (0.05 + left), drop, np.random.default_rng(seed))
    return noisy.astype(np.float32)


def run(loss):
    n = loss.shape[-2]
    known = {"source": "trained", "optimizer": "sgd", "n_classes": CLASSES, "chance_loss": CHANCE, "units": "nat"}
    return record.new(loss, step=STEP, weight=np.full(n, 1 / n), **known)


def steps(n, seed=0, n_kinds=40):
    """Examples of many kinds, each learned at its own time: curves and onsets."""
    rng = np.random.default_rng(seed)
    times = np.exp(np.linspace(math.log(30), math.log(3000), n_kinds))
    onset = rng.choice(times, n) * np.exp(0.1 * rng.standard_normal(n))
    return shapes.logistic(TIME, onset[:, None], 0.6), onset


@pytest.fixture(scope="module")
def stepped():
    left, onset = steps(1200)
    return run(curves(left)), onset, discover(run(curves(left)), n_groups=(32, 8), n_detect=300)


# ------------------------------------------------------------------------------------------------- the arithmetic


labels = hnp.arrays(np.int64, 9, elements=st.integers(0, 3))


@given(labels, labels)
def test_the_adjusted_rand_index_counts_pairs(a, b):
    """By Hubert and Arabie's definition, pair by pair."""
    pairs = list(itertools.combinations(range(a.size), 2))
    in_a, in_b = ([x[i] == x[j] for i, j in pairs] for x in (a, b))
    both, expected = sum(p and q for p, q in zip(in_a, in_b, strict=True)), sum(in_a) * sum(in_b) / len(pairs)
    top = (sum(in_a) + sum(in_b)) / 2
    assert grouping.adjusted_rand(a, b) == pytest.approx(
        1.0 if top == expected else (both - expected) / (top - expected)
    )


def test_blobs_that_lie_apart_are_found_as_they_are():
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=500)
    points = 10 * np.eye(5)[truth] + rng.standard_normal((500, 5))
    assert grouping.adjusted_rand(grouping.cluster(points, 5, rng), truth) == 1.0


def test_means_of_groups_are_means_of_groups_however_many_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    y, label, columns = rng.uniform(size=(100, 7)), np.arange(100) % 4, np.array([0, 2, 5])
    monkeypatch.setattr(grouping, "blocks", lambda n: [slice(i, min(i + 13, n)) for i in range(0, n, 13)])
    expected = np.stack([y[label == k][:, columns].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(grouping.means(y, columns, label), expected)


def test_groups_are_found_without_a_look_at_the_other_half():
    """The other half decides how sharp a group is; where groups are found, it may as well be missing."""
    loss = curves(steps(200)[0])
    blind = loss.copy()
    blind[:, 0::2] = np.nan
    find = np.arange(1, STEP.size, 2)
    np.testing.assert_array_equal(grouping.features(loss, find), grouping.features(blind, find))


def test_features_ignore_level_and_height():
    loss = curves(steps(200)[0]).astype(float)
    other = 3 + loss * np.linspace(0.5, 2, 200)[:, None]
    every = np.arange(STEP.size)
    a, b = grouping.features(loss, every), grouping.features(other, every)
    np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-3)


@pytest.mark.parametrize("phi", [0.0, 0.4, 0.8])
def test_noise_of_like_curves_is_measured(phi):
    left = np.repeat(0.5 * shapes.exponential(TIME, 300.0)[None], 800, axis=0) + 0.5
    sigma, found = grouping.noise(curves(left, sigma=0.05, phi=phi), np.random.default_rng(0))
    assert found == pytest.approx(phi, abs=0.05)
    assert np.median(sigma) == pytest.approx(0.05 * CHANCE / 1.05, rel=0.12)


def test_the_density_integrates_to_one_and_its_bounds_hold_it():
    rng = np.random.default_rng(0)
    grid = np.linspace(-6, 6, 400)
    density, low, high = grouping.density(rng.standard_normal(2000), np.full(2000, 0.03), grid, rng)
    assert np.sum(density) * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-6)
    truth = np.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi)
    middle = np.abs(grid) < 2
    assert np.mean((low <= truth) & (truth <= high), where=middle) > 0.85


def test_times_that_can_be_told_apart_are_the_range_over_the_error():
    """Uniform over a range L, with normal errors: L / (error √(2πe))."""
    grid = np.linspace(0, 5, 2001)
    n = grouping.distinguishable(grid, np.full(grid.size, 0.2), np.full(10, 0.05))
    assert n == pytest.approx(5 / (0.05 * math.sqrt(2 * math.pi * math.e)), rel=1e-3)


# ------------------------------------------------------------------------------------------------- what is found


def test_the_density_of_onsets_is_the_true_one(stepped):
    """Wasserstein distance 1: the area between the two distribution functions, in nats of a range of 4.6."""
    _, onset, found = stepped
    x = np.log(found["time"].values)
    guessed = np.cumsum(found["density"].values) * (x[1] - x[0])
    true = np.searchsorted(np.sort(np.log(onset)), x) / onset.size
    assert np.abs(guessed - true).sum() * (x[1] - x[0]) < 0.2


def test_groups_of_steps_are_stable_and_sharper_than_random_groups_and_noise(stepped):
    _, _, found = stepped
    assert float(found["stability"].sel(n_groups=8)) > 0.6
    assert np.all(found["stability_surrogate"].sel(n_groups=[8, 32]) < 0.1)
    s = found["group_sharpness"].sel(n_groups=32)
    assert float(s.sel(kind="cluster")) > 3
    assert float(s.sel(kind="random")) < 1.2
    assert float(s.sel(kind="surrogate")) < 1.2
    assert "There are groups of like curves" in found.attrs["sentence"]
    assert "sharper than chance" in found.attrs["sentence"]


def test_the_whole_is_smooth_though_its_parts_are_sharp(stepped):
    _, _, found = stepped
    assert float(found["group_sharpness"].sel(n_groups=1, kind="cluster")) < 1.0
    assert (found["status"] == "sharp").mean() > 0.9


def test_every_changed_curve_has_a_group_and_only_a_sample_is_tested(stepped):
    ds, _, found = stepped
    assert found.sizes["example"] == 300
    assert found["group"].sel(n_groups=32).values.shape == (ds.sizes["subtask"],)
    assert {*np.unique(found["group"].sel(n_groups=8))} == {*range(8)}
    np.testing.assert_array_equal(found["index"], np.unique(found["index"]))


def test_it_says_that_labels_and_the_mean_loss_cannot_be_known(stepped):
    cannot = " ".join(stepped[2].attrs["cannot"])
    assert "labels" in cannot
    assert "the mean loss alone says nothing" in cannot


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.8])
def test_of_curves_that_are_all_alike_no_groups_are_claimed(phi):
    """Also where the noise lasts from one half to the other, so that the halves agree on it."""
    left = np.repeat(shapes.exponential(TIME, 300.0)[None], 800, axis=0)
    found = discover(run(curves(left, phi=phi)), n_groups=(32, 8), n_detect=80)
    assert "There are groups" not in found.attrs["sentence"]
    assert float(found["group_sharpness"].sel(n_groups=8, kind="cluster")) < 1.2
    assert any("share it" in line for line in found.attrs["cannot"]) == (phi > 0)
    if phi == 0:
        assert np.all(np.abs(found["stability"].sel(n_groups=[32, 8])) < 0.02)
        assert "No groups of like curves" in found.attrs["sentence"]
    else:
        assert np.all(found["stability_surrogate"].sel(n_groups=[32, 8]) > 0.02)  # as the surrogate foretells


def test_exponentials_in_order_have_groups_that_are_not_sharp_and_no_onsets():
    _, onset = steps(800)
    left = shapes.exponential(TIME, onset[:, None] / math.log(2) / 2)
    found = discover(run(curves(left, sigma=0.05)), n_groups=(32,), n_detect=100)
    assert np.isnan(found["density"]).all()
    assert float(found["n_sharp"].sel(n_groups=32, kind="cluster")) <= 1
    assert float(found["stability"].sel(n_groups=32)) > 0.1  # groups there are: of like times


def test_two_seeds_are_split_by_seed():
    left, _ = steps(400)
    loss = np.stack([curves(left, seed=1, phi=0.6), curves(left, seed=2, phi=0.6)])
    found = discover(run(loss), n_groups=(8,), n_detect=60)
    assert found.attrs["split"] == "seed"
    assert float(found["stability"].sel(n_groups=8)) > 0.6
    assert not any("share it" in line for line in found.attrs["cannot"])


# ------------------------------------------------------------------------------------------------- what it refuses


def test_a_macro_curve_is_refused():
    with pytest.raises(InputError, match="a mean loss alone cannot be decomposed"):
        discover(curves(steps(50)[0]).mean(axis=0), STEP)


@pytest.mark.parametrize(
    ("loss", "step", "why"),
    [
        (np.ones((60, 30)), np.arange(30), "of a half"),
        (np.ones((10, 90)), np.arange(90), "10 curves"),
        (np.ones((60, 90)), None, "without step"),
    ],
)
def test_too_little_is_refused(loss, step, why):
    with pytest.raises(InputError, match=why):
        discover(loss, step)


def test_curves_that_do_not_change_are_not_grouped():
    flat = curves(np.ones((60, STEP.size)), sigma=0.02)
    found = discover(flat, STEP, n_groups=(8,))
    assert int(found["n_changed"]) <= 2
    assert "Too few curves change" in found.attrs["sentence"]


# ------------------------------------------------------------------------------------------------- the command


def test_the_command_saves_what_it_found_with_the_run(tmp_path, capsys):
    store = tmp_path / "curves.zarr"
    record.save(run(curves(steps(300)[0])), store)
    out = tmp_path / "found"
    assert (
        discovery.main([str(store), "--n-detect", "60", "--n-groups", "8", "--json", "--quiet", "--out", str(out)]) == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["n_curves"] == 300
    assert said["n_detected"] == 60
    assert [row["n_groups"] for row in said["groups"]] == [8, 1]
    assert record.load(store, group="discovery").sizes["example"] == 60
    assert (out / "discovery.png").stat().st_size > 10_000


def test_the_command_refuses_a_single_curve_in_one_line(tmp_path, capsys):
    store = tmp_path / "macro.zarr"
    record.save(run(curves(steps(1)[0])), store)
    assert discovery.main([str(store), "--out", str(tmp_path / "found")]) == 2
    error = capsys.readouterr().err
    assert "a mean loss alone cannot be decomposed" in error
    assert error.count("\n") == 1
