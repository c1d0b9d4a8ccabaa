"""Exponents in parameters, steps and data, of the parity network and of a transformer, each from one sweep.

    python -m quanta.sweep benchmarks/sweeps/parity.toml --out runs/sweep-parity             # six minutes of one core
    python -m quanta.sweep benchmarks/sweeps/transformer.toml --out runs/sweep-transformer   # ten
    python benchmarks/exponents.py runs/sweep-parity runs/sweep-transformer                  # the table; seconds

N is the width. Of the parity network D is the number of training examples, and the loss counts where it is lowest (early
stopping); of the transformer, whose every example is fresh, D is what it has seen, along training. Each exponent is of the other
resources at their most. Both the default law and a straight line are fitted, with 95 % intervals over subtasks drawn anew.
"""

import argparse
import warnings
from pathlib import Path

import xarray as xr

from quanta import scaling, sweep
from quanta._errors import InputError

ALPHA = 0.4  # frequencies fall as k^-1.4 in both
THEORY = {"N": ALPHA, "S": ALPHA / (1 + ALPHA), "D": ALPHA / (1 + ALPHA)}
PUBLISHED = {"N": 0.332, "S": 0.346, "D": 0.308}  # of parity at this alpha: Michaud et al. (2023)
LAWS = {"free offset": scaling.PowerLaw(), "none": scaling.PowerLaw(offset="none")}


def axes(ds: xr.Dataset) -> dict[str, tuple[xr.Dataset, str]]:
    """Of each resource the runs in which the others are at their most, and along what it changes."""
    if "n_examples" in ds.dims:
        fresh = ds.sel(n_examples=0)
        limited = ds.sel(n_examples=ds["n_examples"] > 0)
        return {"N": (fresh, "width"), "S": (fresh.isel(width=-1), "step"), "D": (limited.isel(width=-1), "n_examples")}
    most = ds.isel(batch_size=-1)
    return {"N": (most, "width"), "S": (most.isel(width=-1), "step"), "D": (most.isel(width=-1), "examples")}


def window(ds: xr.Dataset, along: str) -> tuple[float, float] | None:
    """Along training, from where a tenth of the fall is made."""
    if along not in ("step", "examples"):
        return None
    loss = (ds["loss"] * ds["weight"]).sum("subtask").mean("seed").transpose("step").values
    first = int((loss < loss[0] - 0.1 * (loss[0] - loss.min())).argmax())
    return float(ds[along].values[first]), float(ds[along].values[-1])


def cell(law: scaling.AbstractScalingLaw, ds: xr.Dataset, along: str) -> str:
    """An exponent with its interval, or why there is none."""
    try:
        found = scaling.fit_record(law, ds, along=along, window=window(ds, along))
    except InputError as error:
        return f"– ({error})"
    low, high = found.interval["alpha"]
    doubt = "" if found.converged and not found.at_bound else " (doubtful)"
    return f"{found.estimate['alpha']:.2f} ({low:.2f}–{high:.2f}){doubt}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    warnings.simplefilter("error", RuntimeWarning)
    print("| sweep | resource | free offset | none | theory | published |\n|---|---|--:|--:|--:|--:|")
    for path in parser.parse_args().sweeps:
        ds = sweep.load(path)
        for name, (part, along) in axes(ds).items():
            cells = [cell(law, part, along) for law in LAWS.values()]
            published = f"{PUBLISHED[name]:.2f}" if "n_examples" in ds.dims else ""
            print(
                f"| {path.name} | {name}, along {along} | {cells[0]} | {cells[1]} | {THEORY[name]:.2f} | {published} |"
            )


if __name__ == "__main__":
    main()
