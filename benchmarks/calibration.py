"""How often the test is wrong, on worlds whose answer is known; and how often it misses.

Three tables, as Markdown: verdicts on every world of `quanta.worlds` over many seeds (right, undetermined, wrong, and
compositions claimed where none is right); false positives per curve in every smooth family at three noise settings;
power, onset bias and coverage on steps of every shape.

    python benchmarks/calibration.py                    # 50 seeds of every world, 300 curves a cell; about 20 minutes
    python benchmarks/calibration.py --seeds 4 --curves 60
    python benchmarks/calibration.py --first-seed 5000  # fresh ones

How the thresholds came about: on seeds below 20; then seeds 100 to 149 gave no wrong verdict in 3,100, but 1.3 % false
positives of `softmax_sgd_11` at σ/H = .1, and showed that ordinary noise was taken for spikes. With T > 18 for 16, and
spikes mended, seeds 200 to 249 gave the tables in the README, but for one wrong verdict in 3,100 (`bumps`: mixed). The
bar for *mixed* was then raised from .1 to .2, which can only turn *mixed* into *undetermined*, and the four worlds that
it could touch were run again, on those seeds and on seeds 1000 to 1049.
"""

import argparse
import collections
import sys
import time

import numpy as np

from quanta import composition, record, transitions, worlds

SETTINGS = ((0.03, 0.5), (0.1, 0.5), (0.03, 0.8))
COMPOSITIONS = {"ordered-composition", "unordered-composition"}


def verdicts(names: list[str], seeds: range) -> dict[str, collections.Counter]:
    """Verdicts of every world over seeds."""
    table = {}
    for name in names:
        start = time.perf_counter()
        counts: collections.Counter = collections.Counter()
        for seed in seeds:
            run = worlds.make(name, seed=seed)
            result = composition.test(run, controls=worlds.controls(name, seed=seed))
            counts[result.attrs["verdict"]] += 1
        table[name] = counts
        print(f"{name}: {dict(counts)} ({time.perf_counter() - start:.0f} s)", file=sys.stderr, flush=True)
    return table


def verdict_table(table: dict[str, collections.Counter]) -> str:
    """Markdown, one row a world, and the totals."""
    lines = ["| world | right | undetermined | wrong | false composition |", "|---|--:|--:|--:|--:|"]
    total = np.zeros(4, dtype=int)
    for name, counts in table.items():
        right = worlds.WORLDS[name].right
        row = np.zeros(4, dtype=int)
        for word, n in counts.items():
            row[0 if word in right else 1 if word == "undetermined" else 2] += n
            if word in COMPOSITIONS and not right & COMPOSITIONS:
                row[3] += n
        total += row
        lines.append(f"| {name} | " + " | ".join(str(v) if v else "·" for v in row) + " |")
    lines.append("| **all** | " + " | ".join(f"**{v}**" for v in total) + " |")
    return "\n".join(lines)


def _detect(family: str, sigma: float, phi: float, n: int, seed: int, **options: float):  # type: ignore[no-untyped-def]
    step, loss, truth = worlds.curves(family, n=n, seed=seed, sigma=sigma, phi=phi, **options)
    run = record.new(loss, step=step, frequency=np.full(n, 1 / n), source="simulated", optimizer="sgd", n_classes=11)
    return transitions.detect(run), truth


def false_positives(n: int, seed: int) -> str:
    """Share of curves called sharp in each smooth family."""
    head = " | ".join(f"σ/H {s}, φ {p}" for s, p in SETTINGS)
    lines = [f"| smooth family | {head} |", "|---|" + "--:|" * len(SETTINGS)]
    for family in worlds.SMOOTH_FAMILIES:
        cells = []
        for sigma, phi in SETTINGS:
            found, _ = _detect(family, sigma, phi, n, seed)
            cells.append(f"{float((found['status'] == 'sharp').mean()):.1%}")
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def power(n: int, seed: int, sigma: float = 0.03, phi: float = 0.5) -> str:
    """Share of finished steps found, median onset error, and coverage of its 95 % interval, by shape and width."""
    widths = (0.5, 0.8, 1.2, 1.5)
    lines = ["| step | " + " | ".join(f"width {w}" for w in widths) + " | onset bias (nats) | onset cover |"]
    lines.append("|---|" + "--:|" * (len(widths) + 2))
    for family in worlds.STEP_FAMILIES:
        cells, errors, covered = [], [], []
        for width in widths:
            found, truth = _detect(family, sigma, phi, n, seed, width=width)
            testable = found["status"].isin(["sharp", "smooth", "unresolved"]).values
            sharp = (found["status"] == "sharp").values
            cells.append(f"{sharp[testable].mean():.1%}")
            errors.append(np.log(found["onset"].values[sharp] / truth.onset[sharp]))
            inside = (found["onset_low"].values <= truth.onset) & (truth.onset <= found["onset_high"].values)
            covered.append(inside[sharp])
        bias, cover = np.median(np.concatenate(errors)), np.mean(np.concatenate(covered))
        lines.append(f"| {family} | " + " | ".join(cells) + f" | {bias:+.3f} | {cover:.1%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="seeds of every world")
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--curves", type=int, default=300, help="curves a cell")
    parser.add_argument("--worlds", nargs="*", default=list(worlds.WORLDS), help="only these worlds")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if options.curves:
        print(
            f"\nFalse positives, {options.curves} curves a cell\n\n"
            + false_positives(options.curves, options.first_seed)
        )
        print(
            f"\nPower at σ/H = .03, φ = .5, {options.curves} curves a cell\n\n"
            + power(options.curves, options.first_seed)
        )
    if options.seeds and options.worlds:
        table = verdict_table(verdicts(options.worlds, seeds))
        print(f"\nVerdicts, {options.seeds} seeds of each world from seed {options.first_seed}\n\n{table}")


if __name__ == "__main__":
    main()
