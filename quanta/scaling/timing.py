r"""How onsets grow as subtasks become rarer: the exponent of onset ∝ p^-γ, where many are not yet learned.

To drop subtasks that a run ended too early to see learned is to drop, among the rare, all but the quick: the slope comes
out too shallow. Here they count for what is known of them, that their onsets lie beyond the end; and an onset is known to
lie between two checkpoints. Scatter of ln onset is normal, and the same for all (Tobin 1958; Olsen 1978):

.. math:: \ln T_k = a - \gamma \ln p_k + \sigma \epsilon_k
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np
from scipy import stats

from quanta._errors import InputError
from quanta.scaling import _censored as censored

if TYPE_CHECKING:
    import xarray as xr


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Onset ∝ p^-exponent: the fit, how sure it is, and what it would have been with the unlearned left out."""

    exponent: float
    """γ, by maximum likelihood, of all runs together."""
    interval: tuple[float, float]
    """Of γ, at ``confidence``: from the likelihood; over runs, by the jackknife, if there are three or more."""
    scatter: float
    """σ, in nats of time, of one onset about the line."""
    constant: float
    """a: ln onset at p = 1."""
    curvature: float
    """Of ln onset against ln p, as coefficient of (ln p)²; nan with fewer than four onsets or three frequencies."""
    curvature_interval: tuple[float, float]
    """If 0 lies outside, there is no one exponent: it depends on where it is measured."""
    naive_exponent: float
    """γ by least squares of the onsets seen, the unlearned left out: what is mostly published."""
    n_learned: int
    """Onsets seen."""
    n_censored: int
    """Subtasks not learned when their run ended."""
    n_runs: int
    """Runs, each with all subtasks."""
    confidence: float
    """Of the intervals."""

    def onset(self, frequencies: np.ndarray) -> np.ndarray:
        """Median onset at these frequencies, same shape and in the unit of the fit; of what never occurs, inf (γ > 0)."""
        with np.errstate(divide="ignore"):
            return np.exp(self.constant - self.exponent * np.log(np.asarray(frequencies, dtype=np.float64)))


def timing(record: "xr.Dataset", *, left: float = 0.1, confidence: float = 0.95) -> Timing:
    """The exponent of a record, its leading dims (seeds) taken together.

    Parameters
    ----------
    record : xr.Dataset
        With ``loss``, ``frequency`` and ``chance_loss``. Leave out subtasks, to see what the window does, with ``isel``.
    left : float
        A subtask is learned when so much of its chance loss is left: 0.1 is the 0.1 bits of Michaud et al. (2023) for
        two classes, 0.5 the onset as half the drop. The first checkpoint below counts.
    confidence : float
        Of the intervals.

    Returns
    -------
    Timing
        See there.

    Raises
    ------
    InputError
        If the record has no frequencies or chance loss, or fewer than two subtasks were seen to be learned.
    """
    for name in ("loss", "frequency", "chance_loss"):
        if name not in record:
            raise InputError(f"the record has no {name}; expected one. Give it to quanta.record.new.")
    if not 0 < left < 1:
        raise InputError(f"left is {left}; expected a share between 0 and 1.")
    loss = record["loss"].transpose(..., "subtask", "step").values
    frequency, chance = (
        record[name].broadcast_like(record["loss"].isel(step=0)).transpose(..., "subtask").values
        for name in ("frequency", "chance_loss")
    )
    after, by = between(record["step"].values, loss < left * chance[..., None])
    shape = (-1, loss.shape[-2])
    return fit_timing(frequency.reshape(shape), after.reshape(shape), by.reshape(shape), confidence=confidence)


def between(step: np.ndarray, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The checkpoints between which subtasks were first seen to be learned.

    Parameters
    ----------
    step : np.ndarray, shape (n_steps,)
        Rising.
    learned : np.ndarray of bool, shape (..., n_subtasks, n_steps)
        Whether it was.

    Returns
    -------
    after, by : np.ndarray, shape (..., n_subtasks)
        The last step before, and the first at which it was; the last step of all, and inf, where it never was.
    """
    ever, first = learned.any(axis=-1), learned.argmax(axis=-1)
    after = np.where(ever, np.where(first > 0, step[first - 1], 0), step[-1])
    return after.astype(np.float64), np.where(ever, step[first], np.inf)


def fit_timing(frequency: np.ndarray, after: np.ndarray, by: np.ndarray, *, confidence: float = 0.95) -> Timing:
    """The exponent of onsets known to lie between two times.

    Parameters
    ----------
    frequency : np.ndarray, shape (n_subtasks,) or (n_runs, n_subtasks)
        p_k, above 0; subtasks of frequency 0 or nan are left out.
    after, by : np.ndarray, shape (n_subtasks,) or (n_runs, n_subtasks)
        The onset lies after the one and at the other or before; ``after`` may be 0, and ``by`` is inf where it was not seen.
        Both the same where it is known exactly.
    confidence : float
        Of the intervals.

    Returns
    -------
    Timing
        See there.

    Raises
    ------
    InputError
        If shapes or times do not fit, or fewer than two subtasks were learned, or all those at one frequency.

    Examples
    --------
    >>> p = np.array([0.4, 0.2, 0.1, 0.05, 0.025])
    >>> onset = 100 / p
    >>> by = np.where(onset < 3000, onset, np.inf)
    >>> found = fit_timing(p, np.minimum(onset, 3000), by)
    >>> round(found.exponent, 3), found.n_learned, found.n_censored
    (1.0, 4, 1)
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a share between 0 and 1.")
    runs = _runs(frequency, after, by)
    every = _Onsets(*(np.concatenate(arrays) for arrays in zip(*runs, strict=True)))
    every.check()
    line, n_learned = every.fit(1), int(every.seen.sum())
    bent = n_learned >= 4 and np.unique(every.x[every.seen]).size >= 3
    low, high = _interval(runs, every, 1, confidence)
    return Timing(
        exponent=-float(line.slopes[-1]), interval=(-high, -low), scatter=float(line.scatter), constant=float(line.slopes[0]),
        curvature=float(every.fit(2).slopes[-1]) if bent else math.nan,
        curvature_interval=_interval(runs, every, 2, confidence) if bent else (math.nan, math.nan),
        naive_exponent=-float(np.polyfit(every.x[every.seen], every.high[every.seen], 1)[0]),
        n_learned=n_learned, n_censored=every.x.size - n_learned, n_runs=len(runs), confidence=confidence,
    )  # fmt: skip


class _Onsets(NamedTuple):
    """Logarithms, those of one run or more."""

    x: np.ndarray
    """(n,) ln p."""
    low: np.ndarray
    """(n,) ln onset is above this,"""
    high: np.ndarray
    """(n,) and at most this; inf where it was not seen."""

    @property
    def seen(self) -> np.ndarray:
        return np.isfinite(self.high)

    def check(self) -> None:
        """Refuse what has no slope."""
        n = int(self.seen.sum())
        if n < 2 or np.ptp(self.x[self.seen]) == 0:
            raise InputError(
                f"{n} of {self.x.size} subtasks were seen to be learned; expected two or more, of different frequencies. "
                "Run longer, or call more of the loss learned."
            )

    def columns(self, degree: int) -> np.ndarray:
        """Powers of ln p; those above the first about its mean, so that they are not nearly one another."""
        middle = self.x[self.seen].mean()
        return np.stack([self.x**i if i < 2 else (self.x - middle) ** i for i in range(degree + 1)], axis=1)

    def fit(self, degree: int) -> censored.Fit:
        return censored.fit(self.columns(degree), censored.Data(self.low, self.high))


def _runs(frequency: np.ndarray, after: np.ndarray, by: np.ndarray) -> list[_Onsets]:
    """Of each run the subtasks that occur in it."""
    p, after, by = (np.atleast_2d(np.asarray(array, dtype=np.float64)) for array in (frequency, after, by))
    if after.shape != by.shape or by.ndim != 2 or p.shape not in {by.shape, (1, by.shape[1])}:
        raise InputError(
            f"frequency, after and by have shapes {p.shape}, {after.shape} and {by.shape}; expected one for all."
        )
    p = np.broadcast_to(p, by.shape)
    used = p > 0
    if not used.any():
        raise InputError("no frequency is above 0; expected those of two subtasks at least.")
    if not np.all((after <= by)[used] & (after >= 0)[used] & (by > 0)[used] & np.isfinite(after)[used]):
        raise InputError("onsets must lie after a time of 0 or more, finite, and by one not before it, above 0.")
    with np.errstate(divide="ignore"):
        return [
            _Onsets(np.log(p[i][some]), np.log(after[i][some]), np.log(by[i][some]))
            for i, some in enumerate(used)
            if some.any()
        ]


def _interval(runs: list[_Onsets], every: _Onsets, degree: int, confidence: float) -> tuple[float, float]:
    """Of the last slope: over runs if there are three, else by likelihood; infinite where nothing can be said."""
    if len(runs) >= 3:
        return _jackknife(runs, every, degree, confidence)
    n = int(every.seen.sum())
    spare = n - degree - 1
    if spare < 1:
        return -math.inf, math.inf
    t = stats.t.ppf((1 + confidence) / 2, spare)  # exact if all are seen, and exactly
    data = censored.Data(every.low, every.high)
    return censored.profile(every.columns(degree), data, every.fit(degree), n * math.log1p(t**2 / spare))


def _jackknife(runs: list[_Onsets], every: _Onsets, degree: int, confidence: float) -> tuple[float, float]:
    """Student's interval, from how much each run moves the slope (Tukey 1958)."""
    found, n = [], len(runs)
    for i in range(n):
        rest = _Onsets(*(np.concatenate(arrays) for arrays in zip(*runs[:i], *runs[i + 1 :], strict=True)))
        if np.unique(rest.x[rest.seen]).size <= degree:
            return -math.inf, math.inf
        found.append(float(rest.fit(degree).slopes[-1]))
    error = math.sqrt((n - 1) ** 2 / n * float(np.var(found, ddof=1)))
    middle, t = float(every.fit(degree).slopes[-1]), float(stats.t.ppf((1 + confidence) / 2, n - 1))
    return middle - t * error, middle + t * error
