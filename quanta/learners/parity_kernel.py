"""The control that counts: a parity network linearised, in the exact flow of its logits on some strings."""

import weakref
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, final

import numpy as np

from quanta._chebyshev import Chebyshev
from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.learners import _parity_data as data
from quanta.learners import _parity_flow as flow
from quanta.learners import _parity_reference as reference
from quanta.learners._parity_control import AbstractParityControl, check_rate
from quanta.learners.base import checked, moment
from quanta.learners.parity_network import ParityNetwork

MAX_UNKNOWNS = 12_000
"""Strings of all subtasks: 1.1 GiB."""
_RATE = 0.1  # where the network does not descend by SGD


class Flow(NamedTuple):
    """State of a flow: what makes the linearised network, and where its integrator is."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    step: np.ndarray
    """() steps made."""
    masks: np.ndarray
    """(n_subtasks, 2) uint64: bits of each subtask."""
    begin: np.ndarray
    """(n_subtasks + 1,) int64: where its control bits begin."""
    on: np.ndarray
    """(n_on,) int64: control bits, subtask after subtask."""
    keys: np.ndarray
    """(4,) uint64: the network's."""
    pull: np.ndarray
    """(n,), n strings: ∫ (y - σ(z)) dt of each, in steps times the rate."""
    speed: np.ndarray
    """(n,): its derivative."""
    direction: np.ndarray
    """(n,): the one in which the flow is stiffest, of length 1."""
    pace: np.ndarray
    """(3,): time, the integrator's next step in time, how stiff the flow is in 1 / time."""


_KEPT: "dict[int, tuple[ParityKernel, flow.Linear]]" = {}  # by the id of the keys of a run that is somewhere in memory


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ParityKernel(AbstractParityControl):
    r"""Exact gradient flow of the network linearised at its first weights, on some strings of each subtask.

    .. math:: \dot z = -K\,[\,w \circ (\sigma(z) - y)\,], \qquad z(0) = z_0, \qquad w = p_k / n_\text{inputs}

    K is the neural tangent kernel of the network's very weights. Time is rate × step, and no batches are drawn: there is
    no sampling noise, and no instability.

    The strings are the first of those that the network is tested on, equally many of each subtask, weighted as the
    subtasks are drawn; the flow is measured on them too, on what it sees. All strings of n bits are too many, unless n is
    small; of a part, it learns the answers by heart, which linear learning from ever new strings cannot do. So it is a generous
    control: it shows how sharp linear learning with the network's own features is where it does succeed. ``held_out`` is
    its loss on other strings, where it need not.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide Neural Networks of Any Depth Evolve as
    Linear Models Under Gradient Descent, eqs. (6)–(8).
    """

    network: ParityNetwork = field(default_factory=ParityNetwork)
    """The network that it controls."""
    n_inputs: int = 16
    """Strings of each subtask, at most half of n_test; all there are, if these are no more."""
    rate: float = 0.0
    """Time of a step; 0: the network's rate if it descends by SGD, else 0.1."""

    dynamics: ClassVar[tuple[str, ...]] = ("expected",)
    bitwise: ClassVar[bool] = False
    kind: ClassVar[str] = "kernel"
    optimizer: ClassVar[str] = "sgd"
    stepwise: ClassVar[bool] = False  # from checkpoint to checkpoint: where a flow is stopped is not free of rounding

    def __post_init__(self) -> None:
        network = self.network
        check_rate(self.rate, network.weight_decay)
        check_whole("n_inputs", self.n_inputs, 1, None if self._listed else network.n_test // 2)
        for name, needed in {"depth": 1, "n_examples": 0, "weight_decay": 0}.items():
            if getattr(network, name) != needed:
                raise InputError(
                    f"{name} is {getattr(network, name)}, but the kernel control is a flow in the loss alone, of one hidden "
                    f"layer, of ever new strings; expected {needed}. Do without this control."
                )

    @property
    def learning_rate(self) -> float:
        """Time of a step."""
        return self.rate or (self.network.rate if self.network.descent == "sgd" else _RATE)

    @property
    def n_measured(self) -> int:
        """One less where there are no other strings."""
        return 2 if self._listed else 3

    @property
    def inputs(self) -> str:
        """How many strings, unless these are all."""
        if self._listed:
            return ""
        return f"{self.n_inputs} of 2^{self.network.n_bits} strings of each subtask, drawn at random"

    def check_count(self, n_subtasks: int) -> None:
        """Refuse what the network refuses, and more strings than a kernel can have."""
        self.network.check_count(n_subtasks)
        n = n_subtasks * self._n_strings
        if n > MAX_UNKNOWNS:
            raise InputError(
                f"the kernel of {n_subtasks} subtasks on {self._n_strings} strings each has {n} unknowns and would need "
                f"{8 * n**2 / 2**30:.3g} GiB; expected at most {MAX_UNKNOWNS}. Take fewer subtasks, or a lower n_inputs."
            )

    def memory_needed(self, n_subtasks: int, batch_size: int) -> int:
        """Bytes of the kernel, twice while it is formed, of the first weights, and of what is seen of the strings."""
        n, width, n_bits = n_subtasks * self._n_strings, self.network.width, self.network.n_bits
        numbers = n * (2 * n + 6 * width + 3 * n_bits) + 2 * (n_subtasks + n_bits) * width
        return 8 * numbers + 300 * n_subtasks

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Flow:
        """State before the first step; see the base.

        Raises
        ------
        InputError
            If the network cannot have these subtasks, or the kernel would be too large.
        """
        p = checked(self, frequencies, dynamics, batch_size)
        begun = self._unweighted(p, rng, batch_size)
        pull, speed, direction = np.zeros((3, p.size * self._n_strings))
        of_network = begun.masks, begun.begin, begun.on, begun.keys
        state = Flow(p, np.array(0), *of_network, pull, speed, direction, np.zeros(3))
        return self._stopped(state, self._linear(state).flow())

    def advance(self, state: Flow, time: int) -> Flow:
        """State at that step."""
        step = moment(int(state.step), time)
        end = float(step) * self.learning_rate
        integrator = self._linear(state).flow(
            {"y": state.pull, "rate": state.speed, "direction": state.direction, "scalars": state.pace.tolist()}
        )
        while integrator.time < end:
            integrator.advance(end)
        return self._stopped(state._replace(step=step), integrator)

    def measure(self, state: Flow) -> dict[str, np.ndarray]:
        """Loss and accuracy of every subtask on the strings that it sees; ``held_out``, its loss on as many others."""
        return self._linear(state).measure(state.pull)

    @property
    def _listed(self) -> bool:
        """Whether all strings are there."""
        return self.n_inputs >= 2**self.network.n_bits

    @property
    def _n_strings(self) -> int:
        """Of each subtask."""
        return min(self.n_inputs, 2**self.network.n_bits)

    @staticmethod
    def _stopped(state: Flow, integrator: Chebyshev) -> Flow:
        """Where the integrator is."""
        now = integrator.state()
        return state._replace(
            pull=now["y"], speed=now["rate"], direction=now["direction"], pace=np.array(now["scalars"])
        )  # fmt: skip

    def _linear(self, state: Flow) -> flow.Linear:
        """The linearised network of a run: made once, since it is large, and kept while any state of the run is."""
        run = id(state.keys)  # which all states of a run share
        control, linear = _KEPT.get(run, (None, None))
        if linear is None:
            weakref.finalize(state.keys, _KEPT.pop, run, None).atexit = False
        if linear is None or control != self:
            linear = self._made(state)
            _KEPT[run] = self, linear
        return linear

    def _made(self, state: Flow) -> flow.Linear:
        """The linearised network, from the keys, subtasks and frequencies of a state."""
        network, n = self.network, self._n_strings
        subtasks = data.Parities(state.masks, state.begin, state.on)
        rng = np.random.default_rng(state.keys[3])
        first = reference.initial(subtasks.n_controls, network.n_bits, network.width, 1, rng)
        if self._listed:
            seen, held = flow.every_string(state.frequencies.size, network.n_bits), None
        else:
            strings = flow.test_strings(network.look(state.keys), state.frequencies.size, 2 * n)
            seen, held = strings[:, :n], strings[:, n:]
        exact = first.each(lambda array: array.astype(np.float64))
        return flow.Linear(exact, subtasks, state.frequencies, seen, held)
