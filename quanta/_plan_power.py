"""What the test would say of the subtasks of a run that is still to be made: measured on simulated curves."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quanta._plan_design import Design

if TYPE_CHECKING:
    from quanta.transitions import AbstractDetector

STATUSES = ("sharp", "smooth", "unresolved", "incomplete", "early", "never")
_COARSE = 0.8  # nats between the first knots
_FINE = 0.1  # and the least, after refinement
_ROUNDS = 3
_CHANGES = 0.3  # of a probability between two knots: look between them
_BEFORE, _AFTER = 1.0, 1.5  # nats that the knots reach beyond the window
_SMOOTH = 0.4  # so many smooth curves for each sharp one
_LOOK = 0.2  # of the curves are drawn first: where none of them can be tested, no more
_WORK = 2e6  # subtasks × imagined runs


class Knots(NamedTuple):
    """Outcomes at some onsets: how often each status was given, of curves that are sharp, and that are not."""

    log_onset: np.ndarray  # (n_knots,), increasing
    sharp: np.ndarray  # (n_statuses, n_knots), counts
    smooth: np.ndarray  # the same of exponentials with their half-time there

    def at(self, log_onset: np.ndarray, kind: str) -> np.ndarray:
        """Probability of each status (n_statuses, n) at other onsets, by linear interpolation."""
        counts: np.ndarray = getattr(self, kind)
        share = counts / counts.sum(axis=0)
        return np.stack([np.interp(log_onset, self.log_onset, row) for row in share])


def remaining(design: Design, t: np.ndarray, onset: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Noise-free share of the drop that is left, (n, n_steps): a step, on a power-law drift where it is not all."""
    from quanta.worlds import shapes

    curve = shapes.STEPS[design.shape](t, onset[:, None], design.width)
    if design.share == 1:
        return curve
    tau = np.full(onset.size, 20.0) if rng is None else rng.uniform(5, 100, onset.size)
    return design.share * curve + (1 - design.share) * shapes.power_law(t, design.first * tau[:, None], 0.8)


def _remaining(
    kind: str, design: Design, t: np.ndarray, onset: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The same of a step as designed, or of an exponential with its half-time at the onset."""
    from quanta.worlds import shapes

    if kind == "sharp":
        return remaining(design, t, onset, rng)
    return shapes.exponential(t, onset[:, None] / math.log(2))


def reach(design: Design, kind: str = "sharp") -> float:
    """Nats from the onset until a noise-free curve is complete: under a quarter of chance, and settled.

    Parameters
    ----------
    kind : {"sharp", "smooth"}
        A step as designed, or an exponential with its half-time there.
    """
    from quanta.transitions._status import COMPLETE_BELOW

    x = np.linspace(0.0, 12.0, 1201)
    onset = np.array([1e3 * design.first])  # late enough for a drift to have gone by
    at, before = (_remaining(kind, design, onset * np.exp(y), onset)[0] for y in (x, x - 0.7))
    done = (design.left + at < COMPLETE_BELOW * (1 + design.left)) & (before - at <= 0.1 * (1 - at))
    return float(x[np.argmax(done)]) if done.any() else math.inf


def measure(design: Design, step: np.ndarray, n_curves: int, seed: int, detector: "AbstractDetector | None") -> Knots:
    """Run the detector on curves with onsets all over the window; look closer where its answer changes."""
    rng = np.random.default_rng(seed)
    first, last = (math.log(t) for t in step[step > 0][[0, -1]])
    n = math.ceil((last - first + _BEFORE + _AFTER) / _COARSE) + 1
    new = np.linspace(first - _BEFORE, last + _AFTER, n)
    x, counts = np.empty(0), np.empty((2, len(STATUSES), 0))
    for _ in range(1 + _ROUNDS):
        few = math.ceil(_LOOK * n_curves)
        more = outcomes(design, step, new, few, rng, detector)
        open_ = more[:, :3].any(axis=(0, 1))
        if open_.any() and n_curves > few:
            more[:, :, open_] += outcomes(design, step, new[open_], n_curves - few, rng, detector)
        order = np.argsort(np.concatenate([x, new]))
        x = np.concatenate([x, new])[order]
        counts = np.concatenate([counts, more], axis=2)[:, :, order]
        share = counts[0] / counts[0].sum(axis=0)
        changes = np.abs(np.diff(share)).max(axis=0)
        look = (changes > _CHANGES) & (np.diff(x) > 2 * _FINE)
        new = (0.5 * (x[1:] + x[:-1]))[look]
        if not new.size:
            break
    return Knots(x, counts[0], counts[1])


def outcomes(
    design: Design,
    step: np.ndarray,
    log_onset: np.ndarray,
    n_curves: int,
    rng: np.random.Generator,
    detector: "AbstractDetector | None" = None,
) -> np.ndarray:
    """How often each status is given to curves with these onsets: counts (2, n_statuses, n_onsets).

    First of steps as designed, then of exponentials with the same half-times, which are fewer. All are of one record, so
    that the detector pools their noise.
    """
    from quanta import record, transitions
    from quanta.worlds import Noise

    numbers = {"sharp": n_curves, "smooth": max(1, math.ceil(_SMOOTH * n_curves))}
    onsets = {kind: np.repeat(np.exp(log_onset), n) for kind, n in numbers.items()}
    t = step.astype(float)
    left = np.concatenate([_remaining(kind, design, t, onset, rng) for kind, onset in onsets.items()])
    chance = math.log(design.n_classes) if design.n_classes else 1.0
    drop = np.full(len(left), chance / (1 + design.left))
    loss = Noise(sigma=design.sigma, phi=design.phi).add(drop[:, None] * (design.left + left), drop, rng)
    run = record.new(
        loss, step=step, units="nat", source="simulated", optimizer=design.optimizer, n_classes=design.n_classes,
        chance_loss=chance if design.n_classes else None, weight=np.full(drop.size, 1 / drop.size),
    )  # fmt: skip
    status = transitions.detect(run, detector, curves=False)["status"].values
    tables = np.split(status, [onsets["sharp"].size])
    counts = [[(table.reshape(log_onset.size, -1) == word).sum(axis=1) for word in STATUSES] for table in tables]
    return np.array(counts, dtype=float)


def verdicts(
    probability: np.ndarray, p: np.ndarray, onset: np.ndarray, design: Design, step: np.ndarray, seed: int
) -> dict[str, float]:
    """How often the table of verdicts gives each word, over imagined runs; timing, which it also asks, left out.

    Parameters
    ----------
    probability : (n_statuses, n_subtasks)
        Of each status of each subtask, taken as independent.
    p, onset : (n_subtasks,)
        Frequencies, and onsets in steps.
    """
    from quanta import _claims, _verdict

    rng = np.random.default_rng(seed)
    n_runs = int(np.clip(_WORK / p.size, 20, 400))
    cumulative = np.cumsum(probability, axis=0)
    ends = remaining(design, step[[0, -1]].astype(float), np.where(np.isfinite(onset), onset, 1e300))
    unused = np.ones(p.size)
    words: dict[str, int] = {}
    for _ in range(n_runs):
        code = (rng.uniform(size=p.size) > cumulative[:-1]).sum(axis=0)
        status = np.asarray(STATUSES)[code]
        evidence: dict[str, Any] = {name: unused for name in _claims.Evidence._fields} | {
            "status": status, "changed": status != "never", "complete": np.isin(status, STATUSES[:3]),
            "weight": p, "frequency": p, "start": ends[:, 0], "end": ends[:, 1], "height": design.share * np.ones(p.size),
            "fall_error": design.sigma * np.ones(p.size), "steep": np.zeros(p.size, dtype=bool),
            "log_time_mean": np.log(onset), "log_time_variance": np.full(p.size, (design.width / 3.084) ** 2 * np.pi**2 / 6),
        }  # fmt: skip
        e = _claims.Evidence(**evidence)
        claims = {"n_subtasks": float(p.size), "metric_only_low": 0.0, "base_sharpness": math.nan}
        claims |= _claims.sharpness(e) | {"dispersion": _claims.dispersion(e)}
        claims |= dict.fromkeys(("timing_correlation", "timing_p", "timing_exponent"), math.nan)
        claims |= dict.fromkeys(("timing_exponent_low", "timing_exponent_high"), math.nan)
        word = _verdict.decide(claims, [], accuracy_alone=False).word.removeprefix("unordered-")
        words[word] = words.get(word, 0) + 1
    return {word: n / n_runs for word, n in words.items()}


def noise_needed(
    design: Design, step: np.ndarray, n_curves: int, seed: int, detector: "AbstractDetector | None"
) -> float:
    """Largest σ/H, of the design's divided by √2 again and again, at which .8 of the steps are found; nan if none."""
    from dataclasses import replace

    first, last = (math.log(t) for t in step[step > 0][[0, -1]])
    middle = np.array([min(0.5 * (first + last), last - min(reach(design), 0.5 * (last - first)) - 0.3)])
    for halvings in range(1, 8):
        quieter = replace(design, sigma=design.sigma / 2 ** (halvings / 2))
        found = outcomes(quieter, step, middle, n_curves, np.random.default_rng(seed), detector)
        if found[0, 0, 0] >= 0.8 * n_curves:
            return quieter.sigma
    return math.nan
