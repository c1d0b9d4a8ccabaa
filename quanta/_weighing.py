"""The test itself: a run and its controls are read once, and what was found in them is weighed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from quanta import _claims, _composition_report, _controls, _intervention, _verdict
from quanta import transitions as detection
from quanta._autonomy import Autonomy
from quanta._errors import InputError
from quanta.transitions import AbstractDetector, _gaps


def judge(
    record: xr.Dataset,
    transitions: xr.Dataset | None = None,
    *,
    controls: Sequence[xr.Dataset] = (),
    intervention: xr.Dataset | None = None,
    reseeds: Sequence[xr.Dataset] = (),
    clock: str | None = None,
    detector: AbstractDetector | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """See :func:`quanta.composition.test`."""
    found, judged = read(record, transitions, controls, clock, detector, curves=False)
    clocks = [] if clock is None else [clock]
    return weigh(record, found, judged, intervention, reseeds, clocks=clocks, seed=seed)[0]


def read(
    record: xr.Dataset,
    transitions: xr.Dataset | None = None,
    controls: Sequence[xr.Dataset] = (),
    clock: str | None = None,
    detector: AbstractDetector | None = None,
    *,
    curves: bool = True,
) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """What is found in a run at the S0 of its controls, and what :func:`_controls.judge` says of each of these.

    Transitions that are given are taken for what is found, unless a control can raise S0.
    """
    judged = [_controls.judge(control, record, i, clock, detector) for i, control in enumerate(controls)]
    usable = [control for control, said in zip(controls, judged, strict=True) if said["state"] == "ok"]
    if transitions is None or usable:
        transitions = detection.detect(record, detector, control=usable or None, clock=clock, curves=curves)
    return transitions, judged


def weigh(
    record: xr.Dataset,
    found: xr.Dataset,
    judged: list[dict[str, Any]],
    intervention: xr.Dataset | None = None,
    reseeds: Sequence[xr.Dataset] = (),
    *,
    clocks: Sequence[str] = (),
    seed: int = 0,
) -> tuple[xr.Dataset, Autonomy | None]:
    """The result of :func:`quanta.composition.test`, and what an intervention showed.

    Parameters
    ----------
    found, judged
        From :func:`read`.
    clocks : sequence of str
        Those that were asked for: of one alone a caution may be due.
    """
    claims = _measured(record, found, seed)
    autonomy = _autonomy_of(record, intervention, reseeds, claims["timing_exponent"], seed)
    if autonomy:
        claims |= autonomy.claims
    alone = not ("loss" in record or "probability" in record)
    verdict = _verdict.decide(claims, judged, accuracy_alone=alone)
    reasons = [
        *verdict.reasons,
        *(control["reason"] for control in judged if control["reason"] not in verdict.reasons),
        *_composition_report.reservations(record, found, verdict.reasons),
        *_composition_report.caution(record, clocks),
        *(_intervention.reasons(autonomy.claims) if autonomy else ()),
    ]
    result = xr.Dataset({name: float(value) for name, value in claims.items()})
    result.attrs = {
        "verdict": verdict.word,
        "row": verdict.row,
        "reasons": reasons,
        "controls": [f"{control['kind']}: {control['state']}" for control in judged],
        "sentence": _composition_report.sentence(verdict.word, verdict.row, judged),
        "detector": found.attrs["detector"],
        "clock": found.attrs["clock"],
    }
    return result, autonomy


def _measured(record: xr.Dataset, found: xr.Dataset, seed: int) -> dict[str, float]:
    """The claims (A) to (C) as numbers, and what else the table of verdicts asks for."""
    rng = np.random.default_rng(seed)
    e = _claims.evidence(record, found)
    claims: dict[str, float] = {"n_subtasks": float(record.sizes["subtask"]), "n_curves": float(found["status"].size)}
    claims |= _claims.sharpness(e)
    claims["dispersion"] = _claims.dispersion(e)
    claims |= _claims.timing(e, rng)
    if "loss" in record:
        step = record["step"].values.astype(float)
        curves = _gaps.fill(record["loss"].values.astype(float).reshape(-1, step.size), step)
        claims |= _claims.held_out(e, curves, step, rng)
    claims["base_sharpness"] = float(found["base_sharpness"].median())
    n_only, n_tested = int((e.metric_only & e.tested).sum()), int(e.tested.sum())
    claims["metric_only_low"] = _claims.wilson(n_only, n_tested)[0] if n_only else 0.0
    return claims


def _autonomy_of(
    record: xr.Dataset,
    intervention: xr.Dataset | None,
    reseeds: Sequence[xr.Dataset],
    gamma: float,
    seed: int,
) -> Autonomy | None:
    if intervention is not None:
        return _intervention.judge(record, intervention, reseeds, gamma=gamma, seed=seed)
    if reseeds:
        raise InputError("a re-seed is given without an intervention; expected both.")
    return None
