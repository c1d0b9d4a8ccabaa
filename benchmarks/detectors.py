"""Score detectors of phase changes on curves whose answer is known: smooth families, traps, steps.

    python benchmarks/detectors.py                                   # ours and the rivals, 1000 curves a row
    python benchmarks/detectors.py --detectors logistic mine:detect  # yours: the function `detect` of mine.py
    python benchmarks/detectors.py --blind set --seed 7              # curves without names, for any other tool
    python benchmarks/detectors.py --blind set --seed 7 --verdicts mine.csv    # score what it said of them

A detector is a function of curves (n, m), checkpoints (m,) and S0 (n,), the sharpness that such a curve can have without a
phase change; it returns n booleans. It sees all curves of the set at once, shuffled. The names in
`quanta.transitions.DETECTORS` are run as `quanta.transitions.detect` runs them, one record a family, with its
control where it has one (`linear_coupled`); S0 is then already as high as that control makes it.

A blind set is `curves.npz` (loss, step, base_sharpness) and `sealed.json`, which holds what else is needed to draw it
again from the seed, and the hash of the answers. Verdicts are a CSV file, `curve,sharp`: one row a curve, sharp being 0 or 1.
"""

import argparse
import csv
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rivals import RIVALS

from quanta import transitions, worlds

Detector = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
TRAP_WORLDS = ("spikes", "cut_window", "overshoot")
RUN = 40  # subtasks of a run, where runs have a control or are worlds


@dataclass(frozen=True)
class Row:
    """One family of the blind set."""

    name: str
    kind: str
    """smooth, trap (no transition either) or step."""
    runs: list[tuple[xr.Dataset, list[xr.Dataset]]]
    """Records, each with its controls."""
    base: np.ndarray
    """S0 of each curve."""

    @property
    def loss(self) -> np.ndarray:
        """Curves of all runs, (n, m)."""
        return np.concatenate([run["loss"].values.astype(float) for run, _ in self.runs])


def rows(options: argparse.Namespace) -> list[Row]:
    """Draw every family of the set, from its seed."""
    noise = {"sigma": options.sigma, "phi": options.phi, "n_checkpoints": options.checkpoints}
    drawn = [_family(name, "smooth", options, noise) for name in worlds.SMOOTH_FAMILIES]
    drawn += [_family(name, "trap", options, noise) for name in worlds.TRAP_FAMILIES]
    drawn += [_world(name, options) for name in TRAP_WORLDS]
    for name in worlds.STEP_FAMILIES:
        drawn += [_family(name, "step", options, noise | {"width": width}) for width in (0.8, 1.5)]
    return drawn + [_family(name, "step", options, noise) for name in worlds.MULTI_STEP_FAMILIES]


def _family(family: str, kind: str, options: argparse.Namespace, noise: dict[str, Any]) -> Row:
    name = f"{family}, {noise['width']} nats" if "width" in noise else family
    known: dict[str, Any] = {"n": options.curves, "seed": options.seed, **noise}
    run, _ = worlds.family_record(family, **known)
    if family != "linear_coupled":
        return Row(name, kind, [(run, [])], _base(run, []))
    control, _ = worlds.family_record(family, **known, control=True)
    parts = [slice(i, i + RUN) for i in range(0, options.curves, RUN)]
    runs = [(_alone(run, part), [_alone(control, part)]) for part in parts]
    return Row(f"{name} (with its control)", kind, runs, np.concatenate([_base(*pair) for pair in runs]))


def _alone(ds: xr.Dataset, part: slice) -> xr.Dataset:
    """Some subtasks as a record of their own."""
    some = ds.isel(subtask=part)
    n = some.sizes["subtask"]
    return some.assign(frequency=("subtask", np.full(n, 1 / n)), weight=("subtask", np.full(n, 1 / n)))


def _world(name: str, options: argparse.Namespace) -> Row:
    noise = worlds.Noise(sigma=options.sigma, phi=options.phi)
    size = {"n_subtasks": RUN, "n_checkpoints": options.checkpoints, "noise": noise}
    seeds = range(options.seed, options.seed + -(-options.curves // RUN))
    runs = [(worlds.make(name, seed=seed, **size), []) for seed in seeds]
    return Row(f"world {name}", "trap", runs, np.concatenate([_base(*pair) for pair in runs]))


def _base(run: xr.Dataset, controls: list[xr.Dataset]) -> np.ndarray:
    if controls:
        return transitions.detect(run, control=controls)["base_sharpness"].values
    n_classes = run["n_classes"].values if "n_classes" in run else np.full(run.sizes["subtask"], np.nan)
    return transitions.base_sharpness(run.attrs["optimizer"], n_classes, run["loss"].attrs["units"])


# ---------------------------------------------------------------------------------------------- scoring


def registered(name: str, drawn: list[Row]) -> list[float]:
    """Share called sharp of every row by one of the package's detectors, each with its runs and controls."""
    detector = transitions.DETECTORS[name]()
    shares = []
    for row in drawn:
        said = [transitions.detect(run, detector, control=controls or None)["status"] for run, controls in row.runs]
        shares.append(float(np.mean(np.concatenate([(word == "sharp").values for word in said]))))
    return shares


def blind(drawn: list[Row], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All curves shuffled: loss (n, m), step (m,), S0 (n,), and the row that each comes from (n,)."""
    label = np.repeat(np.arange(len(drawn)), [len(row.base) for row in drawn])
    order = np.random.default_rng([seed, label.size]).permutation(label.size)
    loss = np.concatenate([row.loss for row in drawn])[order]
    step = drawn[0].runs[0][0]["step"].values.astype(float)
    return loss, step, np.concatenate([row.base for row in drawn])[order], label[order]


def shares_of(said: np.ndarray, label: np.ndarray) -> list[float]:
    """Share called sharp of every row, from verdicts on the shuffled set."""
    return [float(said[label == i].mean()) for i in range(label.max() + 1)]


def find(name: str) -> Detector:
    """A rival by its name, or the function of "module:function", sought in the working directory too."""
    if name in RIVALS:
        return RIVALS[name]
    module, colon, function = name.partition(":")
    if not colon:
        known = ", ".join((*transitions.DETECTORS, *RIVALS))
        raise SystemExit(f"detector is {name!r}; expected module:function or one of {known}.")
    sys.path.insert(0, str(Path.cwd()))
    return getattr(importlib.import_module(module), function)


def score(name: str, drawn: list[Row], seed: int) -> list[float]:
    """Share called sharp of every row by any detector."""
    if name in transitions.DETECTORS:
        return registered(name, drawn)
    loss, step, base, label = blind(drawn, seed)
    said = np.asarray(find(name)(loss, step, base))
    if said.shape != label.shape:
        raise SystemExit(f"{name} returned shape {said.shape} for {label.size} curves; expected one boolean a curve.")
    return shares_of(said.astype(bool), label)


def table(drawn: list[Row], shares: dict[str, list[float]]) -> str:
    """Markdown: one row a family, one column a detector, and what it comes to."""
    lines = ["| called sharp | " + " | ".join(shares) + " |", "|---|" + "--:|" * len(shares)]
    for kind, title in (
        ("smooth", "no transition, smooth"),
        ("trap", "no transition, traps"),
        ("step", "one to three steps"),
    ):
        lines.append(f"| **{title}** |" + " |" * len(shares))
        for i, row in enumerate(drawn):
            if row.kind == kind:
                lines.append(f"| {row.name} | " + " | ".join(f"{column[i]:.1%}" for column in shares.values()) + " |")
    of = {kind: [i for i, row in enumerate(drawn) if row.kind == kind] for kind in ("smooth", "trap", "step")}
    for title, kind, summary in (
        ("worst false positive rate, smooth", "smooth", np.max),
        ("worst false positive rate, traps", "trap", np.max),
        ("mean power", "step", np.mean),
    ):
        values = [float(summary([column[i] for i in of[kind]])) for column in shares.values()]
        lines.append(f"| **{title}** | " + " | ".join(f"**{value:.1%}**" for value in values) + " |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------- blind sets


def key_hash(label: np.ndarray) -> str:
    """Seal of the answers: the row of every curve."""
    return hashlib.sha256(label.astype("<i8").tobytes()).hexdigest()


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What draws the same set again, but for the seed."""
    return {name: getattr(options, name) for name in ("curves", "checkpoints", "sigma", "phi")}


def export(folder: Path, drawn: list[Row], options: argparse.Namespace) -> None:
    """Write the blind set: curves without names, and the seal of the answers."""
    loss, step, base, label = blind(drawn, options.seed)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "curves.npz", loss=loss.astype("f4"), step=step, base_sharpness=base)
    sealed = {"answers_sha256": key_hash(label), "n_curves": int(label.size), **settings(options)}
    (folder / "sealed.json").write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")
    print(f"{label.size} curves in {folder / 'curves.npz'}; score verdicts on them with the same seed.")


def read_verdicts(path: Path, n: int) -> np.ndarray:
    """Read `curve,sharp` (curve counts from 0), (n,) booleans."""
    with path.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    if not table or not {"curve", "sharp"} <= set(table[0]):
        raise SystemExit(f"{path} has no columns curve,sharp; expected them in its first line.")
    said: np.ndarray = np.full(n, -1)
    for line in table:
        curve, word = int(line["curve"]), line["sharp"].strip().lower()
        if not 0 <= curve < n or word not in ("0", "1", "true", "false"):
            raise SystemExit(f"{path} says {line}; expected a curve from 0 to {n - 1} and sharp 0 or 1.")
        said[curve] = word in ("1", "true")
    if (said < 0).any():
        raise SystemExit(f"{path} leaves {(said < 0).sum()} of {n} curves out, the first of them {np.argmin(said)}.")
    return said.astype(bool)


def unseal(folder: Path, options: argparse.Namespace) -> tuple[list[Row], np.ndarray]:
    """Draw an exported set again, from the seed and as it was sealed: its families, and the row of each curve."""
    sealed = json.loads((folder / "sealed.json").read_text(encoding="utf-8"))
    for name in settings(options):
        setattr(options, name, sealed[name])
    drawn = rows(options)
    loss, _, _, label = blind(drawn, options.seed)
    same = key_hash(label) == sealed["answers_sha256"]
    if not same or not np.allclose(np.load(folder / "curves.npz")["loss"], loss, rtol=1e-4, atol=1e-4):
        raise SystemExit(
            f"{folder} was not drawn from seed {options.seed}, or not by this version; expected its own seed."
        )
    return drawn, label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detectors", nargs="*", default=[*transitions.DETECTORS, *RIVALS])
    parser.add_argument("--curves", type=int, default=1000, help="curves a row")
    parser.add_argument("--checkpoints", type=int, default=100)
    parser.add_argument("--sigma", type=float, default=0.03, help="noise, in units of the drop")
    parser.add_argument("--phi", type=float, default=0.5, help="its autocorrelation")
    parser.add_argument("--seed", type=int, default=3000)
    parser.add_argument("--blind", type=Path, help="write a blind set to this folder; with --verdicts, the set judged")
    parser.add_argument("--verdicts", type=Path, help="score these verdicts on the blind set")
    options = parser.parse_args()
    if options.verdicts and not options.blind:
        parser.error("--verdicts needs --blind, the folder of the set that they judge")
    shares = {}
    if options.verdicts:
        drawn, label = unseal(options.blind, options)
        shares[options.verdicts.stem] = shares_of(read_verdicts(options.verdicts, label.size), label)
    else:
        drawn = rows(options)
    if options.blind and not options.verdicts:
        export(options.blind, drawn, options)
        return
    for name in options.detectors if not options.verdicts else []:
        start = time.perf_counter()
        shares[name] = score(name, drawn, options.seed)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(
        f"\nσ/H = {options.sigma}, φ = {options.phi}, {options.checkpoints} checkpoints, {options.curves} curves a row\n"
    )
    print(table(drawn, shares))


if __name__ == "__main__":
    main()
