"""Exact flows: a model that follows the mean loss over all inputs, with no batches, as far as an integrator takes it."""

import abc
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quanta._chebyshev import Chebyshev
from quanta.models._training import curves
from quanta.models.base import AbstractRun, Diverged, Setting
from quanta.tasks.stream import Stream


class AbstractFlow(AbstractRun):
    """A flow on all inputs of all subtasks, weighted as they are sampled, in time learning rate × step.

    Or on ``n_inputs`` random ones of each subtask, which then stand for all.
    """

    integrator: Chebyshev

    def __init__(self, stream: Stream, setting: Setting, n_inputs: int = 0) -> None:
        self.stream = stream
        self.setting = setting
        self.step = 0
        device = setting.device
        self.batch = stream.inputs(n_inputs)
        self.tokens = torch.from_numpy(self.batch.tokens).to(device)
        self.targets = torch.from_numpy(self.batch.targets).to(device)
        subtask = np.where(self.batch.asked, self.batch.subtask, stream.n_subtasks)  # the last: nothing is asked
        self.n_answers = np.bincount(subtask.ravel(), minlength=stream.n_subtasks + 1)[:-1]
        each = np.append(stream.probability / np.maximum(self.n_answers, 1), 0.0)
        self.weight = torch.from_numpy(each[subtask]).to(device)  # (n, n_readout), its sum is 1

    @abc.abstractmethod
    def logits(self, y: Tensor) -> Tensor:
        """Logits of all inputs at the integrator's state, (n, n_readout, n_classes)."""

    def advance(self, target: int) -> int:
        """Integrate a step further towards optimiser step ``target``."""
        if self.integrator.advance(target * self.setting.learning_rate) >= target * self.setting.learning_rate:
            self.step = target
        return self.step

    def measure(self) -> dict[str, np.ndarray]:
        """Exact means over these inputs; nan for a subtask that none of them asks."""
        with torch.no_grad():
            logits = self.logits(self.integrator.y).cpu()
        measured = curves([(logits, self.targets.cpu(), self.batch)], self.stream.n_subtasks)
        if not np.all(np.isfinite(measured["loss"][self.n_answers > 0])):
            raise Diverged(self.step, self.setting.learning_rate)
        answers = self.n_answers.sum() / len(self.batch.tokens) * self.stream.batch_size * self.step
        return {**measured, "exposures": self.stream.probability * answers}

    def state(self) -> dict[str, Any]:
        """The integrator's state; what belongs to the initial weights is formed again."""
        return {"step": self.step, "integrator": self.integrator.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step = state["step"]
        self.integrator.restore(state["integrator"])
