"""Multitask sparse parity: every subtask the parity of its own few bits of one string."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.tasks._parity import AbstractParity

_MAX_SUBSET = 20  # a million cases; and no network finds the parity of so many bits
_MAX_SUBSETS = 2**62


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SparseParity(AbstractParity):
    r"""Subtask k asks for the parity of the bits in :math:`S_k`, of a string of random bits, S_k all different.

    .. math:: \bigoplus_{i \in S_k} x_i, \qquad |S_k| = \text{subset}

    No smaller set of bits says anything about the answer. The sequence is [bits, task token]; in the original, a one-hot
    task code and the bits are the input of an MLP. An answer's case is its own bits.

    References
    ----------
    Michaud, Liu, Girit, Tegmark (2023), The Quantization Model of Neural Scaling, section 3; Barak, Edelman, Goel, Kakade,
    Malach, Zhang (2022), Hidden Progress in Deep Learning.

    Examples
    --------
    >>> task = SparseParity(bits=3, subset=2)
    >>> task.n_distinct
    3
    >>> task.exhaustive(np.array([[1, 0, 1]]), np.array([0])).targets[:, 0].tolist()
    [0, 1, 0, 1, 1, 0, 1, 0]
    """

    bits: int = 16
    """Bits in the string."""
    subset: int = 2
    """Bits of each subtask."""

    def __post_init__(self) -> None:
        check_whole("bits", self.bits, 1)
        check_whole("subset", self.subset, 1)
        if self.subset > min(self.bits, _MAX_SUBSET):
            raise InputError(
                f"subset is {self.subset}; expected at most {min(self.bits, _MAX_SUBSET)} of {self.bits} bits."
            )
        if self.n_distinct > _MAX_SUBSETS:
            raise InputError(
                f"there are {self.n_distinct:.3g} subsets of {self.subset} among {self.bits} bits; expected at most "
                f"{_MAX_SUBSETS:.3g}. Choose fewer bits, or smaller subsets."
            )

    @property
    def n_distinct(self) -> int:
        """Number of subsets."""
        return math.comb(self.bits, self.subset)

    def draw(self, n_subtasks: int, rng: np.random.Generator) -> np.ndarray:
        """Distinct subsets as masks, 1 at the bits in S_k, (n_subtasks, bits)."""
        self.check_count(n_subtasks)
        rank = rng.choice(self.n_distinct, size=n_subtasks, replace=False)
        masks = np.zeros((n_subtasks, self.bits), dtype=np.int64)
        for size in range(self.subset, 0, -1):  # subsets in colexicographic order: C(b, size) have no bit from b on
            before = np.array([math.comb(bit, size) for bit in range(self.bits)])
            last = np.searchsorted(before, rank, side="right") - 1
            masks[np.arange(n_subtasks), last] = 1
            rank -= before[last]
        return masks

    def labels(self, rules: np.ndarray) -> list[str]:
        """The numbers of the bits, such as "3+11"."""
        return ["+".join(map(str, np.flatnonzero(mask))) for mask in rules]
