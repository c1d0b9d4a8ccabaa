"""The learning-time spectrum: how much of the mean loss goes at each log time, measured and rebuilt."""

import numpy as np
import xarray as xr

from quanta import _claims
from quanta import record as records
from quanta._errors import InputError
from quanta.transitions.likelihood_ratio import WEIBULL_WIDTH

_HALF = np.log(2)


def spectrum(record: xr.Dataset, found: xr.Dataset, bandwidth: float = 0.25) -> xr.Dataset:
    """See :func:`quanta.composition.spectrum`."""
    if not bandwidth > 0:
        raise InputError(f"bandwidth is {bandwidth}; expected more than 0 nats.")
    mean = records.mean_loss(record)
    mean = mean.mean([dim for dim in mean.dims if dim != "step"], skipna=False)
    later = (record["step"].values > 0) & np.isfinite(mean.values)
    step = record["step"].values[later].astype(float)
    x = np.log(step)
    derivative = _derivative(x, bandwidth)
    curves = {"measured": mean.values[later], **_rebuilt(record, found, step)}
    curves = {name: -derivative @ curve for name, curve in curves.items()}
    share = np.gradient(x)
    real = curves["measured"]
    variance = share @ (real - share @ real / share.sum()) ** 2
    q2 = {f"{name}_q2": 1 - share @ (curves[name] - real) ** 2 / variance for name in ("rebuilt", "smooth")}
    units = {"units": f"{record['loss'].attrs.get('units', '')} per nat of log time"}
    ds = xr.Dataset(
        {name: ("step", values, units) for name, values in curves.items()} | q2,
        coords={"step": record["step"].values[later]},
    )
    return ds.assign_attrs(reasons=[_says(float(q2["rebuilt_q2"]), float(q2["smooth_q2"]))])


def _rebuilt(record: xr.Dataset, found: xr.Dataset, step: np.ndarray) -> dict[str, np.ndarray]:
    """The mean loss, but for a constant, as Σ of what was found of each subtask and as Σ of exponentials, each (n_steps,)."""
    e = _claims.evidence(record, found)
    half_time, width = (found[name].values.reshape(-1) for name in ("half_time", "width"))
    use = e.changed & np.isfinite(half_time) & (half_time > 0)
    sharp = (e.status == "sharp")[use]
    fitted = found["fitted"].transpose(..., "subtask", "step").values
    own = _widths(fitted.reshape(-1, fitted.shape[-1])[use], found["step"].values)
    exponent = WEIBULL_WIDTH / np.where(sharp, width[use], own)
    height = np.where(sharp, e.height[use], e.fall[use])
    return {
        "rebuilt": _sum(e.weight[use] * height, e.time[use], exponent, step),
        "smooth": _sum(e.weight[use] * e.fall[use], half_time[use], np.ones(use.sum()), step),
    }


def _widths(fitted: np.ndarray, step: np.ndarray) -> np.ndarray:
    """10–90 % widths of whole curves (n, n_steps), in nats; at least a hundredth."""
    x = np.log(np.maximum(step, 0.5 * step[step > 0][0]))
    falling = np.minimum.accumulate(fitted, axis=1)
    done = (falling[:, :1] - falling) / np.maximum(falling[:, :1] - falling[:, -1:], 1e-300)
    crossed = [[np.interp(share, curve, x) for share in (0.1, 0.9)] for curve in done]
    return np.maximum(np.diff(np.reshape(crossed, (-1, 2)), axis=1)[:, 0], 0.01)


def _sum(height: np.ndarray, half_time: np.ndarray, exponent: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Σ height · exp(-ln 2 (t/half_time)^exponent), (n_steps,), a thousand curves at a time."""
    total = np.zeros(step.size)
    for i in range(0, height.size, 1000):
        part = slice(i, i + 1000)
        power = exponent[part, None] * np.log(step / half_time[part, None])
        total += height[part] @ np.exp(-_HALF * np.exp(np.minimum(power, 50.0)))
    return total


def _derivative(x: np.ndarray, bandwidth: float) -> np.ndarray:
    """Matrix (n, n) that takes the values of a curve at x to its smoothed slopes: local lines, Gaussian weights.

    The bandwidth is at least 1.5 spacings, so that every line rests on enough points.
    """
    spacing = np.maximum(np.gradient(x), 1e-12)
    rows = np.empty((x.size, x.size))
    for i, centre in enumerate(x):
        d = x - centre
        root = np.exp(-((d / max(bandwidth, 1.5 * spacing[i])) ** 2) / 4)
        design = root[:, None] * np.stack([np.ones_like(d), d], axis=1)
        rows[i] = np.linalg.pinv(design)[1] * root
    return rows


def _says(rebuilt: float, smooth: float) -> str:
    return (
        "a mean curve alone is no evidence of steps, however well it is rebuilt: one of smooth subtasks is as well, so the "
        "verdict rests on single subtasks. The spectrum -dL/d ln t, rebuilt from the onset, height and width of each: "
        f"Q² = {rebuilt:.2f}; from exponentials at the same half-times: {smooth:.2f}"
    )
