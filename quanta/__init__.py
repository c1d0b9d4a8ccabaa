"""quanta: is a smooth loss curve the sum of many sharp phase changes?

The submodules, in the order in which data flows through them, are loaded on first use, so that
``import quanta`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "compare",
    "composition",
    "discovery",
    "ensemble",
    "frequencies",
    "learners",
    "models",
    "partition",
    "plan",
    "plot",
    "record",
    "scaling",
    "simulate",
    "sweep",
    "tasks",
    "train",
    "transitions",
    "worlds",
]

if TYPE_CHECKING:
    from quanta import (
        compare,
        composition,
        discovery,
        ensemble,
        frequencies,
        learners,
        models,
        partition,
        plan,
        plot,
        record,
        scaling,
        simulate,
        sweep,
        tasks,
        train,
        transitions,
        worlds,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"quanta.{name}")
    raise AttributeError(f"module 'quanta' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
