"""Random numbers for Numba kernels: the i-th number of a key is a function of the two, in whatever order it is asked for.

Uniform numbers are Squares, and normal ones Box and Muller's of them. All is integer arithmetic and float operations
that IEEE 754 rounds exactly (no call of a mathematical library), so that they are the same on every machine.

References
----------
Widynski (2020), Squares: a fast counter-based RNG, arXiv 2004.06278: passes BigCrush and PractRand.
Box and Muller (1958), A note on the generation of random normal deviates.
"""

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit  # its stubs know no option beyond a few
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
kernel = _compiled(**_OPTIONS)
"""For functions that Python may call."""
inner = _compiled(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only kernels call."""

# Types are spelled out: Numba would widen 32-bit integers and floats, which halves the lanes of a vector.
_f, _i, _u, _long = np.float32, np.int32, np.uint32, np.uint64
_HALF = np.uint64(32)
_SQRT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)
_LN2, _RIGHT_ANGLE = np.float32(np.log(2)), np.float32(np.pi / 2 / 2**32)


def new_key(rng: np.random.Generator) -> np.uint64:
    """Draw a key as Squares wants it: sixteen hexadecimal digits, none 0, no two alike in either half, the last odd."""
    low = rng.permutation(np.arange(1, 16))
    odd = int(np.argmax(low % 2))
    low[[0, odd]] = low[[odd, 0]]
    digits = [*low[:8], *rng.permutation(np.arange(1, 16))[:8]]
    return np.uint64(sum(int(digit) << 4 * place for place, digit in enumerate(digits)))


@inner
def squares(counter: np.uint64, key: np.uint64) -> np.uint64:
    """64 random bits: number ``counter`` of this key, by five rounds of squaring."""
    y = counter * key
    z = y + key
    x = y * y + y
    x = (x >> _HALF) | (x << _HALF)
    x = x * x + z
    x = (x >> _HALF) | (x << _HALF)
    x = x * x + y
    x = (x >> _HALF) | (x << _HALF)
    t = x * x + z
    x = (t >> _HALF) | (t << _HALF)
    return t ^ ((x * x + y) >> _HALF)


@inner
def uniform(counter: np.uint64, key: np.uint64) -> float:
    """A uniform number above 0 and below 1, in steps of 2^-52."""
    return (np.float64(squares(counter, key) >> _long(12)) + 0.5) * 2.0**-52


@inner
def minus_log(bits: np.uint32) -> np.float32:
    """-ln of (bits + ½) / 2^32, 0 to 22.9, to a relative 3e-7: a polynomial after the exponent is taken off."""
    value = _f(_f(bits) + _f(0.5))
    whole = np.float32(value).view(np.int32)
    power = _i(_i(whole - _SQRT_HALF) >> _i(23))
    x = _f(np.int32(_i(whole - _i(power << _i(23)))).view(np.float32) - _f(1))  # from sqrt(1/2) - 1 to sqrt(2) - 1
    # (ln(1 + x) - x) / x^2, interpolated at Chebyshev points
    q = _f(0.0878726542)
    q = q * x - _f(0.141596466)
    q = q * x + _f(0.14834787)
    q = q * x - _f(0.165884882)
    q = q * x + _f(0.199720502)
    q = q * x - _f(0.250011474)
    q = q * x + _f(0.333336711)
    q = q * x - _f(0.49999997)
    return _f(_i(32) - power) * _LN2 - (x + x * x * q)


@inner
def box_muller(high: np.uint32, low: np.uint32) -> tuple[np.float32, np.float32]:
    """Two independent normal numbers of 64 random bits: half of them the radius, up to 6.7 σ, and half the angle."""
    radius = np.sqrt(_f(2) * minus_log(high))
    angle = _f(_i(_u(low << _u(2)))) * _RIGHT_ANGLE  # of a quarter turn, from -π/4 to π/4
    w = angle * angle
    sine = angle * (_f(1) - w * (_f(1 / 6) - w * (_f(1 / 120) - w * (_f(1 / 5040) - w * _f(1 / 362880)))))
    cosine = _f(1) - w * (_f(1 / 2) - w * (_f(1 / 24) - w * (_f(1 / 720) - w * _f(1 / 40320))))
    # the first two bits choose which of the four quarters
    radius = -radius if low & _u(0x80000000) else radius
    swap = (low & _u(0x40000000)) != 0
    return radius * (sine if swap else cosine), radius * (cosine if swap else sine)


@kernel
def normals(key: np.uint64, first: np.uint64, high: np.ndarray, low: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Fill x and y, each (n,) float32, with the normal pairs ``first`` to ``first + n`` of a key.

    ``high`` and ``low`` (n,) uint32 are room to work in: two loops, so that each fills the vector registers.
    """
    fill(key, first, high, low)
    for i in range(x.size):
        x[i], y[i] = box_muller(high[i], low[i])


@inner
def fill(key: np.uint64, first: np.uint64, high: np.ndarray, low: np.ndarray) -> None:
    """Both halves of the numbers ``first`` to ``first + n``, (n,) uint32 each."""
    for i in range(high.size):
        x = squares(first + _long(i), key)
        high[i], low[i] = _u(x >> _HALF), _u(x)
