"""What `benchmarks/calibration.py` measures: one cell (a family of curves under one noise), or one world over some seeds."""

import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from quanta import composition, transitions, worlds

STATUSES = ("sharp", "smooth", "unresolved", "incomplete", "early", "never")
FINISHED = ("sharp", "smooth", "unresolved")
RUN = 40  # subtasks of a run, where each run has a control of its own
COMPOSITIONS = {"ordered-composition", "unordered-composition"}
# Worlds of whose subtasks the truth is known, each a whole step or smooth altogether.
PLAIN_SHAPES = ("logistic", "weibull", "gompertz", "gaussian", "multilinear")
NOISES = ("ar1", "shared_noise", "growing_noise", "heavy_tailed")


@dataclass(frozen=True)
class Cell:
    """Curves of one family, under one noise, at one number of checkpoints."""

    table: str
    """The table that it belongs to: smooth, floor, trap or step."""
    family: str
    sigma: float
    phi: float
    n_checkpoints: int
    width: float = 0.8
    baseline: float = 0.05

    def records(self, n: int, first_seed: int) -> tuple[list[tuple[xr.Dataset, Any]], worlds.Truth]:
        """Its curves as records, each with its control or None. Every cell has curves and noise of its own."""
        seed = first_seed * 2**32 + zlib.crc32(repr(self).encode())
        options = {name: value for name, value in asdict(self).items() if name not in ("table", "family")}
        run, truth = worlds.family_record(self.family, n=n, seed=seed, **options)
        if self.family != "linear_coupled":
            return [(run, None)], truth
        control, _ = worlds.family_record(self.family, n=n, seed=seed, control=True, **options)
        parts = [slice(i, i + RUN) for i in range(0, n, RUN)]
        return [(_alone(run, part), _alone(control, part)) for part in parts], truth


def _alone(ds: xr.Dataset, part: slice) -> xr.Dataset:
    some = ds.isel(subtask=part)
    n = some.sizes["subtask"]
    return some.assign(frequency=("subtask", np.full(n, 1 / n)), weight=("subtask", np.full(n, 1 / n)))


def measure(cell: Cell, n: int, first_seed: int, detector: str) -> dict[str, Any]:
    """How often each status is given, and of what is sharp: bias, and coverage of the 95 % intervals."""
    pairs, truth = cell.records(n, first_seed)
    member = transitions.DETECTORS[detector]()
    found = [transitions.detect(run, member, control=control) for run, control in pairs]

    def of(name: str) -> np.ndarray:
        return np.concatenate([part[name].values for part in found])

    status = of("status")
    row: dict[str, Any] = {**asdict(cell), "n": n, **{word: int((status == word).sum()) for word in STATUSES}}
    sharp = status == "sharp"
    if cell.table != "step" or not sharp.any():
        return row
    row["onset_bias"] = float(np.median(np.log(of("onset") / truth.onset)[sharp]))
    for name in ("onset", "width", "height"):
        true = getattr(truth, name)
        row[f"{name}_ratio"] = float(np.median((of(name) / true)[sharp]))
        if f"{name}_low" in found[0]:
            inside = (of(f"{name}_low") <= true) & (true <= of(f"{name}_high"))
            row[f"{name}_cover"] = float(inside[sharp].mean())
    return row


def judge(name: str, seeds: range) -> list[dict[str, Any]]:
    """Verdict on a world at each seed, and whether its intervals cover the truth where that is known."""
    return [_verdict(name, seed) for seed in seeds]


def _verdict(name: str, seed: int) -> dict[str, Any]:
    right = worlds.WORLDS[name].right
    run = worlds.make(name, seed=seed)
    result = composition.test(run, controls=worlds.controls(name, seed=seed))
    word = result.attrs["verdict"]
    row: dict[str, Any] = {"world": name, "seed": seed, "verdict": word}
    row["outcome"] = "right" if word in right else "undetermined" if word == "undetermined" else "wrong"
    row["false_composition"] = word in COMPOSITIONS and not right & COMPOSITIONS
    true = known_shares(name, seed)
    if true is not None:
        for kind, share in zip(("fraction_sharp", "sharp_weight"), true, strict=True):
            low, high = float(result[f"{kind}_low"]), float(result[f"{kind}_high"])
            row[f"{kind}_true"], row[f"{kind}_low"], row[f"{kind}_high"] = share, low, high
            for word, slack in (("covers", 1e-9), ("nearly_covers", 0.01)):
                row[f"{kind}_{word}"] = low - slack <= share <= high + slack
    return row


def known_shares(name: str, seed: int) -> tuple[float, float] | None:
    """Share of the subtasks that are steps, and of the mean loss's drop that they make up; None where it is not known."""
    stepped = {f"ordered_{kind}" for kind in (*PLAIN_SHAPES, *NOISES)} | {"unordered", "synchronous", "mixed"}
    smooth = {"exponential", "power_law", "stretched", "exponential_mixtures"} | {f"exponential_{k}" for k in NOISES}
    if name not in stepped | smooth:
        return None
    exact = worlds.make(name, seed=seed, noise=worlds.Noise(sigma=0.0))
    step = np.isfinite(exact["true_onset"].values) if name in stepped else np.zeros(exact.sizes["subtask"], dtype=bool)
    loss = exact["loss"].values.astype(float)
    drop = exact["weight"].values * (loss[:, 0] - loss[:, -1])
    return float(step.mean()), float(drop[step].sum() / drop.sum())
