"""A real network, trained: many sparse parities of one string, told by control bits which one is asked."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from quanta._checks import check_above, check_whole
from quanta._errors import InputError
from quanta.learners import _parity_data as data
from quanta.learners import _parity_reference as reference
from quanta.learners._parity_state import Diverged, Look, Network, at_start
from quanta.learners.base import LATEST, AbstractLearner, Overflow, Truth, checked, moment, no_steps

_TILE = 64  # strings to a word: test sets are whole words
_CHOICES = {
    "bit_sets": ("distinct", "disjoint", "overlapping"), "descent": ("adam", "sgd"),
    "test_bits": ("independent", "shared"), "kernels": ("tables", "blas"),
}  # fmt: skip
_DATA = ("n_bits", "k", "bit_sets", "n_composites", "atoms", "n_examples")  # fields that decide what is learned


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ParityNetwork(AbstractLearner):
    r"""A ReLU network that learns the parity of k bits of n for each subtask, from all of them at once.

    .. math:: z = w \cdot \mathrm{ReLU}(W_\text{bits} x + W_\text{controls} c + b) + b', \qquad
        L = \ln(1 + e^{-(2y - 1) z}), \qquad y = \bigoplus_{i \in S_k} x_i

    x is a string of random bits, and c has a 1 at the control bit of the subtask asked: at that of each of its atoms,
    if it is a composite. Batches are drawn by the frequencies, new at every step or from a finite set; weights begin as
    PyTorch's do and move by SGD or Adam. With one hidden layer and at most 128 bits a step costs the same however many
    subtasks there are.

    Nobody has a theory of its onsets that fits: its authors measure onset ∝ p^-0.81 where their theory has p^-1.

    References
    ----------
    Michaud, Liu, Girit, Tegmark (2023), The Quantization Model of Neural Scaling, section 3; composites: Michaud,
    Parker-Sartori, Tegmark (2025), On the Creation of Narrow AI, section 3; hidden progress: Barak, Edelman, Goel,
    Kakade, Malach, Zhang (2022).

    Examples
    --------
    >>> network = ParityNetwork(n_bits=8, k=2, width=16, n_test=64)
    >>> state = network.start(np.array([0.75, 0.25]), np.random.default_rng(0), dynamics="sampled", batch_size=100)
    >>> int(network.advance(state, 3).hits.sum())
    300
    """

    n_bits: int = 100
    """Bits of a string; at most 128."""
    k: int = 3
    """Bits of a subtask."""
    bit_sets: Literal["distinct", "disjoint", "overlapping"] = "distinct"
    """How the sets of bits meet: at random, all different; not at all; each in k - 1 bits with the one before it."""
    n_composites: int = 0
    """How many of the subtasks, the last ones, are composites of others: the parity of the union of their bits."""
    atoms: int = 2
    """Atoms of a composite."""
    width: int = 500
    """Units of a hidden layer."""
    depth: int = 1
    """Hidden layers."""
    descent: Literal["adam", "sgd"] = "adam"
    """The optimiser."""
    rate: float = 0.001
    """Learning rate."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    n_examples: int = 0
    """Examples in the training set, seen again and again in a new order; 0 if every example is new. The loss is that of
    test strings all the same: no training loss is measured."""
    n_test: int = 1024
    """Test strings of each subtask, drawn apart from the training examples, on which its loss is measured: at least 64, a
    multiple of 64."""
    test_bits: Literal["independent", "shared"] = "independent"
    """Whether each subtask has test strings of its own, or all have the same: sooner looked at, but their errors correlate."""
    hidden_progress: bool = False
    """Also measure what moves while the loss does not: Fourier gaps, and how far weights are from their start."""
    kernels: Literal["tables", "blas"] = "tables"
    """Tables of sums in the place of matrix products, or plain linear algebra: portable, slower. Tables are of one hidden
    layer: deeper networks take linear algebra whatever is said here."""

    clock: ClassVar[str] = "steps"
    dynamics: ClassVar[tuple[str, ...]] = ("sampled",)
    axes: ClassVar[tuple[str, ...]] = ()
    units: ClassVar[str] = "nat"
    monotone: ClassVar[bool] = False
    generalises: ClassVar[bool] = True
    exchangeable: ClassVar[bool] = False
    has_steps: ClassVar[bool] = False
    stepwise: ClassVar[bool] = True
    descends: ClassVar[bool] = False
    n_classes: ClassVar[int] = 2
    chance_loss: ClassVar[float] = math.log(2)
    usual_batch: ClassVar[int] = 20_000
    foretold: ClassVar[bool] = False
    starts_at_chance: ClassVar[bool] = False
    meanings: ClassVar[Mapping[str, str]] = data.MEANINGS

    def __post_init__(self) -> None:
        check_whole("n_bits", self.n_bits, most=data.MAX_BITS)
        check_whole("k", self.k, most=self.n_bits)
        for name, least in {"n_composites": 0, "atoms": 2, "width": 1, "depth": 1}.items():
            check_whole(name, getattr(self, name), least)
        check_whole("n_examples", self.n_examples, 0, LATEST)
        check_whole("n_test", self.n_test, 0)
        if self.n_test % _TILE or not self.n_test:
            raise InputError(f"n_test is {self.n_test}; expected at least {_TILE}, and a multiple of it.")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")
        check_above("rate", self.rate)
        reference.check_decay(self.weight_decay, self.rate)

    @property
    def optimizer(self) -> str:
        """SGD or Adam."""
        return self.descent

    @property
    def bitwise(self) -> bool:  # type: ignore[override]
        """By tables; not by linear algebra."""
        return self._fast

    def check_count(self, n_subtasks: int) -> None:
        """Refuse more composites than can be, and more subtasks than there are sets of bits.

        Raises
        ------
        InputError
            If it cannot have so many.
        """
        n_atoms = n_subtasks - self.n_composites
        least = max(self.n_composites, self.atoms + (self.n_composites > 1))
        if self.n_composites and n_atoms < least:
            raise InputError(
                f"n_composites is {self.n_composites} of {n_subtasks} subtasks; expected at least {least} others, of "
                f"which they are composed, each of {self.atoms}."
            )
        data.check_enough(self.bit_sets, n_atoms, self.n_bits, self.k)
        if self.bit_sets == "overlapping":  # which of them are alike does not depend on chance
            self._parities(n_subtasks, np.random.default_rng(0))

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch larger than the training set.

        Raises
        ------
        InputError
            If it is.
        """
        if 0 < self.n_examples < batch_size:
            raise InputError(
                f"n_examples is {self.n_examples}; expected at least a batch, {batch_size}, or 0 for ever new."
            )

    @property
    def n_measured(self) -> int:
        """Loss and accuracy, and two measures of hidden progress."""
        return 4 if self.hidden_progress else 2

    def memory_needed(self, n_subtasks: int, batch_size: int) -> int:
        """Bytes of its weights (three times in a state, and in the one made of it; once more caught up), and of a batch."""
        columns, rows = -(-self.width // 16) * 16, min(n_subtasks, batch_size)
        weights = max(n_subtasks - self.n_composites, 1) + self.n_bits + (self.depth - 1) * columns
        if self._fast:
            common = self.n_test if self.test_bits == "shared" and not self.hidden_progress else 0
            numbers = 7 * weights + 64 * self.n_bits + 3 * rows + common
            examples = (82 + columns // 8) * max(batch_size, self.n_test, 16_384)
        else:
            numbers = 10 * weights + 4 * self.depth * min(reference.ROWS, max(batch_size, self.n_test))
            examples = max(82 * batch_size, 45 * self.n_test, 2**21)
        return 4 * columns * numbers + examples + 300 * n_subtasks

    def smaller(self) -> dict[str, tuple[int, AbstractLearner]]:
        """Its width, its depth, its test strings."""
        return {
            "width": (self.width, dataclasses.replace(self, width=1)),
            "depth": (self.depth, dataclasses.replace(self, depth=1)),
            "n_test": (self.n_test, dataclasses.replace(self, n_test=_TILE)),
        }

    def kinds(self, n_subtasks: int) -> list[str] | None:
        """Atoms and composites, where there are composites."""
        n = self.n_composites
        return ["atom"] * (n_subtasks - n) + ["composite"] * n if n else None

    @property
    def learning_rate(self) -> float:
        """The rate."""
        return self.rate

    @property
    def provenance(self) -> dict[str, str]:
        """What decides the data, and the first weights; whether subtasks share their test strings."""
        shape, what = (
            ", ".join(f"{name}={getattr(self, name)!r}" for name in names) for names in (("width", "depth"), _DATA)
        )
        return {"data": what, "network": f"ParityNetwork({shape}, {what})", "test_bits": self.test_bits}

    def facts(self, state: Any) -> dict[str, tuple[str, np.ndarray]]:
        """``bits`` of each subtask, and ``atoms`` of each composite; also of the states of its controls."""
        return data.facts(state.masks, self.n_bits, self.n_composites, self.atoms)

    def control(self, text: str) -> AbstractLearner:
        """The control that a text names: kernel, linearised or tabular; see ``parity_controls``."""
        from quanta.learners.parity_controls import control

        return control(self, text)

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "sampled", batch_size: int = 1
    ) -> Network:
        """State before the first step; see the base.

        Raises
        ------
        InputError
            If there are not so many sets of bits, or the training set is smaller than a batch.
        """
        p = checked(self, frequencies, dynamics, batch_size)
        subtasks = self._parities(p.size, rng)
        keys = rng.integers(2**64, size=4, dtype=np.uint64)
        layers = at_start(self._path.begun(self._first(keys, subtasks.n_controls)))
        return Network(
            p, np.array(0), np.zeros(p.size, dtype=np.int64), np.array(batch_size), *subtasks, keys, *data.alias_table(p),
            np.zeros(subtasks.n_controls if self._fast else 0, dtype=np.int64), *layers,
        )  # fmt: skip

    def advance(self, state: Network, time: int) -> Network:
        """State after that many steps in all, made one by one.

        Raises
        ------
        Overflow
            If the loss of a batch is not finite, with the step.
        """
        step = int(moment(int(state.step), time))
        try:
            moved: Network = self._path.advanced(state, state.stream(self.n_examples), self._rule, step)
        except Diverged as error:
            raise Overflow(error.step, None, f"Lower the rate, which is {self.rate}.") from None
        return moved

    def measure(self, state: Network) -> dict[str, np.ndarray]:
        """Loss and accuracy of every subtask on test strings; hidden progress if it is to be measured.

        ``fourier_gap``: by how much the gate of a unit of the first layer, that where it is most, sees all bits of a subtask
        better than any other: see ``_parity_exam``. ``moved``: the largest change, since the start, of a weight of its
        bits or control bits.
        """
        n = state.frequencies.size
        names = ("loss", "accuracy") + (("fourier_gap",) if self.hidden_progress else ())
        found = {name: np.empty(n) for name in names}
        for some, z, label, gap in self._path.examined(state, self._rule, self.look(state.keys)):
            found["loss"][some] = reference.losses(z, label).mean(axis=1)
            found["accuracy"][some] = ((z > 0) == label).mean(axis=1)
            if self.hidden_progress:
                found["fourier_gap"][some] = gap
        if self.hidden_progress:
            found["moved"] = self._moved(state)
        return found

    def look(self, keys: np.ndarray) -> Look:
        """How it is looked at where a state has these keys: also by its controls."""
        return Look(self.width, keys[2], self.n_test, self.test_bits == "shared", self.hidden_progress)

    def truth(self, state: Network) -> Truth:
        """Not known: the network is the experiment."""
        return no_steps(state.frequencies.size)

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Not declared."""
        return np.full(np.shape(frequencies), np.nan)

    def horizon(self, frequencies: np.ndarray) -> float:
        """Not known.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            "nobody knows how long a parity network takes; expected to be told how long to run. Give steps."
        )

    @property
    def _fast(self) -> bool:
        return self.depth == 1 and self.kernels == "tables"

    @property
    def _rule(self) -> reference.Rule:
        return reference.Rule(self.descent, self.rate, self.weight_decay)

    @property
    def _path(self) -> Any:
        """The module that moves it and looks at it."""
        if self._fast:
            from quanta.learners import _parity_tables

            return _parity_tables
        from quanta.learners import _parity_blas

        return _parity_blas

    def _parities(self, n_subtasks: int, rng: np.random.Generator) -> data.Parities:
        """The subtasks."""
        n_atoms = n_subtasks - self.n_composites
        sets = data.bit_sets(self.bit_sets, n_atoms, self.n_bits, self.k, rng)
        return data.parities(sets, self.n_bits, data.composites(self.n_composites, self.atoms, n_atoms))

    def _first(self, keys: np.ndarray, n_controls: int) -> reference.Weights:
        """Weights before training, as the reference has them."""
        return reference.initial(n_controls, self.n_bits, self.width, self.depth, np.random.default_rng(keys[3]))

    def _moved(self, state: Network) -> np.ndarray:
        """Largest |w - w₀| over the weights of the bits and control bits of each subtask, (n_subtasks,)."""
        now, first = self._path.weights(state, self._rule), self._first(state.keys, state.subtasks.n_controls)
        far, rows = (
            np.abs(getattr(now, name)[:, : self.width] - getattr(first, name)).max(axis=1)
            for name in ("bits", "controls")
        )
        own = np.maximum.reduceat(rows[state.on], state.begin[:-1])
        return np.maximum(np.where(state.subtasks.bits(self.n_bits), far, 0).max(axis=1), own)
