"""Work arrays of the compiled fits: allocated once, used for every curve."""

from typing import NamedTuple

import numpy as np

from quanta.transitions._compile import kernel

MAX_STEPS = 3
_TANGENTS = 2 * MAX_STEPS


class Work(NamedTuple):
    """A curve's regression at one φ on N = n_null + 3 columns: the null atoms, and slots for up to three more rows."""

    phi: np.ndarray  # (1,): of G's null block
    weighted: np.ndarray  # (m,): Ω y
    G: np.ndarray  # (N, N): Gram matrix; b: right-hand side; scale: 1/√diag
    b: np.ndarray
    scale: np.ndarray
    usable: np.ndarray  # (N,) of bool: which columns may enter
    which: np.ndarray  # (N,): the positive ones after a fit, and their Cholesky factor L (N, N)
    L: np.ndarray
    z: np.ndarray
    gradient: np.ndarray
    rows: np.ndarray  # (3, m): the extra rows, and Ω times them
    weighted_rows: np.ndarray
    V: np.ndarray  # (6, m): tangents, and Ω times them
    weighted_V: np.ndarray
    projected: np.ndarray  # (6, N)
    S: np.ndarray  # (6, 6)
    damped: np.ndarray
    slope: np.ndarray  # (6,)
    move: np.ndarray  # (6,)
    line: np.ndarray  # (m,)
    score: np.ndarray  # (n_atoms,)
    plain_score: np.ndarray
    left: np.ndarray
    atom_norm: np.ndarray
    atom_cross: np.ndarray  # (N, n_atoms)
    chosen: np.ndarray  # (8,)


@kernel
def allocate(d):
    """Work arrays for a dictionary."""
    m, n = d.t.size, d.null.shape[0] + MAX_STEPS
    atoms = max(d.steps.rows.shape[0], d.bumps.rows.shape[0])
    return Work(
        np.full(1, -1.0),
        np.empty(m),
        np.zeros((n, n)),
        np.zeros(n),
        np.ones(n),
        np.ones(n, np.bool_),
        np.empty(n, np.int64),
        np.empty((n, n)),
        np.empty(n),
        np.empty(n),
        np.empty((MAX_STEPS, m)),
        np.empty((MAX_STEPS, m)),
        np.empty((_TANGENTS, m)),
        np.empty((_TANGENTS, m)),
        np.empty((_TANGENTS, n)),
        np.empty((_TANGENTS, _TANGENTS)),
        np.empty((_TANGENTS, _TANGENTS)),
        np.empty(_TANGENTS),
        np.empty(_TANGENTS),
        np.empty(m),
        np.empty(atoms),
        np.empty(atoms),
        np.empty(atoms),
        np.empty(atoms),
        np.empty((n, atoms)),
        np.empty(8, np.int64),
    )
