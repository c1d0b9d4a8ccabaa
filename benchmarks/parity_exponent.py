r"""Why is it not -1? Onset against frequency in the parity network, one thing changed at a time.

    OMP_NUM_THREADS=1 python benchmarks/parity_exponent.py                    # all runs: an hour of one core
    OMP_NUM_THREADS=1 python benchmarks/parity_exponent.py --only "sgd,,width 50" --seeds 0:4
    python benchmarks/parity_exponent.py --table --published RECORD           # only the tables, from finished runs

RECORD is a record of the published setting, an hour and a half of one core:

    python -m quanta.simulate --learner parity_network --n-subtasks 500 --exponent 1.4 --n-bits 100 --k 3 --width 500 \
        --batch-size 20000 --steps 200000 --n-checkpoints 300 --no-detect --out RECORD

If a subtask is learned after so many examples of it, onset ∝ p^-1; measured is p^-0.81 (Michaud et al. 2023, figure A3).
Each setting below differs from the first, ``base``, in what its name says. Runs are kept in ``runs/parity-exponent`` and
not made twice; the tables in ``results`` hold, of every run and subtask that was learned, between which checkpoints it
was (by three criteria), and, of every run, the mean loss at checkpoints.
"""

import argparse
import csv
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from quanta import record
from quanta.frequencies import AbstractFrequencies, Empirical, Zipf
from quanta.learners import ParityNetwork

HERE = Path(__file__).parent
TIMES, LOSSES = HERE / "results" / "parity_exponent.csv", HERE / "results" / "parity_exponent_losses.csv"
FIRST = 100  # step whose mean loss is kept; before it nothing is learned
BITS = math.log(2)
CRITERIA: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "tenth": lambda run: run["loss"] < 0.1 * BITS,  # as published
    "half": lambda run: run["loss"] < 0.5 * BITS,
    "accuracy": lambda run: run["accuracy"] > 0.9,
}
ATOMS = 4  # never drawn themselves, of which a subtask that cannot be learned is composed: a parity of 12 bits
FEW = tuple(0.1 * 0.75**i for i in range(12))  # of the pair of worlds that differ only in the rest of the batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What is trained on what, and how long."""

    network: ParityNetwork
    frequencies: AbstractFrequencies
    batch_size: int
    steps: int
    seeds: int
    share: float = 1.0
    """What is trained on is so much of a batch; the rest of it is empty, so that its batches are smaller than they are said to be."""
    shared: str = ""
    """Adam divides by one number: the weights of "rows" of control bits by that of the bits, or "all" weights."""


def world(
    *, n: int = 500, exponent: float = 1.4, batch_size: int = 8000, steps: int = 6000, seeds: int = 8,
    law: AbstractFrequencies | None = None, shared: str = "", share: float = 1.0, **more: Any,
) -> World:  # fmt: skip
    """The base, but for what is named."""
    network = ParityNetwork(**({"n_bits": 30, "width": 200, "rate": 0.003, "n_test": 256} | more))
    law = law or Zipf(n_subtasks=n, exponent=exponent)
    return World(
        network=network, frequencies=law, batch_size=batch_size, steps=steps, seeds=seeds, shared=shared, share=share
    )  # fmt: skip


def few(rest: str) -> World:
    """Twelve subtasks, and the rest of the batch one that is soon learned or one that never is; all bits disjoint."""
    law = Empirical(counts=(0.0,) * ATOMS + FEW + (1 - sum(FEW),))
    composed = {"n_composites": 1, "atoms": ATOMS} if rest == "hopeless" else {}
    return world(law=law, bit_sets="disjoint", **(SMALL | {"n_bits": 51, "steps": 20_000}), **composed)


def hopeless(share: float, **more: Any) -> World:
    """The base, and a subtask of that share of all examples that cannot be learned."""
    p = Zipf(n_subtasks=500, exponent=1.4).probabilities() * (1 - share)
    return world(law=Empirical(counts=(0.0,) * ATOMS + tuple(p) + (share,)), n_composites=1, atoms=ATOMS, **more)


def alone(frequencies: tuple[float, ...], name: str = "alone", steps: int = 40_000, **more: Any) -> dict[str, World]:
    """One subtask at each of these frequencies; the rest of the batch is one that cannot be learned."""
    return {
        f"{name}, p {p}": world(
            law=Empirical(counts=(0.0,) * ATOMS + (p, 1 - p)), bit_sets="disjoint", n_composites=1, atoms=ATOMS, steps=steps,
            **(SMALL | {"seeds": 6} | more),
        )
        for p in frequencies
    }  # fmt: skip


def only(frequencies: tuple[float, ...]) -> dict[str, World]:
    """One subtask at each of these frequencies; the rest of the batch is empty."""
    law = Empirical(counts=(0.0,) * ATOMS + (1.0, 0.0))
    how = SMALL | {"bit_sets": "disjoint", "n_composites": 1, "atoms": ATOMS, "steps": 40_000, "seeds": 3}
    return {f"only it, p {p}": world(law=law, share=p, **how) for p in frequencies}


SGD = {"descent": "sgd", "rate": 0.5, "batch_size": 2000, "steps": 40_000}
SLOW = {"descent": "sgd", "rate": 0.3, "steps": 60_000}
SMALL = {"n_bits": 50, "width": 100, "batch_size": 2000}
ALONE = (0.64, 0.32, 0.16, 0.08, 0.04, 0.02, 0.01, 0.005)
WORLDS = {
    "base": world(),
    "batch 2000": world(batch_size=2000, steps=12_000),
    "width 100": world(width=100),
    "sgd": world(**SGD, seeds=4),
    "hopeless half": hopeless(0.5, seeds=6),
    "width 500": world(width=500, seeds=4),
    "width 50": world(width=50, seeds=4),
    "rate .001": world(rate=0.001, steps=15_000, seeds=4),
    "rate .01": world(rate=0.01, seeds=4),
    "batch 500": world(batch_size=500, steps=20_000, seeds=4),
    "batch 20000": world(batch_size=20_000, steps=5000, seeds=6),
    "100 subtasks": world(n=100, seeds=4),
    "exponent 1.2": world(exponent=1.2, seeds=4),
    "exponent 1.8": world(exponent=1.8, seeds=4),
    "33 disjoint": world(n=33, n_bits=100, bit_sets="disjoint", steps=8000, seeds=4),
    "33 distinct": world(n=33, n_bits=100, steps=8000, seeds=4),
    "100 bits": world(n_bits=100, steps=8000, seeds=4),
    "sgd, batch 8000": world(**(SGD | {"batch_size": 8000}), seeds=6),
    "33 overlapping": world(n=33, n_bits=100, bit_sets="overlapping", steps=8000, seeds=4),
    "few, rest learned": few("learned"),
    "few, rest hopeless": few("hopeless"),
    **alone(ALONE),
    **only(ALONE),
    **alone(ALONE[:-2], "alone, batch 500", batch_size=500, seeds=4),
    **alone(ALONE[1:], "alone, batch 8000", batch_size=8000),
    **alone(ALONE[:5], "alone, sgd", **SLOW),
    **alone(ALONE[:5], "alone, sgd, batch 500", **SLOW, batch_size=500, seeds=3),
    **alone(ALONE[:4], "alone, sgd, batch 8000", **SLOW, batch_size=8000, seeds=3),
    **alone(ALONE[1:7], "alone, rows shared", shared="rows"),
    **alone(ALONE[1:7], "alone, all shared", shared="all"),
    **alone(ALONE[1:7], "alone, rate .001", rate=0.001, seeds=4),
    **alone(ALONE[1:7], "alone, rate .01", rate=0.01, seeds=4),
    **alone(ALONE[1:7], "alone, width 500", width=500, seeds=4),
}  # fmt: skip


def checkpoints(steps: int) -> np.ndarray:
    """Steps that are measured: 18 to a factor of 10, so that an onset is known to 14 %."""
    from_ten = np.geomspace(10, steps, 1 + round(18 * math.log10(steps / 10)))
    return np.unique(np.concatenate([[0], from_ten.round()]).astype(int))


def advanced(world: World, state: Any, step: int) -> Any:
    """State at a step; where Adam's divisors are shared, they are made equal every 20 steps, of the thousand they remember."""
    while world.shared and int(state.step) < step:
        state = world.network.advance(state, min(step, int(state.step) + 20))
        bits = state.bits[2]
        mean = bits[bits > 0].mean()
        for name in ("controls",) if world.shared == "rows" else ("controls", "bits", "bias", "out"):
            weights = getattr(state, name)
            weights[2][...] = np.where(weights[0] != 0, mean, 0)  # columns beyond the width are 0, and stay so
    return world.network.advance(state, step)


def train(world: World, seed: int) -> dict[str, np.ndarray]:
    """One run, until all is learned: loss (n_subtasks, n_steps), and what else is seen at every checkpoint."""
    learner, p, begun = world.network, world.frequencies.probabilities(), time.process_time()
    size = round(world.share * world.batch_size)
    state = learner.start(p, np.random.default_rng(seed), dynamics="sampled", batch_size=size)
    step, seen = checkpoints(world.steps), []
    learnable = (p > 0) & (np.arange(p.size) < p.size - learner.n_composites)
    for at in step:
        state = advanced(world, state, int(at))
        seen.append(learner.measure(state))
        if np.all(seen[-1]["loss"][learnable] < 0.1 * BITS):
            break
    found = {name: np.stack([one[name] for one in seen], axis=-1).astype(np.float32) for name in seen[0]}
    return found | {
        "step": step[: len(seen)], "frequency": np.where(learnable, p, 0) * world.share, "seconds": np.array(time.process_time() - begun)
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------ tables


def tabulate(runs: Path, published: Path | None) -> None:
    """Write the tables, from all finished runs."""
    from quanta.scaling import between

    times, losses = [], []
    for name, seed, run in finished(runs, published):
        p, step = run["frequency"], run["step"].astype(int)
        ends = {one: between(step, learned(run)) for one, learned in CRITERIA.items()}
        ever = np.any([np.isfinite(by) for _, by in ends.values()], axis=0)
        for k in np.flatnonzero(ever & (p > 0)):
            found = {
                f"{one}_{word}": f"{at[k]:.0f}"
                for one, pair in ends.items()
                for word, at in zip(("after", "by"), pair, strict=True)
            }
            times.append({"setting": name, "seed": seed, "subtask": k, "frequency": f"{p[k]:.6g}"} | found)
        mean = p @ run["loss"]
        some = np.flatnonzero(step >= FIRST)[-1 if ", p " in name else 0 :]
        losses += [{"setting": name, "seed": seed, "step": step[i], "loss": f"{mean[i]:.5g}"} for i in some]
    for path, rows in ((TIMES, times), (LOSSES, losses)):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(f"{path}: {len(rows)} rows")


def finished(runs: Path, published: Path | None) -> Iterator[tuple[str, int, dict[str, np.ndarray]]]:
    """Name, seed and curves of every run that there is; of the published setting from its record."""
    for name, world in WORLDS.items():
        for seed in range(world.seeds):
            if kept(runs, name, seed).exists():
                with np.load(kept(runs, name, seed)) as run:
                    yield name, seed, dict(run)
    if published:
        ds = record.load(published)
        yield "published", 0, {name: ds[name].values for name in ("frequency", "step", "loss", "accuracy")}


def kept(runs: Path, name: str, seed: int) -> Path:
    """Where a run is kept."""
    return runs / f"{name.replace(' ', '-').replace(',', '')}-{seed}.npz"


def onsets(setting: str, criterion: str = "tenth") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies, and between which steps subtasks were learned, from the tables: (n_runs, n_subtasks) each.

    Of subtasks alone, all frequencies of a seed are taken together; where a seed lacks one, a frequency of 0 stands.
    """
    names = [name for name in [*WORLDS, "published"] if name == setting or name.startswith(f"{setting}, p ")]
    ends = {(row["setting"], int(row["seed"])): float(row["step"]) for row in rows_of(LOSSES, names)}  # the last stays
    runs = {}
    for (name, seed), end in ends.items():
        p = frequencies_of(name)
        runs[name, seed] = np.stack([p, np.full(p.size, end), np.full(p.size, np.inf)])
    for row in rows_of(TIMES, names):
        by = float(row[f"{criterion}_by"])
        if math.isfinite(by):
            runs[row["setting"], int(row["seed"])][1:, int(row["subtask"])] = float(row[f"{criterion}_after"]), by
    seeds = sorted({seed for _, seed in runs})
    joined = [
        np.concatenate([run[:, run[0] > 0] for (_, one), run in runs.items() if one == seed], axis=1) for seed in seeds
    ]
    most = max(run.shape[1] for run in joined)
    p, after, by = np.stack([np.pad(run, ((0, 0), (0, most - run.shape[1]))) for run in joined], axis=1)
    return p, after, by


def frequencies_of(setting: str) -> np.ndarray:
    """p_k of what can be learned, and 0 of what cannot."""
    if setting == "published":
        return Zipf(n_subtasks=500, exponent=1.4).probabilities()
    world = WORLDS[setting]
    p = world.frequencies.probabilities()
    p[p.size - world.network.n_composites :] = 0
    return p * world.share


def rows_of(path: Path, settings: list[str]) -> list[dict[str, str]]:
    """Rows of a table."""
    return [row for row in table(path) if row["setting"] in settings]


@functools.cache
def table(path: Path) -> list[dict[str, str]]:
    """A table, read once."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def losses(setting: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the mean loss in bits of each run at them, (n_runs, n_steps)."""
    rows = rows_of(LOSSES, [setting])
    seeds = sorted({row["seed"] for row in rows})
    step = np.array([int(row["step"]) for row in rows if row["seed"] == seeds[0]])
    return step, np.array([[float(row["loss"]) / BITS for row in rows if row["seed"] == seed] for seed in seeds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",,".join(WORLDS), help="settings, separated by two commas")
    parser.add_argument("--seeds", default="0:99", help="from:to")
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs" / "parity-exponent")
    parser.add_argument("--table", action="store_true", help="make no run; write the tables, from finished runs")
    parser.add_argument("--published", type=Path, help="a record of the published setting, for the tables")
    options = parser.parse_args()
    if options.table:
        tabulate(options.runs, options.published)
        return
    options.runs.mkdir(parents=True, exist_ok=True)
    first, last = map(int, options.seeds.split(":"))
    asked = options.only.split(",,")
    for name in (name for name in WORLDS if any(name == one or name.startswith(f"{one}, p ") for one in asked)):
        for seed in range(first, min(last, WORLDS[name].seeds)):
            path = kept(options.runs, name, seed)
            if not path.exists():
                found = train(WORLDS[name], seed)
                np.savez_compressed(path.with_suffix(".part.npz"), **found)
                path.with_suffix(".part.npz").rename(path)
                n = int((found["loss"] < 0.1 * BITS).any(axis=1).sum())
                print(f"{name}, seed {seed}: learned {n}, {found['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
