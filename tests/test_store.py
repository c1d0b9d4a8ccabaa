"""Records on disk: whole or not at all, and refused where they are not what was written."""

import errno
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
from sound_records import attributes, example, records, words

from quanta import _store, record
from quanta._errors import InputError
from quanta.record import RecordError

SUFFIXES = (".zarr", ".nc")
both_formats = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture(params=SUFFIXES)
def stored(request, tmp_path):
    """A record on disk, in each format."""
    return record.save(example(), tmp_path / f"run{request.param}")


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
    with pytest.raises(RecordError, match="no weight"):
        record.save(example().drop_vars("weight"), tmp_path / "run.zarr")
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
