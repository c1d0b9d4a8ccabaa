"""Tasks: what a subtask is.

To add one, copy ``copying.py``, and add a line to ``TASKS``.
"""

from quanta.tasks.base import AbstractTask, Batch
from quanta.tasks.copying import Copying
from quanta.tasks.modular_arithmetic import ModularArithmetic

TASKS: dict[str, type[AbstractTask]] = {
    "modular_arithmetic": ModularArithmetic,
    "copying": Copying,
}

__all__ = ["TASKS", "AbstractTask", "Batch", "Copying", "ModularArithmetic"]
