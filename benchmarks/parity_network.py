"""How fast a parity network is trained and looked at, beside PyTorch on dense one-hot inputs, as the published code does it.

    python benchmarks/parity_network.py                # two threads; about three minutes
    python benchmarks/parity_network.py --threads 1    # or one
    python benchmarks/parity_network.py --quick        # a minute: fewer turns, two sizes

Both draw their own batches of 20000 (PyTorch as the published code does: a dense matrix of control bits and bits for
every step), train one hidden ReLU layer with AdamW at 1e-3, and take turns in one process at the same number of threads: a step
of PyTorch, ten of ours, late in training as far as Adam can tell. Printed are medians over turns, the ratio of wall times
with a 95 % interval of its median, the ratio of processor times (which other work on the machine distorts less), and the peak
memory of a process that only trains.

A look is loss and accuracy of one subtask on 1024 strings. Floors are what a step cannot beat if nothing but its arithmetic
took time: as a matrix product, at the rate of NumPy's here; and by tables of sixteen sums, at the rate at which the
first cache gives vectors up here.

Claims, wall time at two threads: at least 19 times at 500 subtasks and width 500, 28 at 500 and 100, 25 at 1000 and 500,
200 at 10⁴ and 500; at 10⁵ and 500, where PyTorch's batch alone would take 8 GB, a step costs at most twice that of 500 and
500, within 1 GiB. Each is printed with what was found, and whether it holds.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BATCH, N_BITS, K, EXPONENT, N_TEST = 20_000, 100, 3, 1.4, 1024
FASTER = {(500, 500): 19, (500, 100): 28, (1000, 500): 25, (10_000, 500): 200}
"""Subtasks, width → how many times faster than PyTorch, at least."""
MANY, SLOWER, MOST = (100_000, 500), 2, 1
"""Subtasks and width at which a step takes at most so many times what it takes at the first of the above, in so many GiB."""
TOGETHER = 10  # steps of ours in a turn


def dense(n_subtasks: int, width: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """A step of PyTorch (the batch, both passes, the optimiser), and a look at a subtask."""
    import torch

    rule = torch.arange(1, n_subtasks + 1, dtype=torch.float64) ** -EXPONENT
    sets = torch.stack([torch.randperm(N_BITS)[:K] for _ in range(n_subtasks)])
    model = torch.nn.Sequential(torch.nn.Linear(n_subtasks + N_BITS, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    loss = torch.nn.CrossEntropyLoss()

    def examples(subtask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bits = torch.randint(2, (len(subtask), N_BITS))
        x = torch.zeros(len(subtask), n_subtasks + N_BITS)
        x[torch.arange(len(subtask)), subtask] = 1
        x[:, n_subtasks:] = bits
        return x, bits.gather(1, sets[subtask]).sum(dim=1) % 2

    def step() -> None:
        x, label = examples(torch.multinomial(rule, BATCH, replacement=True))
        optimizer.zero_grad()
        loss(model(x), label).backward()
        optimizer.step()

    @torch.no_grad()
    def look() -> tuple[float, float]:
        x, label = examples(torch.full((N_TEST,), 7))
        z = model(x)
        return loss(z, label).item(), (z.argmax(dim=1) == label).double().mean().item()

    return step, look


def ours(n_subtasks: int, width: int, threads: int) -> Any:
    """A trainer of the fast path, late in training as far as Adam can tell."""
    import numpy as np

    from quanta.learners import _parity_data as data
    from quanta.learners import _parity_engine as engine
    from quanta.learners import _parity_reference as reference

    rng = np.random.default_rng(0)
    subtasks = data.parities(data.bit_sets("distinct", n_subtasks, N_BITS, K, rng), N_BITS)
    p = np.arange(1, n_subtasks + 1) ** -EXPONENT
    keys = rng.integers(2**64, size=2, dtype=np.uint64)
    stream, rule = data.Source(*keys, 0, *data.alias_table(p / p.sum())), reference.Rule("adam", 1e-3, 0.0)
    weights = engine.blocked(reference.initial(n_subtasks, N_BITS, width, 1, rng))
    moments = [weights.each(lambda array: engine.aligned(array.shape)) for _ in range(2)]
    state = engine.State(weights, *moments, np.zeros(n_subtasks, dtype=np.int64), np.array(0))
    trainer = engine.Trainer(state, stream, subtasks, rule, BATCH, threads)
    trainer.run(30)  # compiles, and touches every row that is touched often
    state.step[()] += 20_000
    state.last[state.last > 0] += 20_000
    return trainer


def looks(trainer: Any, width: int, shared: bool) -> Iterator[tuple[Any, Any]]:
    """Losses and accuracies of subtasks, piece after piece."""
    import numpy as np

    from quanta.learners import _parity_exam as exam
    from quanta.learners import _parity_reference as reference
    from quanta.learners._parity_state import Look

    for piece in exam.examine(trainer.state, trainer.subtasks, Look(width, np.uint64(7), N_TEST, shared, False)):
        right = (piece.z > 0) == piece.label
        yield reference.losses(piece.z, piece.label).mean(axis=1), right.mean(axis=1)


def timed(work: Callable[[], object], count: int = 1) -> tuple[float, float]:
    """Wall and processor time, in ms, of one of so many that a piece of work does."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - wall) / count, 1e3 * (time.process_time() - cpu) / count


def interval(values: list[float]) -> tuple[float, float]:
    """Distribution-free 95 % interval of the median (the widest there is, where values are fewer than six)."""
    from scipy.stats import binom

    rank = int(binom.ppf(0.025, len(values), 0.5))
    ordered = sorted(values)
    return ordered[max(rank - 1, 0)], ordered[min(len(values) - rank, len(values) - 1)]


def compare(n_subtasks: int, width: int, threads: int, turns: int) -> dict[str, Any]:
    """Times of steps and of looks, in ms, in this process; only of ours where there are too many subtasks for PyTorch."""
    import torch

    torch.set_num_threads(threads)
    trainer = ours(n_subtasks, width, threads)

    def steps() -> object:
        return trainer.run(int(trainer.state.step) + TOGETHER)

    if (n_subtasks, width) == MANY:
        return {"ours": statistics.median(timed(steps, TOGETHER)[0] for _ in range(turns))}
    step, look = dense(n_subtasks, width)
    step(), steps()
    pairs = [(timed(step), timed(steps, TOGETHER)) for _ in range(max(6, turns * 500 // max(n_subtasks, 500)))]
    theirs, mine = (
        [statistics.median(column) for column in zip(*side, strict=True)] for side in zip(*pairs, strict=True)
    )
    look()
    looked = [statistics.median(timed(look)[0] for _ in range(20))]
    for shared in (False, True):
        done = list(itertools.islice(looks(trainer, width, shared), 1))
        n = 20 * len(done[0][0])
        work = lambda shared=shared: list(itertools.islice(looks(trainer, width, shared), 20))  # noqa: E731
        looked.append(statistics.median(timed(work, n)[0] for _ in range(3)))
    return {
        "theirs": theirs[0],
        "ours": mine[0],
        "interval": interval([a[0] / b[0] for a, b in pairs]),
        "cpu": theirs[1] / mine[1],
        "looks": looked,
    }


def memory(n_subtasks: int, width: int, threads: int) -> float:
    """Peak memory of this process, in GiB, after a few steps of ours."""
    ours(n_subtasks, width, threads)
    words = Path("/proc/self/status").read_text(encoding="ascii").split()  # getrusage would tell what the parent had
    return int(words[words.index("VmHWM:") + 1]) / 2**20


def floors(threads: int, widths: tuple[int, ...]) -> None:
    """What the arithmetic of a step takes at least, on so many threads that do not hinder each other."""
    import numpy as np
    from numba import njit

    from quanta.learners._parity_vectors import LANES, lookups, store, zero

    rng = np.random.default_rng(0)
    x, w = (rng.random(shape, dtype=np.float32) for shape in ((BATCH, N_BITS), (N_BITS, 500)))
    product = min(timed(lambda: x @ w)[0] for _ in range(15)) / (500 * BATCH)  # ms of a column of an example

    @njit(nogil=True)
    def sums(words: np.ndarray, tables: np.ndarray, found: np.ndarray) -> None:
        total = zero()
        for s in range(words.size):
            total = total + lookups(tables, 0, words[s], (0,) * 16)
        store(found, 0, total)

    words, tables = rng.integers(2**64, size=100_000, dtype=np.uint64), rng.random(16 * 256, dtype=np.float32)
    found = np.zeros(LANES, dtype=np.float32)
    sums(words, tables, found)
    lookup = min(timed(lambda: sums(words, tables, found))[0] for _ in range(15)) / (16 * words.size)
    print(
        f"\nFloors of a step, on {threads} threads: one thread does {2e-6 * N_BITS / product:.0f} GFLOP/s, {1e-6 / lookup:.2f}e9 lookups/s"
    )
    for width in widths:
        blocks = -(-width // LANES)
        forward, backward = BATCH * blocks * -(-N_BITS // 4), BATCH * blocks * (N_BITS / 4 + 4)  # 4: tables are written
        print(
            f"width {width:4d}: {2 * BATCH * width * product / threads:7.2f} ms by matrix products, "
            f"{(forward + backward) * lookup / threads:6.2f} ms by tables"
        )


def child(*flags: object) -> Any:
    """What a process of its own finds."""
    words = [sys.executable, __file__, *map(str, flags)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def row(n_subtasks: int, width: int, found: dict[str, Any], peak: float) -> str:
    """A line of the table of steps, with what is claimed and whether it holds."""
    ratio, (low, high), least = found["theirs"] / found["ours"], found["interval"], FASTER[n_subtasks, width]
    return (
        f"{n_subtasks:8d} {width:5d} {found['theirs']:12.1f} {found['ours']:9.2f} {ratio:8.1f} ({low:6.1f}–{high:6.1f}) "
        f"{found['cpu']:9.1f} {peak:9.2f}   ≥ {least} times: {judged(ratio >= least)}"
    )


def row_of_many(found: dict[str, Any], few: dict[str, Any], peak: float) -> str:
    """The last line of that table: a step beside one of few subtasks."""
    ratio = found["ours"] / few["ours"]
    return (
        f"{MANY[0]:8d} {MANY[1]:5d} {'—':>12} {found['ours']:9.2f} {'—':>24} {'—':>9} {peak:9.2f}   "
        f"{ratio:.2f} times the step of {' and '.join(map(str, next(iter(FASTER))))}, ≤ {SLOWER}: {judged(ratio <= SLOWER)}; "
        f"≤ {MOST} GiB: {judged(peak <= MOST)}"
    )


def judged(true: bool) -> str:
    """Whether a claim holds."""
    return "holds" if true else "DOES NOT HOLD"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns and sizes")
    parser.add_argument("--threads", type=int, default=2, help="of both")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # of a process of its own
    options = parser.parse_args()
    threads, turns = options.threads, 7 if options.quick else 25
    if options.part:
        what, size = options.part[0], tuple(map(int, options.part[1:]))
        print(json.dumps(compare(*size, threads, turns) if what == "compare" else memory(*size, threads)))
        return
    more = ["--threads", threads, *(["--quick"] if options.quick else [])]
    print(
        f"A step of {BATCH} examples, {threads} threads\nsubtasks width   PyTorch ms   ours ms  ratio (of medians; 95 %)  "
        "cpu ratio  GiB, ours  claimed"
    )
    seen = {}
    for size in list(FASTER)[:2] if options.quick else FASTER:
        seen[size] = child(*more, "--part", "compare", *size)
        print(row(*size, seen[size], child(*more, "--part", "memory", *size)), flush=True)
    many = child(*more, "--part", "compare", *MANY)
    print(row_of_many(many, seen[next(iter(FASTER))], child(*more, "--part", "memory", *MANY)))
    print(
        f"\nA look at a subtask, {N_TEST} strings\nsubtasks width   PyTorch ms   ours, own   ratio   ours, shared  ratio"
    )
    for (n_subtasks, width), found in seen.items():
        theirs, own, common = found["looks"]
        print(
            f"{n_subtasks:8d} {width:5d} {theirs:12.2f} {own:11.3f} {theirs / own:7.1f} {common:14.3f} {theirs / common:6.1f}"
        )
    floors(threads, (500, 100))


if __name__ == "__main__":
    # threads that wait for each other do not take each other's time; NumPy's one is timed alone
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
