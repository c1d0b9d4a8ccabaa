"""What a sweep says of its runs: a list of them in files, and lines for a person."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quanta import __version__
from quanta._sweep_run import Outcome, Run

if TYPE_CHECKING:
    from quanta._sweep_all import Sweep

_SHOWN = 5  # failed runs


def save_list(runs: Sequence[Run], outcomes: Mapping[int, Outcome], folder: Path) -> None:
    """Write ``runs.csv`` and ``runs.json``: of each run what was swept, its status, record and time, or why it failed."""
    rows = []
    for i, run in enumerate(runs):
        outcome, done = outcomes.get(i), run.place.finished()
        rows.append(
            {
                **run.values,
                "status": "done" if done else "failed" if outcome and outcome.error else "left",
                "record": str(run.place.record) if done else "",
                "hash": run.place.hash,
                "seconds": round(outcome.seconds, 3) if outcome else run.place.summary().get("seconds"),
                "error": outcome.error if outcome and not done else "",
            }
        )
    traces = {i: outcome.trace for i, outcome in outcomes.items() if outcome.trace}
    detailed = [row | ({"trace": traces[i]} if i in traces else {}) for i, row in enumerate(rows)]
    _replace(folder / "runs.json", json.dumps(detailed, indent=1) + "\n")
    with open(folder / ".runs.csv.tmp", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(folder / ".runs.csv.tmp", folder / "runs.csv")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def count(runs: Sequence[Run], missing: Sequence[int], outcomes: Mapping[int, Outcome]) -> dict[str, Any]:
    """How many runs are done, were made now, failed (with why), and are left."""
    done = {i for i, run in enumerate(runs) if run.place.finished()}
    failed = {i: ended.error for i, ended in outcomes.items() if i not in done}
    return {
        "runs": len(runs),
        "done": len(done),
        "made": len(done.intersection(missing)),
        "failed": len(failed),
        "left": len(runs) - len(done) - len(failed),
        "errors": [{**runs[i].values, "error": error} for i, error in sorted(failed.items())],
    }


def report(summary: Mapping[str, Any], folder: Path) -> str:
    """Lines for a person."""
    parts = [f"{summary['runs']} runs: {summary['done']} done, of which {summary['made']} now"]
    parts += [f"{summary[name]} {name}" for name in ("failed", "left") if summary[name]]
    if summary["retried"]:
        parts.append(f"{summary['retried']} begun once more after their workers were lost")
    lines = [f"{', '.join(parts)}; {summary['seconds']:.1f} s"]
    for failed in summary["errors"][:_SHOWN]:
        what = ", ".join(f"{name}={value}" for name, value in failed.items() if name != "error")
        lines.append(f"  failed: {what}: {failed['error']}")
    if len(summary["errors"]) > _SHOWN:
        lines.append(f"  … and {len(summary['errors']) - _SHOWN} more")
    lines.append(f"list of runs: {folder / 'runs.csv'}")
    if summary["record"]:
        sizes = " × ".join(f"{dim} {size}" for dim, size in summary["dims"].items())
        lines.append(f"record: {summary['record']} ({sizes})")
    elif summary["why"]:
        lines.append(f"no record of all: {summary['why']}")
    if summary["done"] < summary["runs"]:
        lines.append("The same command makes what is missing.")
    return "\n".join(lines)


def dry_run(sweep: "Sweep") -> str:
    """A table of the runs."""
    rows = [[*sweep.runs[0].values, "state", "directory"]]
    for run in sweep.runs:
        version = run.place.version()
        state = "finished" if run.place.finished() else "begun" if version else "to be made"
        state = f"of quanta {version}" if version not in (None, __version__) else state
        rows.append([*map(str, run.values.values()), state, str(run.place.path)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{len(sweep.runs)} runs, {len(sweep.missing())} to be made"])
