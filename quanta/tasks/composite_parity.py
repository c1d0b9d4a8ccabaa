"""Composite parity: parities that are made of other parities, which the network may be taught, or not."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.frequencies import Empirical
from quanta.tasks._parity import AbstractParity


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CompositeParity(AbstractParity):
    r"""Atoms are parities of disjoint pairs of bits; composites, the parities of two atoms: of four bits.

    Both are learned from random strings of bits, one subtask asked in each: [bits, task token]. Whoever knows its
    two atoms needs to find a parity of two things for a composite; without them, one of four among ``bits``. So composites
    come after their own atoms, and hardly ever alone. An answer's case is its own bits.

    Frequencies are the task's own: the atoms share what the composites leave. Without ``atoms``, these keep their
    numbers and are never asked in training, so that the two runs differ in nothing else.

    References
    ----------
    Michaud, Parker-Sartori, Tegmark (2025), On the Creation of Narrow AI, section 3: compositional multitask sparse parity
    (there with several task tokens at a time; here each composite has a token of its own).

    Examples
    --------
    >>> task = CompositeParity(bits=4, n_atoms=2, n_composites=1)
    >>> rules = task.draw(3, np.random.default_rng(0))
    >>> rules.sum(axis=1).tolist(), task.parents(rules)
    ([2, 2, 4], [(), (), (0, 1)])
    """

    bits: int = 16
    """Bits in the string."""
    n_atoms: int = 4
    """Number of atoms."""
    n_composites: int = 3
    """Number of composites."""
    share: float = 0.5
    """Share of composites in training."""
    atoms: bool = True
    """Train the atoms, too; else the composites alone."""

    def __post_init__(self) -> None:
        check_whole("n_atoms", self.n_atoms, 2)
        check_whole("n_composites", self.n_composites, 1)
        check_whole("bits", self.bits, 2 * self.n_atoms)
        if self.n_composites > math.comb(self.n_atoms, 2):
            raise InputError(
                f"n_composites is {self.n_composites}; expected at most {math.comb(self.n_atoms, 2)}, the number of pairs "
                f"of {self.n_atoms} atoms."
            )
        if not 0 < self.share < 1:
            raise InputError(f"share is {self.share}; expected a number between 0 and 1.")

    @property
    def n_distinct(self) -> int:
        """Atoms and composites."""
        return self.n_atoms + self.n_composites

    @property
    def joint(self) -> bool:
        """No: each sequence asks one subtask, though the task decides how often."""
        return False

    def shares(self) -> Empirical:
        """Atoms first, composites after them."""
        atom = (1 - self.share) / self.n_atoms if self.atoms else 0.0
        composite = self.share / self.n_composites
        return Empirical(counts=(atom,) * self.n_atoms + (composite,) * self.n_composites)

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Masks, 1 at the bits of each parity, (n_subtasks, bits): atoms first, composites after them."""
        self.check_count(n_subtasks)
        atoms = np.zeros((self.n_atoms, self.bits), dtype=np.int64)
        pairs = rng.permutation(self.bits)[: 2 * self.n_atoms].reshape(self.n_atoms, 2)
        np.put_along_axis(atoms, pairs, 1, axis=1)
        first, second = np.triu_indices(self.n_atoms, k=1)
        made = rng.permutation(len(first))[: self.n_composites]
        return np.concatenate([atoms, atoms[first[made]] + atoms[second[made]]])[:n_subtasks]

    def parents(self, rules: np.ndarray) -> list[tuple[int, ...]]:
        """Of each subtask, the numbers of the atoms that it is made of; none for an atom."""
        size = rules.sum(axis=1)
        within = (rules @ rules.T == size) & (size < size[:, None])
        return [tuple(np.flatnonzero(row).tolist()) for row in within]

    def labels(self, rules: np.ndarray) -> list[str]:
        """Names that tell the parents: "atom 2", "composite 0+2"."""
        parents = self.parents(rules)
        return [f"composite {'+'.join(map(str, of))}" if of else f"atom {k}" for k, of in enumerate(parents)]

    def kinds(self, rules: np.ndarray) -> list[str]:
        """Atom or composite."""
        return ["composite" if of else "atom" for of in self.parents(rules)]
