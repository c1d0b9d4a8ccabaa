"""Counts of drawn subtasks, exact at any number of draws: Numba kernels, serial, so that a key gives one result.

Drawing is never repeated example by example. A count that needs many draws is first taken from a law that is cheap and
a little too small in the mean; where it has not overshot, what is missing is drawn one by one.
"""

import math
from typing import Any

import numpy as np

from quanta.learners._random import inner, kernel, squares, uniform

Generator = Any  # np.random.Generator: Numba draws the very stream that NumPy would

_FEW = 16  # below it, one by one
_SHORT = 2.0  # standard deviations by which a first draw aims short; one in fifty overshoots, and is repeated
_RARE = 10.0  # mean below which Poisson counts are drawn by inversion
_INVERSE = np.append(0.0, 1 / np.arange(1.0, 100.0))
_BLOCK = 512  # subtasks at once: what is known of them stays in the first cache
_ONE = np.uint64(1)
_HEAD = 2**12 - 1  # most frequent subtasks that have a table of their own, where there are many more
_MANY = 2**18
_OTHERS = np.uint64(2**63)  # numbers of draws from here on are of the other table
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


# ------------------------------------------------------------------------------------------------ which subtask


def table_of(p: np.ndarray) -> np.ndarray:
    """What ``draw`` draws from with probabilities p, (n_subtasks,): one alias table, or two.

    A table of a million cells is larger than a cache, and of every draw one cell is wanted, anywhere. But nearly all draws
    are of a few subtasks. Where the 4095 most frequent have half of the mass, they and "any other" have a small table of
    their own, and a second one has the others.

    Returns
    -------
    np.ndarray, (n,) uint64
        First the number of cells of the small table, 0 where there is none; then its cells, the subtask of each, and the
        cells of the other.
    """
    none = np.zeros(1, dtype=np.uint64)
    if p.size <= _MANY:
        return np.concatenate([none, alias_table(p)])
    head = np.argpartition(-p, _HEAD)[:_HEAD]
    others = p.copy()
    others[head] = 0
    if not 0 < others.sum() < 0.5 * p.sum():
        return np.concatenate([none, alias_table(p)])
    small = alias_table(np.append(p[head], others.sum()))
    names = np.append(head.astype(np.uint64), _OTHERS)
    return np.concatenate([none + np.uint64(small.size), small, names, alias_table(others)])


def alias_table(p: np.ndarray) -> np.ndarray:
    """Table from which ``choose`` draws with probabilities p, (n_subtasks,), exact to 2^-63 each.

    Returns
    -------
    np.ndarray, shape (2^b,), uint64
        Of each of 2^b ≥ n_subtasks equal cells: how much of it is its own, of 2^(63 - b), above b bits that say whose
        the rest is. One word, since drawing waits for memory.

    References
    ----------
    Walker (1977), An efficient method for generating discrete random variables with general distributions; Vose (1991),
    A linear algorithm for generating random numbers with a given distribution.
    """
    size = 1 << max(1, (p.size - 1).bit_length())
    weight = np.zeros(size, dtype=np.uint64)
    weight[: p.size] = p / p.sum() * 2.0**63
    with np.errstate(over="ignore"):  # what rounding left over, or took, wraps around
        weight[np.argmax(p)] += np.uint64(2**63) - weight.sum(dtype=np.uint64)
    table = np.empty(size, dtype=np.uint64)
    _fill_cells(weight, np.uint64(size.bit_length() - 1), table)
    return table


@kernel
def _fill_cells(weight: np.ndarray, n_bits: np.uint64, table: np.ndarray) -> None:
    """Fill every cell that its own weight does not fill from one that overflows; ``weight`` is used up."""
    cell = _ONE << (np.uint64(63) - n_bits)
    todo = np.empty(
        weight.size, dtype=np.int64
    )  # from the left those that do not fill their cell, from the right others
    n_small, large = 0, weight.size
    for k in range(weight.size):
        if weight[k] < cell:
            todo[n_small] = k
            n_small += 1
        else:
            large -= 1
            todo[large] = k
    while n_small > 0:
        n_small -= 1
        small, donor = todo[n_small], todo[large]
        table[small] = (weight[small] << n_bits) | np.uint64(donor)
        weight[donor] -= cell - weight[small]
        if weight[donor] < cell:
            large += 1
            todo[n_small] = donor
            n_small += 1
    for i in range(large, weight.size):
        table[todo[i]] = np.uint64(todo[i])  # all of it is its own, by either way


@inner
def choose(bits: np.uint64, table: np.ndarray, n_bits: np.uint64) -> np.uint64:
    """The subtask that 64 random bits choose from an alias table of 2^n_bits cells; without a branch to mispredict."""
    cell = bits >> (np.uint64(64) - n_bits)
    rest = (bits << n_bits) >> (n_bits + _ONE)
    entry = table[cell]
    other = entry & ((_ONE << n_bits) - _ONE)
    own = np.uint64(0) - np.uint64(rest < (entry >> n_bits))
    return other ^ ((other ^ cell) & own)


@kernel
def draw(key: np.uint64, first: np.uint64, table: np.ndarray, drawn: np.ndarray) -> None:
    """Fill ``drawn`` (n,) uint64 with subtasks: numbers ``first`` to ``first + n`` of the key, below 2^63."""
    n_small = int(table[0])
    small, names, cells = table[1 : 1 + n_small], table[1 + n_small : 1 + 2 * n_small], table[1 + 2 * n_small :]
    n_bits = np.uint64(math.log2(cells.size))
    for start in range(0, drawn.size, _BLOCK):
        some, number = drawn[start : start + _BLOCK], first + np.uint64(start)
        for i in range(some.size):
            some[i] = squares(number + np.uint64(i), key)
        if n_small > 0:
            draw_head(key, number, small, names, cells, some)
        else:  # a loop of its own, so short that many cells are on their way from memory at once
            for i in range(some.size):
                some[i] = choose(some[i], cells, n_bits)


@inner
def draw_head(
    key: np.uint64, number: np.uint64, small: np.ndarray, names: np.ndarray, cells: np.ndarray, some: np.ndarray
) -> None:
    """Turn random bits ``some`` into subtasks by the small table, and where it says "any other" by the other, anew."""
    n_bits, n_more = np.uint64(math.log2(small.size)), np.uint64(math.log2(cells.size))
    for i in range(some.size):
        some[i] = names[choose(some[i], small, n_bits)]
    for i in range(some.size):
        if some[i] == _OTHERS:
            some[i] = choose(squares(_OTHERS + number + np.uint64(i), key), cells, n_more)


# ------------------------------------------------------------------------------------------------ how many of each


@kernel
def scatter_hits(key: np.uint64, n: int, p: np.ndarray, table: np.ndarray, hits: np.ndarray) -> None:
    """Add a multinomial draw of ``n`` examples to ``hits`` (n_subtasks,), in place.

    Independent Poisson counts are multinomial given their total. They are drawn with a mean total of m - 2 √m where m
    are missing, and again if the total is above m (which looks at the total alone, so the law is kept), until few are
    missing; these are drawn one by one. The cost is that of the smaller of n and log log n passes over n_subtasks.
    """
    counts = np.empty(p.size, dtype=np.int64)
    missing, counter = n, np.uint64(0)
    while missing > max(_FEW, 2 * p.size):
        total, counter = poisson_counts(key, counter, missing - _SHORT * math.sqrt(missing), p, counts)
        if total <= missing:
            missing -= total
            for k in range(p.size):
                hits[k] += counts[k]
    drawn = np.empty(_BLOCK, dtype=np.uint64)
    for start in range(0, missing, _BLOCK):
        some = drawn[: missing - start]
        draw(key, counter + np.uint64(start), table, some)
        for i in range(some.size):
            hits[some[i]] += 1


@inner
def poisson_counts(
    key: np.uint64, counter: np.uint64, n: float, p: np.ndarray, counts: np.ndarray
) -> tuple[int, np.uint64]:
    """Poisson counts of mean n · p, (n_subtasks,) int64; returns their total, and where the key has got to."""
    mean, u, v, first = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    again = counter + np.uint64(2 * p.size)  # numbers for those that reject their first
    total = 0
    for start in range(0, p.size, _BLOCK):
        size = min(_BLOCK, p.size - start)
        try_all(key, counter + np.uint64(2 * start), n, p[start : start + size], mean, u, v, first)
        for i in range(size):
            if u[i] < 1.0 - mean[i]:  # below exp(-mean), which costs more
                count = 0
            elif mean[i] < _RARE:
                count = poisson_by_inversion(u[i], mean[i])
            elif first[i] >= 0:
                count = int(first[i])
            else:
                count, again = poisson_by_rejection(key, again, mean[i], u[i], v[i])
            counts[start + i] = count
            total += count
    return total, again


@inner
def poisson_by_inversion(u: float, mean: float) -> int:
    """The count at which the distribution function passes u."""
    term, count = math.exp(-mean), 0
    while u > term and count < _INVERSE.size - 1:  # never so many, but for rounding: 1e-60 of them at a mean of 10
        u -= term
        count += 1
        term *= mean * _INVERSE[count]
    return count


@inner
def try_all(
    key: np.uint64,
    counter: np.uint64,
    n: float,
    p: np.ndarray,
    mean: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    first: np.ndarray,
) -> None:
    """For every subtask its mean, two uniform numbers, and the count that they give where accepted at a glance, or -1."""
    for i in range(p.size):
        mean[i] = n * p[i]
        u[i] = uniform(counter + np.uint64(2 * i), key)
        v[i] = uniform(counter + np.uint64(2 * i + 1), key)
    for i in range(p.size):
        count, edge, b = hat(u[i], max(mean[i], _RARE))
        glance = (edge >= 0.07) & (v[i] * (b - 2) <= 0.9277 * (b - 2) - 3.6224)
        first[i] = count if glance else -1.0


@inner
def hat(u: float, mean: float) -> tuple[float, float, float]:
    """A count under the hat of Hörmann's table, how near u is to its ends, and the hat's width."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    edge = 0.5 - abs(u - 0.5)
    return np.floor((2 * (-0.059 + 0.02483 * b) / edge + b) * (u - 0.5) + mean + 0.43), edge, b


@inner
def poisson_by_rejection(key: np.uint64, counter: np.uint64, mean: float, u: float, v: float) -> tuple[int, np.uint64]:
    """A Poisson count of mean 10 or more, from u and v where they are accepted: PTRS.

    Its hat is tested against ``poisson_log_pmf``, which holds all its digits where factorials lose theirs.

    References
    ----------
    Hörmann (1993), The transformed rejection method for generating Poisson random variables.
    """
    while True:
        count, edge, b = hat(u, mean)
        if count >= 0 and not (edge < 0.013 and v > edge):
            height = (1.1239 + 1.1328 / (b - 3.4)) / ((-0.059 + 0.02483 * b) / (edge * edge) + b)
            if math.log(v * height) <= poisson_log_pmf(count, mean):
                return int(count), counter
        u, v = uniform(counter, key), uniform(counter + _ONE, key)
        counter += np.uint64(2)


@inner
def poisson_log_pmf(count: float, mean: float) -> float:
    """Logarithm of P(count), to √mean · 1e-15: by its distance from the mean, where factorials leave mean · 1e-14.

    References
    ----------
    Loader (2000), Fast and accurate computation of binomial probabilities.
    """
    if count < 10:
        return count * math.log(mean) - mean - math.lgamma(count + 1)
    x = (count - mean) / mean
    stirling = 1 / (12 * count) - 1 / (360 * count**3) + 1 / (1260 * count**5)
    return -mean * ((1 + x) * math.log1p(x) - x) - 0.5 * math.log(count) - _HALF_LOG_2PI - stirling


# ------------------------------------------------------------------------------------------------ when


@kernel
def mark_crossings(
    rng: Generator,
    start: int,
    stop: int,
    before: np.ndarray,
    after: np.ndarray,
    levels: np.ndarray,
    crossed: np.ndarray,
) -> None:
    """Write into ``crossed`` (n_subtasks, n_levels) when counts reached ``levels`` (ascending) in (start, stop].

    Given how many hits fell between two moments, their places are a random subset of the examples between.
    """
    places = np.empty(_FEW, dtype=np.int64)
    for k in range(before.size):
        if levels.size == 0 or after[k] < levels[0] or before[k] >= levels[-1]:
            continue
        position, seen = 0, before[k]
        for j in range(levels.size):
            if levels[j] <= before[k]:
                continue
            if levels[j] > after[k]:
                break
            if levels[j] > seen:
                position += nth_place(rng, levels[j] - seen, after[k] - seen, stop - start - position, places)
                seen = levels[j]
            crossed[k, j] = start + position


@inner
def nth_place(rng: Generator, nth: int, hits: int, gap: int, places: np.ndarray) -> int:
    """Place (1-based) of the nth of ``hits`` spread at random over ``gap`` places: cut, until few hits are left.

    Cuts fall where the nth hit is almost surely on the near side, four of its standard deviations off.
    """
    offset = 0
    while hits > _FEW and hits < gap:
        near = min(nth, hits - nth + 1)
        share = min(0.5, (near + 4 * math.sqrt(near)) / hits)
        part = max(1, min(gap - 1, int(gap * (share if near == nth else 1 - share))))
        first = hits_in_part(rng, hits, part, gap)
        if nth <= first:
            hits, gap = first, part
        else:
            nth, hits, gap, offset = nth - first, hits - first, gap - part, offset + part
    if hits == gap:
        return offset + nth
    count = 0
    while count < hits:  # distinct ones, kept in order
        place = 1 + np.int64(rng.random() * gap)
        i = count
        while i > 0 and places[i - 1] > place:
            i -= 1
        if i > 0 and places[i - 1] == place:
            continue
        for j in range(count, i, -1):
            places[j] = places[j - 1]
        places[i] = place
        count += 1
    return offset + places[nth - 1]


@inner
def hits_in_part(rng: Generator, hits: int, part: int, gap: int) -> int:
    """How many of ``hits`` spread at random over ``gap`` places fall on the first ``part`` of them: hypergeometric.

    Drawn as ``scatter_hits`` draws: two binomial counts with a total a little too small, and the rest one by one.
    """
    first, second, missing = 0, 0, hits
    while missing > _FEW:
        chance = (missing - _SHORT * math.sqrt(missing)) / (gap - first - second)
        a, b = rng.binomial(part - first, chance), rng.binomial(gap - part - second, chance)
        if a + b <= missing:
            first, second, missing = first + a, second + b, missing - a - b
    for _ in range(missing):
        if rng.random() * (gap - first - second) < part - first:
            first += 1
        else:
            second += 1
    return first
