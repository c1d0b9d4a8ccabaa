"""Command lines: what parses, what is refused in one line, and where results go. On a toy command of toy parts."""

import errno
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import tyro

import quanta
from quanta import _cli
from quanta._errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Slow:
    """A toy part."""

    rate: float = 0.5
    """How fast it learns."""
    hidden_size: int = 3
    """How large it is."""

    def __post_init__(self):
        if self.rate <= 0:
            raise InputError(f"rate is {self.rate}; expected more than 0.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fast:
    """Another toy part."""

    patience: int = 7
    """How long it waits."""
    hidden_size: int = 3
    """How large it is."""


LEARNERS = {"slow": Slow, "fast": Fast}


@dataclass(frozen=True, kw_only=True)
class Options(_cli.Common):
    """A toy command."""

    n_subtasks: int = 1000
    """How many subtasks."""
    steps: int | None = None
    """How many steps."""
    widths: tuple[int, ...] = (1, 2)
    """Several numbers."""
    control: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A flag that is repeated."""
    name: str = "a b"
    """A string."""
    detect: bool = True
    """A switch."""


@dataclass(frozen=True, kw_only=True)
class OptionsOfRun(Options):
    """A toy command with an argument."""

    run: tyro.conf.Positional[Path]
    """The run."""


def parse(*argv, options=Options):
    return _cli.parse("toy", options, {"learner": (LEARNERS, "slow")}, argv)


def status(*argv):
    return _cli.main("toy", lambda argv: parse(*argv) and 0, argv)


def test_the_fields_of_the_options_and_of_the_chosen_part_are_flags():
    parsed = parse("--n-subtasks", "5", "--learner", "fast", "--patience=9", "--no-detect", "--widths", "3", "4")
    assert parsed.options.n_subtasks == 5
    assert parsed.options.detect is False
    assert parsed.options.widths == (3, 4)
    assert parsed.parts["learner"] == Fast(patience=9)


def test_flags_are_spelt_with_hyphens_or_underscores():
    assert parse("--n_subtasks", "5").options.n_subtasks == 5


@pytest.mark.parametrize(("text", "number"), [("1e3", 1000), ("1_000", 1000), ("1.5e3", 1500), ("1E9", 10**9)])
def test_whole_numbers_may_be_written_as_people_write_them(text, number):
    assert parse("--n-subtasks", text).options.n_subtasks == number
    assert parse(f"--steps={text}").options.steps == number
    assert parse("--widths", "7", text).options.widths == (7, number)


def test_only_whole_numbers_are_rewritten():
    assert parse("--name", "1e3", "--rate", "1e-3") == parse("--name=1e3", "--rate=0.001")
    assert parse("--name", "1e3").options.name == "1e3"


def test_a_flag_may_be_repeated_where_it_collects():
    assert parse("--control", "a", "--control", "b").options.control == ("a", "b")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_flag_of_the_options_and_of_the_chosen_part(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--learner", "fast", flag)
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in (
        "--n-subtasks",
        "--patience",
        "--hidden-size",
        "--out",
        "--seed",
        "--overwrite",
        "--learner",
        "--config",
    ):
        assert name in out


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--version")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"quanta {quanta.__version__}\n"


REFUSED = {
    ("--n-subtask", "5"): "unknown flag --n-subtask. Did you mean --n-subtasks?",
    ("--frobnicate",): "unknown flag --frobnicate",
    ("--n-subtasks", "many"): "'many' is not a whole number",
    ("--n-subtasks", "2.5"): "'2.5' is not a whole number",
    ("--n-subtasks", "nan"): "'nan' is not a whole number",
    ("--n-subtasks", "1e400"): "'1e400' is not a whole number",
    ("--n-subtasks", "1e999999999"): "'1e999999999' is not a whole number",
    ("--n-subtasks", "9" * 5000): "--n-subtasks",
    ("--n-subtasks",): "'--n-subtasks'",
    ("--rate", "quick"): "'quick' is not a number",
    ("--rate", "-1"): "rate is -1.0; expected more than 0.",
    ("--seed", "-1"): "--seed is -1; expected 0 or more.",
    ("--learner", "slwo"): "'slwo' is unknown; expected one of slow, fast. Did you mean 'slow'?",
    ("--learner",): "--learner needs a value",
    ("--learner=",): "--learner needs a value",
    ("--learner", "slow", "--patience", "3"): "--patience belongs to --learner fast, but --learner is slow",
    ("--patience=3",): "--patience belongs to --learner fast, but --learner is slow",
    ("run.zarr",): "'run.zarr' is not expected here",
    ("--detect", "maybe"): "'maybe' is not expected here",
    ("--config", "missing.toml"): "--config missing.toml cannot be read: No such file or directory",
    ("--config",): "--config needs a value",
}


@pytest.mark.parametrize("argv", REFUSED, ids=lambda argv: " ".join(argv)[:40])
def test_bad_input_is_one_line_that_names_it(argv, capsys):
    assert status(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("quanta.toy: error: ")
    assert err.count("\n") == 1
    assert REFUSED[argv] in err


def test_an_argument_that_is_missing_is_named(capsys):
    with pytest.raises(InputError, match="The run"):
        parse(options=OptionsOfRun)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("two\nlines"), "two lines"),
        (FileExistsError("run.zarr exists already"), "run.zarr exists already"),
        (OSError(errno.ENOSPC, "No space left on device", "a/run.zarr"), "a/run.zarr: No space left on device; free"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: Read-only file system; choose another place"),
        (MemoryError("8 GiB"), "out of memory: 8 GiB"),
        (ModuleNotFoundError("quanta.train needs PyTorch"), "quanta.train needs PyTorch"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_user_can_mend_is_one_line_without_a_traceback(error, line, capsys):
    def run(argv):
        raise error

    assert _cli.main("toy", run, []) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"quanta.toy: error: {line}")
    assert err.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        _cli.main("toy", lambda argv: 1 // 0, [])


def test_a_run_that_is_stopped_says_so(capsys):
    def run(argv):
        raise KeyboardInterrupt

    assert _cli.main("toy", run, []) == 130
    assert capsys.readouterr().err == "\nquanta.toy: stopped.\n"


CLOSED_PIPE = "import sys; from quanta import _cli; sys.exit(_cli.main('toy', lambda argv: [print(i) for i in range(10**6)] and 0))"


def test_a_reader_that_leaves_is_no_error():
    job = subprocess.Popen([sys.executable, "-c", CLOSED_PIPE], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    job.stdout.readline()
    job.stdout.close()
    assert job.stderr.read() == b""
    job.stderr.close()
    assert job.wait() == 1


def _config(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return str(path)


def test_a_file_sets_what_flags_set_and_flags_override_it(tmp_path):
    path = _config(tmp_path, 'learner = "fast"\npatience = 9\nn-subtasks = 5\ndetect = false\nwidths = [3, 4]\n')
    assert parse("--config", path) == parse(
        *["--learner", "fast", "--patience", "9", "--n-subtasks", "5", "--no-detect", "--widths", "3", "4"]
    )
    overridden = parse("--config", path, "--n-subtasks", "6", "--detect")
    assert (overridden.options.n_subtasks, overridden.options.detect) == (6, True)
    assert parse("--learner", "slow", "--config", _config(tmp_path, 'learner = "fast"')).parts["learner"] == Slow()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("n_subtask = 5", "unknown flag --n-subtask. Did you mean --n-subtasks?"),
        ("patience = 5", "--patience belongs to --learner fast"),
        ("n_subtasks = 'many'", "'many' is not a whole number"),
        ("rate = -1.0", "rate is -1.0"),
        ("learner = 'slwo'", "'slwo' is unknown"),
        ("n_subtasks 5", "is not TOML"),
        ("[options]\nn_subtasks = 5", "unknown flag --options"),
        ("[n_subtasks]\nx = 5", "n_subtasks is a table; expected a value"),
    ],
)
def test_a_file_with_a_fault_is_refused_in_one_line(tmp_path, text, named, capsys):
    assert status("--config", _config(tmp_path, text)) == 2
    err = capsys.readouterr().err
    assert named in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--learner", "fast", "--patience", "9", "--no-detect", "--steps", "1e6"),
        ("--rate", "1e-5", "--widths", "5", "--control", "a", "--control=b c", "--seed", "3"),
        ("--name", 'a "b" \\ é\n'),
        ("--rate", "inf", "--widths", "--name=--x"),
    ],
)
@pytest.mark.parametrize(("options", "more"), [(Options, ()), (OptionsOfRun, ("runs/a b",))])
def test_the_configuration_that_is_printed_gives_itself_when_it_is_read(tmp_path, capsys, argv, options, more):
    with pytest.raises(SystemExit) as stop:
        parse(*argv, *more, "--print-config", options=options)
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "learner" in tomllib.loads(text)
    again = parse("--config", _config(tmp_path, text), options=options)
    assert again == parse(*argv, *more, options=options)
    assert again.hash() == parse(*argv, *more, options=options).hash()


def test_the_hash_is_of_what_decides_the_result():
    assert parse().hash() == parse("--quiet", "--json", "--out", "x", "--overwrite").hash()
    different = [parse(*argv.split()).hash() for argv in ("--seed 1", "--rate 1", "--learner fast", "--no-detect", "")]
    assert len({*different}) == len(different)


COMMANDS = [name for name in _cli.COMMANDS if find_spec(f"quanta.{name}")]


def _quanta(*argv):
    return subprocess.run(
        [sys.executable, "-c", "import sys; from quanta._cli import console; sys.exit(console())", *argv],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_misspelt_flag_in_one_line(command):
    done = subprocess.run(
        [sys.executable, "-m", f"quanta.{command}", "--sead", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Did you mean --seed?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_console_script_names_its_commands():
    for argv, code in (("--help", 0), ("frobnicate", 2)):
        done = _quanta(argv)
        assert done.returncode == code
        assert all(command in done.stdout + done.stderr for command in _cli.COMMANDS)
    assert _quanta("--version").stdout == f"quanta {quanta.__version__}\n"
