"""The control that counts: the linearised network, with every shared feature of the network itself."""

from dataclasses import dataclass
from typing import final

from quanta._checks import check_whole
from quanta._errors import InputError
from quanta.models.base import AbstractRun, Setting, check_flow
from quanta.models.network import AbstractNetwork
from quanta.tasks.stream import Stream

MAX_UNKNOWNS = 12_000


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel(AbstractNetwork):
    r"""Exact gradient flow of the network linearised at its initial weights, in function space.

    .. math:: \dot F = -K\,[\,w \circ (\mathrm{softmax}(F) - y)\,], \qquad K = J J^\top, \quad F(0) = F_0

    F holds all logits of all inputs of all subtasks, J their Jacobian at the initial weights that the decoder
    with the same fields and seed has, w how often each input is sampled. Time is learning rate × step. No batches:
    no sampling noise, and no instability, at any rate.

    Where all inputs are too many, ``n_inputs`` random ones of each subtask stand for them: they are all that it learns,
    and that it is measured on. It may then learn by heart what linear learning from all inputs would not.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide Neural Networks of Any Depth
    Evolve as Linear Models Under Gradient Descent, eqs. (6)–(8).
    """

    centred: bool = False
    """Start at zero logits, as the lazy dial does, instead of the network's own."""
    n_inputs: int = 0
    """Inputs of each subtask (of a task that asks several in a sequence: sequences) that stand for all, drawn at random; 0: all."""

    def __post_init__(self) -> None:
        AbstractNetwork.__post_init__(self)  # zero-argument super() does not survive slots
        check_whole("n_inputs", self.n_inputs, 0)

    @property
    def control_kind(self) -> str:
        """Controls for linear learning with the network's own features."""
        return "kernel"

    @property
    def dynamics(self) -> str:
        """Without batches."""
        return "expected"

    def default_rate(self, optimizer: str, stream: Stream) -> float:
        """The network's under SGD, 0.1: the time of the flow is learning rate × step."""
        return 0.1

    def inputs(self, stream: Stream) -> str:
        """The random part, if it is one."""
        if not 0 < self.n_inputs < stream.task.n_inputs:
            return ""
        what = "sequences" if stream.task.joint else "inputs of each subtask"
        return f"{self.n_inputs} of {stream.task.n_inputs:.6g} {what}, drawn at random"

    def check(self, stream: Stream, setting: Setting) -> None:
        """Refuse other optimisers than SGD, too many inputs or logits, and a part of a training set."""
        check_flow("the kernel control", setting)
        task = stream.task
        if self.n_inputs and task.full_batch is not None:
            raise InputError(
                f"n_inputs is {self.n_inputs}, but {task!r} has a training set of its own, and a part of it would be "
                "another task; expected 0. Use --model linearised."
            )
        n_inputs = min(self.n_inputs or task.n_inputs, task.n_inputs)
        n_unknowns = n_inputs * self.unknowns(stream)
        if n_unknowns > MAX_UNKNOWNS:
            raise InputError(
                f"the kernel control has {n_unknowns:.6g} unknowns here ({stream.n_subtasks} subtasks, {n_inputs:.6g} "
                f"{'sequences' if task.joint else 'inputs each'}, {task.n_classes} answers) and would need "
                f"{8 * n_unknowns**2 / 2**30:.3g} GiB; at most {MAX_UNKNOWNS} are allowed. {self._way_out(stream)}"
            )

    @staticmethod
    def unknowns(stream: Stream) -> int:
        """Logits, but for their common shift, for each input of every subtask, or each sequence of a joint task."""
        task = stream.task
        return (1 if task.joint else stream.n_subtasks) * len(task.readout) * (task.n_classes - 1)

    def _way_out(self, stream: Stream) -> str:
        most = MAX_UNKNOWNS // self.unknowns(stream)
        if most < 1 or stream.task.full_batch is not None:
            return "Choose a smaller task, or use --model linearised."
        part = f"n_inputs, at most {most}: that many inputs, drawn at random, then stand for all"
        fewer = MAX_UNKNOWNS * stream.n_subtasks // (self.unknowns(stream) * stream.task.n_inputs)
        return f"Use at most {fewer} subtasks, or {part}." if fewer and not stream.task.joint else f"Use {part}."

    def start(self, stream: Stream, setting: Setting) -> AbstractRun:
        """A run at step 0, with K formed."""
        from quanta.models._linearised import Flow
        from quanta.models._network import build

        return Flow(build(self, stream), stream, setting, self)
