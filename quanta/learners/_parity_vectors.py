"""Sixteen float32 as one value inside Numba's compiled code.

Numba vectorises the loops of the parity network badly (measured: nine times slower than this), because LLVM cannot know
that a sum gathered from tables does not overlap what it is written to. Where a machine has narrower registers LLVM splits
the vector, so the results are the same.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit
from numba.core import extending, types
from numba.core.extending import models, overload, register_model

_compile: Any = njit
intrinsic: Any = extending.intrinsic
_HOW: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
kernel: Any = _compile(**_HOW)
"""Compiles a function that Python calls."""
inner: Any = _compile(no_cpython_wrapper=True, **_HOW)
"""Compiles a function that only compiled ones call: without the code that reads
Python's arguments, in less time. Python must not call it: that ends the process."""
reordered: Any = _compile(no_cpython_wrapper=True, fastmath={"reassoc", "contract"}, **_HOW)
"""The same, of one whose sums may be made in any order."""
LANES = 16
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_ZERO = ir.Constant(_FLOATS, [0.0] * LANES)
_FIRST = ir.Constant(ir.IntType(32), 0)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name="float32x16")


vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _FLOATS)


def _address(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _FLOATS.as_pointer())


@intrinsic
def load(_: Any, array: Any, place: Any) -> Any:
    """Vector at a place of a contiguous array of any shape: ``array.flat[place : place + 16]``, unchecked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = builder.load(_address(context, builder, signature.args[0], *args))
        found.align = 4
        return found

    return vector(array, types.intp), generate


@intrinsic
def store(_: Any, array: Any, place: Any, value: Any) -> Any:
    """Write a vector at a place of a contiguous array of any shape, unchecked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into, at, given = args
        builder.store(given, _address(context, builder, signature.args[0], into, at)).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def zero(_: Any) -> Any:
    """Sixteen zeros."""
    return vector(), lambda context, builder, signature, args: _ZERO


@intrinsic
def spread(_: Any, number: Any) -> Any:
    """A number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        nothing = ir.Constant(_FLOATS, ir.Undefined)
        one = builder.insert_element(nothing, args[0], _FIRST)
        return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return vector(types.float32), generate


@intrinsic
def positive(_: Any, value: Any) -> Any:
    """Which lanes are above 0, as the bits of a uint16; nan counts as above, so that it is seen in what follows."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fcmp_unordered(">", args[0], _ZERO), ir.IntType(LANES))

    return types.uint16(vector), generate


@intrinsic
def where(_: Any, lanes: Any, value: Any) -> Any:
    """The value in the lanes whose bits are set, else 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        chosen = builder.bitcast(args[0], ir.VectorType(ir.IntType(1), LANES))
        return builder.select(chosen, args[1], _ZERO)

    return vector(types.uint16, vector), generate


@intrinsic
def root(_: Any, value: Any) -> Any:
    """Square root of every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS])
        name = f"llvm.sqrt.v{LANES}f32"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, args)

    return vector(vector), generate


@intrinsic
def lookups(_: Any, tables: Any, at: Any, word: Any, chunks: Any) -> Any:
    """Sum of an entry of each of some tables of 16 vectors: the one that four bits of a word name.

    The first table begins at place ``at``; there are as many as ``chunks`` is long, a tuple, because its length is part of its
    type, so that no loop remains. Four sums take turns, which hides the time that an addition takes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, first, bits, _ = args
        count = len(signature.args[3])
        sums: list[Any] = []
        for i in range(count):
            shift = 4 * i - 4  # the four bits, times 16
            moved = builder.lshr(bits, bits.type(shift)) if shift > 0 else builder.shl(bits, bits.type(-shift))
            place = builder.add(builder.add(first, first.type(256 * i)), builder.and_(moved, bits.type(240)))
            entry = builder.load(_address(context, builder, signature.args[0], array, place))
            entry.align = 4
            sums = [*sums, entry] if i < 4 else [*sums[1:], builder.fadd(sums[0], entry)]
        while len(sums) > 1:
            sums = [*sums[2:], builder.fadd(*sums[:2])]
        return sums[0] if sums else _ZERO

    return vector(tables, types.intp, types.uint64, chunks), generate


@intrinsic
def total(_: Any, value: Any) -> Any:
    """Sum of the lanes, in pairs: always the same order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (left,) = args
        size = LANES
        while size > 1:
            size //= 2
            nothing = ir.Constant(left.type, ir.Undefined)
            kind = ir.VectorType(ir.IntType(32), size)
            low = builder.shuffle_vector(left, nothing, ir.Constant(kind, list(range(size))))
            high = builder.shuffle_vector(left, nothing, ir.Constant(kind, list(range(size, 2 * size))))
            left = builder.fadd(low, high)
        return builder.extract_element(left, _FIRST)

    return types.float32(vector), generate


def _define(symbol: Callable[..., Any], instruction: str) -> None:
    """Give vectors an operator of Python, lane by lane."""

    @intrinsic
    def lanewise(_: Any, one: Any, other: Any) -> Any:
        return vector(vector, vector), lambda context, builder, signature, args: getattr(builder, instruction)(*args)

    @overload(symbol)
    def operate(one, other):  # Numba wants no annotations here
        if one is vector and other is vector:
            return lambda one, other: lanewise(one, other)
        return None


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
