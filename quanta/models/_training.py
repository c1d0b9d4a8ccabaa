"""Training batch by batch, for the network and for the table."""

import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quanta.models.base import AbstractRun, Diverged, Setting
from quanta.tasks.base import Batch
from quanta.tasks.stream import Stream

PIECE = 0.25
"""Seconds of work after which :meth:`Training.advance` comes back."""


class Training(AbstractRun):
    """A module that follows the gradient of the mean loss of each batch, at the setting's rate unless one is given."""

    def __init__(self, module: nn.Module, stream: Stream, setting: Setting, rate: float | None = None) -> None:
        self.stream = stream
        self.setting = setting
        self.module = module.to(setting.device)
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        rate = setting.learning_rate if rate is None else rate
        if setting.optimizer == "sgd":
            self.optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=rate, fused=True)
        else:
            self.optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.step = 0
        self.exposures = np.zeros(stream.n_subtasks, dtype=np.int64)
        self._evaluation: list[tuple[Batch, Tensor]] | None = None

    def advance(self, target: int) -> int:
        """Take steps for a fraction of a second, or until ``target``."""
        first, losses, end = self.step, [], time.monotonic() + PIECE
        while self.step < target and time.monotonic() < end:
            losses.append(self._descend(self.stream.batch(self.step)))
            self.step += 1
        bad = torch.nonzero(~torch.isfinite(torch.stack(losses)))
        if len(bad):
            raise Diverged(first + int(bad[0]), self.setting.learning_rate)
        return self.step

    def _descend(self, batch: Batch) -> Tensor:
        self.exposures += np.bincount(batch.subtask, minlength=self.stream.n_subtasks)
        rows = self._rows(batch)
        share = np.full(len(batch.tokens), 1.0)
        if rows is not None:  # equal examples are computed once, and count as often as they occur
            _, first, count = np.unique(rows, return_index=True, return_counts=True)
            batch, rows, share = batch.take(first), rows[first], count.astype(float)
        nll, counts = self._nll(self._logits(batch, rows), batch)
        weight = self._tensor(share).to(nll.dtype)[:, None] * counts
        loss = (nll * weight).sum() / weight.sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def measure(self) -> dict[str, np.ndarray]:
        """Mean loss, accuracy and probability of the right answer on the evaluation set."""
        if self._evaluation is None:
            self._evaluation = [(b, self._tensor(b.targets)) for b in self.stream.evaluation()]
        rows = []
        with torch.no_grad():
            for batch, targets in self._evaluation:
                logits = self._logits(batch, self._rows(batch)).cpu()
                rows.append(curves(logits.double(), targets.cpu(), batch))
        measured = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        if not np.all(np.isfinite(measured["loss"])):
            raise Diverged(self.step, self.setting.learning_rate)
        return {**measured, "exposures": self.exposures.astype(float)}

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and counts."""
        return {
            "step": self.step,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "exposures": torch.from_numpy(self.exposures),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step = state["step"]
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.exposures = state["exposures"].numpy().copy()

    def _rows(self, batch: Batch) -> np.ndarray | None:
        return None if batch.number is None else batch.subtask * self.stream.task.n_inputs + batch.number

    def _logits(self, batch: Batch, rows: np.ndarray | None) -> Tensor:
        return self.module(self._tensor(batch.tokens), None if rows is None else self._tensor(rows))

    def _nll(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        targets = self._tensor(batch.targets)
        nll = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        return nll, self._tensor(batch.mask)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.setting.device)


def curves(logits: Tensor, targets: Tensor, batch: Batch) -> dict[str, np.ndarray]:
    """Means over each subtask's answers of loss (nats), accuracy and probability of the right answer.

    ``logits`` (n, n_readout, n_classes), the rows of a subtask beside each other, subtasks rising.
    """
    chosen = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0].numpy()
    right = (logits.argmax(-1) == targets).numpy().astype(float)
    counts = batch.mask.sum(axis=1)
    _, first = np.unique(batch.subtask, return_index=True)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat((values * batch.mask).sum(axis=1), first) / np.add.reduceat(counts, first)

    return {"loss": mean(-chosen), "accuracy": mean(right), "probability": mean(np.exp(chosen))}
