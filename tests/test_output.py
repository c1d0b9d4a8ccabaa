"""Where results go: a run finds its own directory again, and touches nobody else's."""

import json
import os
from pathlib import Path

import pytest
import xarray as xr

import quanta
from quanta import _cli
from quanta._cli import Parsed
from quanta._errors import InputError
from quanta._output import Output, keep, output, run_name


def parsed(**options):
    return Parsed(_cli.Common(**options), parts={})


def open_output(path, resume=False, **options):
    return output("toy", "what", parsed(out=path, **options), resume=resume)


def finish(out, **summary):
    (out.path / "figure.png").touch()
    out.finish({"seed": 0}, summary)


def test_a_run_goes_to_a_directory_named_after_its_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output("toy", "what", parsed(seed=3)).path == Path("runs") / f"toy-what-{parsed(seed=3).hash()}"


def test_a_finished_run_is_found_again_with_its_summary(tmp_path):
    out = open_output(tmp_path / "run")
    assert not out.finished()
    finish(out, verdict="smooth")
    again = open_output(tmp_path / "run")
    assert again.finished()
    assert again.summary() == {"verdict": "smooth"}


def test_the_mark_of_a_run_is_json_that_says_how_it_was_made(tmp_path):
    finish(open_output(tmp_path / "run"), verdict="smooth")
    mark = json.loads((tmp_path / "run" / "run.json").read_text())
    assert mark["configuration"] == {"seed": "0"}
    assert mark["quanta_version"] == quanta.__version__


@pytest.mark.parametrize("done", [True, False])
def test_a_run_with_other_settings_is_refused(tmp_path, done):
    out = open_output(tmp_path / "run")
    if done:
        finish(out)
    for resume in (False, True):
        with pytest.raises(InputError, match=r"other settings \(seed was 0, is 1\); choose another name"):
            open_output(tmp_path / "run", resume, seed=1)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_that_is_no_run_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(InputError, match="is not a quanta run"):
        open_output(tmp_path / "thesis", overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"
    assert os.listdir(tmp_path / "thesis") == ["chapter.tex"]


def test_a_file_is_no_place_for_a_run(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        open_output(tmp_path / "file")
    assert _cli.main("toy", lambda argv: open_output(tmp_path / "file" / "run") and 0) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_overwriting_moves_the_old_run_aside(tmp_path):
    for i in range(3):
        finish(open_output(tmp_path / "run", overwrite=True), i=i)
    assert Output(tmp_path / "run", parsed().hash()).summary() == {"i": 2}
    assert json.loads((tmp_path / "run.old0" / "run.json").read_text())["summary"] == {"i": 0}
    assert json.loads((tmp_path / "run.old1" / "run.json").read_text())["summary"] == {"i": 1}


def test_a_run_that_was_killed_while_it_saved_starts_anew(tmp_path):
    out = open_output(tmp_path / "run")
    out.record.mkdir()
    (tmp_path / "run" / ".record.99.tmp.zarr").mkdir()
    again = open_output(tmp_path / "run")
    assert not again.finished()
    assert os.listdir(tmp_path / "run") == ["run.json"]


def test_an_unfinished_run_with_a_checkpoint_is_gone_on_with_only_if_told(tmp_path):
    out = open_output(tmp_path / "run")
    (out.path / "checkpoint.pt").touch()
    with pytest.raises(InputError, match="add --resume"):
        open_output(tmp_path / "run")
    assert not open_output(tmp_path / "run", resume=True).finished()
    assert (out.path / "checkpoint.pt").exists()


def test_a_mark_that_cannot_be_read_is_not_taken_for_a_run(tmp_path):
    out = open_output(tmp_path / "run")
    (out.path / "run.json").write_text('{"hash": "')
    with pytest.raises(InputError, match="is not a quanta run"):
        open_output(tmp_path / "run")


def test_a_full_disk_is_said_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 4096}))
    with pytest.raises(InputError, match="full disk"):
        open_output(tmp_path / "run")


def test_a_read_only_place_is_said_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="read-only"):
        open_output(tmp_path / "run")


@pytest.mark.parametrize(
    ("store", "name"), [("runs/mine/record.zarr", "mine"), ("runs/wd.1/record.nc", "wd.1"), ("runs/other.nc", "other")]
)
def test_a_run_is_called_by_its_directory_or_by_a_name_of_its_stores_own(store, name):
    assert run_name(Path(store)) == name


def test_analyses_that_cannot_be_kept_are_named_and_do_not_stop_the_command(tmp_path, capsys):
    keep({"deciles": xr.Dataset({"share": 1.0})}, tmp_path / "gone.zarr")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("the deciles could not be saved with the record: ")
