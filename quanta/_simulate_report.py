"""What a simulation says at its end: its macro slope beside theory, and transitions found beside the truth."""

import collections
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quanta._errors import InputError
from quanta._grid import log_spaced
from quanta._simulate_plan import Plan
from quanta._simulate_run import learned
from quanta.learners import AbstractLearner

if TYPE_CHECKING:
    import xarray as xr

    from quanta._output import Output

_WHOLE = 10_000  # subtasks that are all analysed
_SAMPLE = 1000  # of more, so many
_RISEN = 0.02  # of chance: by more than this a mean loss that rose did so by itself, not by its test


def summarise(ds: "xr.Dataset", plans: list[Plan], tail_exponent: float) -> dict[str, Any]:
    """What is said of runs of one learner, without their analysis; of several, means."""
    learner, n_runs = plans[0].learner, ds.sizes.get("seed", 1)
    count = learned(ds["loss"].values[..., -1], learner)
    return {
        "learner": repr(learner),
        "dynamics": plans[0].dynamics,
        "steps": int(ds["step"][-1]),
        "steps_planned": plans[0].steps,
        "learned": count if n_runs == 1 else round(count / n_runs, 1),
        "n_subtasks": ds.sizes["subtask"],
        "n_seeds": n_runs,
        "mean_loss": float(_mean_loss(ds)[-1]),
        "chance_loss": float(learner.chance_loss),
        **_course(ds, learner.chance_loss),
        **_of_control(ds),
        **({"test_bits": ds.attrs["test_bits"]} if "test_bits" in ds.attrs else {}),
        **slopes(ds, learner, tail_exponent),
    }


def _of_control(ds: "xr.Dataset") -> dict[str, Any]:
    """Of a control: what kind it is, what part of the inputs it sees, and its mean loss on others where that was measured."""
    said = {name: ds.attrs[name] for name in ("control_kind", "inputs") if ds.attrs.get(name)}
    if "held_out" in ds:
        said["mean_held_out"] = float((ds["held_out"].isel(step=-1) * ds["weight"]).sum("subtask").mean())
    return said


def _course(ds: "xr.Dataset", chance: float) -> dict[str, Any]:
    """Where the mean loss was lowest, of one run or of each; ``warning`` if it ends above where it began."""
    from quanta import record

    mean = record.mean_loss(ds).values.reshape(-1, ds.sizes["step"])
    at = mean.argmin(axis=1)
    steps, values = ds["step"].values[at].tolist(), mean.min(axis=1).tolist()
    risen = mean[:, -1] - mean[:, 0] > _RISEN * chance
    whose = f" of {risen.sum()} of {risen.size} seeds" if risen.size > 1 else ""
    found = {
        "lowest_step": steps if "seed" in ds.dims else steps[0],
        "lowest_mean_loss": values if "seed" in ds.dims else values[0],
    }
    return found | (
        {"warning": f"the mean loss{whose} ends above where it began{_lowest(**found)}"} if risen.any() else {}
    )


def _mean_loss(ds: "xr.Dataset") -> np.ndarray:
    """Mean loss at every checkpoint, (n_steps,); of several runs, the mean of it."""
    from quanta import record

    mean = record.mean_loss(ds)
    return mean.mean([dim for dim in mean.dims if dim != "step"]).values


def _true_onset(ds: "xr.Dataset") -> np.ndarray:
    """When each subtask was learned, (n_subtasks,), nan if never; of several runs, the median."""
    onset = ds["true_onset"].values
    if onset.ndim == 1:
        return onset
    middle = np.median(np.where(np.isnan(onset), np.inf, onset), axis=0)
    return np.where(np.isinf(middle), np.nan, middle)


def slopes(ds: "xr.Dataset", learner: AbstractLearner, exponent: float) -> dict[str, Any]:
    r"""Slope of ln L on ln t (ordinary least squares), seen and predicted.

    The window reaches from the n^(1/3)-th onset to the n^(2/3)-th: far from the first subtasks, which come one by one,
    and from the last, after which nothing is left to learn. The prediction knows
    only the frequencies and the learner's law of onset :math:`t_k`; it is fitted at the same steps.

    .. math:: L(t) = \sum_k p_k\, 1[t < t_k]

    Returns
    -------
    dict
        ``window`` (2 steps), ``slope``, ``slope_predicted``, ``slope_asymptote``; None where there is none.
    """
    p = ds["frequency"].values
    # on the learner's clock; of the mean field, or where that is not declared, of this run
    onset = learner.onset(p) * (ds["step"].values[-1] / _time_at_end(ds, learner))
    if np.isnan(onset).all():
        onset = _true_onset(ds)
    order = np.argsort(np.where(p > 0, onset, np.inf), kind="stable")[: int(np.sum(p > 0))]
    p, onset = p[order], onset[order]
    step = ds["step"].values
    ranks = [min(p.size - 1, math.ceil(p.size ** (i / 3)) - 1) for i in (1, 2)]
    first, last = np.minimum(onset[ranks], step[-1])
    inside = (step >= first) & (step <= last) & (step > 0)
    unlearned = np.append(np.cumsum(p[::-1])[::-1], 0.0)  # Σ of p from each rank on: summed small to large
    predicted = unlearned[np.searchsorted(onset, step[inside], side="right")]
    window = [float(first), float(last)]
    return {
        "window": window if np.all(np.isfinite(window)) else None,
        "slope": _slope(step[inside], _mean_loss(ds)[inside] - learner.learned_loss),
        "slope_predicted": _slope(step[inside], predicted),
        "slope_asymptote": _or_none(learner.exponent("steps", exponent)),
    }


def _time_at_end(ds: "xr.Dataset", learner: AbstractLearner) -> float:
    return float(ds["examples" if learner.clock == "examples" else "step"].values[-1])


def _slope(step: np.ndarray, loss: np.ndarray) -> float | None:
    """OLS slope of ln loss on ln step, if there are 3 points with a loss."""
    seen = loss > 0
    if np.sum(seen) < 3:
        return None
    return float(np.polyfit(np.log(step[seen]), np.log(loss[seen]), 1)[0])


def analyse(ds: "xr.Dataset", out: "Output", seed: int, *, known: bool) -> dict[str, Any]:
    """Find the transitions, test composition, save both with the record, and draw them; compare several runs, too.

    ``known`` if the simulator knows of its steps, so that what is found can be compared.
    """
    from quanta import composition, plot, record, transitions

    part = sample(ds, _SAMPLE, seed) if ds.sizes["subtask"] > _WHOLE else ds
    try:
        found = transitions.detect(part)
    except InputError as error:  # it ended early, by patience
        return {"not_tested": str(error)}
    result = composition.test(part, found)
    record.save(found, out.record, group="transitions")
    record.save(result, out.record, group="composition")
    figure = plot.save(plot.run(part, found, result), out.path / "figure.png")
    hidden = plot.save(plot.progress(part), out.path / "progress.png") if plot.measures(part) else None
    return {
        "n_analysed": part.sizes["subtask"],
        **(against_truth(found, part) if known else {"n_found": int((found["status"] == "sharp").sum())}),
        **{str(name): _or_none(value.item()) for name, value in result.data_vars.items()},
        **{name: result.attrs[name] for name in ("verdict", "reasons", "sentence")},
        "figure": str(figure),
        **({"progress_figure": str(hidden)} if hidden else {}),
        **(_over_seeds(part, found, out) if part.sizes.get("seed", 1) > 1 else {}),
    }


def _over_seeds(ds: "xr.Dataset", found: "xr.Dataset", out: "Output") -> dict[str, Any]:
    """The verdict of each run by itself; whether they agree on when subtasks are learned."""
    from quanta import composition, ensemble, plot, record

    verdicts = [
        composition.test(ds.sel(seed=seed), found.sel(seed=seed)).attrs["verdict"] for seed in ds["seed"].values
    ]
    over = ensemble.seeds(ds, found)
    record.save(over, out.record, group="seeds")
    any_onset = bool(np.isfinite(over["onset"]).any())
    return {
        "verdict_by_seed": dict(zip(map(str, ds["seed"].values), verdicts, strict=True)),
        "seeds": {name: over.attrs[name] for name in ("word", "sentence", "reasons")},
        "seeds_figure": str(plot.save(plot.seeds(over), out.path / "seeds.png")) if any_onset else None,
    }


def sample(ds: "xr.Dataset", n: int, seed: int) -> "xr.Dataset":
    """About n subtasks at random, one from each of as many strata of frequency.

    Strata are evenly spaced in the logarithm of the rank, so that the most frequent are each their own. The one
    that is drawn carries the weight of its stratum.

    Examples
    --------
    >>> from quanta import simulate, frequencies, learners
    >>> ds = simulate.simulate(frequencies.Zipf(n_subtasks=500), learners.Exponential(), steps=10)
    >>> few = sample(ds, 20, seed=0)
    >>> few["subtask"].values[:3].tolist(), few.sizes["subtask"], round(float(few["weight"].sum()), 12)
    ([0, 1, 2], 20, 1.0)
    """
    order = np.argsort(-ds["frequency"].values, kind="stable")
    edges = log_spaced(len(order), n + 1)
    drawn = np.random.default_rng(seed).integers(edges[:-1], edges[1:])
    weight = np.add.reduceat(ds["weight"].values[order], edges[:-1])
    few = ds.isel(subtask=order[drawn])
    return few.assign(weight=("subtask", weight / weight.sum()))


def against_truth(found: "xr.Dataset", ds: "xr.Dataset") -> dict[str, Any]:
    """Transitions found, beside those that the simulator knows that it made."""
    sharp = found["status"].values == "sharp"
    true = np.isfinite(ds["true_onset"].values)
    both = sharp & true
    error = np.abs(np.log(found["onset"].values[both] / ds["true_onset"].values[both]))
    return {
        "n_true": int(true.sum()),
        "n_found": int(both.sum()),
        "n_false": int(np.sum(sharp & ~true)),
        "onset_error": float(np.median(error)) if both.any() else None,
    }


def report(summary: dict[str, Any]) -> str:
    """Lines for a person."""
    several = f" (means of {summary['n_seeds']} seeds)" if summary["n_seeds"] > 1 else ""
    early = summary["steps"] < summary["steps_planned"]
    lines = [
        f"{summary['learner']}, {summary['dynamics']}: learned {summary['learned']:g} of {summary['n_subtasks']} "
        f"subtasks in {summary['steps']:.3g} steps (under a quarter of the fall is left){several}"
        + (f"; out of patience, of {summary['steps_planned']:.3g}" if early else ""),
        f"mean loss {summary['mean_loss']:.4g}, before learning {summary['chance_loss']:.4g}"
        + (_lowest(summary["lowest_step"], summary["lowest_mean_loss"]) if early else ""),
    ]
    if "control_kind" in summary:
        lines.append(_control(summary))
    if summary.get("test_bits") == "shared":
        lines.append("test strings are shared by all subtasks: their errors correlate")
    if "warning" in summary:
        lines.append(f"warning: {summary['warning']}")
    if summary["slope"] is not None or summary["slope_asymptote"] is not None:
        lines.append(_slopes(summary))
    if "not_tested" in summary:
        lines.append(f"not tested: {summary['not_tested']}")
    if "verdict" in summary:
        lines += _findings(summary)
    lines.append(f"record: {summary['record']}  ({summary['seconds']:.1f} s)")
    return "\n".join(lines)


def _lowest(lowest_step: Any, lowest_mean_loss: Any) -> str:
    """Where the mean loss was lowest, of one run or of each, as the end of a sentence."""
    if not isinstance(lowest_step, list):
        return f"; lowest at step {lowest_step}: {lowest_mean_loss:.4g}"
    each = ", ".join(f"{at} ({value:.4g})" for at, value in zip(lowest_step, lowest_mean_loss, strict=True))
    return f"; lowest, seed by seed, at step {each}"


def _control(summary: dict[str, Any]) -> str:
    """What a control is, and of what the losses are."""
    seen = f"; it learns, and is measured on, {summary['inputs']}" if "inputs" in summary else ""
    held = f"; on others its mean loss is {summary['mean_held_out']:.4g}" if "mean_held_out" in summary else ""
    return f"the {summary['control_kind']} control of a network{seen}{held}"


def _slopes(summary: dict[str, Any]) -> str:
    window = summary["window"]
    within = f" over steps {window[0]:.3g} to {window[1]:.3g}" if window and summary["slope"] is not None else ""
    return (
        f"slope of ln L on ln t{within}: {_number(summary['slope'])}; "
        f"Σ p_k 1[t < t_k] predicts {_number(summary['slope_predicted'])}; "
        f"as subtasks and t grow without end, {_number(summary['slope_asymptote'])}"
    )


def _findings(summary: dict[str, Any]) -> list[str]:
    lines = []
    if summary["n_analysed"] < summary["n_subtasks"]:
        lines.append(
            f"from here on: a random sample of {summary['n_analysed']} subtasks, one from each stratum of frequency "
            "(evenly spaced in the logarithm of the rank), weighing as much as its stratum"
        )
    if "n_true" in summary:
        error = summary["onset_error"]
        lines.append(
            f"transitions: found {summary['n_found']} of {summary['n_true']}"
            + (f", median |onset error| {error:.3f} nats" if error is not None else "")
            + f"; {summary['n_false']} where there is none"
        )
    lines += [f"verdict: {summary['verdict']}. {summary['sentence']}", *(f"  {why}" for why in summary["reasons"])]
    if "seeds" in summary:
        lines += _of_seeds(summary)
    return [*lines, *(f"figure: {summary[name]}" for name in ("figure", "progress_figure") if name in summary)]


def _of_seeds(summary: dict[str, Any]) -> list[str]:
    """Verdicts of single runs, counted, and whether they agree."""
    verdicts = collections.Counter(summary["verdict_by_seed"].values()).most_common()
    seeds, figure = summary["seeds"], summary["seeds_figure"]
    return [
        "each seed by itself: " + ", ".join(f"{verdict} ({n} of {summary['n_seeds']})" for verdict, n in verdicts),
        f"seeds: {seeds['sentence']}.",
        *(f"  {why}" for why in seeds["reasons"]),
        *([f"figure: {figure}"] if figure else []),
    ]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _or_none(value: Any) -> Any:
    """What JSON has no word for becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
