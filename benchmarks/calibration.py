"""How often the test is wrong, on curves and worlds whose answer is known; and how often it misses.

Tables, as Markdown: false positives in every smooth family (and at a hard floor of 0, and in traps); power; bias and
coverage on steps of every shape; verdicts on every world of `quanta.worlds`, and whether the intervals of the run
cover. Every cell goes to CSV files beside this one.

    python benchmarks/calibration.py                     # 1000 curves a cell, 200 seeds of every world, 2 processes
    python benchmarks/calibration.py --curves 60 --seeds 4
    python benchmarks/calibration.py --only power verdicts --first-seed 5000
    python benchmarks/calibration.py --detector logistic --only false_positives power

How the thresholds came about: on seeds below 20; then seeds 100 to 149 gave no wrong verdict in 3,100, but 1.3 % false
positives of `softmax_sgd_11` at σ/H = .1, and showed that ordinary noise was taken for spikes. With T > 18 for 16, and
spikes mended, seeds 200 to 249 gave one wrong verdict in 3,100 (`bumps`: mixed). The bar for *mixed* was then raised
from .1 to .2, which can only turn *mixed* into *undetermined*, and the four worlds that it could touch were run again,
on those seeds and on seeds 1000 to 1049.

The fast detector of several steps was tuned on curves of seeds 3, 77 and 78. Its thresholds were frozen on 23 November
2026; seed 4000 then gave 11 of 792 smooth cells above 1 % (σ/H ≤ .06) or 1.5 % (all softmax of many classes at φ = .8, up
to 2 %), and up to 4.6 % at a hard floor. The bound on S was widened for strong correlation and floors, the thresholds
were frozen again the same day, and seeds from 5000 gave the tables in the README.
"""

import argparse
import collections
import csv
import functools
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from measuring import FINISHED, Cell, judge, measure

from quanta import transitions, worlds

Rows = list[dict[str, Any]]
SIGMAS, PHIS, CHECKPOINTS = (0.01, 0.03, 0.06, 0.1), (0.3, 0.5, 0.8), (25, 50, 100)
WIDTHS = (0.5, 0.8, 1.2, 1.5)
NULLS = (*worlds.SMOOTH_FAMILIES, "linear_coupled")
TRAPS = tuple(name for name in worlds.TRAP_FAMILIES if name != "linear_coupled")
SEEDS_A_TASK = 10


def cells(kind: str) -> list[Cell]:
    """All cells of one table."""
    grid = list(itertools.product(SIGMAS, PHIS, CHECKPOINTS))
    if kind == "false_positives":
        return [Cell("smooth", family, *noise) for family in NULLS for noise in grid]
    if kind == "floor":
        return [
            Cell("floor", family, s, p, 100, baseline=0.0) for family in NULLS for s in SIGMAS[1:] for p in PHIS[1:]
        ]
    if kind == "traps":
        return [Cell("trap", family, *noise) for family in TRAPS for noise in grid]
    stepped = [(family, width) for family in worlds.STEP_FAMILIES for width in WIDTHS]
    stepped += [(family, 0.8) for family in worlds.MULTI_STEP_FAMILIES]
    noises = [(0.03, 0.5, 47), (0.03, 0.5, 100), (0.06, 0.5, 100), (0.06, 0.7, 100), (0.1, 0.5, 100)]
    return [Cell("step", family, *noise, width=width) for family, width in stepped for noise in noises]


# ----------------------------------------------------------------------------------------------- tables


def markdown(head: list[str], lines: Iterable[list[str]]) -> str:
    """A table whose first column is text."""
    return "\n".join([f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1), *map(_line, lines)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(row: dict[str, Any]) -> float:
    return row["sharp"] / row["n"]


def false_table(rows: Rows) -> str:
    """Share called sharp: of every family and noise the mean over φ and checkpoints, and the worst cell."""
    families, sigmas = (list(dict.fromkeys(row[key] for row in rows)) for key in ("family", "sigma"))

    def line(name: str, some: Rows) -> list[str]:
        text = [name]
        for sigma in sigmas:
            shares = [_share(row) for row in some if row["sigma"] == sigma]
            text.append(f"{sum(shares) / len(shares):.2%} / {max(shares):.1%}")
        return text

    lines = [line(family, [row for row in rows if row["family"] == family]) for family in families]
    head = ["called sharp (mean / worst cell)", *(f"σ/H = {sigma}" for sigma in sigmas)]
    return markdown(head, [*lines, line("**all**", rows)]) + "\n\n" + _above(rows)


def _above(rows: Rows) -> str:
    """How many cells lie above what is promised, and the worst of them."""

    def limit(row: dict[str, Any]) -> float:
        if row["table"] == "floor":
            return 0.02
        if row["table"] == "trap":
            return 0.03
        return 0.01 if row["sigma"] <= 0.06 else 0.015

    above = sorted((row for row in rows if _share(row) > limit(row)), key=_share, reverse=True)
    worst = ", ".join(
        f"{row['family']} (σ {row['sigma']}, φ {row['phi']}, {row['n_checkpoints']}) {_share(row):.1%}"
        for row in above[:6]
    )
    return f"{len(above)} of {len(rows)} cells above what is promised" + (f": {worst}." if worst else ".")


def power_table(rows: Rows) -> str:
    """Share called sharp of the steps that finished."""
    noises = list(dict.fromkeys((row["sigma"], row["phi"], row["n_checkpoints"]) for row in rows))
    found = {(row["family"], row["width"], row["sigma"], row["phi"], row["n_checkpoints"]): row for row in rows}
    lines = []
    for family, width in dict.fromkeys((row["family"], row["width"]) for row in rows):
        some = [found[family, width, *noise] for noise in noises]
        finished = [max(sum(row[word] for word in FINISHED), 1) for row in some]
        power = [f"{row['sharp'] / n:.1%}" for row, n in zip(some, finished, strict=True)]
        lines.append([f"{family}, {width} nats", *power])
    return markdown(["found, of the finished", *(f"σ/H {s}, φ {p}, {m} checkpoints" for s, p, m in noises)], lines)


def accuracy_table(rows: Rows, sigma: float, phi: float) -> str:
    """Bias and coverage by shape, over widths, of what is found at 100 checkpoints."""
    some = [row for row in rows if (row["sigma"], row["phi"], row["n_checkpoints"]) == (sigma, phi, 100)]
    names = ("onset_bias", "onset_cover", "width_ratio", "width_cover", "height_ratio", "height_cover")
    lines = []
    for family in dict.fromkeys(row["family"] for row in some):
        text = [family]
        for name in names:
            given = [(row[name], row["sharp"]) for row in some if row["family"] == family and name in row]
            total = sum(n for _, n in given)
            value = sum(v * n for v, n in given) / total if total else None
            text.append("" if value is None else f"{value:.1%}" if name.endswith("cover") else f"{value:+.3f}")
        lines.append(text)
    return markdown([f"σ/H {sigma}, φ {phi}", *(name.replace("_", " ") for name in names)], lines)


def verdict_table(rows: Rows) -> str:
    """Right, undetermined, wrong, and compositions claimed where none is right; one row a world."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        outcomes = [row["outcome"], *(["false"] if row["false_composition"] else [])]
        for name in (row["world"], "**all**"):
            counts[name].update(outcomes)
    all_ = counts.pop("**all**")
    head = ["world", "right", "undetermined", "wrong", "false composition"]
    words = ("right", "undetermined", "wrong", "false")
    return markdown(
        head, [[name, *(str(c[word] or "·") for word in words)] for name, c in [*counts.items(), ("**all**", all_)]]
    )


def cover_table(rows: Rows) -> str:
    """How often the run's intervals of the share that is sharp cover the truth.

    The weight bounds leave room for the subtasks that are open and for the noise of the drops.
    """
    columns = ("fraction_sharp_covers", "sharp_weight_covers", "sharp_weight_nearly_covers")
    known = [row for row in rows if "fraction_sharp_true" in row]
    lines = []
    for name in dict.fromkeys(row["world"] for row in known):
        some = [row for row in known if row["world"] == name]
        shares = [sum(row[column] for row in some) / len(some) for column in columns]
        lines.append([name, *(f"{share:.1%}" for share in shares)])
    return markdown(["world", "fraction sharp covers", "weight bounds cover", "within .01"], lines)


# -------------------------------------------------------------------------------------------------- run


def spread(
    pool: Any, work: Callable[..., Any], tasks: list[Any], arguments: tuple[Any, ...], what: str, *, star: bool = False
) -> list[Any]:
    """Results of all tasks, in their order, with a line of progress."""
    start, done = time.perf_counter(), []
    for i, result in enumerate(pool.imap(functools.partial(_call, work, arguments, star), tasks), 1):
        done.append(result)
        if i % max(len(tasks) // 10, 1) == 0:
            print(f"{what}: {i} of {len(tasks)}, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return done


def _call(work: Callable[..., Any], arguments: tuple[Any, ...], star: bool, task: Any) -> Any:
    return work(*task, *arguments) if star else work(task, *arguments)


def write(rows: Rows, path: Path) -> None:
    """Write every row as CSV; what a row does not have is left empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def verdicts(pool: Any, options: argparse.Namespace) -> Rows:
    """Verdicts of every world over seeds."""
    first, last = options.first_seed, options.first_seed + options.seeds
    blocks = [range(seed, min(seed + SEEDS_A_TASK, last)) for seed in range(first, last, SEEDS_A_TASK)]
    tasks = [(name, block) for name in options.worlds for block in blocks]
    return list(itertools.chain(*spread(pool, judge, tasks, (), "verdicts", star=True)))


TABLES = ("false_positives", "floor", "traps", "power", "verdicts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=1000, help="curves a cell")
    parser.add_argument("--seeds", type=int, default=200, help="seeds of every world")
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--worlds", nargs="*", default=list(worlds.WORLDS), help="only these worlds")
    parser.add_argument("--only", nargs="*", choices=TABLES, default=TABLES, help="only these tables")
    parser.add_argument("--detector", choices=list(transitions.DETECTORS), default="likelihood_ratio")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for kind in options.only:
            if kind == "verdicts":
                rows = verdicts(pool, options)
                text = f"{verdict_table(rows)}\n\n{cover_table(rows)}"
            else:
                rows = spread(pool, measure, cells(kind), (options.curves, options.first_seed, options.detector), kind)
                text = false_table(rows) if kind != "power" else power_table(rows)
            if kind == "power":
                text += "".join(f"\n\n{accuracy_table(rows, s, p)}" for s, p in ((0.03, 0.5), (0.06, 0.7)))
            write(rows, options.out / f"{kind}.csv")
            size = f"{options.seeds} seeds of each" if kind == "verdicts" else f"{options.curves} curves a cell"
            print(
                f"\n{kind.replace('_', ' ').capitalize()}: {size}, from seed {options.first_seed}\n\n{text}", flush=True
            )
        pool.close()
        pool.join()


if __name__ == "__main__":
    main()
