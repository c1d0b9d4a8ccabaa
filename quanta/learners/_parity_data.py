"""Multitask sparse parity as data: bit sets, control bits, and a stream of examples that is a function of their number.

Example q is made from the random words 4q, 4q + 1 and 4q + 2 of a key, and from nothing else: so data are the same in
whatever order, batch or thread they are made, and need no memory.
"""

import math
from collections.abc import Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np

from quanta._errors import InputError

MAX_BITS = 128
"""Bits of a string: two words of 64."""
GOLDEN = 0x9E3779B97F4A7C15
"""2^64 / golden ratio: the step of the counter (Steele, Lea, Flood 2014, SplitMix64)."""


_MOST_KEPT = 10**7  # bits of all subtasks, that a record keeps
MEANINGS = {
    "loss": "mean cross-entropy on test strings, drawn apart from the training examples",
    "accuracy": "share of the test strings that are answered right",
    "fourier_gap": "by how much the best unit sees all bits of the subtask better than any other",
    "moved": "largest change of a weight of the subtask's bits or control bits since the start",
    "bits": "1 at the bits whose parity the subtask is",
    "atoms": "the subtasks of which a composite is composed; -1 where it is none",
}
"""What the variables of a record of parities are."""


class Parities(NamedTuple):
    """Subtasks: the parity of some bits, told by some control bits."""

    masks: np.ndarray
    """(n_subtasks, 2) uint64: 1 at the bits of a subtask, bit i at place i % 64 of word i // 64."""
    begin: np.ndarray
    """(n_subtasks + 1,) int64: where in ``on`` those of a subtask begin."""
    on: np.ndarray
    """(n,) int64: control bits that are on, subtask after subtask."""

    @property
    def n_controls(self) -> int:
        """Number of control bits."""
        return int(self.on.max()) + 1

    def bits(self, n_bits: int) -> np.ndarray:
        """Masks as bits, (n_subtasks, n_bits) bool."""
        return unpacked(self.masks, n_bits)


class Source(NamedTuple):
    """A stream of examples."""

    key: np.uint64
    """Of the examples."""
    order: np.uint64
    """Key of the order in which a finite set is seen."""
    n_examples: int
    """Size of the set; 0 if every example is new."""
    keep: np.ndarray
    """(n_subtasks,) of the alias table: chance to stay at a column."""
    alias: np.ndarray
    """(n_subtasks,) int64: where to go else."""


class Batch(NamedTuple):
    """Examples in the order of their numbers."""

    subtask: np.ndarray
    """(n,) int64."""
    words: np.ndarray
    """(n, 2) uint64: the string."""
    label: np.ndarray
    """(n,) int64, 0 or 1."""


def bit_sets(kind: str, n_sets: int, n_bits: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Bits of each subtask, (n_sets, k) int64.

    Parameters
    ----------
    kind : {"distinct", "disjoint", "overlapping"}
        All different and random; without a common bit; each with k - 1 bits of the one before it.
    n_sets, n_bits, k : int
        How many sets of how many of the bits.
    rng : np.random.Generator
        Source of the choice.

    Raises
    ------
    InputError
        If there are not so many such sets.
    """
    check_enough(kind, n_sets, n_bits, k)
    places = rng.permutation(n_bits)
    if kind == "disjoint":
        return places[: n_sets * k].reshape(n_sets, k)
    if kind == "overlapping":
        return places[(np.arange(n_sets)[:, None] + np.arange(k)) % n_bits]
    n_all = math.comb(n_bits, k)
    if n_all <= 4 * n_sets:  # so few that drawing until all differ would take long
        every = _every_set(n_bits, k)
        return every[rng.permutation(n_all)[:n_sets]]
    found = np.empty((0, k), dtype=np.int64)
    while len(found) < n_sets:
        more = rng.integers(n_bits, size=(2 * n_sets, k))
        more = np.sort(more, axis=1)
        more = more[(np.diff(more, axis=1) > 0).all(axis=1)]
        found = np.concatenate([found, more])
        _, kept = np.unique(found, axis=0, return_index=True)
        found = found[np.sort(kept)]
    return found[:n_sets]


def _every_set(n_bits: int, k: int) -> np.ndarray:
    return np.fromiter(chain.from_iterable(combinations(range(n_bits), k)), dtype=np.int64).reshape(-1, k)


def check_enough(kind: str, n_sets: int, n_bits: int, k: int) -> None:
    """Refuse more sets than there are.

    Raises
    ------
    InputError
        If there are not so many.
    """
    there = {"disjoint": n_bits // k, "overlapping": n_bits if k < n_bits else 1, "distinct": math.comb(n_bits, k)}
    if n_sets > there[kind]:
        raise InputError(
            f"{n_sets} subtasks need as many {kind} sets of {k} of {n_bits} bits; expected at most {there[kind]}. "
            "Take fewer subtasks, more bits, or another kind of set."
        )


def parities(sets: np.ndarray, n_bits: int, composites: Sequence[Sequence[int]] = ()) -> Parities:
    """Subtasks of one control bit each, and after them composites of several: the parity of the union of their sets.

    Parameters
    ----------
    sets : np.ndarray, shape (n_atoms, k)
        Bits of each atom.
    n_bits : int
        Bits in a string, at most ``MAX_BITS``.
    composites : sequence of sequences of int
        The atoms of each composite (Michaud, Parker-Sartori, Tegmark 2025, section 3).

    Raises
    ------
    InputError
        If two subtasks are of the same bits.
    """
    rows = np.zeros((len(sets) + len(composites), n_bits), dtype=bool)
    np.put_along_axis(rows[: len(sets)], sets, True, axis=1)
    for row, atoms in zip(rows[len(sets) :], composites, strict=True):
        row[:] = rows[list(atoms)].any(axis=0)
    masks = packed(rows)
    n_different = len(np.unique(masks, axis=0))
    if n_different < len(masks):
        raise InputError(
            f"the {len(masks)} subtasks have {n_different} different sets of bits, for some composites have the same union; "
            "expected all to differ. Take more bits, fewer composites or atoms, or disjoint sets."
        )
    on = [[k] for k in range(len(sets))] + [sorted(atoms) for atoms in composites]
    begin = np.concatenate([[0], np.cumsum([len(c) for c in on])]).astype(np.int64)
    return Parities(masks, begin, np.concatenate(on).astype(np.int64))


def composites(n: int, atoms: int, n_atoms: int) -> list[list[int]]:
    """Atoms of each composite: the next so many, round and round, begun one further when it would begin as the first did.

    No two are alike, if they are no more than there are atoms.

    Examples
    --------
    >>> composites(4, 2, 4)
    [[0, 1], [2, 3], [1, 2], [3, 0]]
    """
    number = np.arange(n)
    begin = number * atoms + number // (n_atoms // math.gcd(atoms, n_atoms))
    return ((begin[:, None] + np.arange(atoms)) % n_atoms).tolist()


def facts(masks: np.ndarray, n_bits: int, n_composites: int, atoms: int) -> dict[str, tuple[str, np.ndarray]]:
    """What a record says of subtasks: ``bits`` (n_subtasks, n_bits), where they are not too many, and ``atoms`` (n_subtasks,
    atoms), where some are composites. See ``AbstractLearner.facts``.
    """
    n_atoms = len(masks) - n_composites
    found = {"bits": ("bit", unpacked(masks, n_bits).astype(np.uint8))} if len(masks) * n_bits <= _MOST_KEPT else {}
    if n_composites:
        of = np.full((len(masks), atoms), -1)
        of[n_atoms:] = composites(n_composites, atoms, n_atoms)
        found["atoms"] = ("atom", of)
    return found


def alias_table(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of equal chance, each shared by two subtasks at most (Vose 1991): ``keep`` and ``alias``, (n_subtasks,)."""
    keep = p * (p.size / p.sum())
    alias = np.arange(p.size)
    poor, rich = np.flatnonzero(keep < 1).tolist(), np.flatnonzero(keep >= 1).tolist()
    left = keep.tolist()
    while poor and rich:
        low, high = poor.pop(), rich[-1]
        alias[low] = high
        left[high] -= 1 - left[low]
        if left[high] < 1:
            poor.append(rich.pop())
    whole = poor + rich  # what rounding left over
    keep = np.array(left)
    keep[whole] = 1.0
    return keep, alias


def draw(stream: Source, subtasks: Parities, start: int, count: int) -> Batch:
    """Examples number ``start`` to ``start + count`` of a stream."""
    number = np.arange(start, start + count, dtype=np.uint64)
    if stream.n_examples:
        number = shuffled(stream.order, number, stream.n_examples)
    column = unit(word(stream.key, np.uint64(4) * number)) * stream.keep.size
    place = column.astype(np.int64)
    subtask = np.where(column - place < stream.keep[place], place, stream.alias[place])
    words = strings(stream.key, number)
    return Batch(subtask, words, parity(words & subtasks.masks[subtask]))


def mix(x: np.ndarray) -> np.ndarray:
    """Finaliser of SplitMix64, of uint64: every bit of the result depends on every bit of x."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def word(key: np.uint64 | np.ndarray, counter: np.ndarray) -> np.ndarray:
    """Random words of a key, by number, (n,) uint64."""
    return mix(key + counter * np.uint64(GOLDEN))


def strings(key: np.uint64, number: np.ndarray) -> np.ndarray:
    """Random strings of a key, by number (…,): as bits of two words, (…, 2) uint64."""
    counter = np.uint64(4) * number.astype(np.uint64)
    return np.stack([word(key, counter + np.uint64(i)) for i in (1, 2)], axis=-1)


def unit(words: np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1), of 53 bits, from random words."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(key: np.uint64, number: np.ndarray, n: int) -> np.ndarray:
    """Which of n examples is seen at each place of the stream: all of them once, in a new order, in every n places.

    The order is a Feistel network of four rounds on the next power of four, walked until it falls below n
    (Black and Rogaway 2002): it needs no table.
    """
    epoch, place = np.divmod(number, np.uint64(n))
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    keys = [word(key, np.uint64(4) * epoch + np.uint64(i)) for i in range(4)]
    todo = np.ones(place.shape, dtype=bool)
    while todo.any():
        left, right = place[todo] >> half, place[todo] & low
        for one in keys:
            left, right = right, left ^ (mix(one[todo] + right * np.uint64(GOLDEN)) & low)
        place[todo] = (left << half) | right
        todo = place >= n
    return place


def packed(rows: np.ndarray) -> np.ndarray:
    """Rows of bits (n, n_bits) as words, (n, 2) uint64."""
    padded = np.zeros((len(rows), MAX_BITS), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def unpacked(words: np.ndarray, n_bits: int) -> np.ndarray:
    """Words (n, 2) as bits, (n, n_bits) bool."""
    as_bytes = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(as_bytes, axis=1, bitorder="little", count=n_bits).astype(bool)


def parity(words: np.ndarray) -> np.ndarray:
    """Parity of all bits of each row of words (n, 2), (n,) int64."""
    folded = words[:, 0] ^ words[:, 1]
    for shift in (32, 16, 8, 4, 2, 1):
        folded = folded ^ (folded >> np.uint64(shift))
    return (folded & np.uint64(1)).astype(np.int64)
