"""The control that counts: the linearised network, with every shared feature of the network itself."""

from dataclasses import dataclass
from typing import final

from quanta._errors import InputError
from quanta.models.base import AbstractModel, AbstractRun, Setting, check_flow
from quanta.models.decoder import Decoder
from quanta.tasks.stream import Stream

MAX_UNKNOWNS = 12_000


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel(AbstractModel):
    r"""Exact gradient flow of the network linearised at its initial weights, in function space.

    .. math:: \dot F = -K\,[\,w \circ (\mathrm{softmax}(F) - y)\,], \qquad K = J J^\top, \quad F(0) = F_0

    F holds all logits of all inputs of all subtasks, J their Jacobian at the initial weights that the decoder
    with the same fields and seed has, w how often each input is sampled. Time is learning rate × step. No batches:
    no sampling noise, and no instability, at any rate.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide Neural Networks of Any Depth
    Evolve as Linear Models Under Gradient Descent, eqs. (6)–(8).
    """

    width: int = 64
    """Width of the network's residual stream."""
    depth: int = 1
    """Number of its layers."""
    heads: int = 4
    """Its attention heads in a layer."""
    centred: bool = False
    """Start at zero logits, as the lazy dial does, instead of the network's own."""

    def __post_init__(self) -> None:
        self._decoder()

    @property
    def control_kind(self) -> str:
        """Controls for linear learning with the network's own features."""
        return "kernel"

    @property
    def dynamics(self) -> str:
        """Without batches."""
        return "expected"

    @property
    def network(self) -> str:
        """The decoder with the same fields."""
        return repr(self._decoder())

    def default_rate(self, optimizer: str) -> float:
        """The network's."""
        return self._decoder().default_rate(optimizer)

    def check(self, stream: Stream, setting: Setting) -> None:
        """Refuse other optimisers than SGD, and tasks with too many inputs or logits."""
        check_flow("the kernel control", setting)
        task = stream.task
        task.check_listed("the kernel control")
        n_answers = stream.n_subtasks * task.n_inputs * len(task.readout)
        n_unknowns = n_answers * (task.n_classes - 1)
        if n_unknowns > MAX_UNKNOWNS:
            raise InputError(
                f"the kernel control has {n_unknowns} unknowns here ({stream.n_subtasks} subtasks, {task.n_inputs} "
                f"inputs each, {task.n_classes} answers) and would need {8 * n_unknowns**2 / 2**30:.3g} GiB; at most "
                f"{MAX_UNKNOWNS} are allowed. Use at most {MAX_UNKNOWNS * stream.n_subtasks // n_unknowns} subtasks, "
                "or a smaller task."
            )

    def start(self, stream: Stream, setting: Setting) -> AbstractRun:
        """A run at step 0, with K formed."""
        from quanta.models._linearised import Flow
        from quanta.models._network import build

        network = build(self.width, self.depth, self.heads, stream)
        return Flow(network, stream, setting, centred=self.centred)

    def _decoder(self) -> Decoder:
        return Decoder(width=self.width, depth=self.depth, heads=self.heads)
