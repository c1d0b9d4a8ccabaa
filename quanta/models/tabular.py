"""The control for the optimiser: a table that shares nothing between inputs."""

from dataclasses import dataclass
from typing import final

from quanta._errors import InputError
from quanta.models.base import AbstractModel, AbstractRun, Setting
from quanta.tasks.stream import Stream

_MAX_BYTES = 8 * 2**30


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Tabular(AbstractModel):
    """One softmax table over the answers for every subtask and input, all logits 0 at first.

    A convex model with no shared features: under SGD in small steps its sharpness is what first-order learning
    of softmax outputs gives, near 1 (0.77 for 2 classes, 1.02 for 11); under Adam it is higher. It calibrates the
    optimiser; having no shared features, it cannot stand for linear learning as a whole: that is ``kernel``.

    At its default rates a single example moves a logit by at most rate/batch_size, so that every answer takes
    many examples; at rates in the thousands it learns from one, which is a step in one run.
    """

    @property
    def control_kind(self) -> str:
        """Controls for the optimiser."""
        return "tabular"

    @property
    def network(self) -> str:
        """None."""
        return ""

    def default_rate(self, optimizer: str) -> float:
        """10 for SGD, 0.003 for Adam."""
        return {"sgd": 10.0, "adam": 3e-3}[optimizer]

    def check(self, stream: Stream, setting: Setting) -> None:
        """Refuse tasks with too many inputs to list, and tables that are too large."""
        task = stream.task
        task.check_listed("the tabular control")
        n_rows = stream.n_subtasks * task.n_inputs
        needed = n_rows * len(task.readout) * task.n_classes * 4 * 4  # table, gradient, two moments
        if needed > _MAX_BYTES:
            raise InputError(
                f"a table of {n_rows} rows and {task.n_classes} answers needs {needed / 2**30:.3g} GiB; "
                f"at most {_MAX_BYTES / 2**30:.0f} GiB are allowed. Use fewer subtasks, or a smaller task."
            )

    def start(self, stream: Stream, setting: Setting) -> AbstractRun:
        """A run at step 0."""
        from quanta.models._network import Table
        from quanta.models._training import Training

        task = stream.task
        table = Table(stream.n_subtasks * task.n_inputs, len(task.readout), task.n_classes)
        return Training(table, stream, setting)
