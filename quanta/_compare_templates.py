"""What each toy model says one subtask's loss does: a shape in log time, and the law of when it happens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quanta._errors import InputError
from quanta.learners import LEARNERS, AbstractIndependent

if TYPE_CHECKING:
    import xarray as xr

# The parameters that shape a learner's curve, and do not just set its clock or its height. A learner that is not
# here has one shape.
SHAPES: dict[str, tuple[str, Sequence[float]]] = {
    "threshold": ("hits", [1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50, 100]),
    "multilinear": ("initial", [float(f"{r:.2g}") for r in np.geomspace(1e-6, 0.5, 20)]),
    "hyperbolic": ("initial", [float(f"{r:.2g}") for r in np.geomspace(0.01, 0.8, 9)]),
    "power_law": ("power", [0.4, 0.6, 1, 1.5, 2, 3, 5, 10]),
    "stretched": ("stretch", [0.3, 0.4, 0.5, 0.6, 0.8, 1]),
    "convex_adam": ("n_classes", [2, 11, 64, 1024, 50257]),
    "synchronous": ("spread", [0.2, 0.5, 1, 2, 4]),
}
_RARE = 1e-6  # a frequency at which learners are at their limit of rare subtasks: functions of frequency^γ × time
# ln time since half-way, in nats: closely where steps are, and as far out as the slowest curves go.
AGES = np.concatenate([np.linspace(-30, -9, 84, endpoint=False), np.linspace(-9, 5, 561), np.linspace(5.25, 20, 60)])


class Template(NamedTuple):
    """One shape of curve: what share of a subtask's drop is left at an age, and how its onset follows frequency."""

    model: str
    shape: str
    """The parameter that makes this shape, such as "initial=0.01"; "" where there is none."""
    left: np.ndarray
    """(n_ages,) share of the drop that is left at ``AGES``: one half at age 0."""
    gamma: float
    """Timing exponent: onset ∝ frequency^-gamma."""

    def at(self, log_time: np.ndarray, log_onset: np.ndarray) -> np.ndarray:
        """Share left, (n_subtasks, n_steps)."""
        return np.interp(log_time[None, :] - log_onset[:, None], AGES, self.left)


def families(simulated: "Mapping[str, xr.Dataset]") -> dict[str, list[Template]]:
    """The shapes of every learner of independent subtasks, each over its grid, and of every simulated record.

    A shape is that of the mean over runs, also where the run to be explained was sampled: told only the frequency of a
    subtask, the mean is the prediction with the least squared error. So a threshold is an Erlang curve, though in one
    run it is a step at a time that scatters, and of all thresholds that curve has the sharpest limit in ``quantum``,
    whose steps do not scatter.

    Raises
    ------
    InputError
        If a simulated record cannot be a template.
    """
    found = {
        name: list(_of_learner(name, cls)) for name, cls in LEARNERS.items() if issubclass(cls, AbstractIndependent)
    }
    for name, ds in simulated.items():
        if name in found:
            raise InputError(f"a simulated record is named {name!r}, as a learner is; rename its directory.")
        found[name] = [_of_record(name, ds)]
    return found


def log_half_time(share: np.ndarray, log_time: np.ndarray, level: np.ndarray | float = 0.5) -> np.ndarray:
    """When a curve goes through a level: the log time that it spends above it, counted from the first checkpoint.

    Of a falling curve that is the crossing itself, interpolated. Of one with spikes it is where the curve would
    cross if spikes and dips were put in order, so that no single one decides.

    Parameters
    ----------
    share : np.ndarray, shape (n_subtasks, n_steps)
        Curves as shares of their start.
    log_time : np.ndarray, shape (n_steps,)
        Logarithm of the step.
    level : float or np.ndarray, shape (n_subtasks, 1)
        The level.

    Returns
    -------
    np.ndarray
        (n_subtasks,); nan for a curve that does not end below the level, or does not begin above it.

    Examples
    --------
    >>> log_half_time(np.array([[1.0, 0.8, 0.2, 0.0], [1.0, 1.0, 1.0, 0.9]]), np.arange(4.0)).tolist()
    [1.5, nan]
    """
    over = share - level
    a, b = over[:, :-1], over[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(a * b < 0, np.maximum(a, b) / np.abs(a - b), 0.0)
    above = np.where((a >= 0) & (b >= 0), 1.0, crossing)
    time = log_time[0] + above @ np.diff(log_time)
    crossed = (over[:, -1] < 0) & (over[:, 0] > 0)
    return np.where(crossed, time, np.nan)


def _of_learner(name: str, cls: type[AbstractIndependent]) -> Iterator[Template]:
    parameter, values = SHAPES.get(name, ("", [None]))
    for value in values:
        learner = cls(**({parameter: value} if parameter else {}))
        shape = f"{parameter}={value:g}" if parameter else ""
        yield Template(name, shape, left_at(learner, AGES), learner.onset_exponent)


def left_at(learner: AbstractIndependent, age: np.ndarray) -> np.ndarray:
    """Share of the drop of a rare subtask that is left at an age, in nats since half-way; the shape of ``age``.

    At a jump it is the middle.
    """
    half = learner.onset(np.array([_RARE]))[0]
    around = half * np.exp(np.stack([age - 1e-9, age + 1e-9]))
    loss = learner.expected(np.array(_RARE), around).mean(axis=0)
    return (loss - learner.learned_loss) / (learner.chance_loss - learner.learned_loss)


def _of_record(name: str, ds: "xr.Dataset") -> Template:
    """The median curve of a simulated run, aligned by the law of onsets that its own curves follow."""
    from scipy import stats

    curves = Curves.of(ds, name)
    half, p = curves.half_time, curves.log_frequency
    ready = np.isfinite(half)
    if ready.sum() < 6 or np.ptp(p[ready]) == 0:
        raise InputError(
            f"{name}: {int(ready.sum())} subtasks lost half of their loss; a template needs 6, of more than one frequency."
        )
    gamma = -float(stats.theilslopes(half[ready], p[ready])[0])
    done = ready & (half <= np.median(half[ready]))  # seen for long after: their floors are known
    floor = curves.share[done, -1:]
    drop = (curves.share[done] - floor) / (1 - floor)
    aged = np.stack(
        [np.interp(AGES, curves.log_time - h, y, left=1.0, right=0.0) for h, y in zip(half[done], drop, strict=True)]
    )
    left = np.clip(np.minimum.accumulate(np.median(aged, axis=0)), 0, 1)
    return Template(name, "", left, gamma)


class Curves(NamedTuple):
    """What is compared of a run: each subtask's loss as a share of its start, on a logarithmic clock."""

    share: np.ndarray
    """(n_subtasks, n_steps) loss over ``start``, capped at 1: above chance, nothing is being learned."""
    start: np.ndarray
    """(n_subtasks,) chance where it is known, else the first loss."""
    log_frequency: np.ndarray
    """(n_subtasks,)"""
    weight: np.ndarray
    """(n_subtasks,) share in the mean loss."""
    log_time: np.ndarray
    """(n_steps,) ln step, of the steps above 0."""
    half_time: np.ndarray
    """(n_subtasks,) ln of when half of the drop is done; nan for what lost less than half of its start."""

    @classmethod
    def of(cls, ds: "xr.Dataset", name: str = "the record") -> "Curves":
        """Curves of one run.

        Raises
        ------
        InputError
            If there is no loss, no frequency, one subtask, an ensemble, or too few checkpoints.
        """
        _check(ds, name)
        loss = ds["loss"].transpose("subtask", "step").values.astype(np.float64)
        start = loss[:, 0]
        if "chance_loss" in ds:
            chance = ds["chance_loss"].values
            start = np.where(np.isfinite(chance) & (chance > 0), chance, start)
        if np.any(start <= 0):
            raise InputError(f"{name}: {int(np.sum(start <= 0))} subtasks begin at loss 0; drop them from the record.")
        after = ds["step"].values > 0
        share = np.minimum(loss[:, after] / start[:, None], 1.0)
        log_time = np.log(ds["step"].values[after].astype(np.float64))
        end = np.median(share[:, -3:], axis=1)
        half = log_half_time(share, log_time, (1 + end[:, None]) / 2)
        half = np.where(end < 0.5, half, np.nan)
        return cls(share, start, np.log(ds["frequency"].values), ds["weight"].values, log_time, half)


def _check(ds: "xr.Dataset", name: str) -> None:
    """Refuse what cannot be compared, with the reason."""
    if "loss" not in ds:
        raise InputError(f"{name} has no loss; a sum of phase changes is a sum of losses.")
    if extra := [str(dim) for dim in ds["loss"].dims if dim not in ("subtask", "step")]:
        raise InputError(f"{name} is an ensemble over {', '.join(extra)}; choose one run: .isel({extra[0]}=0).")
    if ds.sizes["subtask"] < 2:
        raise InputError(f"{name} has one subtask; a mean loss alone cannot say what it is the sum of.")
    p = ds["frequency"].values if "frequency" in ds else np.array([np.nan])
    if not np.all(np.isfinite(p) & (p > 0)):
        known = int(np.sum(np.isfinite(p) & (p > 0)))
        raise InputError(
            f"{name} has frequencies above 0 for {known} of {ds.sizes['subtask']} subtasks; every model needs all of them."
        )
    after = int(np.sum(ds["step"].values > 0))
    if after < 17:
        raise InputError(f"{name} has {after} checkpoints after step 0; expected 17 or more.")
