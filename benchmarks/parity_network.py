"""How fast a parity network is trained, beside PyTorch on dense one-hot inputs, as the published code trains it.

    python benchmarks/parity_network.py             # two threads and one; about five minutes
    python benchmarks/parity_network.py --quick     # a minute; fewer steps and sizes

Both draw their own batches of 20000 (PyTorch as the published code does: a dense matrix of control bits and bits for
every step), train one hidden ReLU layer with AdamW at 1e-3, and take turns in one process at the same number of threads.
Ours is timed at step 20000 and later of its own clock, when momentum is caught up by series. Columns: medians of the wall
time of a step, their ratio, and the ratio of processor time, which a busy machine distorts less.

Claims, wall time at two threads: at least 19 times at 500 subtasks and width 500, 28 at 500 and 100, 25 at 1000 and 500,
200 at 10⁴ and 500; at 10⁵ and 500 a step costs at most twice that of 500 and 500, within 1 GiB.

Last figures (two AMD EPYC cores with AVX-512, shared with other work; wall ratio at two threads, cpu ratio at one):
500/500 24, 24; 500/100 25, 25 (short of 28); 1000/500 36, 37; 10⁴/500 237, 232; 10⁵/500 takes 1.2 times the step of
500/500, and 0.75 GiB.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

BATCH, N_BITS, K, EXPONENT = 20_000, 100, 3, 1.4
SIZES = ((500, 500), (500, 100), (1000, 500), (10_000, 500))


def dense(n_subtasks: int, width: int) -> Callable[[], object]:
    """A step of PyTorch: the batch, both passes, the optimiser."""
    import torch

    rule = torch.arange(1, n_subtasks + 1, dtype=torch.float64) ** -EXPONENT
    sets = torch.stack([torch.randperm(N_BITS)[:K] for _ in range(n_subtasks)])
    model = torch.nn.Sequential(torch.nn.Linear(n_subtasks + N_BITS, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    loss = torch.nn.CrossEntropyLoss()

    def step() -> None:
        subtask = torch.multinomial(rule, BATCH, replacement=True)
        bits = torch.randint(2, (BATCH, N_BITS))
        x = torch.zeros(BATCH, n_subtasks + N_BITS)
        x[torch.arange(BATCH), subtask] = 1
        x[:, n_subtasks:] = bits
        label = bits.gather(1, sets[subtask]).sum(dim=1) % 2
        optimizer.zero_grad()
        loss(model(x), label).backward()
        optimizer.step()

    return step


def ours(n_subtasks: int, width: int, threads: int) -> Callable[[], object]:
    """A step of the fast path, late in training as far as Adam can tell."""
    import numpy as np

    from quanta.learners import _parity_data as data
    from quanta.learners import _parity_engine as engine
    from quanta.learners import _parity_reference as reference

    rng = np.random.default_rng(0)
    subtasks = data.parities(data.bit_sets("distinct", n_subtasks, N_BITS, K, rng), N_BITS)
    p = np.arange(1, n_subtasks + 1) ** -EXPONENT
    stream = data.source(p / p.sum(), rng)
    state = engine.start(reference.initial(n_subtasks, N_BITS, width, 1, rng))
    trainer = engine.Trainer(state, stream, subtasks, reference.Rule("adam", 1e-3, 0.0), BATCH, threads)
    trainer.run(30)  # compiles, and touches every row that is touched often
    state.step[()] += 20_000
    state.last[state.last > 0] += 20_000
    return lambda: trainer.run(int(state.step) + 1)


def times(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall and processor time of a step of each, in ms, taking turns; the quicker one makes more steps in a turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for name, work in works.items():
        work()
        found[name].clear()
    for _ in range(repeats):
        for name, work in works.items():
            for _ in range(1 if name == "dense" else 5):
                wall, cpu = time.perf_counter(), time.process_time()
                work()
                found[name].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return {
        name: tuple(statistics.median(column) for column in zip(*rows, strict=True)) for name, rows in found.items()
    }


def compare(threads: int, sizes: tuple[tuple[int, int], ...], repeats: int) -> None:
    """A line for each size, in this process."""
    import torch

    torch.set_num_threads(threads)
    for n_subtasks, width in sizes:
        works = {"dense": dense(n_subtasks, width), "ours": ours(n_subtasks, width, threads)}
        (dense_wall, dense_cpu), (wall, cpu) = times(works, max(2, repeats * 500 // max(n_subtasks, 500))).values()
        print(
            f"{n_subtasks:8d} {width:6d} {threads:8d} {dense_wall:12.1f} {wall:12.2f} {dense_wall / wall:8.1f} "
            f"{dense_cpu / cpu:10.1f}", flush=True,
        )  # fmt: skip


def alone(n_subtasks: int, width: int, threads: int, repeats: int) -> None:
    """Time and memory of ours alone, in this process."""
    (found,) = times({"ours": ours(n_subtasks, width, threads)}, repeats).values()
    words = Path("/proc/self/status").read_text(encoding="ascii").split()  # getrusage would tell what the parent had
    peak = int(words[words.index("VmHWM:") + 1]) / 2**20
    print(f"{n_subtasks:8d} {width:6d} {threads:8d} {'':12} {found[0]:12.2f}   peak memory {peak:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and sizes")
    parser.add_argument("--threads", type=int, nargs="*", default=[2, 1], help="numbers of threads, one after another")
    parser.add_argument("--part", nargs=3, type=int, help=argparse.SUPPRESS)  # of a process of its own
    options = parser.parse_args()
    repeats = 5 if options.quick else 15
    if options.part:
        n_subtasks, width, threads = options.part
        alone(n_subtasks, width, threads, repeats)
        return
    print("subtasks  width  threads     dense ms      ours ms    ratio  cpu ratio")
    for threads in options.threads:
        compare(threads, SIZES[:2] if options.quick else SIZES, repeats)
        for n_subtasks in (500, 100_000):
            words = [sys.executable, __file__, "--part", str(n_subtasks), "500", str(threads)]
            subprocess.run([*words, *(["--quick"] if options.quick else [])], check=True)


if __name__ == "__main__":
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # threads that wait for each other do not take each other's time
    main()
