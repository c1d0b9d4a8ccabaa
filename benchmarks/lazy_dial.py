"""Dose–response: how sharp learning is between the network and its linear limit, as the network is made lazier.

    OMP_NUM_THREADS=1 python benchmarks/lazy_dial.py --seeds 0 1      # about 10 minutes on two cores

Claim: if sharpness comes of features that are learned, it falls to the linear limit's as a grows. Modular arithmetic
mod 5, 8 subtasks, Zipf exponent 1.4, the decoder of width 32. Every point is the exact gradient flow in the mean loss of all
inputs, from zero logits: of a · (f − f₀) at each scale a, and of the linearised network (kernel). The network itself, by
minibatch at rate 0.1 and from its own logits, is beside them. Quantiles are over the finished subtasks that the
detector can test (sharp or smooth), of all seeds; what is unfinished or unstable is listed as such.
"""

import argparse
import collections
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quanta import train, transitions
from quanta.frequencies import Zipf
from quanta.models import Decoder, Kernel, Lazy
from quanta.tasks import ModularArithmetic

N_SUBTASKS, WIDTH = 8, 32
SCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FIGURE = Path(__file__).parent / "figures" / "lazy_dial.png"


class Point(NamedTuple):
    """One run, as the detector sees it."""

    dial: float  # a; 0 for the network itself, inf for the kernel flow
    seed: int
    time: float  # learning rate × steps
    sharpness: np.ndarray  # of the finished, testable subtasks
    onset: np.ndarray  # in the same time
    n_complete: int
    n_sharp: int
    status: str  # of the run
    seconds: float


def measure(dial: float, seed: int) -> Point:
    """Train at one setting of the dial; lazier networks are given more time, being slower."""
    import torch

    torch.set_num_threads(1)
    if dial == 0:
        model, rate, time = Decoder(width=WIDTH), 0.1, 300.0
    else:
        model = (
            Kernel(width=WIDTH, centred=True) if np.isinf(dial) else Lazy(scale=dial, width=WIDTH, dynamics="expected")
        )
        rate, time = 0.05, min(300.0 * dial, 1e5)
    ds = train.train(
        Zipf(n_subtasks=N_SUBTASKS, exponent=1.4), ModularArithmetic(), model, learning_rate=rate,
        steps=round(time / rate), n_checkpoints=160, seed=seed,
    )  # fmt: skip
    found = transitions.detect(ds)
    status, complete = found["status"].values, found["complete"].values
    tested = complete & np.isin(status, ("sharp", "smooth"))
    return Point(
        dial, seed, time, found["sharpness"].values[tested], found["onset"].values[tested] * rate, int(complete.sum()),
        int((tested & (status == "sharp")).sum()), ds.attrs["control_status"] or "network", ds.attrs["train_seconds"],
    )  # fmt: skip


def name(dial: float) -> str:
    """What a setting of the dial is called."""
    return {0.0: "network, SGD", np.inf: "kernel flow"}.get(dial, f"a = {dial:g}")


def table(points: list[Point]) -> str:
    """A row for each setting, seeds together."""
    lines = [
        "| dial | time | finished | tested | sharp | S 10 / 50 / 90 % | median S by seed | runs |",
        "|---|--:|--:|--:|--:|---|---|---|",
    ]
    for dial in sorted({point.dial for point in points}):
        mine = [point for point in points if point.dial == dial]
        sharpness = np.concatenate([point.sharpness for point in mine])
        q = np.quantile(sharpness, [0.1, 0.5, 0.9]) if len(sharpness) else [np.nan] * 3
        medians = ", ".join(f"{np.median(p.sharpness):.2f}" if len(p.sharpness) else "–" for p in mine)
        kinds = collections.Counter(point.status for point in mine)
        lines.append(
            f"| {name(dial)} | {mine[0].time:g} | {sum(p.n_complete for p in mine)} of {N_SUBTASKS * len(mine)} | "
            f"{len(sharpness)} | {sum(p.n_sharp for p in mine)} | {q[0]:.2f} / {q[1]:.2f} / {q[2]:.2f} | {medians} | "
            f"{', '.join(f'{n} {kind}' for kind, n in kinds.items())} |"
        )
    return "\n".join(lines)


def draw(points: list[Point], path: Path) -> None:
    """Sharpness of every finished subtask against the dial, and how many there are."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    dials = sorted({point.dial for point in points})
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7.5, 5.6), sharex=True, height_ratios=(4, 1), layout="constrained"
    )
    limit = np.concatenate([point.sharpness for point in points if np.isinf(point.dial)])
    low, high = np.quantile(limit, [0.1, 0.9])
    above.axhspan(low, high, color="#e8a33d", alpha=0.2, lw=0, label="kernel flow, 10–90 % of its subtasks")
    above.axhline(np.median(limit), color="#b36b00", lw=1, ls="--", label="kernel flow, median")
    above.axhline(1.0, color="0.5", lw=1, ls=":", label="S = 1: one exponential")
    rng = np.random.default_rng(0)
    for i, dial in enumerate(dials):
        mine = [point for point in points if point.dial == dial]
        sharpness = np.concatenate([point.sharpness for point in mine])
        color = "#b36b00" if np.isinf(dial) else "0.45" if dial == 0 else "#1f5fa8"
        above.plot(i + rng.uniform(-0.12, 0.12, len(sharpness)), sharpness, "o", ms=3, mew=0, color=color, alpha=0.35)
        if len(sharpness):
            q = np.quantile(sharpness, [0.1, 0.5, 0.9])
            error = [[q[1] - q[0]], [q[2] - q[1]]]
            above.errorbar(i + 0.2, q[1], error, fmt="s", ms=6, lw=1.5, capsize=3, color=color)
        n, done = N_SUBTASKS * len(mine), sum(point.n_complete for point in mine)
        below.bar(i, done, color=color, width=0.8)
        below.text(i, done / 2, f"{done} of {n}", ha="center", va="center", fontsize=8, color="white")
        below.bar(i, n, width=0.8, fill=False, ec="0.6", lw=0.8)
    above.set_yscale("log")
    ticks = [0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7]
    above.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    above.minorticks_off()
    above.set_ylabel("sharpness S of a subtask")
    above.legend(frameon=False, fontsize=8)
    below.set_ylabel("finished")
    below.set_yticks([])
    below.set_xticks(range(len(dials)), [name(dial).replace(", ", ",\n").replace("l f", "l\nf") for dial in dials])
    below.set_xlabel("scale a of the centred outputs: richer ← → lazier")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    dials = (0.0, np.inf, *sorted(options.scales, reverse=True))  # the longest soon, so that none is left to wait for
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(measure, dial, seed) for seed in options.seeds for dial in dials]
        points = []
        for job in as_completed(jobs):
            point = job.result()
            points.append(point)
            said = (
                f"{name(point.dial)}, seed {point.seed}: {point.n_complete} finished, S {np.round(point.sharpness, 2)}"
            )
            print(f"{said}, {point.seconds:.0f} s", file=sys.stderr, flush=True)
    points.sort(key=lambda point: (point.dial, point.seed))
    print(table(points))
    draw(points, options.figure)


if __name__ == "__main__":
    main()
