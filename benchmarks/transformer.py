"""The default transformer and its controls, over seeds: is its loss a composition, and do the controls stay smooth?

    python benchmarks/transformer.py --seeds 0 1 2                       # about 2 minutes a seed on one core
    python benchmarks/transformer.py --seeds 0 1 2 --learning-rate 0.3   # the noisier rate

Claim: mod 5, 32 subtasks, Zipf exponent 1.4, plain SGD at 0.1, 12,000 steps: nearly all subtasks finish, most are
sharper than the thresholds from both controls, in order of frequency; no subtask of the table or of the kernel flow
(followed for 250 times the network's own time) is sharp.
"""

import argparse
import collections

import numpy as np

from quanta import composition, train, transitions
from quanta._train_report import FLOW_TIMES
from quanta.frequencies import Zipf
from quanta.models import MODELS
from quanta.tasks import TASKS


def run(seed: int, rate: float, steps: int) -> list[str]:
    """Train a seed and its controls; rows of the table."""
    frequencies, task = Zipf(n_subtasks=32, exponent=1.4), TASKS["modular_arithmetic"]()

    def trained(model: str, **options: float):  # type: ignore[no-untyped-def]
        how = {"optimizer": "sgd", "steps": steps, "seed": seed, **options}
        return train.train(frequencies, task, MODELS[model](), **how)

    network = trained("decoder", learning_rate=rate)
    controls = [trained("tabular"), trained("kernel", learning_rate=rate, steps=steps * FLOW_TIMES)]
    rows = []
    for name, ds in zip(("network", "tabular", "kernel"), (network, *controls), strict=True):
        found = transitions.detect(ds)
        status = collections.Counter(found["status"].values.tolist())
        tested = found["complete"].values & np.isin(found["status"].values, ("sharp", "smooth"))
        q = np.nanquantile(found["sharpness"].values[tested], [0.1, 0.5, 0.9]) if tested.any() else [np.nan] * 3
        gamma, word = "", ""
        if name == "network":
            result = composition.test(ds, controls=controls)
            low, high = float(result["timing_exponent_low"]), float(result["timing_exponent_high"])
            gamma = f"{float(result['timing_exponent']):.2f} ({low:.2f}–{high:.2f})"
            word = result.attrs["verdict"]
        rows.append(
            f"| {seed} | {name} | {int(found['complete'].sum())} | {int(tested.sum())} | {status['sharp']} | "
            f"{q[0]:.2f} / {q[1]:.2f} / {q[2]:.2f} | {gamma} | {word} |"
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=12_000)
    options = parser.parse_args()
    print("| seed | model | finished of 32 | tested | sharp | S 10 / 50 / 90 % | timing exponent | verdict |")
    print("|---|---|--:|--:|--:|---|---|---|", flush=True)
    for seed in options.seeds:
        run(seed, options.learning_rate, options.steps)


if __name__ == "__main__":
    main()
