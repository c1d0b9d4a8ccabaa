"""Text: the next byte, at every place; what counts as a subtask is a matter of how bytes are grouped."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.frequencies import AbstractFrequencies, Empirical, Uniform
from quanta.tasks._byte_groups import OTHER
from quanta.tasks._corpus import Corpus
from quanta.tasks._survey import Survey, evaluation_windows, surveyed
from quanta.tasks.base import AbstractTask, Batch

_MAX_TOKENS = 10**6
_NAMED = 2**16  # tokens up to which each has a name
_GROUPS = ("class", "ngram", "copy", "position", "token")
_SHOWN = 8  # bytes ahead of a token, in its name


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Text(AbstractTask):
    """A byte language model: every byte of a window is to be told from those before it in the window.

    A joint task. Windows are drawn uniformly from the training part of the text; the evaluation set are evenly spaced
    windows of the held-out part (a tenth, in blocks spread over the text), the same in every run. ``groups`` says what
    a subtask is: all targets of one sort, or with ``token`` each single target of the evaluation set. The record of
    tokens carries all other groupings as labels: one run serves every granularity (``--group class --group ngram``).

    How often a group occurs, and the frequencies of bytes, are counted on the training part, exactly up to 2²¹ answers,
    else on a random sample of as many. Groups that occur in but one of the counted answers and the evaluation set go
    to ``other``. Tokens count alike; since none is ever trained on, their exposures are dealt evenly.

    An answer depends on all that came before: there are no cases.

    Examples
    --------
    >>> task = Text(context=8, groups="position")
    >>> task.labels(task.draw(4, np.random.default_rng(0)))
    ['1', '2–3', '4–7', '8']
    """

    text: tuple[str, ...] = ()
    """Files and directories of text; by default the source of Python's standard library."""
    groups: Literal["class", "ngram", "copy", "position", "token"] = "class"
    """What a subtask is: targets of one kind of character; that end one frequent trigram; that do or do not continue
    an earlier occurrence of the last three bytes, by distance; at some place in the window; or each single target."""
    context: int = 64
    """Bytes that are read: the length of a window."""
    ngrams: int = 255
    """Trigrams that have a group of their own: the most frequent ones."""
    tokens: int = 16_384
    """Targets in the evaluation set, rounded up to whole windows, if the held-out part has so many."""
    corpus: Corpus = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("context", self.context, 4)
        check_whole("ngrams", self.ngrams, 1)
        check_whole("tokens", self.tokens, 1)
        if self.groups not in _GROUPS:
            raise InputError(f"groups is {self.groups!r}; expected one of {', '.join(_GROUPS)}.")
        if self.tokens > _MAX_TOKENS:
            raise InputError(f"tokens is {self.tokens}; expected at most {_MAX_TOKENS}.")
        object.__setattr__(self, "corpus", Corpus(self.text))
        if self.corpus.held_out <= self.context:
            raise InputError(
                f"context is {self.context}, but the text has {self.corpus.size} bytes, of which {self.corpus.held_out} "
                "in a row are held out; expected more than the context. Use a longer text or a shorter context."
            )

    @property
    def identity(self) -> str:
        """The text by its content instead of its place: the same wherever it lies, another when it is changed."""
        return repr(self).replace(f"text={self.text!r}", f"text={self.corpus.content!r}", 1)

    @property
    def n_classes(self) -> int:
        """256 bytes."""
        return 256

    @property
    def n_symbols(self) -> int:
        """256 bytes."""
        return 256

    @property
    def length(self) -> int:
        """The context."""
        return self.context

    @property
    def readout(self) -> tuple[int, ...]:
        """Every position."""
        return tuple(range(self.context))

    @property
    def n_inputs(self) -> int:
        """Number of windows in the training part."""
        return self.corpus.n_windows(self.context + 1, held_out=False)

    @property
    def n_distinct(self) -> int:
        """As many as there are groups, or tokens."""
        return self.n_windows * self.context if self.groups == "token" else len(self._survey.names)

    @property
    def n_windows(self) -> int:
        """Windows in the evaluation set."""
        most = self.corpus.n_stretches * (self.corpus.held_out // (self.context + 1))
        return min(-(-self.tokens // self.context), most)

    @property
    def joint(self) -> bool:
        """Every sequence asks for all its bytes."""
        return True

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers of the groups or tokens, (n_subtasks, 1): nothing is random."""
        self.check_count(n_subtasks)
        return np.arange(n_subtasks)[:, None]

    def shares(self) -> AbstractFrequencies:
        """How often each group occurs in the training part; tokens alike."""
        if self.groups == "token":
            return Uniform(n_subtasks=self.n_distinct)
        return Empirical(counts=tuple(self._survey.answers.tolist()))

    def chance(self, rules: np.ndarray) -> np.ndarray:
        """Loss of the corpus's unigram distribution, or ln 256, what no preference costs, where that is less."""
        if self.groups == "token":
            targets = np.concatenate([windows[:, 1:].ravel() for windows in self._evaluated()])
            return np.minimum(self._survey.unigram[targets], math.log(256))[rules[:, 0]]
        return np.minimum(self._survey.chance, math.log(256))[rules[:, 0]]

    def n_cases(self, rules: np.ndarray) -> None:
        """None: an answer depends on all that came before it."""

    def labels(self, rules: np.ndarray) -> list[str] | None:
        """Names of the groups; of tokens, if they are few, with the bytes ahead of them."""
        if self.groups != "token":
            return [self._survey.names[k] for k in rules[:, 0]]
        if len(rules) > _NAMED:
            return None
        windows = np.concatenate(self._evaluated())
        row, place = np.divmod(rules[:, 0], self.context)
        return [_name(windows[i], int(j), int(k)) for i, j, k in zip(row, place, rules[:, 0], strict=True)]

    def partitions(self, rules: np.ndarray) -> dict[str, np.ndarray]:
        """Of tokens: the name of each one's group, in every grouping."""
        if self.groups != "token":
            return {}
        found = {}
        for name in _GROUPS[:-1]:
            survey = surveyed(self.corpus, name, self.context, self.ngrams, self.n_windows)
            code = np.concatenate([survey.number(windows).ravel() for windows in self._evaluated()])
            found[name] = np.array([*survey.names, OTHER])[code][rules[:, 0]]  # −1 is the last of them
        return found

    def batch(self, rules: np.ndarray, subtask: np.ndarray, rng: np.random.Generator) -> Batch:
        """As many random windows of the training part as ``subtask`` has entries."""
        number = rng.integers(self.n_inputs, size=len(subtask))
        windows = self.corpus.windows(number, self.context + 1, held_out=False)
        return self._examples(windows, int(rng.integers(self.n_distinct)))

    def exhaustive(self, rules: np.ndarray, subtask: np.ndarray) -> Batch:
        """All windows of the training part."""
        self.check_listed("evaluating on every input")
        return self._examples(self.corpus.windows(np.arange(self.n_inputs), self.context + 1, held_out=False))

    def evaluation(self, rules: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
        """The held-out windows, in pieces."""
        first = 0
        for windows in self._evaluated():
            yield self._examples(windows, first)
            first += len(windows) * self.context

    def n_evaluated(self, n_subtasks: int) -> int:
        """Windows in the evaluation set."""
        return self.n_windows

    def _examples(self, windows: np.ndarray, first: int = 0) -> Batch:
        """Windows (n, context + 1) as examples; tokens are dealt one after the other, from the ``first`` on."""
        wide = windows.astype(np.int64)
        if self.groups == "token":
            dealt = first + np.arange(len(windows) * self.context)
            subtask = (dealt % self.n_distinct).reshape(-1, self.context)
        else:
            subtask = self._survey.number(windows)
        return Batch(wide[:, :-1], wide[:, 1:], subtask, None)

    def _evaluated(self) -> list[np.ndarray]:
        return evaluation_windows(self.corpus, self.context, self.n_windows)

    @property
    def _survey(self) -> Survey:
        groups = "class" if self.groups == "token" else self.groups
        return surveyed(self.corpus, groups, self.context, self.ngrams, self.n_windows)


def _name(window: np.ndarray, place: int, number: int) -> str:
    """A token's number, the bytes ahead of it, and itself."""
    before = window[max(0, place + 1 - _SHOWN) : place + 1].tobytes().decode("latin-1")
    return f"{number}: {before!r} {chr(window[place + 1])!r}"
