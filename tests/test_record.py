"""The run record: made soundly, refused with every fault named, kept on disk whole or not at all."""

import errno
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quanta import _store, record
from quanta._errors import InputError
from quanta.record import RecordError

SUFFIXES = (".zarr", ".nc")
both_formats = pytest.mark.parametrize("suffix", SUFFIXES)

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
attributes = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=5),
    st.one_of(
        words,
        st.integers(),
        st.floats(allow_nan=False),
        st.booleans(),
        st.none(),
        st.lists(words, max_size=3),
        st.dictionaries(words, st.integers(), max_size=2),
    ),
    max_size=4,
)


def _losses(shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(0, 100, width=32))


def _shares(shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))


def _positive(shape):
    return hnp.arrays(np.float64, shape, elements=st.floats(0, 1e12))


@st.composite
def records(draw):
    """Records of every kind: with and without each optional field, one seed or several."""
    n_subtasks, n_steps = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    leading = draw(st.sampled_from([(), (1,), (3,)]))
    curves = (*leading, n_subtasks, n_steps)
    optional = {
        "accuracy": _shares(curves),
        "probability": _shares(curves),
        "exposures": _positive(curves),
        "examples": _positive(n_steps),
        "learning_rate": _positive(n_steps),
        "true_onset": hnp.arrays(np.float64, (*leading, n_subtasks), elements=st.just(np.nan) | st.floats(0, 1e6)),
        "n_classes": st.integers(2, 50_000),
        "chance_loss": _positive(n_subtasks),
        "config": words,
        "seed": st.integers(0, 2**70),
    }
    fields = {name: draw(field) for name, field in optional.items() if draw(st.booleans())}
    if draw(st.booleans()) or not fields.keys() & {"accuracy", "probability"}:
        fields["loss"] = draw(_losses(curves))
    step = draw(st.lists(st.integers(0, 10**9), min_size=n_steps, max_size=n_steps, unique=True).map(sorted))
    frequency = draw(hnp.arrays(np.float64, n_subtasks, elements=st.floats(0.1, 100)))
    return record.new(
        step=step,
        frequency=frequency,
        units=draw(st.sampled_from(record.UNITS)),
        source=draw(st.sampled_from(record.SOURCES)),
        optimizer=draw(st.sampled_from(record.OPTIMIZERS)),
        attrs=draw(attributes),
        **fields,
    )


def example(**changes):
    """A small sound record."""
    fields = {
        "loss": [[2.0, 1.0, 0.5], [2.0, 1.5, 1.0]],
        "accuracy": [[0.0, 0.5, 1.0], [0.0, 0.25, 0.5]],
        "step": [0, 10, 100],
        "frequency": [0.75, 0.25],
        "examples": [0, 20, 200],
        "n_classes": 5,
        "true_onset": [3.0, np.nan],
        "source": "simulated",
        "optimizer": "sgd",
    }
    return record.new(**{**fields, **changes})


@pytest.fixture(params=SUFFIXES)
def stored(request, tmp_path):
    """A record on disk, in each format."""
    return record.save(example(), tmp_path / f"run{request.param}")


# ------------------------------------------------------------------------------------------- making


def test_a_record_without_loss_is_a_record():
    ds = record.new(accuracy=[[0.1, 0.9]], step=[1, 2], source="imported")
    assert "loss" not in ds
    assert record.validate(ds) is ds


def test_losses_are_single_and_frequencies_double_precision():
    ds = example()
    assert ds["loss"].dtype == np.float32
    assert ds["frequency"].dtype == ds["weight"].dtype == np.float64


def test_the_weight_is_the_normalised_frequency_unless_given():
    np.testing.assert_allclose(example(frequency=[3, 1])["weight"], [0.75, 0.25])
    np.testing.assert_allclose(example(frequency=[3, 1], weight=[0.5, 0.5])["weight"], [0.5, 0.5])


@pytest.mark.parametrize("frequency", [None, [0.5, np.nan]])
def test_a_weight_that_is_not_known_is_uniform_and_said_aloud(frequency):
    with pytest.warns(UserWarning, match="weighs all subtasks alike"):
        ds = example(frequency=frequency)
    assert ds["weight"].values.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"loss": None, "accuracy": None}, "no curves"),
        ({"loss": [1.0, 2.0]}, "dims"),
        ({"loss": np.ones((2, 2, 2, 3))}, "dims"),
        ({"dims": ("step", "subtask")}, "dims"),
        ({"loss": [["a", "b", "c"]] * 2}, "loss"),
        ({"step": [0, 10]}, "step"),
        ({"step": ["a", "b", "c"]}, "step"),
        ({"weight": [1.0]}, "fit together"),
        ({"weight": "heavy"}, "weight"),
        ({"examples": [1, 2]}, "fit together"),
        ({"n_classes": [5, 5, 5]}, "fit together"),
        ({"lr": [0.1, 0.1, 0.1]}, "lr"),
        ({"loss": np.full((2, 3), 1e300)}, "infinite"),
        ({"units": "nats"}, "units"),
    ],
)
def test_what_cannot_become_a_record_is_refused_by_name(changes, named):
    with pytest.raises(RecordError, match=named):
        example(**changes)


# ------------------------------------------------------------------------------------------- checking


def _set(name, index, value):
    def fault(ds):
        ds[name][index] = value

    return fault


def _attr(name, value):
    def fault(ds):
        ds.attrs[name] = value

    return fault


FAULTS = {
    "loss has 1 values that are nan": _set("loss", (0, 1), np.nan),
    "loss has 1 values that are nan or infinite": _set("loss", (0, 1), np.inf),
    "loss has negative values": _set("loss", (1, 2), -0.1),
    "accuracy reaches 1.5": _set("accuracy", (1, 2), 1.5),
    "accuracy has negative values": _set("accuracy", (1, 2), -0.5),
    "weight sums to 1.25": _set("weight", 0, 1.0),
    "weight must be finite": _set("weight", 0, np.nan),
    "frequency must be": _set("frequency", 0, -1.0),
    "n_classes must be": _set("n_classes", 0, -2.0),
    "true_onset must be": _set("true_onset", 0, -2.0),
    "examples must be": _set("examples", 0, np.nan),
    "source is 'guessed'": _attr("source", "guessed"),
    "source is None": lambda ds: ds.attrs.pop("source"),
    "optimizer is 'lion'": _attr("optimizer", "lion"),
    "schema 'quanta-record/2'": _attr("schema", "quanta-record/2"),
    "no schema attribute": lambda ds: ds.attrs.pop("schema"),
    "loss has units 'nats'": lambda ds: ds["loss"].attrs.update(units="nats"),
    "loss has units None": lambda ds: ds["loss"].attrs.clear(),
}
REPLACEMENTS = {
    "step does not increase: 10 is followed by 10": lambda ds: ds.assign_coords(step=[0, 10, 10]),
    "step does not increase: 100 is followed by 10": lambda ds: ds.assign_coords(step=[0, 100, 10]),
    "step must be finite and 0 or more": lambda ds: ds.assign_coords(step=[-1, 10, 100]),
    "step has dtype": lambda ds: ds.assign_coords(step=["a", "b", "c"]),
    "there is no coordinate step": lambda ds: ds.drop_vars("step"),
    "there is no weight": lambda ds: ds.drop_vars("weight"),
    "there is no loss, accuracy or probability": lambda ds: ds.drop_vars(["loss", "accuracy"]),
    "loss has dims": lambda ds: ds.assign(loss=ds["loss"].transpose("step", "subtask")),
    "exposures has dims": lambda ds: ds.assign(exposures=("step", np.ones(3))),
    "weight has dims": lambda ds: ds.assign(weight=("step", np.ones(3) / 3)),
    "examples has dims": lambda ds: ds.assign(examples=("subtask", np.ones(2))),
    "true_width has dims": lambda ds: ds.assign(true_width=("step", np.ones(3))),
    "loss has dtype": lambda ds: ds.assign(loss=ds["loss"].astype(str)),
    "there are no steps": lambda ds: ds.isel(step=slice(0, 0)),
    "there are no subtasks": lambda ds: ds.isel(subtask=slice(0, 0)),
}


def _broken(name):
    ds = example()
    if name in FAULTS:
        FAULTS[name](ds)
        return ds
    return REPLACEMENTS[name](ds)


@pytest.mark.parametrize("fault", [*FAULTS, *REPLACEMENTS])
def test_a_record_with_one_fault_is_refused_by_the_name_of_the_field(fault):
    with pytest.raises(RecordError) as refused:
        record.validate(_broken(fault))
    message = str(refused.value)
    assert fault in message
    assert "\n" not in message


def test_several_faults_are_listed_in_one_message():
    together = ["loss has negative values", "weight sums to 1.25", "source is 'guessed'", "examples must be"]
    ds = example()
    for fault in together:
        FAULTS[fault](ds)
    with pytest.raises(RecordError) as refused:
        record.validate(ds.assign_coords(step=[0, 10, 10]))
    for fault in [*together, "step does not increase"]:
        assert fault in str(refused.value)


@pytest.mark.parametrize("thing", [None, 3, {"loss": [1]}, np.ones(3)])
def test_what_is_no_dataset_is_no_record(thing):
    with pytest.raises(RecordError, match="is not a record"):
        record.validate(thing)


# ------------------------------------------------------------------------------------------- the mean loss


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_the_mean_loss_is_the_weighted_sum_to_the_last_digits(seed, n_subtasks):
    rng = np.random.default_rng(seed)
    weight = rng.pareto(1, n_subtasks) + 1e-9
    ds = record.new(rng.random((2, n_subtasks, 3)) * 10, step=[1, 2, 3], frequency=weight, source="imported")
    mean = record.mean_loss(ds)
    assert mean.dims == ("seed", "step")
    for s, t in np.ndindex(2, 3):
        terms = (float(w) * float(x) for w, x in zip(ds["weight"].values, ds["loss"].values[s, :, t], strict=True))
        assert float(mean[s, t]) == pytest.approx(math.fsum(terms), rel=1e-13)


def test_a_record_without_loss_has_no_mean_loss():
    with pytest.raises(RecordError, match="no loss"):
        record.mean_loss(record.new(accuracy=[[0.1, 0.9]], step=[1, 2], source="imported"))


# ------------------------------------------------------------------------------------------- combining


def test_runs_of_one_design_are_stacked_by_seed():
    runs = [example(loss=np.full((2, 3), float(seed)), seed=seed) for seed in (7, 3)]
    both = record.combine(runs, "seed")
    assert both["loss"].dims == ("seed", "subtask", "step")
    assert both["seed"].values.tolist() == [7, 3]
    assert both["weight"].dims == ("subtask",)
    assert both["examples"].dims == ("step",)
    for seed, run in zip((7, 3), runs, strict=True):
        np.testing.assert_array_equal(both["loss"].sel(seed=seed), run["loss"])
    np.testing.assert_allclose(record.mean_loss(both).sel(seed=3), 3.0)


def test_an_ensemble_of_ensembles_has_both_dims():
    by_seed = record.combine([example(seed=0), example(seed=1)], "seed")
    both = record.combine([by_seed, by_seed], "width")
    assert both["loss"].dims == ("width", "seed", "subtask", "step")


def test_clocks_that_differ_are_stacked():
    both = record.combine([example(compute=[1, 2, 3]), example(compute=[2, 4, 6])], "width")
    assert both["compute"].dims == ("width", "step")
    assert both["examples"].dims == ("step",)


def test_records_with_only_accuracy_combine():
    run = record.new(accuracy=[[0.1, 0.9]], step=[1, 2], source="imported")
    assert record.combine([run, run], "seed").sizes["seed"] == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"step": [0, 10, 99]}, "step"),
        ({"frequency": [0.5, 0.5]}, "frequency"),
        ({"weight": [0.5, 0.5]}, "weight"),
        ({"n_classes": 7}, "n_classes"),
        ({"units": "bit"}, "unit"),
        ({"accuracy": None}, "accuracy"),
        ({"source": "trained"}, "source"),
        ({"optimizer": "adam"}, "optimizer"),
    ],
)
def test_records_of_different_designs_are_not_combined(changes, named):
    with pytest.raises(RecordError, match=f"record 1 differs from record 0 in .*{named}"):
        record.combine([example(), example(**changes)], "seed")


def test_records_that_have_the_dim_already_are_not_combined_along_it():
    by_seed = record.combine([example(), example()], "seed")
    with pytest.raises(RecordError, match="has a dim 'seed' already"):
        record.combine([by_seed, by_seed], "seed")


def test_nothing_cannot_be_combined():
    with pytest.raises(RecordError, match="no records"):
        record.combine([], "seed")


# ------------------------------------------------------------------------------------------- on disk


def _same(a, b):
    """Identical in values, dtypes, dims, names and attributes; lists for tuples."""
    xr.testing.assert_identical(a, b)
    assert {n: v.dtype for n, v in a.variables.items()} == {n: v.dtype for n, v in b.variables.items()}
    assert {k: type(v) for k, v in a.attrs.items()} == {k: type(v) for k, v in b.attrs.items()}


@both_formats
@settings(max_examples=25)
@given(ds=records())
def test_loading_what_was_saved_gives_it_back(suffix, ds):
    with tempfile.TemporaryDirectory() as folder:
        path = record.save(ds, f"{folder}/run{suffix}")
        _same(record.load(path), ds)


@both_formats
@settings(max_examples=25)
@given(st.data())
def test_loading_an_analysis_that_was_saved_gives_it_back(suffix, data):
    labels = data.draw(hnp.arrays("U8", (3, 2), elements=words.filter(lambda word: "\x00" not in word)))
    analysis = xr.Dataset(
        {
            "status": (("subtask", "bound"), labels),
            "sharp": ("subtask", data.draw(hnp.arrays(bool, 3))),
            "onset": ("subtask", data.draw(hnp.arrays(np.float64, 3)), {"units": "days since 1970-01-01"}),
            "scalar": ((), "one word"),
        },
        coords={"bound": ["low", "high"], "kind": ("subtask", labels[:, 0])},
        attrs=data.draw(attributes),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = record.save(example(), f"{folder}/run{suffix}")
        before = record.load(path)
        record.save(xr.Dataset({"old": 1}), path, group="transitions")  # to be replaced
        record.save(analysis, path, group="transitions")
        xr.testing.assert_identical(record.load(path, "transitions"), analysis)
        xr.testing.assert_identical(record.load(path), before)


def test_a_run_is_found_by_its_directory(tmp_path):
    record.save(example(), tmp_path / "run" / "record.nc")
    assert record.locate(tmp_path / "run") == tmp_path / "run" / "record.nc"
    assert record.load(tmp_path / "run").sizes["subtask"] == 2


def test_an_existing_store_is_left_alone_unless_told(stored):
    with pytest.raises(FileExistsError, match="exists already"):
        record.save(example(step=[0, 1, 2]), stored)
    assert record.load(stored)["step"].values.tolist() == [0, 10, 100]
    record.save(example(step=[0, 1, 2]), stored, overwrite=True)
    assert record.load(stored)["step"].values.tolist() == [0, 1, 2]
    assert os.listdir(stored.parent) == [stored.name]


def test_an_unsound_record_is_not_saved(tmp_path):
    with pytest.raises(RecordError, match="weight sums"):
        record.save(_broken("weight sums to 1.25"), tmp_path / "run.zarr")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["run", "run.h5", "run.zarr.zip"])
def test_a_suffix_of_another_format_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"expected \.zarr"):
        record.save(example(), tmp_path / name)


@pytest.mark.parametrize("group", ["loss", "a/b", "", "..", "two words"])
def test_an_analysis_cannot_take_the_place_of_a_variable(stored, group):
    with pytest.raises(InputError, match="cannot be the name of an analysis"):
        record.save(xr.Dataset(), stored, group=group)


def test_an_analysis_of_no_record_is_not_saved(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        record.save(xr.Dataset(), tmp_path / "run.zarr", group="transitions")


def test_an_analysis_that_is_not_there_is_said_to_be_missing(stored):
    with pytest.raises(RecordError, match="no analysis 'transitions'"):
        record.load(stored, "transitions")


def test_values_that_no_store_keeps_are_refused_by_name(stored):
    with pytest.raises(RecordError, match="when has dtype datetime64"):
        record.save(xr.Dataset({"when": ("k", np.array(["2026-01-01"], "M8[ns]"))}), stored, group="times")


# ------------------------------------------------------------------------------------------- what is not a record


@pytest.mark.parametrize(
    "name", ["missing.zarr", "missing", "text.txt", "text.nc", "text.zarr", "empty.nc", "folder.zarr", "folder"]
)
def test_what_is_not_a_record_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    if path.stem == "text":
        path.write_text("this is not a record\n" * 100)
    elif path.stem == "empty":
        path.touch()
    elif path.stem == "folder":
        path.mkdir()
        (path / "notes.txt").write_text("mine")
    with pytest.raises(RecordError) as refused:
        record.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@both_formats
def test_a_store_that_is_no_record_says_that_it_has_no_schema(tmp_path, suffix):
    path = tmp_path / f"other{suffix}"
    ds = xr.Dataset({"temperature": ("x", [1.0, 2.0])})
    ds.to_netcdf(path, engine="h5netcdf") if suffix == ".nc" else ds.to_zarr(path, consolidated=False)
    with pytest.raises(RecordError, match="no schema attribute"):
        record.load(path)


@both_formats
def test_a_record_of_another_schema_version_says_which(tmp_path, suffix):
    ds = example()
    ds.attrs["schema"] = "quanta-record/9"
    _store.write(ds, tmp_path / f"run{suffix}")
    with pytest.raises(RecordError, match="'quanta-record/9'; this version of quanta reads 'quanta-record/1'"):
        record.load(tmp_path / f"run{suffix}")


@settings(max_examples=30)
@given(st.floats(0, 0.999))
def test_a_file_that_was_cut_anywhere_is_refused(share):
    with tempfile.TemporaryDirectory() as folder:
        path = record.save(example(), f"{folder}/run.nc")
        os.truncate(path, int(share * path.stat().st_size))
        with pytest.raises(RecordError):
            record.load(path)


def _files(store):
    return sorted(p.relative_to(store) for p in store.rglob("*") if p.is_file())


@pytest.mark.parametrize("damage", ["delete", "empty", "halve"])
def test_a_directory_store_without_any_one_of_its_files_is_refused(tmp_path, damage):
    """Zarr itself reads a missing chunk as zeros or nan, silently."""
    whole = record.save(example(), tmp_path / "whole.zarr")
    for file in _files(whole):
        torn = tmp_path / "torn.zarr"
        shutil.copytree(whole, torn)
        if damage == "delete":
            (torn / file).unlink()
        else:
            os.truncate(torn / file, (torn / file).stat().st_size // 2 if damage == "halve" else 0)
        with pytest.raises(RecordError, match=r"torn\.zarr"):
            record.load(torn)
        shutil.rmtree(torn)


def test_a_directory_store_without_one_of_its_variables_is_refused(tmp_path):
    path = record.save(example(), tmp_path / "run.zarr")
    shutil.rmtree(path / "accuracy")
    with pytest.raises(RecordError, match="damaged"):
        record.load(path)


# ------------------------------------------------------------------------------------------- failures while saving


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("stage", ["write", "_flush", "_move"])
@pytest.mark.parametrize("group", [None, "transitions"])
def test_a_save_that_fails_leaves_what_was_there(stored, monkeypatch, stage, group, error):
    def fail(*args, **kwargs):
        raise OSError(error, os.strerror(error), "some/temporary/name")

    record.save(xr.Dataset(attrs={"verdict": "smooth"}), stored, group="transitions")
    if stage == "write":
        stage = "_write_zarr" if stored.suffix == ".zarr" else "_write_netcdf"
    monkeypatch.setattr(_store, stage, fail)
    with pytest.raises(OSError, match=os.strerror(error)) as failed:
        record.save(example(step=[0, 1, 2]), stored, group=group, overwrite=True)
    assert failed.value.filename == str(stored)
    assert record.load(stored)["step"].values.tolist() == [0, 10, 100]
    assert record.load(stored, "transitions").attrs["verdict"] == "smooth"
    assert os.listdir(stored.parent) == [stored.name]


def test_a_rename_that_fails_puts_the_old_store_back(tmp_path, monkeypatch):
    path = record.save(example(), tmp_path / "run.zarr")
    rename = os.rename

    def fail_for_the_new(source, target):
        if ".tmp" in str(source):
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_for_the_new)
    with pytest.raises(OSError, match="Input/output error"):
        record.save(example(step=[0, 1, 2]), path, overwrite=True)
    assert record.load(path)["step"].values.tolist() == [0, 10, 100]
    assert os.listdir(tmp_path) == ["run.zarr"]


def _python(code, *args, **kwargs):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True, **kwargs)


SAVE_LARGE = """
import signal, resource, sys, numpy as np
from quanta import record
ds = record.new(np.random.default_rng(0).random((2000, 100)), step=range(100), frequency=np.ones(2000), source="imported")
if sys.argv[2] == "limited":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    record.save(ds, sys.argv[1])
except OSError as error:
    print(error.filename, error.strerror)
"""


@both_formats
def test_a_disk_that_takes_no_more_gives_one_line_and_no_store(tmp_path, suffix):
    job = _python(SAVE_LARGE, tmp_path / f"run{suffix}", "limited", stderr=subprocess.PIPE)
    out, err = job.communicate(timeout=60)
    assert out.split("\n")[0] == f"{tmp_path / f'run{suffix}'} {os.strerror(errno.EFBIG)}"
    assert err == ""
    assert os.listdir(tmp_path) == []


SAVE_FOREVER = """
import sys, numpy as np
from quanta import record
loss = np.random.default_rng(0).random((500, 200))
for i in range(10**6):
    ds = record.new(loss, step=np.arange(200) + i, frequency=np.ones(500), source="imported")
    record.save(ds, f"{sys.argv[1]}/{i}{sys.argv[2]}")
    record.save(ds, f"{sys.argv[1]}/same{sys.argv[2]}", overwrite=True)
    print(i, flush=True)
"""


@both_formats
def test_a_save_that_is_killed_leaves_a_whole_store_or_none(tmp_path, suffix):
    job = _python(SAVE_FOREVER, tmp_path, suffix)
    job.stdout.readline()
    time.sleep(0.31)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    stores = sorted(tmp_path.glob(f"[!.]*{suffix}"))
    assert stores
    for store in stores:
        assert record.load(store).sizes == {"subtask": 500, "step": 200}
    if not (tmp_path / f"same{suffix}").exists():  # killed between two renames: the old one is aside, and named
        with pytest.raises(RecordError, match="rename it"):
            record.load(tmp_path / f"same{suffix}")


def test_a_store_that_was_moved_aside_when_the_run_was_killed_is_named(tmp_path):
    record.save(example(), tmp_path / "run.zarr").rename(tmp_path / ".run.zarr.123.old")
    with pytest.raises(RecordError, match=r"\.run\.zarr\.123\.old: rename it"):
        record.load(tmp_path / "run.zarr")


# ------------------------------------------------------------------------------------------- the writer


def _log(writer, steps):
    for step in steps:
        writer.log(step, [1 / step, 1.0], accuracy=[0.5, 0.25], learning_rate=0.1)


@both_formats
def test_a_writer_makes_the_record_that_new_makes(tmp_path, suffix):
    with record.Writer(tmp_path / f"run{suffix}", frequency=[0.75, 0.25], optimizer="sgd") as writer:
        _log(writer, (1, 2, 4))
    expected = record.new(
        [[1, 0.5, 0.25], [1, 1, 1]],
        accuracy=[[0.5] * 3, [0.25] * 3],
        learning_rate=[0.1] * 3,
        step=[1, 2, 4],
        frequency=[0.75, 0.25],
        optimizer="sgd",
        source="trained",
    )
    loaded = record.load(tmp_path / f"run{suffix}")
    loaded.attrs["created"] = expected.attrs["created"]
    _same(loaded, expected)
    assert os.listdir(tmp_path) == [f"run{suffix}"]


def _crash(path, steps, **fields):
    def train():
        with record.Writer(path, **fields) as writer:
            _log(writer, steps)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()


def test_a_crashed_run_goes_on_from_its_last_step(tmp_path):
    path = tmp_path / "run.zarr"
    fields = {"frequency": np.array([0.75, 0.25])}
    _crash(path, (1, 2), **fields)
    with pytest.raises(RecordError, match="An unfinished run is there"):
        record.load(path)
    with pytest.raises(FileExistsError, match="unfinished run; resume it"):
        record.Writer(path, **fields)
    with record.Writer(path, resume=True, **fields) as writer:
        assert writer.last_step == 2
        _log(writer, (4, 8))
    with record.Writer(tmp_path / "straight.zarr", **fields) as writer:
        assert writer.last_step is None
        _log(writer, (1, 2, 4, 8))
    xr.testing.assert_equal(record.load(path), record.load(tmp_path / "straight.zarr"))
    assert sorted(os.listdir(tmp_path)) == ["run.zarr", "straight.zarr"]


def test_a_run_is_not_resumed_with_other_fields(tmp_path):
    _crash(tmp_path / "run.zarr", (1, 2), frequency=[0.75, 0.25])
    with pytest.raises(RecordError, match="other fields"):
        record.Writer(tmp_path / "run.zarr", resume=True, frequency=[0.5, 0.5])


def test_a_checkpoint_that_was_cut_is_refused(tmp_path):
    _crash(tmp_path / "run.zarr", (1, 2))
    os.truncate(tmp_path / "run.zarr.partial.npz", 300)
    with pytest.raises(RecordError, match="cannot be read"):
        record.Writer(tmp_path / "run.zarr", resume=True)


def test_a_run_that_ends_unsound_keeps_its_rows(tmp_path):
    writer = record.Writer(tmp_path / "run.zarr", frequency=[1, 1])
    writer.log(1, [1.0, 1.0])
    writer.log(2, [1.0, np.nan])
    with pytest.raises(RecordError, match="nan"):
        writer.close()
    assert record.Writer(tmp_path / "run.zarr", resume=True, frequency=[1, 1]).last_step == 2


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ({"step": 1, "loss": [1.0, 1.0]}, "steps must increase"),
        ({"step": 2, "loss": [1.0]}, r"loss has shape \(1,\)"),
        ({"step": 2, "accuracy": [1.0, 1.0]}, "accuracy"),
    ],
)
def test_a_checkpoint_that_does_not_follow_from_the_first_is_refused(tmp_path, second, named):
    writer = record.Writer(tmp_path / "run.zarr", frequency=[1, 1])
    writer.log(1, [1.0, 1.0])
    with pytest.raises(RecordError, match=named):
        writer.log(**second)


def test_a_writer_leaves_an_existing_record_alone(stored):
    with pytest.raises(FileExistsError, match="exists already"):
        record.Writer(stored)


def test_a_run_without_checkpoints_is_no_record(tmp_path):
    with pytest.raises(RecordError, match="nothing has been logged"):
        record.Writer(tmp_path / "run.zarr").close()
