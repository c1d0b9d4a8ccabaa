"""Linear regression on many tasks that share their features: a convex world in which single curves look sharp."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np

from quanta._checks import check_above
from quanta._errors import InputError
from quanta.learners.base import AbstractLearner, Truth, checked, moment, no_steps

_MOST_SUBTASKS = 4000  # of which the eigenvectors take a minute and 128 MB
_MOST_FEATURES = 10**8  # in all: 0.8 GB
_WIDEST = 1e12  # ratio of frequencies beyond which float64 loses the slowest modes


class Modes(NamedTuple):
    """State of a linear model under gradient flow: its eigenmodes, and for how long each has decayed."""

    frequencies: np.ndarray
    """(n_subtasks,) p_k."""
    step: np.ndarray
    """() steps made."""
    rates: np.ndarray
    """(n_modes,) λ_j: mode j decays as e^(-λ_j t)."""
    parts: np.ndarray
    """(n_subtasks, n_modes) c_kj: what mode j adds to the residual of subtask k, times λ_j."""
    targets: np.ndarray
    """(n_subtasks,) y_k = ±1: the residuals at the start, up to their sign."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LinearCoupled(AbstractLearner):
    r"""Gradient flow from zero of one linear model on all tasks: random unit vectors of features x_k, targets y_k = ±1.

    .. math:: \frac{dw}{dt} = -\tfrac{\eta}{2} \nabla \sum_k p_k L_k, \quad L_k = r_k^2, \quad r_k = w \cdot x_k - y_k
        \quad\Rightarrow\quad r_k(t) = -y_k + \sum_j c_{kj}\,\frac{1 - e^{-\eta \lambda_j t}}{\lambda_j}

    exactly, where λ and Q are eigenvalues and eigenvectors of √p_k √p_l x_k·x_l, and
    c_kj = Σ_l x_k·x_l √p_l Q_lj · Σ_l Q_lj √p_l y_l. All losses start at 1.

    **This is the null that breaks naive tests.** Nothing here is a phase change: the problem is convex, the model
    linear, and the mean loss a mixture of decaying exponentials with positive weights, of sharpness S ≤ 1 at most. But
    features that are shared give a single subtask weights of either sign: its loss may rise, wait while others are
    learned, and then fall faster than any exponential. Of 32 to 200 Zipf tasks (s = 1 to 2) in 1.1 to 4 dimensions
    each, 20 to 30 % of single subtasks have S > 1.2; in 10 dimensions, 17 %. So S > 1 proves nothing of one curve; what
    counts is to be sharper than a linear model on the same features, and
    :class:`~quanta.learners.exponential.Exponential`, whose subtasks share none, is no such control.

    Steps there are none to know: its truth is nan. With fewer dimensions than subtasks not all can be learned: the
    rarest keep most of their loss on average, and single ones, on which what the frequent need bears, end far above
    their start (of 40 tasks in 20 dimensions one in five ends above it, the worst at up to 9 times).

    References
    ----------
    The modes: Saxe, McClelland, Ganguli (2013), Exact solutions to the nonlinear dynamics of learning, of one layer.

    Examples
    --------
    >>> learner = LinearCoupled()
    >>> state = learner.start(np.array([0.9, 0.1]), np.random.default_rng(0))
    >>> learner.measure(learner.advance(state, 100))["loss"].round(3).tolist()
    [0.14, 0.276]
    """

    dimensions: float = 2.0
    """Dimensions of the features, for each subtask; below 1 not all subtasks can be learned."""
    rate: float = 0.01
    """Learning rate η."""

    units: ClassVar[str] = "squared error"
    optimizer: ClassVar[str] = "sgd"
    clock: ClassVar[str] = "steps"
    axes: ClassVar[tuple[str, ...]] = ()
    dynamics: ClassVar[tuple[str, ...]] = ("expected",)
    monotone: ClassVar[bool] = False
    generalises: ClassVar[bool] = True
    has_steps: ClassVar[bool] = False
    bitwise: ClassVar[bool] = False
    exchangeable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_above("dimensions", self.dimensions)
        check_above("rate", self.rate)

    @property
    def chance_loss(self) -> float:
        """1."""
        return 1.0

    def start(
        self, frequencies: np.ndarray, rng: np.random.Generator, *, dynamics: str = "expected", batch_size: int = 1
    ) -> Modes:
        """State before the first step; see the base.

        Raises
        ------
        InputError
            If there are too many subtasks for their eigenvectors, too many dimensions, or frequencies too far apart.
        """
        p = checked(self, frequencies, dynamics, batch_size)
        self._check(p)
        features = rng.standard_normal((p.size, max(1, round(self.dimensions * p.size))))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        targets = rng.choice([-1.0, 1.0], p.size)
        root, overlap = np.sqrt(p), features @ features.T
        rates, modes = np.linalg.eigh(root[:, None] * overlap * root)
        parts = (overlap * root) @ modes * (modes.T @ (root * targets))
        return Modes(p, np.array(0, dtype=np.int64), np.maximum(rates, 0.0), parts, targets)

    def advance(self, state: Modes, time: int) -> Modes:
        """State after that many steps in all."""
        return state._replace(step=moment(int(state.step), time))

    def measure(self, state: Modes) -> dict[str, np.ndarray]:
        """The loss of every subtask, (n_subtasks,)."""
        time = self.rate * float(state.step)
        with np.errstate(invalid="ignore", divide="ignore"):
            grown = np.where(state.rates > 0, -np.expm1(-state.rates * time) / state.rates, time)
        return {"loss": np.square(state.parts @ grown - state.targets)}

    def truth(self, state: Modes) -> Truth:
        """Nothing: there is no step."""
        return no_steps(state.frequencies.size)

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Not declared: it depends on the features."""
        return np.full(np.shape(frequencies), np.nan)

    def horizon(self, frequencies: np.ndarray) -> float:
        """Thirty times the onset of the rarest by itself, ln 2 / (2 η p), slowed by what of its features others use."""
        p = np.asarray(frequencies, dtype=np.float64)
        own = max(1 - 1 / self.dimensions, 0.05)
        return 30 * math.log(2) / (2 * self.rate * float(np.min(p[p > 0])) * own)

    def _check(self, p: np.ndarray) -> None:
        if p.size > _MOST_SUBTASKS:
            raise InputError(
                f"n_subtasks is {p.size}; expected at most {_MOST_SUBTASKS} for LinearCoupled, which takes the "
                "eigenvectors of all pairs. Exponential, without shared features, has no limit."
            )
        if self.dimensions * p.size**2 > _MOST_FEATURES:
            raise InputError(
                f"dimensions is {self.dimensions}; expected at most {_MOST_FEATURES / p.size**2:.3g} for each of "
                f"{p.size} subtasks, {_MOST_FEATURES:.0e} features in all. So many hardly overlap: see Exponential."
            )
        width = float(np.max(p) / np.min(p[p > 0]))
        if width > _WIDEST:
            raise InputError(
                f"the most frequent subtask is {width:.2g} times as frequent as the rarest; expected at most "
                f"{_WIDEST:g} for LinearCoupled, whose slowest modes would be lost to rounding."
            )
