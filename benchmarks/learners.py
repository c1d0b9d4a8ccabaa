"""How fast learners run, one thread, beside plain NumPy and beside what the machine allows, in one run.

    python benchmarks/learners.py            # some minutes; --quick: a few seconds

Claims:

- noisy descent on a·b takes a step at least 10 times as fast as NumPy with its own normal numbers;
- subtasks are drawn at least 8 times as fast as by NumPy's searchsorted;
- a checkpoint of a sampled run does not cost more the more examples lie before it;
- a million subtasks at 200 checkpoints take at most 10 s and 3 GiB, for every learner of independent subtasks.

Times are CPU times, medians of interleaved repeats. The last column is the time over its floor: of noisy descent, its
normal numbers alone; of drawing, its random bits alone; of a million subtasks, writing their curves to fresh memory.

Last figures (two cores of an AMD EPYC, one or two other processes): noisy a·b 13.4, 10.8 and 10.2 times NumPy at 1e3, 1e5
and 1e6 subtasks, 1.6 to 2 times its floor; drawing 18, 16 and 12 times. A late checkpoint of 1000 subtasks 100 to 150 µs after
1e3 to 1e12 examples, slope 0.02; the first, in which they reach their hits, .2 to 1.8 ms. A million subtasks, expected:
1.6 to 5.7 s (threshold), .9 GiB; sampled: exponential 6.1 s, threshold 6.2, power law 6.5, quantum 7.2, stretched 8.8,
multilinear 10, hyperbolic 10.3, all 1.8 GiB. Of these 2.5 to 4 s are page faults: the first touch of 2.4 GB of fresh memory
alone took 6.6 s on this machine, the second .4. (The floor below is of memory that was used before.)
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numba import njit

from quanta.frequencies import Zipf
from quanta.learners import LEARNERS, AbstractIndependent, Multilinear, Threshold, _kernels, _noisy_kernels, _random

KEY = _random.new_key(np.random.default_rng(0))
BLOCK = 512

MILLION = """
import json, resource, sys, time
import numpy as np
from quanta import simulate
from quanta.frequencies import Zipf
from quanta.learners import LEARNERS
name, dynamics, n, checkpoints = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
simulate.simulate(Zipf(n_subtasks=100), LEARNERS[name](), dynamics=dynamics, n_checkpoints=9)  # compile
wall, cpu = time.perf_counter(), time.process_time()
ds = simulate.simulate(Zipf(n_subtasks=n), LEARNERS[name](), dynamics=dynamics, n_checkpoints=checkpoints)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum(ds[v].nbytes for v in ("loss", "exposures") if v in ds)
del ds
floor = time.process_time()
np.empty(size // 8).fill(1.0)
floor = time.process_time() - floor
print(json.dumps({"wall": wall, "cpu": cpu, "memory": memory * 1024, "floor": floor}))
"""


def medians(*works: Callable[[], Any], repeats: int = 5) -> list[float]:
    """CPU seconds of each, its first call left out."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, taken in zip(works, times, strict=True):
            began = time.process_time()
            work()
            taken.append(time.process_time() - began)
    return [float(np.median(taken)) for taken in times]


def row(name: str, ours: float, theirs: float, floor: float, n: int) -> None:
    print(
        f"{name:<44} {1e9 * ours / n:7.2f} ns   NumPy {1e9 * theirs / n:7.2f} ns   ratio {theirs / ours:5.1f}"
        f"   over its floor {ours / floor:4.1f}"
    )


@njit
def only_normals(key, n, steps):
    high, low = np.empty(BLOCK, dtype=np.uint32), np.empty(BLOCK, dtype=np.uint32)
    x, y = np.empty(BLOCK, dtype=np.float32), np.empty(BLOCK, dtype=np.float32)
    for first in range(0, n * steps, BLOCK):
        _random.normals(key, np.uint64(first), high, low, x, y)
    return x[0]


@njit
def only_bits(key, drawn):
    for i in range(drawn.size):
        drawn[i] = _random.squares(np.uint64(i), key)


def noisy(n: int, work: int) -> None:
    """A step of noisy descent, for each subtask; ``work`` subtask-steps of ours, a tenth of them of NumPy."""
    p, learner, batch = Zipf(n_subtasks=n).probabilities(), Multilinear(noise=0.05), 64
    drift = learner.rate * batch * p
    kick = learner.rate * learner.noise * np.sqrt(batch * p)
    levels = np.array([0.06, 0.3, 0.7])
    steps = max(10, work // n)
    rng, x, y, pull, peak = np.random.default_rng(0), *np.empty((4, n))

    def ours() -> None:
        a, b = np.full((2, n), 0.1)
        crossed = np.full((n, 3), np.nan)
        _noisy_kernels.descend(KEY, np.int64(0), np.int64(steps), a, b, drift, kick, 1.0, levels, crossed)

    def plain() -> None:  # the same arithmetic, in place, with the largest strength kept as ours does
        a, b = np.full((2, n), 0.1)
        for _ in range(steps // 10):
            rng.standard_normal(out=x)
            rng.standard_normal(out=y)
            np.multiply(a, b, out=pull)
            np.subtract(1.0, pull, out=pull)
            np.multiply(pull, drift, out=pull)
            np.multiply(x, kick, out=x)
            np.multiply(y, kick, out=y)
            np.add(x, pull * b, out=x)
            np.add(y, pull * a, out=y)
            np.add(a, x, out=a)
            np.add(b, y, out=b)
            np.maximum(peak, a * b, out=peak)

    own, theirs, floor = medians(ours, plain, lambda: only_normals(KEY, n, steps))
    row(f"noisy a·b, {n} subtasks: a step", own, theirs * steps / (steps // 10), floor, n * steps)


def drawing(n: int, work: int) -> None:
    """Drawing a subtask, from the same law."""
    p = Zipf(n_subtasks=n).probabilities()
    table, cumulative, rng = _kernels.table_of(p), np.cumsum(p), np.random.default_rng(0)
    drawn = np.empty(work, dtype=np.uint64)
    own, theirs, floor = medians(
        lambda: _kernels.draw(KEY, np.uint64(0), table, drawn),
        lambda: np.searchsorted(cumulative, rng.random(work)),
        lambda: only_bits(KEY, drawn),
    )
    row(f"drawing, {n} subtasks: an example", own, theirs, floor, work)


def gaps(n: int) -> None:
    """A checkpoint of a sampled run, by the number of examples since the last: of the first one, and of a late one.

    In the first, the more subtasks reach their hits the more examples there are, and each must be told when; in the late
    one none is left to.
    """
    learner, examples = Threshold(), 10.0 ** np.array([3, 4, 5, 6, 7, 8, 9, 12])
    state = learner.start(Zipf(n_subtasks=n).probabilities(), np.random.default_rng(0), dynamics="sampled")
    for name, before in (("first", 0), ("late", 10**13)):
        state = learner.advance(state, before)
        works = [lambda to=before + int(gap), s=state: learner.measure(learner.advance(s, to)) for gap in examples]
        taken = np.array(medians(*works, repeats=9))
        slope = np.polyfit(np.log(examples[:-1]), np.log(taken[:-1]), 1)[0]
        cells = "  ".join(f"{gap:.0e}: {1e6 * t:.0f}" for gap, t in zip(examples, taken, strict=True))
        print(f"{name} checkpoint of {n} sampled subtasks, µs after examples: {cells}; log-log slope {slope:.2f}")


def million(n: int, checkpoints: int) -> None:
    """Every learner of independent subtasks, each in a process of its own."""
    for name, learner in LEARNERS.items():
        if not issubclass(learner, AbstractIndependent):
            continue
        for dynamics in learner().dynamics:
            words = [sys.executable, "-c", MILLION, name, dynamics, str(n), str(checkpoints)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            got = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name:<14} {dynamics:<9} {n} x {checkpoints}: {got['wall']:6.2f} s, CPU {got['cpu']:6.2f} s,"
                f" {got['memory'] / 2**30:5.2f} GiB   over its floor {got['cpu'] / max(got['floor'], 1e-9):5.1f}"
            )


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    for n in (10**3,) if quick else (10**3, 10**5, 10**6):
        noisy(n, 10**6 if quick else 3 * 10**7)
    for n in (10**3,) if quick else (10**3, 10**5, 10**6):
        drawing(n, 10**5 if quick else 10**6)
    gaps(1000)
    million(*((10**4, 50) if quick else (10**6, 200)))
