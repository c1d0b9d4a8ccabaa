"""The separate claims of composition, each as numbers: (A) sharpness, (B) dispersion, (C) timing."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr

_PERMUTATIONS = 9_999
_AT_ONCE = 250
_FAR = 2.0


class Evidence(NamedTuple):
    """Every subtask (of every seed) of a run, flat: arrays (n,)."""

    status: np.ndarray
    complete: np.ndarray
    changed: np.ndarray
    weight: np.ndarray
    frequency: np.ndarray
    start: np.ndarray
    end: np.ndarray
    height: np.ndarray  # of the steps
    time: np.ndarray  # onset of the sharp, half-time of the others
    log_time_mean: np.ndarray
    log_time_variance: np.ndarray
    sharpness: np.ndarray
    metric_only: np.ndarray
    steep: np.ndarray  # finished, and unresolved only because it is too steep for its checkpoints
    fall_error: np.ndarray  # standard error of the fall

    @property
    def fall(self) -> np.ndarray:
        """Drop of each subtask's loss within the run."""
        return np.maximum(self.start - self.end, 0.0)

    @property
    def tested(self) -> np.ndarray:
        """Complete, and resolved: the denominator of the fraction sharp."""
        return self.complete & np.isin(self.status, ("sharp", "smooth"))


def evidence(record: xr.Dataset, found: xr.Dataset) -> Evidence:
    """Flatten seeds and subtasks, subtasks fastest; share the weights out between seeds."""
    shape = found["status"].shape
    n_copies = int(np.prod(shape[:-1]))

    def flat(name: str) -> np.ndarray:
        return found[name].values.reshape(-1)

    def spread(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, shape).reshape(-1)

    status, changed = flat("status"), flat("changed")
    start, end = flat("start"), flat("end")
    # Of what has too few checkpoints nothing is known: it may have fallen all the way, from where others started.
    blank = (status == "unresolved") & np.isnan(start)
    if blank.any() and not blank.all():
        start, end = np.where(blank, np.nanmax(start), start), np.where(blank, 0.0, end)
        changed = changed | blank
    frequency = record["frequency"].values if "frequency" in record else np.full(record.sizes["subtask"], np.nan)
    sharp = status == "sharp"
    return Evidence(
        status=status,
        complete=flat("complete"),
        changed=changed,
        weight=spread(record["weight"].values) / n_copies,
        frequency=spread(frequency),
        start=start,
        end=end,
        height=flat("height"),
        time=np.where(sharp, flat("onset"), flat("half_time")),
        # Of a sharp subtask the step alone is placed: ln t of a Weibull step has the variance π²/(6 n²).
        log_time_mean=np.where(sharp, np.log(flat("onset")), flat("log_time_mean")),
        log_time_variance=np.where(sharp, np.pi**2 / 6 / flat("step_sharpness") ** 2, flat("log_time_variance")),
        sharpness=flat("sharpness"),
        metric_only=flat("metric_only"),
        steep=flat("complete") & (status == "unresolved") & _steep(flat),
        fall_error=flat("sigma"),  # of one checkpoint: the levels at both ends are known at least as well
    )


def _steep(flat: Callable[[str], np.ndarray]) -> np.ndarray:
    """Curves with a step that is far sharper than S0 and yet no claim: it lies between too few checkpoints, (n,)."""
    step = flat("gate_statistic") & flat("gate_height") & ~flat("few_exposures") & ~flat("in_decay")
    return step & (flat("sharpness") > _FAR * flat("base_sharpness"))


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson (1927) 95 % interval of a share k/n.

    Examples
    --------
    >>> [round(v, 3) for v in wilson(0, 40)]
    [0.0, 0.088]
    """
    if n == 0:
        return 0.0, 1.0
    centre = (k + z * z / 2) / (n + z * z)
    half = z * np.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def sharpness(e: Evidence) -> dict[str, float]:
    """Claim A: how many of the tested are sharp, and bounds on how much of the mean loss's fall they make up.

    ``sharp_weight_low`` counts as sharp only what was seen to be; ``sharp_weight_high`` also what could not be tested
    (incomplete, unresolved, early): power laws never finish and steps always do, so the tested alone would mislead. Both
    leave room for the noise of the falls, at 95 %.
    """
    tested, sharp = e.tested, e.tested & (e.status == "sharp")
    n, k = int(tested.sum()), int(sharp.sum())
    low, high = wilson(k, n)
    share = e.weight * e.fall
    changed = float(share[e.changed].sum()) or np.nan
    open_ = e.changed & np.isin(e.status, ("incomplete", "unresolved", "early"))
    least, most = float(share[sharp].sum() / changed), float(share[sharp | open_].sum() / changed)
    return {
        "n_steep": int(e.steep.sum()),
        "n_changed": int(e.changed.sum()),
        "n_complete": int(e.complete.sum()),
        "n_tested": n,
        "n_sharp": k,
        "fraction_sharp": k / n if n else np.nan,
        "fraction_sharp_low": low,
        "fraction_sharp_high": high,
        "testable_share": float(share[tested].sum() / changed),
        "sharp_weight_low": max(least - 1.96 * _share_error(e, sharp), 0.0) if least == least else np.nan,
        "sharp_weight_high": min(most + 1.96 * _share_error(e, sharp | open_), 1.0) if most == most else np.nan,
        # Only the steps themselves: tails that the null absorbs make a perfect world read .8 to .9.
        "composition_index": float(np.nansum((e.weight * np.minimum(e.height, e.fall))[sharp]) / changed),
        "sharpness_median": float(np.nanmedian(e.sharpness[tested])) if n else np.nan,
    }


def _share_error(e: Evidence, part: np.ndarray) -> float:
    """Standard error of the part's share of the fall of the changed, A/(A + B), from the errors of all falls."""
    share, error = e.weight * e.fall, np.nan_to_num(e.weight * e.fall_error)
    inside, outside = part & e.changed, ~part & e.changed
    a, b = share[inside].sum(), share[outside].sum()
    if not a + b > 0:
        return 0.0
    return float(np.hypot(b * np.linalg.norm(error[inside]), a * np.linalg.norm(error[outside])) / (a + b) ** 2)


def dispersion(e: Evidence) -> float:
    """Claim B: share of the spread in log time that is *between* subtasks, D = Var(μ)/(Var(μ) + mean v).

    Weighted by height, not by frequency: the most frequent subtask would be all there is.
    """
    use = e.tested & np.isfinite(e.log_time_mean) & np.isfinite(e.log_time_variance)
    if use.sum() < 2:
        return np.nan
    w = e.fall[use] / e.fall[use].sum()
    mu, v = e.log_time_mean[use], e.log_time_variance[use]
    between = float(w @ (mu - w @ mu) ** 2)
    return between / (between + float(w @ v))


def timing(e: Evidence, rng: np.random.Generator) -> dict[str, float]:
    """Claim C: are frequent subtasks learned first? Spearman's ρ of ln p and time, by permutation; γ by Theil–Sen.

    γ is the exponent of time ∝ p^-γ (1 for independent subtasks). All nan where frequencies are unknown or equal.
    """
    from scipy import stats

    use = e.tested & np.isfinite(e.time) & (e.frequency > 0)
    names = ("timing_correlation", "timing_p", "timing_exponent", "timing_exponent_low", "timing_exponent_high")
    if use.sum() < 5 or np.ptp(np.log(e.frequency[use])) < 1e-6:
        return dict.fromkeys(names, np.nan)
    x, y = np.log(e.frequency[use]), np.log(e.time[use])
    ranks_x = stats.rankdata(x) - (use.sum() + 1) / 2
    ranks_y = stats.rankdata(y) - (use.sum() + 1) / 2
    scale = np.sqrt((ranks_x @ ranks_x) * (ranks_y @ ranks_y))
    if scale == 0:
        return dict.fromkeys(names, np.nan)
    rho = float(ranks_x @ ranks_y / scale)
    as_low = 0
    for start in range(0, _PERMUTATIONS, _AT_ONCE):
        block = np.tile(ranks_y, (min(_AT_ONCE, _PERMUTATIONS - start), 1))
        as_low += int(np.sum(rng.permuted(block, axis=1, out=block) @ ranks_x <= rho * scale + 1e-9))
    if use.sum() > 2000:  # all pairs would not fit; a random part estimates the slope as well
        pick = rng.choice(use.sum(), 2000, replace=False)
        x, y = x[pick], y[pick]
    slope, _, low, high = stats.theilslopes(y, x)
    values = (rho, (1 + as_low) / (1 + _PERMUTATIONS), -slope, -high, -low)
    return dict(zip(names, map(float, values), strict=True))


def held_out(
    e: Evidence, curves: np.ndarray, step: np.ndarray, rng: np.random.Generator, n_permutations: int = 100
) -> dict[str, float]:
    """Q² of the mean loss of the odd subtasks, predicted from the even ones: time law, template, and levels.

    The law t_k = a − γ ln p_k, the median aligned curve and the median levels come from the even half; of the odd half
    only frequencies and weights are used. Beside it, the 95 % quantile with the predicted times permuted. It decides
    timing very well, and sharpness not at all: smooth worlds are predicted as well as sharp ones.
    """
    from scipy import stats

    nothing = {"held_out_q2": np.nan, "held_out_q2_null": np.nan}
    use = np.flatnonzero(e.tested & np.isfinite(e.time) & (e.time > 0) & (e.frequency > 0) & (e.fall > 0))
    if use.size < 10 or np.ptp(np.log(e.frequency[use])) < 1e-6:
        return nothing
    even, odd = use[::2], use[1::2]
    positive = step > 0
    x = np.log(step[positive])
    slope, intercept, _, _ = stats.theilslopes(np.log(e.time[even]), np.log(e.frequency[even]))
    grid = np.linspace(x[0] - x[-1], x[-1] - x[0], 400)
    aligned = []
    for k in even:
        unit = (curves[k, positive] - e.end[k]) / e.fall[k]
        aligned.append(np.interp(grid, x - np.log(e.time[k]), unit))
    template = np.median(aligned, axis=0)
    start, end = np.median(e.start[even]), np.median(e.end[even])
    when = intercept + slope * np.log(e.frequency[odd])
    w = e.weight[odd] / e.weight[odd].sum()
    real = w @ curves[odd][:, positive]

    def q2(times: np.ndarray) -> float:
        unit = np.interp(x - times[:, None], grid, template)
        predicted = w @ (end + (start - end) * unit)
        return 1.0 - float(np.sum((real - predicted) ** 2) / np.sum((real - real.mean()) ** 2))

    shuffled = [q2(rng.permutation(when)) for _ in range(n_permutations)]
    return {"held_out_q2": q2(when), "held_out_q2_null": float(np.quantile(shuffled, 0.95))}
