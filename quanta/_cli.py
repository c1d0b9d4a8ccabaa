"""Command lines from dataclass fields: one way to parse, and to fail, for every command.

A command is an options dataclass, plus families of parts of which ``--learner multilinear`` (say) picks one,
whose fields become flags too. Nothing heavy is imported until the flags are known to be right.
"""

import contextlib
import dataclasses
import decimal
import difflib
import errno
import hashlib
import inspect
import io
import json
import os
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from quanta import __version__
from quanta._errors import InputError, quoted
from quanta._output import Output, output

__all__ = ["COMMANDS", "Common", "Output", "Parsed", "console", "main", "output", "parse"]

COMMANDS = ("simulate", "train", "composition", "compare", "plan", "discovery", "sweep")

Families = Mapping[str, tuple[Mapping[str, type], str]]  # choice → (its members, the default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Flags that every command has."""

    out: Path | None = None
    """Where results go: a directory. By default runs/<command>-<what>-<hash of the configuration>."""
    overwrite: bool = False
    """Move the run that is at --out aside, and start anew."""
    seed: int = 0
    """Seed of all random numbers."""
    quiet: bool = False
    """No progress on stderr."""
    json: bool = False
    """Print one JSON object instead of text."""


# Flags that say where and how to print, not what to compute: they are not part of the configuration's hash.
_NOT_CONFIGURATION = {"out", "overwrite", "resume", "quiet", "json"}


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What the command line said: the options, and the chosen part of each family."""

    options: Any
    parts: dict[str, Any]
    choices: dict[str, str] = dataclasses.field(default_factory=dict)
    content: dict[str, Any] = dataclasses.field(default_factory=dict)

    def with_content(self, **content: Any) -> "Parsed":
        """The same, with what a named file says: the file may change, and then it is another run."""
        return dataclasses.replace(self, content=content)

    def configuration(self) -> dict[str, Any]:
        """Everything that decides the result, flat: name → value."""
        flat: dict[str, Any] = dict(self.choices)
        for source in (self.options, *self.parts.values()):
            flat.update({f.name: getattr(source, f.name) for f in dataclasses.fields(source) if f.init})
        flat.update(self.content)
        return {name: value for name, value in flat.items() if name not in _NOT_CONFIGURATION}

    def hash(self) -> str:
        """Ten hex digits that name the configuration."""
        text = json.dumps({k: str(v) for k, v in sorted(self.configuration().items())})
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def toml(self) -> str:
        """The configuration as ``--config`` reads it."""
        return "\n".join(f"{k} = {_toml(v)}" for k, v in self.configuration().items() if v is not None)


def parse(
    command: str, options: type, families: Families, argv: Sequence[str] | Mapping[str, Any] | None = None
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
    argv : sequence of str or mapping, optional
        Arguments, or settings as a file of ``--config`` has them; by default the arguments of the process.

    Raises
    ------
    InputError
        For anything that does not parse, in one line.
    """
    settings = dict(argv) if isinstance(argv, Mapping) else {}
    arguments = [] if isinstance(argv, Mapping) else list(sys.argv[1:] if argv is None else argv)
    if "--version" in arguments:
        print(f"quanta {__version__}")
        raise SystemExit(0)
    config, arguments = _take(arguments, "--config")
    table = _read_config(config) if config is not None else settings
    where = f"--config {config}: " if config is not None else ""
    choices: dict[str, str] = {}
    for name, (members, default) in families.items():
        in_file = str(table.pop(name, default))
        picked, arguments = _take(arguments, f"--{name}")
        choices[name] = _choose(name, picked or in_file, members)
    classes = [options, *(families[name][0][member] for name, member in choices.items())]
    hints = {name: hint for cls in classes for name, hint in _hints(cls).items()}
    for key in table:
        if key.replace("-", "_") not in hints:
            raise InputError(f"{where}{_unknown_flag('--' + key, options, families, choices)}")
        if isinstance(table[key], dict):
            raise InputError(f"{where}{key} is a table; expected a value.")
    wants_config = "--print-config" in arguments
    arguments = _config_flags(table, hints) + [a for a in arguments if a != "--print-config"]
    known = {"--help", *map(_flag, hints), *(f"--no-{_flag(name)[2:]}" for name in hints)}
    for token in arguments:  # before the parser, which would first complain of what else is missing
        if token.startswith("--") and token.partition("=")[0].replace("_", "-") not in known:
            raise InputError(_unknown_flag(token, options, families, choices))
    parsed, unknown = _parse_flags(command, options, families, choices, _normalise(arguments, hints))
    if unknown:
        raise InputError(_unknown_flag(unknown[0], options, families, choices))
    result = Parsed(parsed.options, {name: getattr(parsed, f"{name}_part") for name in families}, choices)
    if result.options.seed < 0:
        raise InputError(f"--seed is {result.options.seed}; expected 0 or more.")
    if wants_config:
        print(result.toml())
        raise SystemExit(0)
    return result


def main(command: str, run: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command; what the user can mend is one line on stderr and exit status 2, without a traceback."""
    try:
        return run(argv) or 0
    except BrokenPipeError:  # the reader of our output has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MENDABLE as error:
        print(f"quanta.{command}: error: {explained(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nquanta.{command}: stopped.", file=sys.stderr)
        return 130


MENDABLE = (InputError, ModuleNotFoundError, OSError, MemoryError)
"""What goes wrong for reasons that the user can do something about."""


def explained(error: BaseException) -> str:
    """One of those in a line, with what to do about it."""
    message = str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}{_ADVICE.get(error.errno or 0, '')}"
    if isinstance(error, MemoryError):
        message = f"out of memory: {error}; use fewer subtasks or checkpoints."
    return " ".join(message.split())


_ADVICE = {
    errno.ENOSPC: "; free some space, or choose another place.",
    errno.EDQUOT: "; free some space, or choose another place.",
    errno.EFBIG: "; choose a place that takes larger files.",
    errno.EROFS: "; choose another place.",
    errno.EACCES: "; choose another place, or ask for the permission.",
    errno.ENOTDIR: "; choose another name.",
}


def console() -> int:
    """``quanta simulate …`` as ``python -m quanta.simulate …``."""
    from importlib import import_module

    usage = f"usage: quanta {{{','.join(COMMANDS)}}} …  (each has --help)"
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in COMMANDS:
        return int(import_module(f"quanta.{command}").main(sys.argv[2:]))
    if command in ("-h", "--help", "--version"):
        print(f"quanta {__version__}" if command == "--version" else usage)
        return 0
    print(f"quanta: error: unknown command {command!r}. {usage}", file=sys.stderr)
    return 2


def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _take(argv: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of ``--flag VALUE`` or ``--flag=VALUE``, and the rest."""
    rest: list[str] = []
    value: str | None = None
    tokens = iter(argv)
    for token in tokens:
        name, equals, inline = token.partition("=")
        if name.replace("_", "-") == flag:
            value = inline if equals else next(tokens, "")
            if not value:
                raise InputError(f"{flag} needs a value.")
        else:
            rest.append(token)
    return value, rest


def _choose(name: str, picked: str, members: Mapping[str, type]) -> str:
    if picked not in members:
        close = difflib.get_close_matches(picked, members, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"--{name} {picked!r} is unknown; expected one of {', '.join(members)}.{hint}")
    return picked


def _read_config(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not TOML: {quoted(error)}.") from None


def _config_flags(table: Mapping[str, Any], hints: Mapping[str, Any]) -> list[str]:
    """The settings of a file as flags, which the command line's own flags then follow, and override."""
    import tyro

    flags: list[str] = []
    for key, value in table.items():
        marks = getattr(hints[key.replace("-", "_")], "__metadata__", ())
        if isinstance(value, bool):
            flags.append(_flag(key) if value else "--no-" + _flag(key)[2:])
        elif tyro.conf.Positional in marks:
            flags += map(str, value if isinstance(value, list) else [value])
        elif isinstance(value, list) and tyro.conf.UseAppendAction in marks:
            flags += [f"{_flag(key)}={item}" for item in value]
        elif isinstance(value, list):
            flags += [_flag(key), *map(str, _flat(value))]
        else:
            flags.append(f"{_flag(key)}={value}")
    return flags


def _flat(values: list[Any]) -> list[Any]:
    """Pairs as the parser takes them, one number after the other."""
    return [leaf for value in values for leaf in (_flat(value) if isinstance(value, list) else [value])]


def _toml(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)  # inf and nan are TOML's own words
    if isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def _normalise(argv: list[str], hints: Mapping[str, Any]) -> list[str]:
    """``1e9`` as the integer that people mean by it, and ``--flag=x`` in two where the parser wants a repeated flag so."""
    import tyro

    plain: list[str] = []
    hint = None
    for token in argv:
        flag, equals, value = token.partition("=") if token.startswith("--") else ("", "", token)
        if flag:
            hint = hints.get(flag[2:].replace("-", "_"))
        whole = hint is int or int in typing.get_args(hint)
        if whole and re.fullmatch(r"-?\d+(\.\d+)?[eE]\+?\d{1,2}", value):
            number = decimal.Decimal(value)
            value = str(int(number)) if number == int(number) else value
        repeated = tyro.conf.UseAppendAction in getattr(hint, "__metadata__", ())
        plain += [flag, value] if equals and repeated else [f"{flag}{equals}{value}"]
    return plain


def _parse_flags(
    command: str, options: type, families: Families, choices: Mapping[str, str], arguments: list[str]
) -> tuple[Any, list[str]]:
    """The options and parts as fields of one object, and what was not understood."""
    import tyro

    fields: list[Any] = []
    owners = [options, *(families[name][0][picked] for name, picked in choices.items())]
    for name, picked in choices.items():
        members = families[name][0]
        fields.append((name, typing.Literal[tuple(members)], dataclasses.field(default=picked)))
        fields.append(
            (f"{name}_part", Annotated[members[picked], tyro.conf.arg(name=f"{name} {picked}", prefix_name=False)])
        )
    fields.append(("options", Annotated[options, tyro.conf.arg(name="run", prefix_name=False)]))
    noise = io.StringIO()
    with contextlib.ExitStack() as stack:
        if not {"--help", "-h"} & {*arguments}:
            stack.enter_context(contextlib.redirect_stderr(noise))
            stack.enter_context(contextlib.redirect_stdout(noise))
        try:
            return tyro.cli(
                dataclasses.make_dataclass("Command", fields, frozen=True, kw_only=True),
                args=arguments,
                prog=f"python -m quanta.{command}",
                description=f"{(options.__doc__ or '').strip()}\n\nAlso: --config FILE.toml, --print-config, --version.",
                config=(tyro.conf.OmitArgPrefixes,),
                return_unknown_args=True,
                registry=_parts_as_text(),
            )
        except SystemExit as stop:
            if stop.code in (0, None):
                raise
            hints = {_flag(name): hint for owner in owners for name, hint in _hints(owner).items()}
            raise InputError(_in_pairs(_one_line(noise.getvalue()), hints)) from None


def _parts_as_text() -> Any:
    """The rule for a field that holds a part, whose type says how it is written: ``--skill "threshold(hits=3)"``."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        read = getattr(info.type, "from_text", None)
        if read is None or not inspect.isabstract(info.type):  # a member that was chosen has flags of its own
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar='"PART(FIELD=VALUE, …)"',
            instance_from_str=lambda texts: read(texts[0]),
            is_instance=lambda value: isinstance(value, info.type),
            str_from_instance=lambda part: [str(part)],
        )

    return registry


def _one_line(text: str) -> str:
    """The first complaint in a framed, coloured message of the parser's."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"[│╭╮╰╯─┌┐└┘|]+|-{4,}", " ", text)
    text = " ".join(text.split())
    text = re.sub(r"^(Parsing error|Value error|Missing argument|Required options) ", "", text)
    text = re.sub(r"^Error parsing (options|\S+-part): ", "", text)
    text = re.sub(r"^Error parsing (--\S+): ", r"\1: ", text)
    text = re.sub(r"invalid literal for int\(\) with base 10: ('[^']*')", r"\1 is not a whole number", text)
    text = re.sub(r"could not convert string to float: ('[^']*')", r"\1 is not a number", text)
    text = re.sub(r"Could not find valid parse for arguments: (\[.*?\])", r"\1 cannot be read; see --help", text)
    choice = r"Invalid choice (?:invalid choice )?('[^']*') for argument '(--[\w-]+)'\. Expected one of \((.*?)(?:, 'None')?\)"
    text = re.sub(choice, r"\2 is \1; expected one of \3", text)
    text = re.sub(r"argument '(?:options|run)\.(\w+)'", lambda found: found.group(1).upper(), text)
    return re.split(r" Argument helptext| For full helptext", text)[0].strip()[:400] or "the flags could not be parsed"


def _in_pairs(message: str, hints: Mapping[str, Any]) -> str:
    """The complaint, with what is wanted where a flag takes pairs of values: of a tuple of tuples the parser says nothing."""
    inner = typing.get_args(hints.get(message.partition(":")[0]))[:1]
    if inner and typing.get_origin(inner[0]) is tuple and len(typing.get_args(inner[0])) == 2:
        return message.replace("cannot be read; see --help", "cannot be read; expected pairs of whole numbers")
    return message


def _unknown_flag(token: str, options: type, families: Families, choices: Mapping[str, str]) -> str:
    flag = token.partition("=")[0].replace("_", "-")
    if not flag.startswith("-"):
        return f"{token!r} is not expected here; a flag may have been misspelt or lost its --. See --help."
    known = [*map(_flag, _hints(options)), *map(_flag, families), "--config", "--print-config", "--version", "--help"]
    for name, (members, _) in families.items():
        owners = [member for member, cls in members.items() if flag in map(_flag, _hints(cls))]
        if owners:
            return (
                f"{flag} belongs to --{name} {' or '.join(owners)}, but --{name} is {choices[name]}; "
                f"choose that, or drop {flag}."
            )
        known += map(_flag, _hints(members[choices[name]]))
    close = difflib.get_close_matches(flag, known, n=1, cutoff=0.5)
    return f"unknown flag {flag}." + (f" Did you mean {close[0]}?" if close else " See --help.")
