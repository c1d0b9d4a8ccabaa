"""What a model is: something that learns a stream of batches, in pieces of work that can be stopped and resumed."""

import abc
import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from quanta._errors import InputError
from quanta.tasks.stream import Stream

OPTIMIZERS = ("sgd", "adam")


def require_torch() -> ModuleType:
    """PyTorch, or an error that says how to install it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError("quanta.train needs PyTorch; install it with: pip install 'quanta[torch]'") from None
    return torch


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a run learns: everything about it but the data and the model."""

    optimizer: str
    learning_rate: float
    device: str

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer {self.optimizer!r} is unknown; expected one of {', '.join(OPTIMIZERS)}.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning_rate is {self.learning_rate}; expected a number above 0.")


def check_flow(what: str, setting: Setting) -> None:
    """Refuse an optimiser that is no gradient flow."""
    if setting.optimizer != "sgd":
        raise InputError(
            f"{what} is a gradient flow, but optimizer is {setting.optimizer!r}; expected 'sgd'. "
            "Its time is learning rate × step: choose both."
        )


class AbstractRun(abc.ABC):
    """A model in the middle of learning."""

    @abc.abstractmethod
    def advance(self, target: int) -> int:
        """Do a bounded piece of work towards step ``target``; returns the step reached.

        Where the pieces end must not change the result.
        """

    @abc.abstractmethod
    def measure(self) -> dict[str, np.ndarray]:
        """``loss``, ``accuracy``, ``probability`` and ``exposures`` of every subtask, (n_subtasks,) each."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold, in tensors, numbers, strings, lists and dicts of them."""

    @abc.abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state made by :meth:`state`."""


class AbstractModel(abc.ABC):
    """A model that can be trained on a stream."""

    @property
    @abc.abstractmethod
    def control_kind(self) -> str:
        """What this model controls for: "tabular", "kernel", "lazy"; "" for the network itself."""

    @property
    def dynamics(self) -> str:
        """Batch by batch ("sampled"), or a flow of the mean loss over all inputs ("expected")."""
        return "sampled"

    @property
    @abc.abstractmethod
    def network(self) -> str:
        """``repr`` of the network whose initial weights it shares; "" where there is none."""

    @abc.abstractmethod
    def default_rate(self, optimizer: str) -> float:
        """Learning rate where none is given."""

    @abc.abstractmethod
    def check(self, stream: Stream, setting: Setting) -> None:
        """Refuse, before any work, what this model cannot learn.

        Raises
        ------
        InputError
            If it cannot learn this task, this many subtasks, or in this way.
        """

    @abc.abstractmethod
    def start(self, stream: Stream, setting: Setting) -> AbstractRun:
        """A run at step 0, of what passed :meth:`check`."""


class Diverged(InputError):
    """The loss stopped being a number; ``record`` holds the checkpoints before that."""

    record: Any = None  # filled in by train.train

    def __init__(self, step: int, learning_rate: float) -> None:
        super().__init__(
            f"the training loss is not finite at step {step}; expected it to stay finite. "
            f"Lower the learning rate (it is {learning_rate:g})."
        )
        self.step = step
