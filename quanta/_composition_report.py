"""What is said of a run: the sentence, what it leaves open, the gates of one subtask, the printed report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from quanta._controls import COUPLED
from quanta._verdict import SENTENCES
from quanta.transitions import _clock
from quanta.transitions._gaps import MIN_CHECKPOINTS


def sentence(verdict: str, row: str, controls: list[dict[str, Any]]) -> str:
    """The verdict in one plain sentence, with what its controls allow, or with the row that leaves it undetermined."""
    parts = [SENTENCES[verdict]]
    if verdict == "undetermined":
        parts = [f"{parts[0]}: {row.partition(': ')[2]}"]
    if verdict in ("ordered-composition", "unordered-composition", "synchronous", "mixed"):
        parts.append(_beside([c for c in controls if c["kind"] in COUPLED and c["state"] in ("ok", "unfinished")]))
    return "; ".join(parts) + ", at this partition into subtasks."


def _beside(coupled: list[dict[str, Any]]) -> str:
    """What controls with the network's own features, finished or not, allow to be said of steps."""
    caveats = sorted((c.get("caveat", "") for c in coupled if c["state"] == "ok"), key=len)
    if caveats:
        return f"sharper than the linearised network of the same run{f' ({caveats[0]})' if caveats[0] else ''}"
    if not coupled:
        return "no coupled control: faster than first-order learning with unshared features"
    if all(c["lasting"] for c in coupled):
        return (
            f"linear learning does not account for the drop in {coupled[0]['lasting']}, but finished too little to calibrate "
            "how sharp it can be"
        )
    return "the linearised network has not finished, and says nothing: faster than first-order learning with unshared features"


def reservations(record: xr.Dataset, transitions: xr.Dataset, said: list[str]) -> list[str]:
    """What the reader must know of the data: a threshold from few subtasks, gaps, frequencies that are not known."""
    out = []
    if "control_error_rate" in transitions.attrs:
        n, rate = transitions.attrs["control_subtasks"], transitions.attrs["control_error_rate"]
        out.append(
            f"S0 rests on {n} finished subtasks of controls, at the noise of the run: at most {rate:.1%} of subtasks like "
            f"theirs pass for sharp{'' if n >= 20 else ' (20 or more would bound it at 5 %)'}"
        )
    missing = transitions["n_missing"].values
    if missing.any():
        untested = int((missing > record.sizes["step"] - MIN_CHECKPOINTS).sum())
        out.append(
            f"{int((missing > 0).sum())} of {missing.size} curves have gaps ({int(missing.sum())} missing values)"
            + (
                f"; {untested} have fewer than {MIN_CHECKPOINTS} checkpoints left and are unresolved"
                if untested
                else ""
            )
        )
    unknown = "frequency" not in record or bool(record["frequency"].isnull().all())
    if unknown and not any("timing" in reason for reason in said):
        out.append("timing is not testable: the record has no frequencies")
    return out


def caution(record: xr.Dataset, clocks: Sequence[str]) -> list[str]:
    """What must be said of a clock that alone was chosen although the learning rate varies."""
    usual = _clock.values(record)[1]
    if len(clocks) != 1 or usual in (clocks[0], "step"):
        return []
    return [
        f"on the clock {clocks[0]} alone, though the learning rate varies: a warm-up is sharp there; compare with {usual}"
    ]


def called(record: xr.Dataset, subtask: int) -> str:
    """A subtask for people: its number, and its label where it has one."""
    return f"subtask {subtask}" + (f" ({record['label'].values[subtask]})" if "label" in record else "")


def gates(v: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(name, value, what was needed, passed) of every gate, in the order in which they are asked."""
    low, base = v["sharpness_low"], v["base_sharpness"]
    return [
        (
            "changed",
            f"{v['start']:.3g} → {v['end']:.3g}",
            "falls by 10 % of chance, below 75 % of it",
            bool(v["changed"]),
        ),
        ("finished", f"ends at {v['end']:.3g}", "below 25 % of chance, and settled", bool(v["complete"])),
        (
            "better than the null",
            f"T = {v['statistic']:.1f}",
            f"above {v['statistic_needed']:.1f}",
            bool(v["gate_statistic"]),
        ),
        ("step high enough", f"{v['share']:.0%} of the drop", "at least 30 %", bool(v["gate_height"])),
        (
            "sharp enough",
            f"S = {v['sharpness']:.2f}, at least {low:.2f}",
            f"bound above S0 = {base:.2f}",
            bool(v["gate_sharpness"]),
        ),
        ("no bump", f"T of a bump {v['bump_statistic']:.1f}", "not above the step's", bool(v["gate_bump"])),
        (
            "enough exposures",
            "few" if v["few_exposures"] else "many",
            "8 or more before the onset",
            not v["few_exposures"],
        ),
        ("rate not decaying", "decaying" if v["in_decay"] else "steady", "began before any decay", not v["in_decay"]),
    ]


def report(result: xr.Dataset, ds: xr.Dataset, figures: list[Path], more: list[str]) -> str:
    """The verdict, why, what else was seen, and where the figures are."""
    lines = [f"verdict: {result.attrs['verdict']}", result.attrs["sentence"]]
    lines += [f"  · {reason}" for reason in result.attrs["reasons"]]
    if "held_out_q2" in result and np.isfinite(result["held_out_q2"]):
        lines.append(f"  · {_held_out(float(result['held_out_q2']), float(result['held_out_q2_null']))}")
    lines += [*more, f"  row of the verdict table: {result.attrs['row']}"]
    if not any(word.split(":")[0] in COUPLED for word in result.attrs["controls"]):
        command = ds.attrs.get("kernel_command") or "python -m quanta.train --model kernel, with the run's own settings"
        if ds.attrs["source"] == "simulated":
            command = "the run's own, with --control kernel and a hundred times its --steps: linear learning is slow"
        if ds.attrs.get("network") or ds.attrs["source"] == "trained":
            lines.append(f"  make the coupled control: {command}")
    lines += [f"figure: {path}" for path in figures]
    return "\n".join(lines)


def _held_out(q2: float, null: float) -> str:
    """How well half of the subtasks foretold the other, and whether their order had a part in it."""
    said = f"held out: Q² = {q2:.3f} of half the subtasks from the other half (times permuted: {null:.3f}"
    if 1 - null < 2 * (1 - q2):  # what it leaves is not half of what they leave
        return f"{said}, about as good: this tells nothing of the order of times)"
    return f"{said}: it is their order that foretells)"
