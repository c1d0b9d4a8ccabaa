"""The verdict table: first row that matches, from claims and controls to one word and one plain sentence."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

LEAST_TESTED = 5
_ORDERED = 1e-3  # chance of calling an unordered run ordered
_NOT_ORDERED = 0.05

SENTENCES = {
    "ordered-composition": "The loss is the sum of sharp transitions at different times, the frequent subtasks first",
    "unordered-composition": "The loss is the sum of sharp transitions at different times, not in order of frequency",
    "synchronous": "The subtasks change sharply, but together: one event, not a composition",
    "mixed": "Some subtasks change sharply and some smoothly",
    "ordered-smooth": "The loss is the sum of smooth curves, the frequent subtasks first: not of phase changes",
    "smooth": "The loss is the sum of smooth curves: not of phase changes",
    "metric-only": "Nothing is sharp but the accuracy, and a threshold makes steps of smooth curves",
    "undetermined": "This run cannot tell whether its loss is a sum of sharp transitions",
}


class Verdict(NamedTuple):
    """One word, the row of the table that gave it, and why."""

    word: str
    row: str
    reasons: list[str]


def decide(claims: Mapping[str, float], controls: list[dict[str, Any]], *, accuracy_alone: bool) -> Verdict:
    """Go down the table.

    Parameters
    ----------
    claims : mapping
        What `_claims` measured, and ``metric_only_low``: the Wilson bound of the share that is sharp in accuracy alone.
    controls : list of dict
        ``kind``, ``state`` ("ok", "fires", "unfinished", "unstable") and ``reason`` of each.
    accuracy_alone : bool
        The record has no loss and no probability.
    """
    if accuracy_alone:
        return Verdict("metric-only", "1: accuracy is all there is", ["the record has no loss and no probability"])
    n, testable = int(claims["n_tested"]), claims["testable_share"]
    if claims["n_subtasks"] == 1:
        why = "a curve of one subtask has no decomposition: worlds of steps and of exponentials look the same from afar"
        return Verdict("undetermined", "1: one subtask", [why])
    if n < LEAST_TESTED:
        reasons = [_how_many(claims), *_steep(claims)]
        return Verdict("undetermined", f"1: fewer than {LEAST_TESTED} subtasks can be tested", reasons)
    if claims["metric_only_low"] > 0.5:
        return Verdict("metric-only", "1: sharp in accuracy alone", [_how_many(claims)])
    if not testable >= 0.5:
        why = f"only {testable:.0%} of the fall of the mean loss lies in subtasks that can be tested"
        return Verdict("undetermined", "1: less than half of the changed weight can be tested", [why, *_steep(claims)])
    fired = [c["reason"] for c in controls if c["state"] == "fires"]
    if fired:
        return Verdict("undetermined", "2: a control fires", fired)
    low, high = claims["fraction_sharp_low"], claims["fraction_sharp_high"]
    reasons = [_how_many(claims), _weights(claims)]
    if low > 0.5 and claims["sharp_weight_low"] > 0.3:
        return _sharp(claims, reasons)
    # None of 32 sharp leaves an upper bound of .11: a stricter line could never be met by runs of that size.
    if high < 0.15 and claims["sharp_weight_high"] < 0.5:
        if claims["n_steep"] > 0.2 * claims["n_complete"]:  # too many to call the others the whole
            return Verdict("undetermined", "3: steps may lie between the checkpoints", [*reasons, *_steep(claims)])
        return _smooth(claims, reasons)
    # Interference bumps (7 in 100) and polygenic subtasks (up to a tenth) pass as steps: mixed must be well above that.
    if low > 0.2 and (high < 0.9 or claims["sharp_weight_low"] <= 0.3):
        return Verdict("mixed", "3: neither most nor hardly any of the tested are sharp", reasons)
    why = f"the share of sharp subtasks could be {low:.0%} or {high:.0%}: too wide to call"
    return Verdict("undetermined", "3: too few tested to tell", [*reasons, why])


def _steep(c: Mapping[str, float]) -> list[str]:
    if not c["n_steep"]:
        return []
    return [
        f"{c['n_steep']:.0f} finished subtasks fall as steeply as a step, between too few checkpoints to be judged: "
        "log more of them"
    ]


def _how_many(c: Mapping[str, float]) -> str:
    n, n_curves = c["n_subtasks"], c.get("n_curves", c["n_subtasks"])
    all_of_them = f"{n:.0f}" if n_curves == n else f"{n:.0f} in each of {n_curves / n:.0f} runs"
    if not c["n_tested"]:
        return (
            f"none could be tested: of {all_of_them}, {c['n_changed']:.0f} changed and {c['n_complete']:.0f} finished"
        )
    return (
        f"{c['n_sharp']:.0f} of {c['n_tested']:.0f} tested subtasks are sharp "
        f"(95 %: {c['fraction_sharp_low']:.0%} to {c['fraction_sharp_high']:.0%}); "
        f"of {all_of_them}, {c['n_changed']:.0f} changed and {c['n_complete']:.0f} finished"
    )


def _weights(c: Mapping[str, float]) -> str:
    low, high = (f"{c[f'sharp_weight_{end}']:.0%}" for end in ("low", "high"))
    bounds = low if low == high else f"between {low} and {high}"
    room = "" if low == high else " (room for noise, and for what could not be tested)"
    steps = c.get("composition_index", np.nan)
    alone = f", {steps:.0%} in the steps themselves" if steps > 0 else ""
    return (
        f"{bounds} of the fall of the mean loss is in sharp subtasks{room}{alone}; "
        f"the null that could have refuted it: completely monotone curves, S0 = {c['base_sharpness']:.2f}"
    )


def _timing(c: Mapping[str, float]) -> tuple[str, str]:
    """("ordered" | "unordered" | "open", why)."""
    p = c["timing_p"]
    if not np.isfinite(p):
        return "unordered", "timing is not testable: frequencies are unknown or equal"
    why = (
        f"timing: ρ(frequency, time) = {c['timing_correlation']:+.2f}, permutation p = {p:.2g}; time ∝ p^-γ with "
        f"γ = {c['timing_exponent']:.2f} ({c['timing_exponent_low']:.2f} to {c['timing_exponent_high']:.2f})"
    )
    if p < _ORDERED:
        return "ordered", why
    return ("unordered" if p > _NOT_ORDERED else "open"), why


def _sharp(c: Mapping[str, float], reasons: list[str]) -> Verdict:
    d = c["dispersion"]
    reasons = [*reasons, f"dispersion: {d:.0%} of the spread in log time is between subtasks"]
    if not d >= 0.2:
        return Verdict("synchronous", "4: sharp, at one time (dispersion below .2)", reasons)
    order, why = _timing(c)
    if order == "open":
        return Verdict("undetermined", "4: sharp, but the order is neither seen nor excluded", [*reasons, why])
    return Verdict(f"{order}-composition", f"4: sharp, dispersed, {order}", [*reasons, why])


def _smooth(c: Mapping[str, float], reasons: list[str]) -> Verdict:
    order, why = _timing(c)
    if order == "open":
        return Verdict("undetermined", "4: smooth, but the order is neither seen nor excluded", [*reasons, why])
    word = "ordered-smooth" if order == "ordered" else "smooth"
    return Verdict(word, f"4: smooth, {order}", [*reasons, why])
