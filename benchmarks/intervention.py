"""Change how often a transformer sees its subtasks: does the run before foretell the run after?

    python benchmarks/intervention.py                   # 10 runs, about a minute each on one core; kept in runs/intervention

Claim: modular arithmetic, the default run. A subtask answers to its own frequency, with t ∝ p^-0.65 and not the p^-1 of
independent subtasks: the γ ≈ 0.7 that is read off one run, across its subtasks, is what changing a few of them gives. Those
left alone stay where they were, within what chance does; a removed one is not learned. The curves of the changed subtasks
tell p'/p, (p'/p)^γ and no change apart; the mean loss does not. Each intervention is made twice, with the initial weights
of the run and with others. Three re-seeds (the same frequencies, other weights) say how well any run could be foretold.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from quanta import composition, plot, record, train
from quanta.frequencies import AbstractFrequencies, Reweighted, Zipf
from quanta.models import MODELS
from quanta.tasks import TASKS

BASE = Zipf(n_subtasks=32, exponent=1.4)
DOUBLED = Reweighted(base=BASE, factors=((4, 2.0), (9, 2.0), (14, 2.0), (19, 2.0), (6, 0.0)))
EIGHTFOLD = Reweighted(base=BASE, factors=((11, 8.0), (17, 8.0), (23, 8.0), (29, 8.0)))
INTERVENTIONS: dict[str, tuple[str, AbstractFrequencies]] = {
    "doubled": ("four doubled, one removed", DOUBLED),
    "eightfold": ("four made 8 times as frequent", EIGHTFOLD),
    "flat": ("exponent 1.4 → 1.0", Zipf(n_subtasks=32, exponent=1.0)),
}
SCORES = ("", "_gamma", "_no_change", "_reseed")
FIGURES = Path(__file__).parent / "figures"


def trained(folder: Path, name: str, frequencies: AbstractFrequencies, replicate: int) -> xr.Dataset:
    """A run, made unless it is there already."""
    path = folder / f"{name}-{replicate}.zarr"
    if not path.exists():
        torch.set_num_threads(1)  # so that the numbers do not depend on the machine
        ds = train.train(frequencies, TASKS["modular_arithmetic"](), MODELS["decoder"](), replicate=replicate)
        record.save(ds, path)
    return record.load(path)


def row(label: str, weights: str, result: xr.Dataset) -> str:
    """A line of the table."""
    claims = {str(name): float(value) for name, value in result.data_vars.items()}

    def interval(name: str) -> str:
        if np.isnan(claims[name]):
            return ""
        return f"{claims[name]:.2f} ({claims[f'{name}_low']:.2f} to {claims[f'{name}_high']:.2f})"

    scores = [
        " / ".join(f"{claims[f'autonomy{name}_{q2}']:.3f}" for name in SCORES) for q2 in ("q2_mean", "q2_changed")
    ]
    cells = [label, weights, *scores, interval("own_effect"), interval("cross_effect")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/intervention"), help="where runs are kept")
    options = parser.parse_args()
    base, *reseeds = (trained(options.runs, "base", BASE, replicate) for replicate in range(4))
    print(
        "| intervention | weights | Q² of the mean loss | Q² of the changed curves | own effect g | cross-effect, nats |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    said = []
    for name, (label, frequencies) in INTERVENTIONS.items():
        for replicate, weights in enumerate(("the run's", "others")):
            changed = trained(options.runs, name, frequencies, replicate)
            result = composition.test(base, intervention=changed, reseeds=reseeds)
            print(row(label, weights, result), flush=True)
            said.append(f"{label}, {weights}: " + " ".join(result.attrs["reasons"][-2:]))
            if (name, replicate) == ("eightfold", 0):
                draw(base, changed, reseeds, result)
    print("\nQ²: foretold by p'/p / by (p'/p)^γ / the change ignored / a re-seed by the run itself.\n")
    print("\n".join(said))


def draw(base: xr.Dataset, changed: xr.Dataset, reseeds: list[xr.Dataset], result: xr.Dataset) -> None:
    """The figure of the strongest intervention."""
    from quanta import _intervention

    found = _intervention.judge(base, changed, reseeds, gamma=float(result["timing_exponent"]))
    title = "Four of 32 subtasks made eight times as frequent: each answers to its own frequency, but not in proportion"
    FIGURES.mkdir(exist_ok=True)
    plot.save(plot.intervention(found, title), FIGURES / "intervention.png")


if __name__ == "__main__":
    main()
