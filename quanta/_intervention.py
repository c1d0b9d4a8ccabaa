"""Claim (D), autonomy, between records: what may be compared with what, and what is said of it."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from quanta import _autonomy
from quanta import record as records
from quanta._errors import InputError

_SAME = 1e-9  # frequencies closer than this (relative) are the same
_PARTS = ("task", "learner", "model", "optimizer", "learning_rate", "batch_size", "dynamics", "seed")


def judge(
    record: xr.Dataset,
    intervention: xr.Dataset,
    reseeds: Sequence[xr.Dataset] = (),
    *,
    gamma: float = np.nan,
    seed: int = 0,
) -> _autonomy.Autonomy:
    """Predict a run under other frequencies from a run, and measure how well.

    Parameters
    ----------
    record, intervention : xr.Dataset
        Runs of one design (subtasks, model, optimiser) under different frequencies, with ``loss``.
    reseeds : sequence of records
        The run again, each by another chance, under its own frequencies.
    gamma : float
        Timing exponent of the run; nan if unknown.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If they differ in more than the frequencies, or not in them; says in what.
    """
    _check(record, intervention, "the intervention")
    if _same_frequencies(record, intervention):
        raise InputError("the intervention has the frequencies of the run itself; give it as --reseed.")
    for reseed in reseeds:
        _check(record, reseed, "the re-seed")
        if not _same_frequencies(record, reseed):
            raise InputError("the re-seed has other frequencies than the run; give it as --intervention.")
        if record["loss"].shape == reseed["loss"].shape and np.array_equal(record["loss"], reseed["loss"]):
            raise InputError("the re-seed is the run itself; train it again with another --replicate (or --seed).")
    found = _autonomy.autonomy(
        _run(record), _run(intervention), _chance(record),
        gamma=gamma, reseeds=[_run(reseed) for reseed in reseeds], rng=np.random.default_rng(seed),
    )  # fmt: skip
    if record.attrs["source"] == "simulated" and record.attrs.get("dynamics") == "expected":
        nothing = dict.fromkeys(("reseed_shift", "reseed_spread", "reseed_shift_bound"), 0.0)
        return found._replace(claims=found.claims | nothing)  # a mean field leaves nothing to chance
    return found


def reasons(claims: Mapping[str, float]) -> list[str]:
    """Claim (D) in plain words, without a share in the verdict."""
    mean, changed = (_interval(claims, f"autonomy_q2_{name}") for name in ("mean", "changed"))
    line = (
        f"(D) autonomy {_state(claims)}. Stretched by p'/p, the run predicts under the changed frequencies the mean loss "
        f"with Q² = {mean} and the curves of the changed subtasks with {changed}; taking no change for granted, "
        f"{_q2(claims, 'no_change')}"
    )
    if np.isfinite(claims["autonomy_gamma_q2_curves"]):
        line += f"; stretched by (p'/p)^γ, {_q2(claims, 'gamma')}"
    again = "no re-seed was given"
    if "autonomy_reseed_q2_mean" in claims:
        again = f"a re-seed is predicted with {_q2(claims, 'reseed')}"
    return [f"{line}; {again}", _shifts(claims)]


def _state(claims: Mapping[str, float]) -> str:
    """What can be said of autonomy, by intervals alone."""
    ignored = claims["autonomy_no_change_q2_changed"]
    if not np.isfinite(ignored):
        return "cannot be told: no subtask whose frequency was changed is still trained on"
    if not claims["autonomy_q2_changed_high"] > ignored:
        return "fails: the changed frequencies explain nothing"
    if not np.isfinite(claims["reseed_shift_bound"]):
        return "is open: without a re-seed, what chance does is not known"
    slack = claims["reseed_shift_bound"]
    crossed = claims["cross_effect_low"] > slack or claims["cross_effect_high"] < -slack
    bent = claims["own_effect_low"] > 1 or claims["own_effect_high"] < 1
    if crossed:
        return "holds in part: subtasks moved by what was done to others"
    if not claims["autonomy_q2_changed_low"] > ignored:
        return "is open: what p'/p foretells is not seen to be better than what there was before"
    if bent:
        return "holds in part: each subtask answers to its own frequency, but not in proportion to it"
    return "holds as far as this shows"


def _shifts(claims: Mapping[str, float]) -> str:
    line = f"own effect of the changed frequencies: time ∝ p^-g with g = {_interval(claims, 'own_effect')} (independent: 1)"
    if np.isfinite(claims["cross_effect"]):
        line += (
            f"; cross-effect: subtasks left alone come {_interval(claims, 'cross_effect')} nats later than their own "
            "frequency says (independent: 0)"
        )
    else:
        line += "; no cross-effect can be read"
    if np.isfinite(claims["reseed_shift"]):
        line += f"; a re-seed alone moves all by up to {claims['reseed_shift']:+.2f} nats, single ones by {claims['reseed_spread']:.2f}"
    if claims["n_removed"]:
        line += f"; the loss of a removed subtask fell by {claims['removed_fall']:.0%} at most"
    return line


def _interval(claims: Mapping[str, float], name: str) -> str:
    low, high = claims[f"{name}_low"], claims[f"{name}_high"]
    return f"{claims[name]:.3f} ({low:.3f} to {high:.3f})"


def _q2(claims: Mapping[str, float], name: str) -> str:
    return f"{claims[f'autonomy_{name}_q2_mean']:.3f} and {claims[f'autonomy_{name}_q2_changed']:.3f}"


def _check(record: xr.Dataset, other: xr.Dataset, name: str) -> None:
    """Refuse what is not a run of the same design, with what differs."""
    for ds, who in ((record, "the run"), (records.validate(other), name)):
        if "loss" not in ds or "frequency" not in ds or not np.all(np.isfinite(ds["frequency"])):
            raise InputError(f"{who} has no loss, or unknown frequencies; an intervention is about both.")
        if extra := [str(dim) for dim in ds["loss"].dims if dim not in ("subtask", "step")]:
            raise InputError(f"{who} is an ensemble over {', '.join(extra)}; choose one run: .isel({extra[0]}=0).")
    n, m = record.sizes["subtask"], other.sizes["subtask"]
    if n != m:
        raise InputError(f"{name} has {m} subtasks and the run has {n}; it must be made of the same subtasks.")
    mine, theirs = record.attrs.get("design_id"), other.attrs.get("design_id")
    differ = _differences(record, other) if mine != theirs or not mine else []
    if differ or (mine and theirs and mine != theirs):
        raise InputError(
            f"{name} differs from the run in more than frequencies: {'; '.join(differ) or 'in its design'}. "
            "Make it with the run's own settings and --reweight."
        )


def _differences(record: xr.Dataset, other: xr.Dataset) -> list[str]:
    """What differs between two designs, each as "its model is …, not …"."""
    mine, theirs = (json.loads(ds.attrs.get("config") or "{}") for ds in (record, other))
    seeded = record.attrs["source"] == "trained"  # the seed draws the subtasks; of a simulation it is but chance
    parts = [name for name in _PARTS if name != "seed" or seeded]
    pairs = [(name, theirs.get(name), mine.get(name)) for name in parts if name in mine or name in theirs]
    pairs += [(name, other.attrs.get(name), record.attrs.get(name)) for name in ("source", "optimizer")]
    pairs.append(("unit of loss", other["loss"].attrs.get("units"), record["loss"].attrs.get("units")))
    return list(dict.fromkeys(f"its {name} is {theirs}, not {mine}" for name, theirs, mine in pairs if theirs != mine))


def _same_frequencies(record: xr.Dataset, other: xr.Dataset) -> bool:
    p, q = (ds["frequency"].values / ds["frequency"].values.sum() for ds in (record, other))
    return bool(np.allclose(p, q, rtol=_SAME, atol=0))


def _run(ds: xr.Dataset) -> _autonomy.Run:
    p, step = ds["frequency"].values, ds["step"].values.astype(float)
    return _autonomy.Run(step, _bridged(ds, step), p / p.sum(), ds["weight"].values)


def _bridged(ds: xr.Dataset, step: np.ndarray) -> np.ndarray:
    """The losses (n_subtasks, n_steps), straight in ln(1 + step) over what was not measured."""
    loss = ds["loss"].transpose("subtask", "step").values.astype(float)
    clock = np.log1p(step)
    for curve in loss:
        seen = np.isfinite(curve)
        if seen.any():
            curve[~seen] = np.interp(clock[~seen], clock[seen], curve[seen])
    return loss


def _chance(ds: xr.Dataset) -> np.ndarray:
    """Loss of chance where it is known, else where the curve started, (n_subtasks,)."""
    start = _bridged(ds, ds["step"].values.astype(float))[:, 0]
    known = ds["chance_loss"].values if "chance_loss" in ds else np.full(start.size, np.nan)
    chance = np.where(np.isfinite(known) & (known > 0), known, start)
    return np.where(chance > 0, chance, 1.0)
