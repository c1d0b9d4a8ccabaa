"""Mixture: several tasks in one network, each subtask at its own frequency."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from quanta import _parts
from quanta._errors import InputError
from quanta.tasks.base import AbstractTask, Batch

_PART = re.compile(r"\s*(\d+)\s+(\w+)\s*(\(.*?\))?\s*(?:$|,(?=\s*\d+\s+[a-z]))", re.DOTALL)


class Part(NamedTuple):
    """Some subtasks of one task."""

    size: int
    name: str
    task: AbstractTask

    def __str__(self) -> str:
        return f"{self.size} {self.kind}"

    @property
    def kind(self) -> str:
        """The task with its fields, as it is written among the parts."""
        return self.name + repr(self.task).removeprefix(type(self.task).__name__)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture(AbstractTask):
    """Subtasks of several tasks, in one network with one vocabulary and one set of answers.

    The places of the tasks in the order of frequency are drawn at random, so that what sort a subtask is of says nothing
    of how frequent it is; within a task the subtasks keep their order. All tasks write with the same symbols, 0, 1, …, and
    choose among the answers of the largest. Sequences are filled up on the left with one more symbol, so that the task
    token is last in all of them.

    Sorts of subtasks have chance levels of their own, and their own exponents of timing: judge each by itself
    (``python -m quanta.composition RUN --by kind``).

    Examples
    --------
    >>> task = Mixture(parts="2 modular_arithmetic(modulus=3), 2 copying(string=3, vocabulary=2)")
    >>> rules = task.draw(4, np.random.default_rng(0))
    >>> task.kinds(rules)
    ['copying', 'modular_arithmetic', 'modular_arithmetic', 'copying']
    >>> task.batch(rules, np.arange(4), np.random.default_rng(0)).tokens  # 3 fills up, 4 to 7 are task tokens
    array([[0, 0, 0, 4],
           [3, 2, 1, 5],
           [3, 1, 0, 6],
           [0, 0, 1, 7]])
    """

    parts: str = "10 modular_arithmetic(modulus=5), 8 copying(string=8, vocabulary=5), 16 facts(values=5), 10 sparse_parity(bits=8)"
    """How many subtasks of which tasks: "8 modular_arithmetic(modulus=7), 6 copying". Fields in brackets; those left out
    have the task's own defaults."""

    def __post_init__(self) -> None:
        # Spelt out, so that equal mixtures are equal, and stay what they are when a default changes.
        object.__setattr__(self, "parts", ", ".join(map(str, _read(self.parts))))

    @property
    def n_classes(self) -> int:
        """As many as the task with the most answers has."""
        return max(part.task.n_classes for part in _read(self.parts))

    @property
    def n_symbols(self) -> int:
        """As many as the task with the most symbols has, and the one that fills up."""
        return max(part.task.n_symbols for part in _read(self.parts)) + 1

    @property
    def length(self) -> int:
        """That of the longest task."""
        return max(part.task.length for part in _read(self.parts))

    @property
    def n_inputs(self) -> int:
        """That of the task with the most."""
        return max(part.task.n_inputs for part in _read(self.parts))

    @property
    def n_distinct(self) -> int:
        """As many as the parts have together."""
        return sum(part.size for part in _read(self.parts))

    @property
    def n_default(self) -> int:
        """All of them: there is no choice."""
        return self.n_distinct

    def check_count(self, n_subtasks: int) -> None:
        """Refuse any number but that of the parts."""
        AbstractTask.check_count(self, n_subtasks)
        if n_subtasks < self.n_distinct:
            raise InputError(
                f"{n_subtasks} subtasks were asked for, but the parts of {self!r} are {self.n_distinct} together; "
                "leave the number out, or change the parts."
            )

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """In random order, (n_subtasks, …): number of the part, number of the rule's parameters, these, and −1."""
        self.check_count(n_subtasks)
        parts = _read(self.parts)
        of = rng.permutation(np.repeat(np.arange(len(parts)), [part.size for part in parts]))
        own = [part.task.draw(part.size, rng) for part in parts]
        rules = np.full((n_subtasks, 2 + max(rule.shape[1] for rule in own)), -1, dtype=np.int64)
        rules[:, 0] = of
        for i, rule in enumerate(own):
            rules[of == i, 1] = rule.shape[1]
            rules[of == i, 2 : 2 + rule.shape[1]] = rule
        return rules

    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """One random example of each entry of ``subtask``."""
        made, rows = [], []
        for member in self._members(rules):
            mine = np.flatnonzero(rules[subtask, 0] == rules[member.subtasks[0], 0])
            if len(mine):
                number = np.searchsorted(member.subtasks, subtask[mine])
                made.append(self._joined(member, member.task.batch(member.rules, number, rng)))
                rows.append(mine)
        return _stacked(made).take(np.argsort(np.concatenate(rows)))

    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All examples of each entry of ``subtask``."""
        self.check_listed("evaluating on every input")
        members = {k: member for member in self._members(rules) for k in member.subtasks.tolist()}
        return _stacked([self._all(members[k], k) for k in subtask.tolist()])

    def _all(self, member: "_Member", k: int) -> Batch:
        number = np.searchsorted(member.subtasks, [k])
        return self._joined(member, member.task.exhaustive(member.rules, number))

    def n_cases(self, rules: np.ndarray) -> np.ndarray | None:
        """Those of each subtask in its own task."""
        found = np.zeros(len(rules), dtype=np.int64)
        for member in self._members(rules):
            own = member.task.n_cases(member.rules)
            if own is None:
                return None
            found[member.subtasks] = own
        return found

    def chance(self, rules: np.ndarray) -> np.ndarray:
        """That of each subtask in its own task: that it has no other answers is soon learned."""
        found = np.zeros(len(rules))
        for member in self._members(rules):
            found[member.subtasks] = member.task.chance(member.rules)
        return found

    def kinds(self, rules: np.ndarray) -> list[str]:
        """The task of each subtask; with its fields, where two parts have the same."""
        parts = _read(self.parts)
        names = [part.name for part in parts]
        kinds = [part.kind if names.count(part.name) > 1 else part.name for part in parts]
        return [kinds[i] for i in rules[:, 0].tolist()]

    def labels(self, rules: np.ndarray) -> list[str]:
        """The kind, and the task's own name of the subtask, else its number in it."""
        found = self.kinds(rules)
        for member in self._members(rules):
            own = member.task.labels(member.rules) or map(str, range(len(member.rules)))
            for k, label in zip(member.subtasks.tolist(), own, strict=True):
                found[k] += f" {label}"
        return found

    def evaluation(self, rules: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
        """The evaluation sets of the tasks, one after the other."""
        for member in self._members(rules):
            for piece in member.task.evaluation(member.rules, rng):
                yield self._joined(member, piece)

    def n_evaluated(self, n_subtasks: int) -> int:
        """Sequences in the evaluation sets of the tasks."""
        return sum(part.task.n_evaluated(part.size) for part in _read(self.parts))

    def _members(self, rules: np.ndarray) -> "list[_Member]":
        """The parts, each with what is its own of the rules."""
        members = []
        for i, part in enumerate(_read(self.parts)):
            subtasks = np.flatnonzero(rules[:, 0] == i)
            n_parameters = rules[subtasks[0], 1]
            members.append(_Member(part.task, subtasks, rules[subtasks, 2 : 2 + n_parameters]))
        return members

    def _joined(self, member: "_Member", batch: Batch) -> Batch:
        """A member's examples as the mixture's: as long, with its task tokens, under its numbers."""
        subtask = member.subtasks[batch.subtask]
        tokens = np.full((len(subtask), self.length), self.n_symbols - 1)
        tokens[:, -member.task.length :] = batch.tokens
        tokens[:, -1] = self.n_symbols + subtask[:, 0]
        return Batch(tokens, batch.targets, subtask, batch.case)


class _Member(NamedTuple):
    task: AbstractTask
    subtasks: np.ndarray  # their numbers in the mixture, rising
    rules: np.ndarray  # the task's own


def _stacked(batches: list[Batch]) -> Batch:
    tokens, targets, subtask, case = zip(*batches, strict=True)
    listed = all(own is not None for own in case)
    together = np.concatenate
    return Batch(together(tokens), together(targets), together(subtask), together(case) if listed else None)


@functools.lru_cache(maxsize=16)
def _read(text: str) -> tuple[Part, ...]:
    """The parts that a text such as "8 modular_arithmetic(modulus=7), 6 copying" names.

    Raises
    ------
    InputError
        If it cannot be read, or a part cannot be had.
    """
    parts: list[Part] = []
    at = 0
    while at < len(text) or not parts:
        found = _PART.match(text, at)
        if found is None:
            raise InputError(
                f"parts cannot be read at {text[at:].strip()!r}; expected numbers of subtasks and their tasks, such as "
                '"8 modular_arithmetic(modulus=7), 6 copying".'
            )
        count, name, fields = found.groups()
        parts.append(Part(int(count), name, _task(name, fields or "()")))
        at = found.end()
    for part in parts:
        if part.size < 1:
            raise InputError(f"parts has {part}; expected at least one subtask of each.")
        part.task.check_count(part.size)
    if len({part.kind for part in parts}) < len(parts):
        raise InputError(f"parts has the same task twice: {text!r}; expected each once, or with other fields.")
    return tuple(parts)


def _task(name: str, fields: str) -> AbstractTask:
    """The task of a name, with the fields that a text such as "(modulus=7)" gives it."""
    from quanta.tasks import TASKS

    single = [other for other, task in TASKS.items() if task is not Mixture]
    if name not in single:
        raise InputError(f"parts has {name!r}; expected tasks out of {', '.join(single)}.")
    try:
        task = TASKS[name](**_parts.fields(TASKS[name], name + fields))
    except (TypeError, ValueError) as error:
        raise InputError(f"parts has {name}{fields}, which cannot be made: {str(error).rstrip('.')}.") from None
    shares = task.shares()
    if task.joint or (shares is not None and not np.all(shares.probabilities() > 0)):
        raise InputError(
            f"parts has {name}{fields}, which asks several subtasks in each sequence, or some never; expected tasks that "
            "ask one at a time. Train it by itself."
        )
    return task
