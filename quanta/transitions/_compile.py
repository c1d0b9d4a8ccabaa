"""How the detector's functions are compiled."""

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")
"""For functions that Python may call."""
inner = njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only kernels call: to unwrap some sixty arrays takes longer to compile than most of them."""
