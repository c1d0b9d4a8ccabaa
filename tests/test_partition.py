"""Granularity: what merging keeps, what it hides, and what a coarse level can prove."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sound_records import example, records

from quanta import partition, record, transitions, worlds
from quanta._errors import InputError
from quanta.worlds import shapes


@st.composite
def labelled(draw):
    ds = draw(records())
    n = ds.sizes["subtask"]
    return ds, draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))


@given(labelled())
def test_every_partition_has_the_same_mean_loss_and_keeps_what_adds_up(case):
    ds, labels = case
    merged = partition.merge(ds, labels)
    assert merged["group"].values.tolist() == sorted(set(labels))
    assert int(merged["n_members"].sum()) == len(labels)
    for name in {"weight", "frequency", "exposures"} & {*ds.data_vars}:
        np.testing.assert_allclose(merged[name].sum("subtask"), ds[name].sum("subtask"), rtol=1e-6)  # of float32
    if "loss" in ds:
        np.testing.assert_allclose(record.mean_loss(merged), record.mean_loss(ds), rtol=1e-5, atol=1e-6)


@given(records())
def test_merging_into_groups_of_one_changes_nothing(ds):
    merged = partition.merge(ds, np.arange(ds.sizes["subtask"]))
    known = [name for name in ds.data_vars if name not in ("true_onset", "true_width")]
    xr.testing.assert_allclose(merged[known].drop_vars(["group", "n_members"]), ds[known])


@given(records())
def test_the_whole_is_the_mean_loss(ds):
    one = partition.whole(ds)
    assert one.sizes["subtask"] == 1
    if "loss" in ds:
        np.testing.assert_allclose(one["loss"].isel(subtask=0), record.mean_loss(ds), rtol=1e-5, atol=1e-6)


def test_a_mean_is_by_weight_and_of_weightless_members_by_number():
    loss = [[2.0, 1.0], [4.0, 0.0], [6.0, 6.0], [8.0, 2.0]]
    ds = record.new(loss, step=[1, 2], weight=[0.75, 0.25, 0.0, 0.0], source="imported")
    np.testing.assert_allclose(partition.merge(ds, ["a", "a", "b", "b"])["loss"], [[2.5, 0.75], [7.0, 4.0]])


def test_what_differs_within_a_group_is_dropped_and_what_does_not_is_kept():
    ds = worlds.make("ordered_logistic", n_subtasks=4).assign_coords(
        family=("subtask", ["x", "x", "y", "y"]), colour=("subtask", ["r", "g", "r", "g"])
    )
    merged = partition.merge(ds, ds["family"])
    assert merged["family"].values.tolist() == ["x", "y"]
    assert not {"colour", "true_onset", "true_width"} & {*merged.variables}
    assert merged["n_classes"].values.tolist() == [11, 11]


def test_merged_records_can_be_saved(tmp_path):
    merged = partition.merge(worlds.make("ordered_logistic", n_subtasks=6), list("aabbcc"))
    xr.testing.assert_identical(
        record.load(record.save(merged, tmp_path / "merged.nc"))["group"].drop_vars("n_members"),
        merged["group"].drop_vars("n_members"),
    )


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"labels have shape \(1,\); expected one for each of the 2 subtasks"):
        partition.merge(example(), ["a"])


# ------------------------------------------------------------------------------------------------ labels of a run


def test_labels_are_a_coordinate_of_the_record_or_rows_of_a_file(tmp_path):
    ds = example().assign_coords(family=("subtask", ["x", "y"]))
    path = tmp_path / "labels.csv"
    path.write_text("subtask,label\n1,b\n0,a\n")
    assert partition.labels(ds, "family").tolist() == ["x", "y"]
    assert partition.labels(ds, str(path)).tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0,a\n", "has no label for 1 of 2 subtasks, the first of them 1"),
        ("0,a,b\n1,b\n", "has the row '0,a,b'; expected subtask,label"),
        (None, "is neither a label of the record's subtasks"),
    ],
)
def test_labels_that_cannot_be_read_are_one_line(tmp_path, text, says):
    path = tmp_path / "labels.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=says):
        partition.labels(example(), str(path))


# ------------------------------------------------------------------------------------------------------ granularity

N = 64


@pytest.fixture(scope="module")
def spaced():
    """Equally frequent steps .8 nats wide, evenly spaced over 5.5 nats, labelled by quarters of that time."""
    step = worlds.checkpoints(100)
    curves = np.stack([shapes.logistic(step.astype(float), t, 0.8) for t in np.geomspace(20, 5000, N)])
    loss = worlds.Noise().add(0.05 + curves, np.ones(N), np.random.default_rng(0))
    ds = record.new(loss, step=step, frequency=np.full(N, 1 / N), source="simulated", optimizer="sgd", n_classes=11)
    return ds, np.arange(N) * 4 // N


def test_steps_at_different_times_merged_are_smooth_and_the_words_claim_no_more(spaced):
    ds, quarter = spaced
    found = partition.levels(ds, {"time": quarter, "every fourth": np.arange(N) % 4}, n_shuffles=5)
    assert found["level"].values.tolist() == ["subtask", "time", "every fourth", "whole"]
    assert found["n_subtasks"].values.tolist() == [N, 4, 4, 1]
    assert found["fraction_sharp"].sel(level="subtask") > 0.9
    assert found["shuffled_fraction_sharp"].sel(level="time") < 0.1
    assert (found["fraction_sharp"].sel(level=["every fourth", "whole"]) == 0).all()
    assert "smooth at this partition only: no evidence against steps at a finer one" in found.attrs["reasons"][-1]


def test_labels_that_follow_the_time_of_learning_are_sharper_than_shuffled_ones(spaced):
    """Logistic steps spread evenly over d nats have max(-dl/d ln t) = tanh(b d/4)/d, b = 2 ln 9/width."""
    d = 16 * np.log(250) / (N - 1)
    expected = np.e * np.tanh(2 * np.log(9) / 0.8 * d / 4) / d
    found = partition.levels(spaced[0], {"time": spaced[1]}).sel(level="time")
    assert float(found["sharpness_median"]) == pytest.approx(expected, rel=0.15)
    assert float(found["shuffled_sharpness_median"]) < 1
    assert "a group that is sharp proves that a member of it is" in found.attrs["reasons"][1]


def test_shuffling_says_nothing_where_it_changes_nothing(spaced):
    found = partition.levels(spaced[0], {}, n_shuffles=2)
    assert np.isnan(found["shuffled_fraction_sharp"]).all()


@pytest.mark.parametrize("name", ["exponential", "power_law", "exponential_mixtures"])
def test_no_grouping_of_smooth_curves_is_sharp(name):
    """Completely monotone curves are a convex cone: a sharp group would prove a sharp member."""
    found = partition.levels(worlds.make(name), {"five": np.arange(40) % 5, "eight": np.arange(40) // 5}, n_shuffles=2)
    assert (found["n_sharp"] <= 0.05 * found["n_tested"]).all()
    assert not (found["shuffled_fraction_sharp"] > 0.05).any()


def test_labels_no_better_than_random_are_said_to_be_so():
    """Of synchronous steps every grouping is as sharp as every other."""
    found = partition.levels(worlds.make("synchronous"), {"eighths": np.arange(40) % 8}, n_shuffles=2)
    assert "as sharp as random groups" in found.attrs["reasons"][1]


def test_controls_are_merged_alike():
    ds, kernel = worlds.make("ordered_with_control"), worlds.controls("ordered_with_control")
    found = partition.levels(ds, {"pairs": np.arange(40) // 2}, controls=kernel, n_shuffles=1)
    assert found["verdict"].sel(level="pairs") == "ordered-composition"


# -------------------------------------------------------------------------------------------------------- deciles


@pytest.fixture(scope="module")
def mixed():
    ds = worlds.make("mixed")
    return ds, transitions.detect(ds)


@pytest.mark.parametrize("n", [1, 3, 10, 99])
def test_deciles_share_out_the_whole_fall_and_their_bounds_are_in_order(mixed, n):
    parts = partition.by_frequency(*mixed, n=n)
    assert parts.sizes["decile"] == min(n, 40)
    assert float(parts["share"].sum()) == pytest.approx(1)
    assert (parts["frequency_low"][:-1].values >= parts["frequency_high"][1:].values).all()
    known = parts.where(np.isfinite(parts["sharp_weight_low"]), drop=True)
    assert (known["sharp_weight_low"] <= known["sharp_weight_high"] + 1e-12).all()


def test_without_noise_the_bounds_of_the_parts_average_to_those_of_the_run(mixed):
    from quanta import composition

    quiet = mixed[0], mixed[1].assign(sigma=0 * mixed[1]["sigma"])
    parts, result = partition.by_frequency(*quiet), composition.test(*quiet)
    for bound in ("sharp_weight_low", "sharp_weight_high"):
        assert float((parts["share"] * parts[bound]).sum()) == pytest.approx(float(result[bound]))


def test_seeds_are_counted_in_the_decile_of_their_subtask():
    ds = record.combine([worlds.make("ordered_logistic", seed=s, n_subtasks=10) for s in (0, 1)], "seed")
    parts = partition.by_frequency(ds, transitions.detect(ds), n=5)
    assert parts["n_tested"].values.tolist() == [4] * 5


def test_deciles_of_unknown_frequencies_are_refused(mixed):
    ds, found = mixed
    with pytest.raises(InputError, match="no frequency for some subtask"):
        partition.by_frequency(ds.drop_vars("frequency"), found)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "is empty"),
        ("0,a\n1,b\n0,c\n", "labels subtask 0 more than once"),
        ("subtask,label\n0,a\n1,b\n7,c\n", "labels 1 subtasks that the record does not have, the first of them '7'"),
        ("0,a\nx,b\n1,b\n", "does not have, the first of them 'x'"),
    ],
)
def test_a_file_of_labels_that_does_not_fit_is_refused(tmp_path, rows, said):
    ds = record.new([[2.0, 1.0], [4.0, 0.0]], step=[1, 2], frequency=[0.5, 0.5], source="imported")
    (tmp_path / "labels.csv").write_text(rows)
    with pytest.raises(InputError, match=said):
        partition.labels(ds, str(tmp_path / "labels.csv"))
