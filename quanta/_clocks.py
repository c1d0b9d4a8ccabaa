"""The verdict on several clocks: what is sharp against steps alone is not a phase change."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from quanta import _weighing
from quanta._errors import InputError
from quanta._verdict import SENTENCES
from quanta.transitions import _clock

_NUMBERS: tuple[str, ...] = ("n_tested", "n_sharp", "fraction_sharp", "fraction_sharp_low", "fraction_sharp_high")
_NUMBERS += ("sharpness_median", "sharp_weight_low", "sharp_weight_high", "testable_share", "dispersion")
_NUMBERS += ("timing_correlation", "timing_exponent")


def across(
    record: xr.Dataset,
    clocks: Sequence[str] | None,
    controls: Sequence[xr.Dataset],
    seed: int,
    known: Mapping[str, xr.Dataset] | None = None,
) -> xr.Dataset:
    """See :func:`quanta.composition.across_clocks`; the results that are ``known``, by clock, are not sought again."""
    names = list(dict.fromkeys(clocks if clocks is not None else _shared(record, controls)))
    if not names:
        raise InputError(f"no clock was named; expected some of {', '.join(_clock.available(record))}.")
    values = {name: _clock.values(record, name)[0] for name in names}
    results: dict[str, xr.Dataset] = {}
    same: list[str] = []
    for name in names:
        twin = next((other for other in results if _proportional(values[name], values[other])), None)
        if twin:
            same.append(f"{name} runs in proportion to {twin}: for sharpness it is the same clock")
            results[name] = results[twin]
        elif known and name in known:
            results[name] = known[name]
        else:
            results[name] = _weighing.judge(record, controls=controls, clock=name, seed=seed)
    table: dict[str, Any] = {n: ("clock", [float(r[n]) for r in results.values()]) for n in _NUMBERS}
    table["verdict"] = ("clock", [str(r.attrs["verdict"]) for r in results.values()])
    verdict, why = _agreement({name: str(r.attrs["verdict"]) for name, r in results.items()})
    said = f"{SENTENCES[verdict]}: {_why_not(results)}" if verdict == "undetermined" else SENTENCES[verdict]
    sentence = f"{said}, at this partition into subtasks."
    ds = xr.Dataset(table, coords={"clock": names})
    return ds.assign_attrs(verdict=verdict, sentence=sentence, reasons=[why, *same])


def _shared(record: xr.Dataset, controls: Sequence[xr.Dataset]) -> list[str]:
    """The clocks that the run and all its controls have."""
    return [n for n in _clock.available(record) if all(n in _clock.available(c) for c in controls)]


def _proportional(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether clocks that all subtasks share differ by a factor: sharpness, width and timing do not see it."""
    if a.ndim > 1 or b.ndim > 1:
        return False
    return bool(np.allclose(a * b[-1], b * a[-1], rtol=1e-9, atol=0))


def _why_not(results: Mapping[str, xr.Dataset]) -> str:
    """Why they are undetermined: the row of all of them, or that they differ."""
    rows = {str(result.attrs["row"]).partition(": ")[2] for result in results.values()}
    return rows.pop() if len(rows) == 1 else "it is not the same on every clock"


def _agreement(verdicts: dict[str, str]) -> tuple[str, str]:
    """One verdict for all clocks, and why."""
    words = set(verdicts.values())
    listed = ", ".join(f"{word} on {name}" for name, word in verdicts.items())
    if len(words) == 1:
        count = f"all {len(verdicts)} clocks" if len(verdicts) > 1 else "the only clock"
        return words.pop(), f"the verdict is the same on {count} ({', '.join(verdicts)})"
    if len(words - {"undetermined"}) > 1:
        return "undetermined", f"undetermined, because it depends on the clock: {listed}"
    return "undetermined", f"undetermined, because it cannot be told on every clock: {listed}"
