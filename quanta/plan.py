"""Plan a run before it is made: which subtasks could be tested, with what power, and where to measure.

python -m quanta.plan --n-subtasks 100 --exponent 1.5 --first-onset 40 --sigma .05
python -m quanta.plan --frequencies counts.txt --exposures 200 --batch-size 256 --steps 20000
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from quanta import _cli
from quanta._errors import InputError
from quanta._grid import log_spaced
from quanta.frequencies import AbstractFrequencies, Empirical, Zipf

if TYPE_CHECKING:
    import xarray as xr

    from quanta._plan_power import Knots
    from quanta.transitions import AbstractDetector

__all__ = ["Design", "main", "plan"]

_LATEST = 2**53  # steps: beyond this, float64 cannot tell two moments apart
_SPARE = 0.3  # nats of training after the last subtask is complete


@dataclass(frozen=True, kw_only=True)
class Design:
    """A run that is still to be made: how its subtasks are learned, and how they are measured."""

    first_onset: float = 40.0
    """Step at which the most frequent subtask is half learned."""
    exposures: float | None = None
    """Or: examples of a subtask until it is half learned (needs --batch-size); for the most frequent, where γ is not 1."""
    gamma: float = 1.0
    """Exponent γ of onset ∝ frequency^-γ: 1 where subtasks are independent, less where they help one another."""
    shape: Literal["logistic", "weibull", "gompertz", "gaussian", "hyperbolic", "multilinear"] = "logistic"
    """Shape of a step."""
    width: float = 0.8
    """10-90 % width of a step, nats of log time."""
    share: float = 1.0
    """Share of the step in a subtask's drop; the rest is a power-law drift."""
    left: float = 0.05
    """Loss that is left at the end, in units of the drop."""
    sigma: float = 0.03
    """Noise of a measured loss, in units of the drop."""
    phi: float = 0.5
    """Correlation of the noise from one checkpoint to the next."""
    steps: int | None = None
    """Length of the run; by default long enough for every subtask to complete, sharp or smooth."""
    first: int = 1
    """First checkpoint after step 0."""
    n_checkpoints: int = 100
    """Checkpoints, evenly in log time."""
    batch_size: int | None = None
    """Examples in a step; without it, exposures are not counted."""
    optimizer: Literal["sgd", "momentum", "adam", "unknown"] = "sgd"
    """With the number of classes, it decides how sharp a curve can be without a phase change."""
    n_classes: float | None = 11
    """Number of answers, of which chance picks one."""

    def __post_init__(self) -> None:
        positive = ("first_onset", "exposures", "width", "steps", "first", "batch_size")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; expected a number above 0.")
        for name, high in (("gamma", 4.0), ("sigma", 1.0), ("left", 0.3), ("phi", 0.99)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise InputError(f"{name} is {value}; expected a number from 0 to {high:g}.")
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}; expected a share above 0, at most 1.")
        if not self.width <= 2.9:
            raise InputError(f"width is {self.width}; expected at most 2.9 nats: from 3.08 on, no step is sharper than an exponential.")  # fmt: skip
        if not 3 <= self.n_checkpoints <= 2000:
            raise InputError(f"n_checkpoints is {self.n_checkpoints}; expected 3 to 2000.")
        if self.n_classes is not None and not self.n_classes >= 2:
            raise InputError(f"n_classes is {self.n_classes}; expected 2 or more.")
        if self.exposures is not None and self.batch_size is None:
            raise InputError("exposures are given without batch_size; say how many examples are in a step.")
        if self.steps is not None and not self.first < self.steps <= _LATEST:
            raise InputError(f"steps is {self.steps}; expected more than the first checkpoint, {self.first}, at most 2^53.")  # fmt: skip

    def onset(self, p: np.ndarray) -> np.ndarray:
        """Steps at which subtasks of these frequencies are half learned, t_k = t_1 (p_1/p_k)^γ; inf where p is 0."""
        start = self.first_onset
        if self.exposures is not None and self.batch_size is not None:
            start = self.exposures / (self.batch_size * float(p.max()))
        with np.errstate(divide="ignore"):
            return np.where(p > 0, start * (p.max() / p) ** self.gamma, np.inf)

    def checkpoints(self, steps: int) -> np.ndarray:
        """Step 0 and log-spaced whole steps, (n_steps,)."""
        if self.first == 1:
            return log_spaced(steps, self.n_checkpoints)
        points = np.rint(np.geomspace(self.first, steps, self.n_checkpoints - 1)).astype(np.int64)
        return np.concatenate([[0], np.unique(points)])


def plan(
    frequencies: AbstractFrequencies | np.ndarray,
    design: Design | None = None,
    *,
    n_curves: int = 100,
    seed: int = 0,
    detector: "AbstractDetector | None" = None,
) -> "xr.Dataset":
    """Say what the test will be able to say of a run: measured, by the detector itself, on curves simulated on its grid.

    Parameters
    ----------
    frequencies : AbstractFrequencies or (n_subtasks,)
        How often each subtask occurs.
    design : Design, optional
        How they are learned and measured.
    n_curves : int
        Simulated curves for each of some twenty onsets across the window: the power is known to about .5/√n_curves.
    seed : int
        Of the simulation.
    detector : AbstractDetector, optional
        By default that of :func:`quanta.transitions.detect`.

    Returns
    -------
    xr.Dataset
        dims (subtask): ``frequency``, ``onset`` (steps), ``exposures`` at the onset, ``probability`` (status, subtask)
        if it is sharp, ``power`` = that of "sharp", ``testable`` (whether "sharp" or "smooth" is likelier than not),
        ``status`` (the likeliest), ``steps_needed``. dims (knot): the window's ``knot_onset``, ``knot_sharp``,
        ``knot_smooth`` (counts of each status). Scalars: ``expected_tested``, ``testable_share`` of the mean loss's
        fall, ``expected_false`` (sharp subtasks if all are smooth), …; attrs ``sentence``, ``advice`` (list of str),
        ``if_sharp`` and ``if_smooth`` (verdict → probability).

    Examples
    --------
    >>> few = plan(Zipf(n_subtasks=3), n_curves=5)
    >>> few.attrs["sentence"]
    'This run cannot tell: 3 of 3 subtasks could be tested, and a verdict needs 5.'
    """
    import xarray as xr

    from quanta import _plan_power as power
    from quanta import _plan_report as words

    design = design or Design()
    p = frequencies.probabilities() if isinstance(frequencies, AbstractFrequencies) else Empirical(counts=tuple(np.ravel(frequencies))).probabilities()  # fmt: skip
    onset = design.onset(p)
    steps = design.steps or _enough(onset, max(power.reach(design, kind) for kind in ("sharp", "smooth")), design.first)
    step = design.checkpoints(steps)
    hopeless = words.hopeless(step)
    knots = _blind(step) if hopeless else power.measure(design, step, n_curves, seed, detector)
    log_onset = np.log(np.minimum(onset, 1e300))
    chance, smooth = (knots.at(log_onset, kind) for kind in ("sharp", "smooth"))
    exposures = _exposures(design, p, onset, step)
    chance, smooth = (_unless_few(table, exposures) for table in (chance, smooth))
    tested = chance[:2].sum(axis=0)
    result = xr.Dataset(
        {
            "frequency": ("subtask", p),
            "onset": ("subtask", onset),
            "exposures": ("subtask", exposures),
            "probability": (("status_word", "subtask"), chance),
            "power": ("subtask", chance[0]),
            "testable": ("subtask", tested >= 0.5),
            "status": ("subtask", np.asarray(power.STATUSES)[chance.argmax(axis=0)]),
            "steps_needed": ("subtask", onset * math.exp(power.reach(design))),
            "knot_onset": ("knot", np.exp(knots.log_onset)),
            "knot_sharp": (("status_word", "knot"), knots.sharp),
            "knot_smooth": (("status_word", "knot"), knots.smooth),
            "step": ("checkpoint", step),
        },
        coords={"status_word": list(power.STATUSES), "subtask": np.arange(p.size)},
    )
    result["expected_tested"] = float(tested.sum())
    result["expected_sharp"] = float(chance[0].sum())
    result["expected_false"] = float(smooth[0].sum())
    result["testable_share"] = float(p @ tested / max(float(p @ (1 - chance[-1])), 1e-300))
    result.attrs = {
        "design": repr(design),
        "if_sharp": power.verdicts(chance, p, onset, design, step, seed),
        "if_smooth": power.verdicts(smooth, p, onset, design, step, seed),
    }
    quieter = math.nan
    if not hopeless and design.sigma > 0 and words.best_power(result) < 0.8:
        quieter = power.noise_needed(design, step, n_curves, seed, detector)
    result.attrs["sentence"] = words.sentence(result, hopeless)
    result.attrs["advice"] = words.advice(result, design, quieter)
    return result


def _enough(onset: np.ndarray, reach: float, first: int) -> int:
    """Steps after which every subtask that is ever learned is complete, to two digits."""
    latest = float(onset[np.isfinite(onset)].max())
    steps = latest * math.exp(min(reach, 5.0) + _SPARE)
    return int(min(max(math.ceil(float(f"{steps:.1e}")), 20 * first), _LATEST))


def _blind(step: np.ndarray) -> "Knots":
    """Outcomes on a grid on which the test refuses to run: all is unresolved."""
    from quanta import _plan_power as power

    x = np.log([max(step[1], 1), max(step[-1], 2)])
    counts = np.zeros((len(power.STATUSES), 2))
    counts[power.STATUSES.index("unresolved")] = 1
    return power.Knots(x, counts, counts)


def _exposures(design: Design, p: np.ndarray, onset: np.ndarray, step: np.ndarray) -> np.ndarray:
    """How often each subtask will have been seen at the first checkpoint after its onset, (n_subtasks,); nan if unknown."""
    if design.batch_size is None:
        return np.full(p.size, np.nan)
    after = step[np.clip(np.searchsorted(step, onset), 0, step.size - 1)]
    return p * after * design.batch_size


def _unless_few(chance: np.ndarray, exposures: np.ndarray) -> np.ndarray:
    """What would be called sharp after a handful of exposures is unresolved."""
    from quanta.transitions._status import FEW_EXPOSURES

    few = exposures < FEW_EXPOSURES
    chance = chance.copy()
    chance[2, few] += chance[0, few]
    chance[0, few] = 0.0
    return chance


# ------------------------------------------------------------------------------------------ the command


@dataclass(frozen=True, kw_only=True)
class Options(_cli.Common, Design):
    """Which subtasks of a run that is still to be made could be tested, with what power, and where to measure."""

    n_subtasks: int = 100
    """Number of subtasks."""
    exponent: float = 1.5
    """Zipf exponent s of their frequencies, p_k ∝ k^-s."""
    frequencies: Path | None = None
    """Or: a file of counts or frequencies, one to a line, or a .npy array."""
    n_curves: int = 100
    """Simulated curves for each onset at which the power is measured."""


def read_frequencies(path: Path) -> Empirical:
    """Frequencies from a text file of numbers, or an .npy array."""
    try:
        counts = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=None)
    except (ValueError, EOFError) as error:
        raise InputError(f"--frequencies {path} cannot be read as numbers: {error}.") from None
    return Empirical(counts=tuple(np.ravel(counts)))


def run(argv: Sequence[str] | None = None) -> int:
    """Plan, as the flags say; print the report, draw the figure."""
    parsed = _cli.parse("plan", Options, {}, argv)
    options = parsed.options
    if options.n_curves < 10:
        raise InputError(f"--n-curves is {options.n_curves}; expected 10 or more.")
    p = read_frequencies(options.frequencies) if options.frequencies else Zipf(n_subtasks=options.n_subtasks, exponent=options.exponent)  # fmt: skip
    from quanta import _plan_report, plot
    from quanta._output import output

    out = output("plan", options.frequencies.stem if options.frequencies else "zipf", parsed)
    design = Design(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Design)})
    result = plan(p, design, n_curves=options.n_curves, seed=options.seed)
    figure = plot.save(plot.plan(result), out.path / "plan.png")
    summary = _plan_report.summarise(result) | {"figure": str(figure)}
    out.finish(parsed.configuration(), summary)
    print(json.dumps(summary) if options.json else _plan_report.report(result, summary))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return _cli.main("plan", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
