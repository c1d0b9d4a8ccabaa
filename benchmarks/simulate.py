"""How fast learners are simulated, beside plain NumPy doing the same work in the same run.

    python benchmarks/simulate.py            # about a minute; --quick: a few seconds

Claims, each a ratio of two times (NumPy / ours, of one run on one core):

- expected dynamics are NumPy and cost about what their formula costs: the record and its labels add little;
- sampled dynamics leap: they cost the number of checkpoints, not of examples. They are no slower than NumPy's own
  leaps (a multinomial draw for every gap, a random subset for every crossing), which draw the same law.

Last figures (two shared cores, both busy, so ± 30 %): multilinear 0.9; m hits, sampled, 8e9 examples in 1.1 s (4.8 s
with compilation), 1.6; 2e7 examples, against drawing each, 1.5. Warm command, 1000 subtasks, --no-detect: 1.4 s
(multilinear, exponential), 1.5 s (threshold), of which 1.1 s is importing xarray and zarr; --help 0.3 s.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp()  # so that a first call compiles

from quanta import simulate
from quanta._grid import log_spaced
from quanta.frequencies import Zipf
from quanta.learners import Multilinear, Threshold


def formula_in_numpy(p: np.ndarray, learner: Multilinear, when: np.ndarray) -> np.ndarray:
    """Losses of the multilinear mean field, (n_subtasks, n_steps), from its formula alone."""
    loss = np.empty((p.size, when.size), dtype=np.float32)
    gap = learner.target / learner.initial - 1
    for i, t in enumerate(when):
        strength = learner.target / (1 + gap * np.exp(-2 * learner.rate * learner.target * p * t))
        loss[:, i] = 0.5 * (learner.target - strength) ** 2
    return loss


def leaps_in_numpy(p: np.ndarray, hits: int, when: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sampled losses of the m-hits learner, and its onsets: a multinomial draw for every gap, a subset for a crossing."""
    rng = np.random.default_rng(0)
    loss = np.empty((p.size, when.size), dtype=np.float32)
    onset = np.full(p.size, np.nan)
    counts = np.zeros(p.size, dtype=np.int64)
    for i, gap in enumerate(np.diff(when, prepend=0)):
        before, counts = counts, counts + rng.multinomial(gap, p)
        for k in np.flatnonzero((before < hits) & (counts >= hits)):
            places = rng.choice(gap, counts[k] - before[k], replace=False, shuffle=False)
            onset[k] = when[i - 1] + np.partition(places, hits - before[k] - 1)[hits - before[k] - 1] + 1
        loss[:, i] = counts < hits
    return loss, onset


def examples_in_numpy(p: np.ndarray, hits: int, when: np.ndarray) -> np.ndarray:
    """The same, every example drawn."""
    rng = np.random.default_rng(0)
    loss = np.empty((p.size, when.size), dtype=np.float32)
    counts = np.zeros(p.size, dtype=np.int64)
    for i, gap in enumerate(np.diff(when, prepend=0)):
        drawn = np.searchsorted(np.cumsum(p), rng.random(gap))
        counts += np.bincount(np.minimum(drawn, p.size - 1), minlength=p.size)
        loss[:, i] = counts < hits
    return loss


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Time of the first call, and the best of the next three."""
    times = []
    for _ in range(4):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times[0], min(times[1:])


def compare(name: str, ours: Callable[[], Any], plain: Callable[[], Any]) -> None:
    first, warm = seconds(ours)
    _, theirs = seconds(plain)
    print(f"{name:<62} first {first:7.3f} s   warm {warm:7.3f} s   NumPy {theirs:7.3f} s   ratio {theirs / warm:6.1f}")


def libraries(n: int, examples: int) -> None:
    zipf, learner, threshold = Zipf(n_subtasks=n), Multilinear(), Threshold()
    p = zipf.probabilities()
    when = log_spaced(simulate.default_steps(p, learner), 200)
    compare(
        f"multilinear, expected, {n} subtasks",
        lambda: simulate.simulate(zipf, learner),
        lambda: formula_in_numpy(p, learner, when),
    )
    when = log_spaced(simulate.default_steps(p, threshold), 200)
    compare(
        f"threshold, sampled, {n} subtasks, {when[-1]:.1e} examples",
        lambda: simulate.simulate(zipf, threshold, dynamics="sampled"),
        lambda: leaps_in_numpy(p, threshold.hits, when),
    )
    short = log_spaced(examples, 200)
    compare(
        f"threshold, sampled, {n} subtasks, {examples:.1e} examples, one by one",
        lambda: simulate.simulate(zipf, threshold, steps=examples, dynamics="sampled"),
        lambda: examples_in_numpy(p, threshold.hits, short),
    )


def commands() -> None:
    """Wall time of the command, each in a process of its own; the cache of compiled code warm from the second on."""
    with tempfile.TemporaryDirectory() as folder:
        for learner in ("multilinear", "threshold", "exponential"):
            flags = ["--n-subtasks", "1000", "--no-detect", "--quiet", "--overwrite", "--out", f"{folder}/{learner}"]
            words = [sys.executable, "-m", "quanta.simulate", "--learner", learner, *flags]
            first, warm = seconds(lambda words=words: subprocess.run(words, check=True, capture_output=True))
            print(f"python -m quanta.simulate --no-detect, {learner:<23} first {first:7.3f} s   warm {warm:7.3f} s")
    words = [sys.executable, "-m", "quanta.simulate", "--help"]
    _, warm = seconds(lambda: subprocess.run(words, check=True, capture_output=True))
    print(f"{'python -m quanta.simulate --help':<62}                   warm {warm:7.3f} s")


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    libraries(*((2_000, 10**5) if quick else (100_000, 2 * 10**7)))
    commands()
