r"""Scaling of the parity network, beside what was published of it: onsets, steps, widths, data.

    python benchmarks/parity_scaling.py report                   # tables and figure, from what is kept here; half a minute
    python benchmarks/parity_scaling.py widths --alpha 0.2       # five minutes on one core for each alpha
    python benchmarks/parity_scaling.py widths --alpha 0.4 --steps 50000   # ten minutes
    python benchmarks/parity_scaling.py batch --alpha 0.4        # five minutes
    python benchmarks/parity_scaling.py data --alpha 0.4         # five minutes
    python benchmarks/parity_scaling.py collect                  # the runs of all, into results/parity_scaling*.csv
    python benchmarks/parity_scaling.py thin runs/parity-published    # the run below, into runs/parity-network.nc

500 parities of 3 of 100 bits, p ∝ k^-(alpha + 1); one hidden ReLU layer, Adam at 1e-3; seed 0. A run that is there already is
not made again. The run of the published figure, at its own size, takes two hours on one core:

    python -m quanta.simulate --learner parity_network --n-subtasks 500 --exponent 1.4 --n-bits 100 --k 3 --width 500 \
        --batch-size 20000 --steps 200000 --n-checkpoints 300 --hidden-progress --no-detect --out runs/parity-published

Scaled down: widths, 8 from 10 to 300, one seed, batch 4000, 25,000 steps (published: 20, three, 20000, 10⁵); at alpha 0.4 also
50,000 steps, and, at every alpha, five widths for 10,000 steps of 20000. Data, 9 sizes from 10⁴ to 2·10⁶ at width 200, batch 2000, up to
40,000 steps (published: 25 to 5·10⁶, 500, 20000, 10⁵), stopped once the mean test loss is 15 % above its lowest, which is
what counts in both. 512 test strings for each subtask, its own.

Published: Michaud, Liu, Girit, Tegmark (2023), The Quantization Model of Neural Scaling, and the notebooks of its code. Their
fits are least squares in log-log over windows of their own, without an irreducible loss; so are ours beside them.
"""

import argparse
import csv
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import parity_scaling_fits as fits
import xarray as xr
from parity_scaling_figure import draw

from quanta import record
from quanta._grid import log_spaced
from quanta.frequencies import Zipf
from quanta.learners import ParityNetwork

HERE = Path(__file__).parent
N_SUBTASKS, N_TEST = 500, 512
WIDTHS = tuple(round(width) for width in np.geomspace(10, 300, 8))
COMPARED = WIDTHS[::2] + WIDTHS[-1:]  # at two sizes of batches
SIZES = tuple(round(size) for size in np.geomspace(1e4, 2e6, 9))
SHAPES: dict[str, dict[str, Any]] = {
    "widths": {"steps": 25_000, "batch_size": 4000, "n_checkpoints": 140},
    "batch": {"steps": 10_000, "batch_size": 20_000, "n_checkpoints": 60},
    "data": {"steps": 40_000, "batch_size": 2000, "n_checkpoints": 140},
}
WINDOWS = {  # the steps that the published fits take, logged evenly
    "alpha_S, 400 to 9000": np.arange(400, 9001, 100),
    "alpha_S, 500 to 15000": np.arange(500, 15_001, 500),
}
PUBLISHED = {  # by paper alpha
    "onset": {0.4: 0.81},
    "alpha_S, 400 to 9000": {0.4: 0.45},
    "alpha_S, width 300": {0.2: 0.267, 0.4: 0.346, 0.6: 0.448},
    "alpha_N": {0.2: 0.269, 0.4: 0.332, 0.6: 0.467},
    "alpha_D": {0.2: 0.274, 0.4: 0.308, 0.6: 0.357},
    "n(D)": {0.2: 0.765, 0.4: 0.68, 0.6: 0.65},
}
SWEEPS = {  # kind of row: exponent
    "widths": "alpha_N",
    "widths, later": "alpha_N, 50,000 steps",
    "batch 4000": "alpha_N, 10,000 steps",
    "batch 20000": "alpha_N, 10,000 steps of 20000",
    "data": "alpha_D",
}
FIELDS = ("kind", "alpha", "size", "step", "last", "loss", "learned", "seconds")
RESULTS, FALLS, EXPONENTS = (HERE / "results" / f"parity_scaling{end}.csv" for end in ("", "_falls", "_exponents"))
KEPT, FIGURE = HERE / "runs" / "parity-network.nc", HERE / "figures" / "parity_scaling.png"
OVER, WAIT = 1.15, 3000  # a mean test loss so many times its lowest, after so many steps, will not come back


def frequencies(alpha: float) -> np.ndarray:
    return Zipf(n_subtasks=N_SUBTASKS, exponent=1 + alpha).probabilities()


def make(kind: str, alpha: float, size: int, path: Path, steps: int | None = None) -> None:
    """Train one network, and keep its record; in data, until it fits its examples too well."""
    data = kind == "data"
    learner = ParityNetwork(width=200 if data else size, n_examples=size if data else 0, n_test=N_TEST)
    how, p = SHAPES[kind] | ({"steps": steps} if steps else {}), frequencies(alpha)
    state = learner.start(p, np.random.default_rng(0), dynamics="sampled", batch_size=how["batch_size"])
    began, step, rows = time.process_time(), [], []
    for now in log_spaced(how["steps"], how["n_checkpoints"]):
        state = learner.advance(state, int(now))
        if 0 < now < 100:  # nothing has moved
            continue
        step.append(int(now))
        rows.append(learner.measure(state)["loss"])
        mean = np.array(rows) @ p
        if data and mean[-1] > OVER * mean.min() and step[-1] > max(WAIT, 2 * step[int(np.argmin(mean))]):
            break
    ds = record.new(
        np.array(rows).T, step=step, frequency=p, source="simulated", optimizer="adam", dynamics="sampled",
        chance_loss=learner.chance_loss, n_classes=2, examples=np.array(step) * how["batch_size"], seed=0,
        config=record.config_json(kind=kind, alpha=alpha, size=size, learner=learner, **how),
        attrs={"train_seconds": round(time.process_time() - began, 1)},
    )  # fmt: skip
    record.save(ds, path)
    print(f"{path.stem}: {ds.attrs['train_seconds']} s, {step[-1]} steps, loss {mean.min():.4f}", flush=True)


def sweep(kind: str, alpha: float, runs: Path, steps: int | None) -> None:
    """All networks of a sweep that are not there yet, the quickest first."""
    for size in {"widths": WIDTHS, "batch": COMPARED, "data": SIZES}[kind]:
        path = runs / f"{kind}-{alpha:g}-{size}.nc"
        if not path.exists():
            make(kind, alpha, size, path, steps)


# ------------------------------------------------------------------------------------------------------ what is kept


def collect(runs: Path) -> list[dict[str, Any]]:
    """What the tables need of the sweeps: losses of widths at some steps, of data at their lowest."""
    found = []
    for path in sorted(runs.glob("*.nc")):
        sort, alpha, size = path.stem.split("-")
        ds = record.load(path)
        step, loss = ds["step"].values, ds["loss"].values.astype(float)
        mean, learned = record.mean_loss(ds).values, (loss < 0.1).sum(axis=0)  # nats here, as in the published figure
        for kind, i in _kept(sort, step, mean, int(size)):
            row = (kind, float(alpha), int(size), int(step[i]), int(step[-1]), float(f"{mean[i]:.6g}"), int(learned[i]))
            found.append(dict(zip(FIELDS, (*row, float(ds.attrs["train_seconds"])), strict=True)))
    return sorted(found, key=lambda row: (row["kind"], row["alpha"], row["size"], row["step"]))


def _kept(sort: str, step: np.ndarray, mean: np.ndarray, size: int) -> list[tuple[str, int]]:
    """Which checkpoints of a run are kept, and as what."""
    early, late = (int(np.argmin(np.abs(step - SHAPES[name]["steps"]))) for name in ("batch", "widths"))
    if sort == "data":
        return [("data", int(np.argmin(mean)))]
    if sort == "batch":
        return [("batch 20000", early)]
    found = [("widths", late)] + ([("widths, later", -1)] if step[-1] > 1.5 * step[late] else [])
    return found + ([("batch 4000", early)] if size in COMPARED else [])


def falls(runs: Path) -> list[dict[str, Any]]:
    """How the mean loss of the widest networks falls with steps."""
    name, found = "alpha_S, 500 to 15000", []
    for path in sorted(runs.glob(f"widths-*-{WIDTHS[-1]}.nc")):
        step, loss, p = curves(record.load(path))
        fit = fits.falls_of_subtasks(step, loss, p, {name: WINDOWS[name]}, np.random.default_rng(0))[name]
        found.append({"kind": "fall", "alpha": float(path.stem.split("-")[1])} | fit._asdict())
    return found


def curves(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps from 100 on, the loss of each subtask at them, and the frequencies."""
    later = ds.isel(step=ds["step"].values >= 100)
    return later["step"].values, later["loss"].values.astype(float), later["frequency"].values


def thin(run: Path) -> None:
    """Keep the run of the published figure in little space: four digits, at every checkpoint."""
    ds = record.load(run)
    for name in ("loss", "accuracy", "fourier_gap", "moved"):
        ds[name].values[...] = np.round(ds[name].values, 4)
    record.save(ds, KEPT, overwrite=True)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: word if name == "kind" else float(word) for name, word in row.items()}
            for row in csv.DictReader(file)
        ]


# ------------------------------------------------------------------------------------------------------ what it says


def law(ds: xr.Dataset) -> list[dict[str, Any]]:
    """The run of the published figure: when subtasks converge, and how the mean loss falls."""
    step, loss, p = curves(ds)
    rng = np.random.default_rng(0)
    t = fits.converged_at(step, loss)
    known = np.isfinite(t)
    gamma = fits.timing(p, t, rng)
    line = np.polyfit(np.log(p[known]), np.log(t[known]), 1)
    print(f"converged, below .1 bits: {known.sum()} of {len(p)} (published about 35 to 40)")
    print(f"the first at step {np.nanmin(t):.0f}, of frequency {p[np.nanargmin(t)]:.3f} (published about 700, .33)")
    spread = f"T p from {np.nanmin(t * p):.0f} to {np.nanmax(t * p):.0f} (published 80)"
    print(f"line: T = {np.exp(line[1]):.0f} p^{line[0]:.3f}; {spread}")
    ours = np.exp(np.polyval(line, np.log(p)))
    rows = [entry("onset", 0.4, fits.Fit(-gamma.value, -gamma.high, -gamma.low, gamma.n))]
    falls = fits.falls_of_subtasks(step, loss, p, WINDOWS, rng)
    for name, window in WINDOWS.items():
        rows.append(entry(name, 0.4, falls[name], at_500=fits.stepped(p, 80 / p, window)))
        print(
            f"{name}: steps at T = 80/p say {rows[-1]['theory_500']:.3f}, at our line {fits.stepped(p, ours, window):.3f}"
        )
    mean = p @ loss
    parts = [(1000, 10_000), (3000, 30_000), (10_000, 100_000), (20_000, 200_000)]
    others = [f"{a:,} to {b:,}: {fits.fall(step, mean, np.geomspace(a, b, 100)):.3f}" for a, b in parts]
    print(f"slope of the mean loss over other windows (even in log time): {'; '.join(others)}")
    return rows


def sweeps(rows: list[dict[str, Any]], fallen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exponents of the sweeps, for each alpha there is."""
    window = WINDOWS["alpha_S, 500 to 15000"]
    found = []
    for row in fallen:
        fit, p = fits.Fit(row["value"], row["low"], row["high"], len(window)), frequencies(row["alpha"])
        found.append(entry("alpha_S, width 300", row["alpha"], fit, at_500=fits.stepped(p, 80 / p, window)))
    for alpha in sorted({row["alpha"] for row in rows}):
        p = frequencies(alpha)
        for kind, name in SWEEPS.items():
            exponent = 1 / (1 + alpha) if kind == "data" else 1.0
            some = in_window(kind, rows, alpha)
            if len(some) < 3:
                continue
            size, loss, learned = (np.array([row[key] for row in some]) for key in ("size", "loss", "learned"))
            fit = fits.slope(size, loss)
            free, floor = fits.floored(size, loss, np.random.default_rng(0))
            n = max(learned[-1], 1) * (size / size[-1]) ** exponent
            at_500 = -fits.slope(size, fits.tail(p, n)).value
            flipped = fits.Fit(-fit.value, -fit.high, -fit.low, fit.n)
            found.append(entry(name, alpha, flipped, free, floor, at_500))
            if kind == "data" and (learned > 0).sum() >= 3:
                found.append(entry("n(D)", alpha, fits.slope(size[learned > 0], learned[learned > 0])))
    return sorted(found, key=lambda row: (row["quantity"], row["alpha"]))


def risen(rows: list[dict[str, Any]]) -> list[str]:
    """Where a wider network is worse than the next narrower one."""
    pairs = [
        (old, new)
        for kind in SWEEPS
        for old, new in itertools.pairwise([row for row in rows if row["kind"] == kind])
        if kind != "data" and old["alpha"] == new["alpha"] and new["loss"] > old["loss"]
    ]
    return [
        f"{new['kind']}, alpha {new['alpha']:g}: {old['loss']:.3f} nats at {old['size']:.0f}, {new['loss']:.3f} at {new['size']:.0f}"
        for old, new in pairs
    ]


def of(rows: list[dict[str, Any]], kind: str, alpha: float) -> list[dict[str, Any]]:
    """The rows of a sweep at one alpha."""
    return [row for row in rows if row["kind"] == kind and row["alpha"] == alpha]


def in_window(kind: str, rows: list[dict[str, Any]], alpha: float) -> list[dict[str, Any]]:
    """Those that the published fit takes: all widths; data from the first size with less than .95 bits."""
    some = of(rows, kind, alpha)
    if kind != "data":
        return some
    begin = next((i for i, row in enumerate(some) if row["loss"] < 0.95 * np.log(2)), len(some))
    return some[begin:]


def entry(
    quantity: str,
    alpha: float,
    fit: fits.Fit,
    free: fits.Fit | None = None,
    floor: float = np.nan,
    at_500: float = np.nan,
) -> dict[str, Any]:
    """A line of the table of exponents."""
    free = free or fits.Fit(np.nan, np.nan, np.nan, 0)
    theory = {"onset": 1.0, "alpha_N": alpha, "n(D)": 1 / (1 + alpha)}.get(quantity.split(",")[0], alpha / (1 + alpha))
    return {
        "quantity": quantity, "alpha": alpha, "ours": fit.value, "low": fit.low, "high": fit.high, "n": fit.n,
        "above_floor": free.value, "above_floor_low": free.low, "above_floor_high": free.high, "floor_nats": floor,
        "published": PUBLISHED.get(quantity, {}).get(alpha, np.nan), "theory": theory, "theory_500": at_500,
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown of the exponents."""
    lines = [
        "| | paper alpha | ours (95 %) | points | above a floor (95 %) | published | theory | of 500 subtasks |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        ours = ranged(row["ours"], row["low"], row["high"])
        free = ranged(row["above_floor"], row["above_floor_low"], row["above_floor_high"])
        theory = ranged(row["theory_500"], np.nan, np.nan)
        published = "" if np.isnan(row["published"]) else f"{row['published']:g}"
        lines.append(
            f"| {row['quantity']} | {row['alpha']:g} | {ours} | {row['n']} | {free} | {published} | "
            f"{row['theory']:.3f} | {theory} |"
        )
    return "\n".join(lines)


def ranged(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.3f}" if np.isnan(low) else f"{value:.3f} ({low:.3f} to {high:.3f})"


def report() -> None:
    """Tables on stdout; exponents and the figure into their places."""
    rows, ds = read(RESULTS), record.load(KEPT)
    found = law(ds) + sweeps(rows, read(FALLS))
    print(table(found))
    print(f"one seed, so chance shows: {'; '.join(risen(rows))}")
    write(EXPONENTS, [{name: round(x, 4) if isinstance(x, float) else x for name, x in row.items()} for row in found])
    draw(ds, rows, found, FIGURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/parity_scaling"), help="where records of the sweeps are"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for kind in SHAPES:
        command = commands.add_parser(kind)
        command.add_argument("--alpha", type=float, nargs="+", default=[0.2, 0.4, 0.6])
        command.add_argument("--steps", type=int, help=f"by default {SHAPES[kind]['steps']}")
    commands.add_parser("collect")
    commands.add_parser("thin").add_argument("run", type=Path)
    commands.add_parser("report")
    options = parser.parse_args()
    if options.command == "collect":
        write(RESULTS, collect(options.runs))
        write(FALLS, falls(options.runs))
    elif options.command == "thin":
        thin(options.run)
    elif options.command == "report":
        report()
    else:
        for alpha in options.alpha:
            sweep(options.command, alpha, options.runs, options.steps)


if __name__ == "__main__":
    main()
