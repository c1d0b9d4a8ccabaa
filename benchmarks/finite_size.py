"""What "phase change" means: the sharpness of a multilinear subtask grows without end with ln S/R(0), as with a size.

    OMP_NUM_THREADS=1 python benchmarks/finite_size.py            # about a minute, and one to compile on a first call
    OMP_NUM_THREADS=1 python benchmarks/finite_size.py --quick    # seconds; writes nothing

x = ln(S/R(0) - 1) plays the part of the size. At t_c = x/(2 η S p) a skill has half its strength, and the loss is a
function of x (t/t_c - 1) alone,

    l = S²/2 · [1 + exp(x (t/t_c - 1))]^-2,

so that in time rescaled by the size all curves are one, and in log time the width tends to 3.69/(x - 1.07) and the
sharpness S = e max(-dl/d ln t) / drop to (8 e/27) (x - ln 2). No finite x is a step: sharp is a matter of degree, and
what grows on and on is a phase change. What the detector of `quanta.transitions` makes of it is measured on noisy curves (a
floor of 5 %, noise correlated by .5, 30,000 steps): its own S, and the share of curves that it calls sharp, beside S0,
its bar for squared error under gradient descent. Seed 0.
"""

import argparse
import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from quanta import record, transitions
from quanta.learners import Multilinear
from quanta.transitions import null_sharpness
from quanta.worlds import Noise
from quanta.worlds.families import checkpoints

HERE = Path(__file__).parent
SIZES = (0.7, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)  # ln S/R(0)
CELLS = (
    (0.01, 100),
    (0.03, 100),
    (0.06, 100),
    (0.1, 100),
    (0.03, 50),
    (0.03, 25),
)  # σ in units of the drop, checkpoints
SHOWN = (0.03, 100)
FLOOR = 0.05
S0 = 1.2 * null_sharpness("sgd", None, "squared error")


def learner(size: float) -> Multilinear:
    """The learner of ln S/R(0)."""
    return Multilinear(initial=math.exp(-size))


def width(size: float) -> float:
    """Nats of log time from 10 to 90 % of the fall, in closed form."""
    one = learner(size)
    return math.log(one.hits_at(0.1) / one.hits_at(0.9))


def step_likeness(size: float) -> float:
    """The largest share of the fall that lies within one nat of log time: 1 of a step, .35 of an exponential."""
    one, age = learner(size), np.linspace(-6, 4, 20_001)
    left = one.loss(one.hits_at(0.5) * np.exp(age)) / one.chance_loss
    ahead = one.loss(one.hits_at(0.5) * np.exp(age + 1)) / one.chance_loss
    return float(np.max(left - ahead))


def curves(size: float, sigma: float, n_checkpoints: int, n: int) -> Any:
    """A record of n noisy curves of one size, whose onsets lie between 100 and 2,000 steps."""
    one, step = learner(size), checkpoints(n_checkpoints)
    rng = np.random.default_rng([0, round(100 * size), round(1000 * sigma), n_checkpoints])
    onset = np.exp(rng.uniform(math.log(100), math.log(2000), n))
    exact = FLOOR + one.loss(one.hits_at(0.5) * step[None, :] / onset[:, None]) / one.chance_loss
    measured = np.maximum(exact + sigma * Noise().errors(exact.shape, rng), 0.0)
    return record.new(
        measured, step=step, frequency=np.full(n, 1 / n), units="squared error", optimizer="sgd", source="simulated"
    )


def measure(size: float, sigma: float, n_checkpoints: int, n: int) -> dict[str, Any]:
    """What the detector says of them."""
    found = transitions.detect(curves(size, sigma, n_checkpoints, n), curves=False)
    low, middle, high = np.nanquantile(found["sharpness"].values, [0.1, 0.5, 0.9])
    sharp = float(np.mean(found["status"].values == "sharp"))
    return {
        "ln_S_R0": size, "sharpness": learner(size).sharpness(), "width": width(size),
        "step_likeness": step_likeness(size), "sigma": sigma, "n_checkpoints": n_checkpoints, "n": n,
        "measured": middle, "measured_10": low, "measured_90": high, "called_sharp": sharp,
    }  # fmt: skip


def begins(rows: list[dict[str, Any]], share: float) -> float:
    """The ln S/R(0) from which on so many curves are called sharp, interpolated; nan where they never are."""
    for before, after in itertools.pairwise(sorted(rows, key=lambda row: row["ln_S_R0"])):
        a, b = before["called_sharp"], after["called_sharp"]
        if a < share <= b:
            return before["ln_S_R0"] + (share - a) / (b - a) * (after["ln_S_R0"] - before["ln_S_R0"])
    return math.nan


def of(rows: list[dict[str, Any]], sigma: float, n_checkpoints: int) -> list[dict[str, Any]]:
    """The rows of one noise and number of checkpoints."""
    return [row for row in rows if (row["sigma"], row["n_checkpoints"]) == (sigma, n_checkpoints)]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: by size, closed forms and what is measured; then where each cell begins to be called sharp."""
    lines = [
        "| ln S/R(0) | S | width (nats) | within one nat | S measured, 10 / 50 / 90 % | called sharp |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['ln_S_R0']:g} | {row['sharpness']:.2f} | {row['width']:.2f} | {row['step_likeness']:.2f} | "
        f"{row['measured_10']:.2f} / {row['measured']:.2f} / {row['measured_90']:.2f} | {row['called_sharp']:.0%} |"
        for row in of(rows, *SHOWN)
    ]
    lines += ["", "| σ, checkpoints | half are called sharp from ln S/R(0) (S) | 95 % from |", "|---|--:|--:|"]
    for sigma, n in dict.fromkeys((row["sigma"], row["n_checkpoints"]) for row in rows):
        places = [begins(of(rows, sigma, n), share) for share in (0.5, 0.95)]
        cells = ["never" if math.isnan(x) else f"{x:.2f} ({learner(x).sharpness():.2f})" for x in places]
        lines.append(f"| {sigma:g}, {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------ figure


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Six panels: curves, their collapse, how like a step; sharpness, width, and what is called sharp."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(12, 6.6), layout="constrained")
        (curve, collapse, like), (sharp, wide, called) = figure.subplots(2, 3)
    _draw_curves(curve, collapse)
    size = np.linspace(0.5, 8.5, 200)
    like.plot(size, [step_likeness(x) for x in size], color="#222222")
    like.axhline(math.exp(-1 / (math.e - 1)) - math.exp(-math.e / (math.e - 1)), color="0.5", ls=":", lw=1)
    like.annotate("an exponential", (8.5, 0.34), ha="right", va="top", color="0.4", fontsize=8)
    like.set(ylabel="largest share of the fall within one nat", ylim=(0, 1.02))
    like.set_title("how like a step", loc="left", fontsize=10)
    _draw_sharpness(sharp, of(rows, *SHOWN), size)
    wide.plot(size, [width(x) for x in size], color="#222222")
    large = np.log(np.expm1(size[size > 2.5]))
    wide.plot(size[size > 2.5], 3.688 / (large - 1.073), color="0.5", ls="--", lw=1, label="3.69 / (x − 1.07)")
    wide.set(ylabel="width from 10 to 90 %, nats", yscale="log", ylim=(0.4, 4))
    wide.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    wide.minorticks_off()
    wide.legend(frameon=False)
    wide.set_title("width", loc="left", fontsize=10)
    _draw_called(called, rows)
    for axes in (like, sharp, wide, called):
        axes.set_xlabel("ln S/R(0)")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")


def _draw_curves(curve: Any, collapse: Any) -> None:
    """Curves of eight sizes against log time, and against time rescaled by the size."""
    import matplotlib as mpl

    age, scaled = np.linspace(-2.5, 2, 800), np.linspace(-7, 5, 500)
    for size in range(1, 9):
        one, colour = learner(size), mpl.colormaps["viridis"]((size - 1) / 8)
        curve.plot(
            np.exp(age), one.loss(one.hits_at(0.5) * np.exp(age)) / one.chance_loss, color=colour, label=str(size)
        )
        x = math.log(math.expm1(size))
        hits = x * (1 + scaled / x) / (2 * one.rate)
        begun = hits >= 0
        collapse.plot(scaled[begun], 2 * one.loss(hits[begun]), color=colour, lw=1.6)
        collapse.plot(scaled[begun][0], 2 * one.loss(hits[begun][0]), "o", ms=4, color=colour)
    curve.set(xscale="log", xlabel="time / time of half the loss", ylabel="loss / chance")
    curve.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    curve.minorticks_off()
    curve.legend(title="ln S/R(0)", frameon=False, ncols=2, fontsize=8, loc="lower left")
    curve.set_title("the larger, the steeper", loc="left", fontsize=10)
    collapse.set(xlabel="x (t/t$_c$ − 1),  x = ln(S/R(0) − 1)", ylabel="2 × loss / S²")
    collapse.set_title("one curve, entered (dot) ever farther back", loc="left", fontsize=10)


def _draw_sharpness(axes: Any, rows: list[dict[str, Any]], size: np.ndarray) -> None:
    """Closed form, its limit, and what the detector measures."""
    axes.plot(size, [learner(x).sharpness() for x in size], color="#222222", label="closed form")
    limit = 8 * math.e / 27 * (np.log(np.expm1(size)) - math.log(2))
    axes.plot(size[limit > 0], limit[limit > 0], color="0.5", ls="--", lw=1, label="(8e/27) (x − ln 2)")
    x, middle = ([row[key] for row in rows] for key in ("ln_S_R0", "measured"))
    error = [
        [row["measured"] - row["measured_10"] for row in rows],
        [row["measured_90"] - row["measured"] for row in rows],
    ]
    sigma, n = SHOWN
    label = f"the detector's, 10–90 %\n(σ = {sigma:g}, {n} checkpoints)"
    axes.errorbar(x, middle, error, fmt="o", ms=3.5, lw=1, color="#d55e00", label=label)
    for level, name in ((S0, "S0, squared error, SGD"), (math.e, "S0 where nothing is known: e")):
        axes.axhline(level, color="0.5", ls=":", lw=1)
        axes.annotate(name, (8.6, level - 0.05), ha="right", va="top", color="0.4", fontsize=8)
    axes.set(ylabel="sharpness S", ylim=(0, 7.5))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_title("sharpness", loc="left", fontsize=10)


def _draw_called(axes: Any, rows: list[dict[str, Any]]) -> None:
    """The share called sharp, by noise and by checkpoints."""
    import matplotlib as mpl

    for i, (sigma, n) in enumerate(dict.fromkeys((row["sigma"], row["n_checkpoints"]) for row in rows)):
        some = of(rows, sigma, n)
        style = {"ls": "-"} if n == SHOWN[1] else {"ls": "--" if n == 50 else ":"}
        colour = mpl.colormaps["plasma"](0.15 + 0.2 * i) if n == SHOWN[1] else mpl.colormaps["plasma"](0.35)
        x, share = ([row[key] for row in some] for key in ("ln_S_R0", "called_sharp"))
        axes.plot(x, share, color=colour, marker="o", ms=3, label=f"σ = {sigma:g}, {n} checkpoints", **style)
    crossed = next(x for x in np.linspace(0.5, 2, 1501) if learner(x).sharpness() >= S0)
    axes.axvline(crossed, color="0.5", ls=":", lw=1)
    axes.annotate(" S = S0", (crossed, 1.03), color="0.4", fontsize=8)
    axes.set(ylabel="share called sharp", ylim=(-0.02, 1.09))
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_title("what the detector calls sharp", loc="left", fontsize=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few curves, one noise; nothing is written")
    parser.add_argument("--curves", type=int, default=200, help="curves of each size and noise")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "finite_size.csv")
    parser.add_argument("--figure", type=Path, default=HERE / "figures" / "finite_size.png")
    options = parser.parse_args()
    cells, n = ([SHOWN], 20) if options.quick else (CELLS, options.curves)
    rows = [measure(size, *cell, n) for cell in cells for size in SIZES]
    print(table(rows))
    if options.quick:
        return
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, options.figure)


if __name__ == "__main__":
    main()
