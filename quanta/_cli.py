"""Command lines from dataclass fields: one way to parse, to fail, and to place results, for every command.

A command is an options dataclass, plus families of parts of which ``--learner multilinear`` (say) picks one,
whose fields become flags too. Nothing heavy is imported until the flags are known to be right.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from quanta import __version__
from quanta._errors import InputError

COMMANDS = ("simulate", "train", "composition", "compare")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Flags that every command has."""

    out: Path | None = None
    """Where results go: a directory. By default runs/<command>-<what>-<hash of the configuration>."""
    overwrite: bool = False
    """Move what is at --out aside, and start anew."""
    seed: int = 0
    """Seed of all random numbers."""
    quiet: bool = False
    """No progress on stderr."""
    json: bool = False
    """Print one JSON object instead of text."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; expected 0 or more.")


# Flags that say where and how to print, not what to compute: they are not part of the configuration's hash.
_NOT_CONFIGURATION = {"out", "overwrite", "resume", "quiet", "json"}


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What the command line said: the options, and the chosen part of each family."""

    options: Any
    parts: dict[str, Any]

    def configuration(self) -> dict[str, Any]:
        """Everything that decides the result, flat: name → value."""
        flat = {f.name: getattr(self.options, f.name) for f in dataclasses.fields(self.options)}
        for part in self.parts.values():
            flat.update({f.name: getattr(part, f.name) for f in dataclasses.fields(part)})
        return {name: value for name, value in flat.items() if name not in _NOT_CONFIGURATION}

    def hash(self) -> str:
        """Ten hex digits that name the configuration."""
        text = json.dumps({k: str(v) for k, v in sorted(self.configuration().items())})
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def _flags_of(cls: type) -> list[str]:
    return ["--" + f.name.replace("_", "-") for f in dataclasses.fields(cls) if f.init]


def _take(argv: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of ``--flag VALUE`` or ``--flag=VALUE``, and the rest."""
    rest: list[str] = []
    value: str | None = None
    tokens = iter(argv)
    for token in tokens:
        name, _, inline = token.partition("=")
        if name.replace("_", "-") == flag:
            value = inline if inline else next(tokens, None)
            if value is None:
                raise InputError(f"{flag} needs a value.")
        else:
            rest.append(token)
    return value, rest


def _config_flags(path: str) -> list[str]:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not TOML: {error}.") from None
    flags: list[str] = []
    for name, value in table.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else "--no-" + flag[2:])
        elif isinstance(value, list):
            flags += [flag, *map(str, value)]
        else:
            flags += [flag, str(value)]
    return flags


def _toml(value: Any) -> str:
    if isinstance(value, (bool, int, float)) or value is None:
        return json.dumps(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(str(value))


def _plain_integers(argv: list[str]) -> list[str]:
    """``1e9`` and ``1_000`` as the integers that people mean by them."""
    plain = []
    for token in argv:
        head, sep, value = token.rpartition("=") if token.startswith("--") else ("", "", token)
        if re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d+", value) and float(value) == int(float(value)):
            value = str(int(float(value)))
        elif re.fullmatch(r"\d{1,3}(_\d{3})+", value):
            value = value.replace("_", "")
        plain.append(f"{head}{sep}{value}")
    return plain


def parse(
    command: str,
    options: type,
    families: Mapping[str, tuple[Mapping[str, type], str]],
    argv: Sequence[str] | None = None,
) -> Parsed:
    """Parse a command line.

    Parameters
    ----------
    command : str
        The module's name, such as "simulate".
    options : type
        A frozen dataclass with a docstring for each field, derived from :class:`Common`.
    families : mapping
        Name of a choice → (its members, its default): ``{"learner": (LEARNERS, "multilinear")}`` gives the flag
        ``--learner`` and the flags of the member that was chosen.
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Raises
    ------
    InputError
        For anything that does not parse, in one line.
    """
    import tyro

    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--version" in arguments:
        print(f"quanta {__version__}")
        raise SystemExit(0)
    config, arguments = _take(arguments, "--config")
    if config is not None:
        arguments = _config_flags(config) + arguments
    print_config = "--print-config" in arguments
    arguments = [a for a in arguments if a != "--print-config"]

    chosen: dict[str, type] = {}
    selectors: list[tuple[str, Any, Any]] = []
    for name, (members, default) in families.items():
        picked, arguments = _take(arguments, f"--{name}")
        picked = picked or default
        if picked not in members:
            close = difflib.get_close_matches(picked, members, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InputError(f"--{name} {picked!r} is unknown; expected one of {', '.join(members)}.{hint}")
        chosen[name] = members[picked]
        selectors.append((name, picked, tuple(members)))

    fields: list[Any] = []
    for name, picked, members_ in selectors:
        fields.append((name, typing.Literal[members_], dataclasses.field(default=picked)))
    for name, cls in chosen.items():
        annotated = Annotated[cls, tyro.conf.arg(prefix_name=False)]
        fields.append((f"{name}_part", annotated, dataclasses.field(default_factory=cls)))
    fields.append(
        ("options", Annotated[options, tyro.conf.arg(prefix_name=False)], dataclasses.field(default_factory=options))
    )
    namespace = dataclasses.make_dataclass("Command", fields, frozen=True, kw_only=True)

    noise = io.StringIO()
    try:
        wants_help = "--help" in arguments or "-h" in arguments
        with (
            contextlib.nullcontext() if wants_help else contextlib.redirect_stderr(noise),
            _quiet_stdout(wants_help, noise),
        ):
            parsed, unknown = tyro.cli(
                namespace,
                args=_plain_integers(arguments),
                prog=f"python -m quanta.{command}",
                description=(options.__doc__ or "").strip()
                + "\n\nAlso: --config FILE.toml, --print-config, --version.",
                config=(tyro.conf.OmitArgPrefixes,),
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(noise.getvalue())) from None
    if unknown:
        raise InputError(_unknown_flag(unknown[0], options, chosen, families))
    parts = {name: getattr(parsed, f"{name}_part") for name in chosen}
    result = Parsed(parsed.options, parts)
    if print_config:
        for name, picked, _ in selectors:
            print(f"{name} = {_toml(picked)}")
        for key, value in result.configuration().items():
            if value is not None:
                print(f"{key} = {_toml(value)}")
        raise SystemExit(0)
    return result


@contextlib.contextmanager
def _quiet_stdout(wanted: bool, noise: io.StringIO):  # type: ignore[no-untyped-def]
    if wanted:
        yield
    else:
        with contextlib.redirect_stdout(noise):
            yield


def _one_line(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"[│╭╮╰╯─┌┐└┘|]+|-{4,}", " ", text)
    text = " ".join(text.split())
    text = re.sub(r"^(Parsing error|Value error|Missing argument|Required options) ", "", text)
    text = re.sub(r"^Error parsing options: ", "", text)
    return re.split(r" Argument helptext| For full helptext", text)[0].strip()[:400] or "the flags could not be parsed"


def _unknown_flag(
    token: str, options: type, chosen: Mapping[str, type], families: Mapping[str, tuple[Mapping[str, type], str]]
) -> str:
    flag = token.partition("=")[0].replace("_", "-")
    if not flag.startswith("-"):
        return f"{token!r} is not expected here; a flag may have been misspelt or lost its --. See --help."
    for name, (members, _) in families.items():
        owners = [member for member, cls in members.items() if flag in _flags_of(cls)]
        if owners:
            mine = next(member for member, cls in members.items() if cls is chosen[name])
            return f"{flag} belongs to --{name} {' or '.join(owners)}, but --{name} is {mine}; choose that, or drop {flag}."
    known = [*_flags_of(options), *(f"--{name}" for name in families), "--config", "--print-config", "--version"]
    for cls in chosen.values():
        known += _flags_of(cls)
    close = difflib.get_close_matches(flag, known, n=1, cutoff=0.5)
    return f"unknown flag {flag}." + (f" Did you mean {close[0]}?" if close else " See --help.")


def main(command: str, run: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command; what the user can mend is one line on stderr and exit status 2, without a traceback."""
    try:
        return run(argv) or 0
    except (InputError, ModuleNotFoundError) as error:
        message = str(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
    except MemoryError as error:
        message = f"out of memory: {error}; use fewer subtasks or checkpoints."
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print(f"\nquanta.{command}: stopped.", file=sys.stderr)
        return 130
    print(f"quanta.{command}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def console() -> int:
    """``quanta simulate …`` as ``python -m quanta.simulate …``."""
    from importlib import import_module

    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        if len(sys.argv) > 1 and sys.argv[1] == "--version":
            print(f"quanta {__version__}")
            return 0
        wanted = len(sys.argv) > 1 and sys.argv[1] not in ("-h", "--help")
        text = f"usage: quanta {{{','.join(COMMANDS)}}} …  (each has --help)"
        print(
            f"quanta: error: unknown command {sys.argv[1]!r}. {text}" if wanted else text,
            file=sys.stderr if wanted else sys.stdout,
        )
        return 2 if wanted else 0
    return int(import_module(f"quanta.{sys.argv[1]}").main(sys.argv[2:]))


# ------------------------------------------------------------------------------------------ where results go


@dataclasses.dataclass(frozen=True)
class Output:
    """The directory of one run: ``record.zarr``, figures, and ``run.json``, which marks it as finished."""

    path: Path
    hash: str

    @property
    def record(self) -> Path:
        """Path of the record."""
        return self.path / "record.zarr"

    def finished(self) -> bool:
        """Whether the run of this very configuration is here, complete."""
        return self._mark().get("hash") == self.hash

    def _mark(self) -> dict[str, Any]:
        try:
            mark = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            return mark if isinstance(mark, dict) else {}
        except (OSError, ValueError):
            return {}

    def finish(self, configuration: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Mark the run as finished: written last, atomically."""
        mark = {
            "hash": self.hash,
            "quanta_version": __version__,
            "configuration": {k: str(v) for k, v in configuration.items()},
            "summary": summary,
        }
        temporary = self.path / ".run.json.tmp"
        temporary.write_text(json.dumps(mark, indent=1, default=str) + "\n", encoding="utf-8")
        os.replace(temporary, self.path / "run.json")

    def summary(self) -> dict[str, Any]:
        """What the finished run reported."""
        return dict(self._mark().get("summary", {}))


def output(command: str, what: str, parsed: Parsed, *, resume: bool = False) -> Output:
    """Find the run's directory, and refuse to touch anything that is not a run of this configuration.

    Raises
    ------
    InputError
        If the path holds something else, or another run, and ``--overwrite`` was not given.
    """
    options = parsed.options
    path = options.out or Path("runs") / f"{command}-{what}-{parsed.hash()}"
    out = Output(Path(path), parsed.hash())
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} exists and is a file; expected a directory. Choose another name.")
    if path.exists() and any(path.iterdir()) and not out.finished():
        mark = out._mark()
        unfinished = (path / "state.json").exists() or any(path.glob("*.checkpoint*"))
        if options.overwrite:
            aside = next(p for i in range(1000) if not (p := path.with_name(f"{path.name}.old{i}")).exists())
            os.rename(path, aside)
        elif mark:
            raise InputError(f"--out {path} holds a run with other settings; choose another name, or add --overwrite.")
        elif unfinished and not resume:
            raise InputError(f"--out {path} holds an unfinished run; add --resume to go on with it, or --overwrite.")
        elif not unfinished:
            raise InputError(f"--out {path} exists and is not a quanta run; choose another name.")
    elif out.finished() and options.overwrite:
        aside = next(p for i in range(1000) if not (p := path.with_name(f"{path.name}.old{i}")).exists())
        os.rename(path, aside)
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise InputError(f"--out {path} cannot be written to (read-only); choose another place.")
    free = shutil.disk_usage(path).free
    if free < 2**20:
        raise InputError(
            f"--out {path} is on a full disk ({free} bytes free); free some space, or choose another place."
        )
    return out
