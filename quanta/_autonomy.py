"""Claim (D) of composition, autonomy, as numbers: does each subtask answer to its own frequency alone?

That a mean loss is Σ p_k l_k is no more than arithmetic, and a coupled system can be sharp, dispersed and ordered. If its subtasks
are independent, a run under frequencies p says what another under p' will do, before it is made:

    l'_k(t) = l_k(t p'_k / p_k)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quanta._compare_templates import log_half_time

_BOOTSTRAPS = 1000
_LEAST = 3  # points, or subtasks, without which nothing is said
_SAME = 1e-9  # ratios of frequencies closer than this are one: what renormalisation does to the others
_MEDIAN_ERROR = 1.2533  # standard error of the median of n normal values, in sd/√n
_BOUNDS = (0.025, 0.975)


class Run(NamedTuple):
    """One run as arrays."""

    step: np.ndarray  # (n_steps,)
    loss: np.ndarray  # (n_subtasks, n_steps)
    frequency: np.ndarray  # (n_subtasks,)
    weight: np.ndarray  # (n_subtasks,)


class Autonomy(NamedTuple):
    """What an intervention showed: the numbers, and what they were made from, at the steps of the intervention."""

    claims: dict[str, float]
    step: np.ndarray  # (n_steps,)
    mean: dict[str, np.ndarray]  # "real", "p'/p", "(p'/p)^γ", "no change": (n_steps,), nan where not predictable
    mean_changed: dict[str, np.ndarray]  # the same, of the subtasks that were not left alone, weighing alike
    log_ratio: np.ndarray  # (n_subtasks,) ln p'/p; -inf where removed
    shift: np.ndarray  # (n_subtasks,) ln t'/t of the half-times; nan where there is none
    unchanged: np.ndarray  # (n_subtasks,) bool: of another frequency through renormalisation alone


def autonomy(
    base: Run, changed: Run, chance: np.ndarray, *, gamma: float, reseeds: Sequence[Run], rng: np.random.Generator
) -> Autonomy:
    """Predict a run under other frequencies, and measure how well.

    Parameters
    ----------
    base, changed : Run
        The run, and the intervention.
    chance : np.ndarray, shape (n_subtasks,)
        Loss before learning; half of it defines the half-time.
    gamma : float
        Timing exponent of the base, t ∝ p^-γ: a second prediction lets p'/p act with this power. May be nan.
    reseeds : sequence of Run
        The base again, each by another chance: how well anything can be predicted.
    rng : np.random.Generator
        Of the bootstrap over subtasks.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((base.frequency == 0) & (changed.frequency == 0), 1.0, changed.frequency / base.frequency)
        log_ratio = np.log(ratio)
    predicted = stretched(base, changed.step, ratio)
    seen = np.isfinite(predicted)
    stays = np.where(seen, stretched(base, changed.step, np.ones_like(ratio)), np.nan)
    kept = (ratio > 0) & np.isfinite(ratio)
    unchanged = renormalised(log_ratio)

    def judge(real: np.ndarray, guess: np.ndarray) -> dict[str, float]:
        return scores(real[kept], guess[kept], changed.weight[kept], ~unchanged[kept], rng)

    claims = _named("autonomy", judge(changed.loss, predicted))
    bent = stretched(base, changed.step, ratio**gamma) if np.isfinite(gamma) else np.full_like(predicted, np.nan)
    claims |= _named("autonomy_gamma", judge(changed.loss, np.where(seen, bent, np.nan)))
    claims |= _named("autonomy_no_change", judge(changed.loss, stays))
    again = [judge(stretched(run, changed.step, np.ones_like(ratio)), stays) for run in reseeds]
    if again:
        claims |= _named("autonomy_reseed", {name: float(np.mean([q2[name] for q2 in again])) for name in again[0]})
    shift = _half_time(changed, chance) - _half_time(base, chance)
    claims |= effects(shift, log_ratio, unchanged, rng)
    claims |= _of_chance([_half_time(run, chance) - _half_time(base, chance) for run in reseeds])
    claims["autonomy_unpredicted"] = float(1 - seen[ratio > 0].mean())
    claims["n_removed"] = float(np.sum((ratio == 0) & (base.frequency > 0)))
    claims["removed_fall"] = _deepest_fall(changed.loss[ratio == 0])
    curves = {"real": changed.loss, "p'/p": predicted, "(p'/p)^γ": np.where(seen, bent, np.nan), "no change": stays}
    mean = _means(curves, np.where(kept, changed.weight, 0.0), seen)
    mean_changed = _means(curves, (kept & ~unchanged) / max(1, np.sum(kept & ~unchanged)), seen)
    return Autonomy(claims, changed.step, mean, mean_changed, log_ratio, shift, unchanged)


def stretched(run: Run, at: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """l_k(at · ratio_k), (n_subtasks, n_at), interpolated in log time (linearly before the first step after 0).

    Where that is outside of the run's window it is nan; at ratio 0 it is the start of the curve: nothing is learned.
    """
    first = run.step[run.step > 0][0]

    def axis(step: np.ndarray) -> np.ndarray:
        return np.where(step < first, step / first - 1, np.log(np.maximum(step, first) / first))

    known, curves = axis(run.step), np.full((ratio.size, at.size), np.nan)
    for k in np.flatnonzero(np.isfinite(ratio)):
        if ratio[k] == 0:
            curves[k] = run.loss[k, 0]
            continue
        when = axis(at * ratio[k])
        when = np.where(np.abs(when - known[-1]) < _SAME, known[-1], when)  # the last point, but for rounding
        curves[k] = np.interp(when, known, run.loss[k], left=np.nan, right=np.nan)
    return curves


def scores(
    real: np.ndarray, guess: np.ndarray, weight: np.ndarray, changed: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """Held-out Q² = 1 − Σ(real − guess)²/Σ(real − mean)², each with its bounds by a bootstrap over subtasks.

    Parameters
    ----------
    real, guess : np.ndarray, shape (n_subtasks, n_steps)
        Curves; the guess is nan where there is none.
    weight : np.ndarray, shape (n_subtasks,)
        Weights in the mean.
    changed : np.ndarray, shape (n_subtasks,)
        Whose frequency was changed by more than renormalisation.

    Returns
    -------
    dict
        ``q2_mean`` of the mean loss, at the steps where all subtasks are predicted; ``q2_curves`` of all curves
        (errors pooled, each about its own mean) and ``q2_changed`` of the changed ones; ``q2_median`` of single curves.
    """
    measured = [f"q2_{name}{bound}" for name in ("mean", "curves", "changed") for bound in ("", "_low", "_high")]
    result = dict.fromkeys([*measured, "q2_median"], np.nan)
    seen = np.isfinite(real) & np.isfinite(guess)
    rows, columns = seen.sum(axis=1) >= _LEAST, seen.all(axis=0)
    if rows.sum() < _LEAST:
        return result
    n = len(weight)
    draws = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=_BOOTSTRAPS)])  # the first: all, once
    error, spread = (_squares(values, seen) for values in (real - guess, real - _row_means(real, seen)))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = 1 - (draws @ error) / (draws @ spread)
        pooled_changed = 1 - (draws @ (error * changed)) / (draws @ (spread * changed))
        result["q2_median"] = float(np.nanmedian((1 - error / spread)[rows]))
    result |= _with_bounds("q2_curves", pooled) | _with_bounds("q2_changed", pooled_changed)
    if columns.sum() >= _LEAST:
        shares = draws * weight
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = shares / shares.sum(axis=1, keepdims=True)
            mean, off = shares @ real[:, columns], shares @ (real - guess)[:, columns]
            q2 = 1 - np.sum(off**2, axis=1) / np.sum((mean - mean.mean(axis=1, keepdims=True)) ** 2, axis=1)
        result |= _with_bounds("q2_mean", q2)
    return result


def renormalised(log_ratio: np.ndarray) -> np.ndarray:
    """Which subtasks share the commonest ratio p'/p, (n_subtasks,) bool; none if that is not at least three."""
    ratio = np.where(np.isfinite(log_ratio), log_ratio, np.inf)
    alike = np.abs(ratio[:, None] - ratio[np.isfinite(log_ratio)]) < _SAME
    if alike.shape[1] == 0 or alike.sum(axis=0).max() < _LEAST:
        return np.zeros(log_ratio.size, dtype=bool)
    return np.asarray(alike[:, np.argmax(alike.sum(axis=0))])


def effects(
    shift: np.ndarray, log_ratio: np.ndarray, unchanged: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """What frequency does to time: ``own_effect`` −d ln t_k/d ln p_k, and ``cross_effect`` of all the others.

    They are 1 and 0 for independent subtasks. The own effect is a least-squares slope over subtasks, with an
    intercept; the cross-effect the median of ln t'/t + ln p'/p over the unchanged, in nats: how much later they came
    than their own frequency says. Where none was left alone it is the same of a subtask at p' = p, by the slope's line.
    """
    use = np.isfinite(shift) & np.isfinite(log_ratio)
    x, y = log_ratio[use], -shift[use]
    slopes, crossed = np.full(1, np.nan), np.full(1, np.nan)
    if use.sum() >= _LEAST and np.ptp(x) > _SAME:
        lines = np.array([_line(x[pick], y[pick]) for pick in _resamples(x.size, rng)])
        slopes = lines[:, 0]
        if not unchanged.any() and x.min() < 0 < x.max():
            crossed = -lines[:, 1]
    excess = (shift + log_ratio)[use & unchanged]
    if excess.size >= _LEAST:
        crossed = np.median(excess[_resamples(excess.size, rng)], axis=1)
    return _with_bounds("own_effect", slopes) | _with_bounds("cross_effect", crossed)


def _means(curves: dict[str, np.ndarray], weight: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted means (n_steps,), nan where not all that weigh are seen."""
    use = weight > 0
    whole = seen[use].all(axis=0)
    return {name: np.where(whole, weight[use] @ values[use], np.nan) for name, values in curves.items()}


def _resamples(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.vstack([np.arange(n), rng.integers(n, size=(_BOOTSTRAPS, n))])


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept by least squares; nan where x does not vary."""
    off = x - x.mean()
    slope = float(off @ y / (off @ off)) if np.any(np.abs(off) > _SAME) else np.nan
    return slope, float(y.mean() - slope * x.mean())


def _of_chance(shifts: Sequence[np.ndarray]) -> dict[str, float]:
    """Shifts of times by chance alone: the largest common part of a re-seed, the most it could be, the spread (sd)."""
    seen = [shift[np.isfinite(shift)] for shift in shifts]
    seen = [shift for shift in seen if shift.size >= _LEAST]
    if not seen:
        return dict.fromkeys(("reseed_shift", "reseed_spread", "reseed_shift_bound"), np.nan)
    middles = [float(np.median(shift)) for shift in seen]
    off = np.concatenate([shift - middle for shift, middle in zip(seen, middles, strict=True)])
    spread = 1.4826 * float(np.median(np.abs(off)))
    common = max(middles, key=abs)
    bound = abs(common) + 2 * _MEDIAN_ERROR * spread / np.sqrt(min(shift.size for shift in seen))
    return {"reseed_shift": common, "reseed_spread": spread, "reseed_shift_bound": float(bound)}


def _half_time(run: Run, chance: np.ndarray) -> np.ndarray:
    """Log of the step at which half of the loss of chance is left, (n_subtasks,); nan where it never is."""
    after = run.step > 0
    log_time = np.log(run.step[after])
    return log_half_time(run.loss[:, after] / chance[:, None], log_time)


def _deepest_fall(loss: np.ndarray) -> float:
    """Largest share of its start that any of the curves ever lost; nan of none."""
    return float(np.max(1 - loss.min(axis=1) / loss[:, 0])) if loss.size else np.nan


def _with_bounds(name: str, values: np.ndarray) -> dict[str, float]:
    """The first of the values, and 95 % bounds from the rest."""
    rest = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(rest, _BOUNDS) if rest.size else (np.nan, np.nan)
    return {name: float(values[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _squares(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.sum(np.where(seen, values, 0.0) ** 2, axis=1)


def _row_means(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    total = np.where(seen, values, 0.0).sum(axis=1)
    return np.asarray((total / np.maximum(seen.sum(axis=1), 1))[:, None])


def _named(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in values.items()}
