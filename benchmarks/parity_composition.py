r"""What the test of composition says of parity networks, beside the controls that could refute it.

    python benchmarks/parity_composition.py                     # judge the recorded runs: half a minute
    python benchmarks/parity_composition.py --simulate          # make them anew: a quarter of an hour on one core
    python benchmarks/parity_composition.py --also runs/mine --controls runs/mine-kernel runs/mine-tabular
    python benchmarks/parity_composition.py --thin runs/published-kernel runs/published-tabular

Beside each network stand controls that cannot have phase changes: ``tabular``, a table told which bits matter, trained on
the very same batches, calibrates the optimiser; ``kernel``, the exact flow of the network linearised at its first
weights, learns 16 strings of each subtask by heart: how sharp linear learning with shared features is where it succeeds;
``linearised``, the same trained on the network's own batches, shows whether it does succeed there. Widths of drops are
from 10 to 90 %, in decades of steps.

The run of the published figure is that of `benchmarks/parity_scaling.py`, and too long for --simulate. Of its controls, half
an hour for the flow and less for the table, --thin keeps what the test reads, in three digits:

    python -m quanta.simulate --learner parity_network --n-subtasks 500 --exponent 1.4 --n-bits 100 --k 3 --width 500 \
        --batch-size 20000 --n-checkpoints 150 --no-detect --steps 10000000 --control "kernel(n_inputs=6)" --out runs/published-kernel
    python -m quanta.simulate --learner parity_network --n-subtasks 500 --exponent 1.4 --n-bits 100 --k 3 --width 500 \
        --batch-size 20000 --n-checkpoints 150 --no-detect --steps 200000 --control tabular --out runs/published-tabular
"""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from quanta import composition, record, simulate, transitions
from quanta.frequencies import Zipf
from quanta.learners import ParityNetwork

RUNS = Path(__file__).parent / "runs" / "parity"
_KEPT = (  # what the test reads
    "loss", "accuracy", "held_out", "frequency", "weight", "n_classes", "chance_loss", "examples", "learning_rate",
    "learning_rate_sum", "kind",
)  # fmt: skip
PAIRS = ParityNetwork(n_bits=40, k=2, width=100)
SGD = dataclasses.replace(PAIRS, descent="sgd", rate=0.5)
PUBLISHED = [RUNS.parent / "parity-network.nc", RUNS / "published-kernel-0.nc", RUNS / "published-tabular-0.nc"]
EVERY = "kernel(n_inputs=256)"
TABLE_SGD = "tabular(rate=20)"  # at the network's rate it would hardly begin


class Setting(NamedTuple):
    """A network, and how long it and its controls are followed."""

    network: ParityNetwork
    steps: int
    controls: dict[str, int]
    """As the command names them: → steps."""
    seeds: tuple[int, ...] = (0,)
    n_subtasks: int = 40
    batch_size: int = 2000


SETTINGS = {
    "pairs, Adam": Setting(PAIRS, 30_000, {"tabular": 30_000, "kernel": 3_000_000, "linearised": 30_000}, (0, 1, 2)),
    "pairs, Adam, width 500": Setting(dataclasses.replace(PAIRS, width=500), 15_000, {"tabular": 15_000, "kernel": 1_000_000}),
    "pairs, SGD": Setting(SGD, 30_000, {TABLE_SGD: 30_000, "kernel": 600_000}, (0, 1)),
    "pairs of 8 bits, SGD": Setting(  # so few that every string can be listed: 12 · 256 of them
        dataclasses.replace(SGD, n_bits=8), 20_000, {TABLE_SGD: 20_000, EVERY: 20_000}, n_subtasks=12
    ),
    "pairs and composites, Adam": Setting(
        dataclasses.replace(PAIRS, n_composites=8), 30_000, {"tabular": 30_000, "kernel": 3_000_000}
    ),
}  # fmt: skip


class Job(NamedTuple):
    """One run: of a setting, or of a control of it."""

    name: str
    control: str
    seed: int

    @property
    def path(self) -> Path:
        """Its record."""
        words = [self.name.replace(",", "").replace(" ", "-"), self.control.partition("(")[0], str(self.seed)]
        return RUNS / f"{'-'.join(word for word in words if word)}.nc"


def jobs(names: Sequence[str]) -> list[Job]:
    """All runs, the quick ones first: the network linearised, which is slow, of the first seed alone, and last."""
    found = []
    for name in names:
        setting = SETTINGS[name]
        found += [Job(name, kind, seed) for seed in setting.seeds for kind in ("", *setting.controls)]
    slow = [job for job in found if job.control == "linearised"]
    return [job for job in found if job not in slow] + [job for job in slow if job.seed == SETTINGS[job.name].seeds[0]]


def make(job: Job) -> str:
    """Simulate a run, if it is not there, and keep what the test reads of it."""
    if job.path.exists():
        return f"{job.path.name}: there already"
    setting = SETTINGS[job.name]
    learner = setting.network.control(job.control) if job.control else setting.network
    ds = simulate.simulate(
        Zipf(n_subtasks=setting.n_subtasks, exponent=1.4), learner, n_checkpoints=150, seed=job.seed,
        steps=setting.controls[job.control] if job.control else setting.steps, batch_size=setting.batch_size,
    )  # fmt: skip
    RUNS.mkdir(parents=True, exist_ok=True)
    record.save(ds[[name for name in _KEPT if name in ds]], job.path)
    return f"{job.path.name}: {float(record.mean_loss(ds)[-1]):.3f} nats at the end"


def thin(run: Path) -> None:
    """Keep a control of the published run in little space."""
    ds = record.load(run)
    ds = ds[[name for name in _KEPT if name in ds]]
    for name, digits in {"loss": 3, "accuracy": 3, "held_out": 2}.items():
        if name in ds:
            ds[name].values[...] = np.round(ds[name].values, digits)
    record.save(ds, RUNS / f"published-{ds.attrs['control_kind']}-0.nc", overwrite=True)


def row(name: str, network: xr.Dataset, controls: Sequence[xr.Dataset]) -> str:
    """A row of the table."""
    result = composition.test(network, controls=controls)
    found = transitions.detect(network, control=_usable(controls, result) or None, curves=False)
    tested = _tested(found)
    decades = found["width"].values[tested] / np.log(10)
    gamma, low, high = (float(result[f"timing_exponent{end}"]) for end in ("", "_low", "_high"))
    cells = [
        name,
        result.attrs["verdict"],
        f"{int(found['complete'].sum())} of {network.sizes['subtask']}",
        f"{int(result['n_sharp'])} of {int(result['n_tested'])} "
        f"({float(result['fraction_sharp_low']):.0%}–{float(result['fraction_sharp_high']):.0%})",
        _quartiles(found["sharpness"].values[tested]),
        _quartiles(decades),
        f"{float(result['dispersion']):.2f}",
        f"{gamma:.2f} ({low:.2f}–{high:.2f})",
        "; ".join(_of_control(ds, said) for ds, said in zip(controls, result.attrs["controls"], strict=True)) or "–",
    ]
    return "| " + " | ".join(cells) + " |"


def _usable(controls: Sequence[xr.Dataset], result: xr.Dataset) -> list[xr.Dataset]:
    """Those that may raise the threshold."""
    return [ds for ds, said in zip(controls, result.attrs["controls"], strict=True) if said.endswith(": ok")]


def _tested(found: xr.Dataset) -> np.ndarray:
    """Whether each subtask has finished, and can be told sharp from smooth."""
    tested: np.ndarray = np.isin(found["status"].values, ("sharp", "smooth")) & found["complete"].values
    return tested


def _quartiles(values: np.ndarray) -> str:
    return " / ".join(f"{q:.2f}" for q in np.nanquantile(values, (0.25, 0.5, 0.75))) if values.size else "–"


def _of_control(control: xr.Dataset, said: str) -> str:
    """What a control is, how sharp its finished subtasks are, and whether it can judge; of a part of the inputs, what it
    has made of others.
    """
    found = transitions.detect(control, curves=False)
    tested = _tested(found)
    s = found["sharpness"].values[tested]
    what = f"{said}, {int(found['complete'].sum())} finished" + (f", S {np.median(s):.2f}" if s.size else "")
    if "held_out" in control:
        what += (
            f", on other strings {float(control['held_out'][..., -1] @ control['weight'] / np.log(2)):.2f} of chance"
        )
    return what


def judged(wanted: Sequence[Job]) -> Iterator[str]:
    """The rows of all runs that are there."""
    for job in wanted:
        if not job.control and job.path.exists():
            of_it = [
                other.path for other in wanted if other.control and (other.name, other.seed) == (job.name, job.seed)
            ]
            controls = [record.load(path) for path in of_it if path.exists()]
            yield row(f"{job.name}, seed {job.seed}", record.load(job.path), controls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", action="store_true", help="make the runs that are not there yet")
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), help="by default all, and the published run")
    parser.add_argument("--also", type=Path, help="another run, to be judged too")
    parser.add_argument("--controls", type=Path, nargs="*", default=[], help="its controls")
    parser.add_argument("--thin", type=Path, nargs="+", default=[], help="keep controls of the published run; no more")
    options = parser.parse_args()
    for path in options.thin:
        thin(path)
    if options.thin:
        return
    wanted = jobs(options.only or list(SETTINGS))
    if options.simulate:
        for job in wanted:
            print(make(job), flush=True)
    print("| run | verdict | finished | sharp of tested | S | width, decades | dispersion | γ | controls |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for line in judged(wanted):
        print(line, flush=True)
    if not options.only:
        network, *controls = map(record.load, PUBLISHED)
        print(row("published: triples, Adam, width 500", network, controls), flush=True)
    if options.also:
        print(row(options.also.stem, record.load(options.also), [record.load(path) for path in options.controls]))


if __name__ == "__main__":
    main()
