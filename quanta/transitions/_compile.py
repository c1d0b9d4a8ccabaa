"""How the detector's functions are compiled."""

from typing import Any

from numba import njit

_compiled: Any = njit  # its stubs know no option beyond a few
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
kernel = _compiled(**_OPTIONS)
"""For functions that Python may call."""
inner = _compiled(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only kernels call: to unwrap some sixty arrays takes longer to compile than most of them."""
