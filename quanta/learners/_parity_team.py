"""Threads that share a part of a step inside compiled code: whoever is free takes the next piece."""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from quanta.learners._parity_vectors import inner, intrinsic


def team() -> np.ndarray:
    """What threads that share a part count with, from 0, (2,) int64: the pieces taken, and the threads that came."""
    return np.zeros(2, dtype=np.int64)


@intrinsic
def _add_one(_: Any, array: Any, place: Any) -> Any:
    """Add 1 to a number that other threads see, and return what it was."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(numbers, [args[1]]), ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(array, types.intp), generate


@inner
def claim(shared: np.ndarray) -> int:
    """Number of the next piece: 0, 1, … whoever asks; beyond the last there is nothing left to do."""
    return _add_one(shared, 0)


@inner
def enter(shared: np.ndarray) -> int:
    """Number of this thread in this part."""
    return _add_one(shared, 1)
