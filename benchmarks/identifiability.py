"""One mean loss, many theories: how many subtasks, seeds and checkpoints tell them apart.

    OMP_NUM_THREADS=1 python benchmarks/identifiability.py            # about 5 minutes on one core
    OMP_NUM_THREADS=1 python benchmarks/identifiability.py --quick    # seconds; writes nothing

Every theory gets frequencies of its own, 20,000 whole subtasks or as many more as it takes, with which its mean loss is
within 1 % that of one Zipf world of multilinear subtasks, over 8 nats of time. The mean loss alone then tells none from
any: what it says of any two is measured at 1 % of noise. Single curves do. They are drawn from each world, with onsets
spread evenly over the window less 2 nats on either side, and measured at checkpoints evenly in log time, with noise of
standard deviation σ in units of chance, correlated by .5 from one to the next.

The test of a against b: each subtask's onset is free, its height known; the shape with the smaller sum of squared
errors, whitened for the noise, is named: a likelihood ratio, of threshold 0. *Known shape*: a and b are single curves.
*Free shape*: each is a family, of whose grid in `quanta.compare` one shape serves all subtasks; a pair counts as told
when it is for every listed member of both. (What is an exponential in another family, as a threshold of one hit, is
left out of it.) The number of curves is the smallest at which both error rates are at most 3 % on curves of seed 1, and
remain so at all larger; it is then frozen, and its error rates are read off new curves, of seed 2. Seeds of one subtask
that are averaged are one curve of σ/√seeds, so that the table of σ is also the table of seeds: four seeds at σ = .06
are one at .03.

Where subtasks meet, frequencies are sought for the run as a whole, which is then simulated: `domino`, in which p_k is
what the loss is to fall in the k-th turn, and `resource`, whose effort and frequencies are sought in turn. Their shapes
are those of their own world. By its shapes a domino is a quantum; by γ of onset ∝ p^-γ, in the first table, it is not.
Not here: `synchronous`, whose mean loss no frequencies change; `mixture`, whose curves are those of its members (five
show both kinds with 94 %, at halves); `dependent`, `geometry` and `linear_coupled`, in which a curve is not known from
its onset.

In one sampled run every threshold is a step, as a quantum is: no shape tells them apart. When they were learned does,
beside the frequencies: the last table has the scatter of onsets of one run, known to .05 nats, its mean unknown.
"""

import argparse
import csv
import itertools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import coupled
import numpy as np
import telling

from quanta._compare_templates import AGES, families, left_at
from quanta._same_macro import World
from quanta.learners import LEARNERS, AbstractIndependent

HERE = Path(__file__).parent
SIGMAS, CHECKPOINTS = (0.12, 0.06, 0.03, 0.015), (25, 50, 100)
SHOWN = (0.12, 25)  # noise and checkpoints of the squares and of the figure: little is trivial there
N_POOL = 2000
# Members of the families: label, family, parameters. From slow to sharp.
MEMBERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("stretched, β = .5", "stretched", {"stretch": 0.5}),
    ("stretched, β = .8", "stretched", {"stretch": 0.8}),
    ("power law, c = 1", "power_law", {"power": 1.0}),
    ("power law, c = 3", "power_law", {"power": 3.0}),
    ("exponential", "exponential", {}),
    ("convex Adam, m = 11", "convex_adam", {"n_classes": 11}),
    ("convex Adam, m = 50,257", "convex_adam", {"n_classes": 50257}),
    ("threshold, m = 2", "threshold", {"hits": 2}),
    ("threshold, m = 5", "threshold", {"hits": 5}),
    ("threshold, m = 20", "threshold", {"hits": 20}),
    ("multilinear, R0 = .1", "multilinear", {"initial": 0.1}),
    ("multilinear, R0 = .01", "multilinear", {"initial": 0.01}),
    ("multilinear, R0 = .0001", "multilinear", {"initial": 1e-4}),
    ("hyperbolic, u0 = .3", "hyperbolic", {"initial": 0.3}),
    ("hyperbolic, u0 = .05", "hyperbolic", {"initial": 0.05}),
    ("quantum", "quantum", {}),
)
WASTES = {"= 0": 0.0, "= .3 D": 0.3, "= 3 D": 3.0}  # D: the demand that is left in the middle of the window
QUICK = ("exponential", "threshold, m = 5", "multilinear, R0 = .01", "quantum")
COLUMNS = ("shape", "a", "b", "sigma", "n_checkpoints", "n_curves", "error_a", "error_b")


def members() -> dict[str, AbstractIndependent]:
    """The learners of ``MEMBERS``, by label."""
    found = {label: LEARNERS[family](**fields) for label, family, fields in MEMBERS}
    return {label: learner for label, learner in found.items() if isinstance(learner, AbstractIndependent)}


def meeting(shared: telling.Reference) -> dict[str, coupled.Coupled]:
    """Worlds whose subtasks meet, by label, with the mean loss that is shared."""
    some = {f"resource, N0 {name}": coupled.resource(shared, waste) for name, waste in WASTES.items()}
    return {**some, "domino": coupled.domino(shared)}


def family_of(label: str) -> str:
    """The family of a member."""
    return next((family for name, family, _ in MEMBERS if name == label), label.partition(",")[0])


class Shapes:
    """The shapes of independent members, then the grids of their families, then those of subtasks that meet."""

    def __init__(self, learners: Mapping[str, AbstractIndependent], met: Mapping[str, coupled.Coupled]) -> None:
        self.labels = [*learners, *met]
        self.families = list(dict.fromkeys(map(family_of, self.labels)))
        simple = left_at(LEARNERS["exponential"](), AGES)  # a threshold of one hit, and β = 1: nothing to tell apart
        curves, owner = [left_at(one, AGES) for one in learners.values()], [""] * len(learners)
        grids = families({})
        for family in dict.fromkeys(map(family_of, learners)):
            for template in grids[family]:
                if family != "exponential" and np.max(np.abs(template.left - simple)) < 1e-3:
                    continue
                curves.append(template.left)
                owner.append(family)
        self.curves, self.others = curves, [world.curve for world in met.values()]
        self.place = [*range(len(learners)), *range(len(curves), len(curves) + len(met))]  # of each label
        self.owner = np.array([*owner, *[""] * len(met)])

    def of_family(self, family: str) -> np.ndarray:
        """Places of the family's shapes, its listed members among them."""
        own = [i for i, label in zip(self.place, self.labels, strict=True) if family_of(label) == family]
        return np.concatenate([own, np.flatnonzero(self.owner == family)]).astype(int)


class Setting(NamedTuple):
    """The worlds that share a mean loss."""

    shared: telling.Reference
    learners: dict[str, AbstractIndependent]
    laws: dict[str, World]
    met: dict[str, coupled.Coupled]

    def curves(self, label: str, n_checkpoints: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Exact curves of n subtasks of a world, (n, n_checkpoints)."""
        if label in self.met:
            return self.met[label].curves(self.shared, n_checkpoints, n, rng)
        return telling.curves(self.learners[label], self.laws[label], self.shared, n_checkpoints, n, rng)


def cell(sigma: float, n_checkpoints: int, shapes: Shapes, setting: Setting, n_pool: int) -> list[dict[str, Any]]:
    """All pairs at one noise and one number of checkpoints, by known and by free shape."""
    shared = setting.shared
    log_time = np.linspace(*np.log(shared.time[[0, -1]]), n_checkpoints)
    dictionary = telling.Dictionary(shapes.curves, AGES, log_time, shapes.others)
    sums = []
    for seed in (1, 2):
        rng = np.random.default_rng([seed, n_checkpoints, round(1e6 * sigma)])
        sets = telling.draws(n_pool, rng)
        one = {}
        for label in shapes.labels:
            exact = setting.curves(label, n_checkpoints, n_pool, rng)
            one[label] = telling.totals(dictionary.misfit(telling.noisy(exact, sigma, rng)), sets)
        sums.append(one)
    found = [*_known(shapes, sums), *_free(shapes, sums)]
    where = {"sigma": sigma, "n_checkpoints": n_checkpoints}
    return [{"shape": kind, "a": a, "b": b, **where, **told._asdict()} for kind, a, b, told in found]


def _known(shapes: Shapes, sums: list[dict[str, np.ndarray]]) -> Iterable[tuple[str, str, str, telling.Told]]:
    for (a, i), (b, j) in itertools.combinations(zip(shapes.labels, shapes.place, strict=True), 2):
        rates = [
            (telling.wrong(one[a][..., i], one[a][..., j]), telling.wrong(one[b][..., j], one[b][..., i]))
            for one in sums
        ]
        yield "known", a, b, telling.tell(*rates)


def _free(shapes: Shapes, sums: list[dict[str, np.ndarray]]) -> Iterable[tuple[str, str, str, telling.Told]]:
    """Of each family the worst of its listed members."""
    place = {family: shapes.of_family(family) for family in shapes.families}

    def worst(one: dict[str, np.ndarray], true: str, other: str) -> np.ndarray:
        mine = [one[label] for label in shapes.labels if family_of(label) == true]
        rates = [telling.wrong(t[..., place[true]].min(axis=2), t[..., place[other]].min(axis=2)) for t in mine]
        return np.max(rates, axis=0)

    for a, b in itertools.combinations(shapes.families, 2):
        yield "free", a, b, telling.tell(*((worst(one, a, b), worst(one, b, a)) for one in sums))


def described(setting: Setting) -> list[dict[str, Any]]:
    """Of every world: how many subtasks, how near its mean loss is, and its γ of onset ∝ p^-γ."""
    alone = [
        (k, law.frequencies.size, law.deviation, setting.learners[k].onset_exponent) for k, law in setting.laws.items()
    ]
    met = [(k, one.frequencies.size, one.deviation, one.timing) for k, one in setting.met.items()]
    return [dict(zip(("theory", "n_subtasks", "deviation", "timing"), row, strict=True)) for row in (*alone, *met)]


def macro_alone(learners: Mapping[str, AbstractIndependent], shared: telling.Reference, seeds: Iterable[int]) -> float:
    """How often the right one of two is named from a mean loss known to 1 %, every theory with its best law."""
    right = []
    labels = list(learners)
    for seed in seeds:
        found = telling.macro_misfits(learners, shared, 0.01, seed)
        for i, j in itertools.permutations(range(len(labels)), 2):
            right.append(found[labels[i]][i] < found[labels[i]][j])
    return float(np.mean(right))


def sampled(n_draws: int) -> list[dict[str, Any]]:
    """Thresholds of m hits, and quanta (no scatter), in one sampled run: from when their steps came."""
    hits = (1.0, 3.0, 10.0, 30.0, 100.0, np.inf)
    sums = [telling.scatter(hits, n_draws, seed) for seed in (1, 2)]
    rows = []
    for (i, a), (j, b) in itertools.combinations(enumerate(hits), 2):
        rates = [
            (telling.wrong(-one[a][..., i], -one[a][..., j]), telling.wrong(-one[b][..., j], -one[b][..., i]))
            for one in sums
        ]
        names = {"a": f"m = {a:g}", "b": "quantum" if np.isinf(b) else f"m = {b:g}"}
        rows.append({"shape": "sampled", **names, **telling.tell(*rates)._asdict()})
    return rows


# ------------------------------------------------------------------------------------------------------- results


def load(path: Path = HERE / "results" / "identifiability.csv") -> list[dict[str, Any]]:
    """The table that was recorded: rows of ``COLUMNS``, ``n_curves`` None where it is more than the most tried."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = {"sigma": float, "n_checkpoints": int, "n_curves": int, "error_a": float, "error_b": float}
    return [
        {key: (kinds[key](value) if value else None) if key in kinds else value for key, value in row.items()}
        for row in rows
    ]


def matrix(
    rows: Iterable[dict[str, Any]], shape: str, sigma: float | None, n_checkpoints: int | None
) -> dict[Any, Any]:
    """(a, b) and (b, a) → the row of that pair, of one shape, noise and number of checkpoints."""
    some = [r for r in rows if (r["shape"], r.get("sigma"), r.get("n_checkpoints")) == (shape, sigma, n_checkpoints)]
    return {pair: r for r in some for pair in ((r["a"], r["b"]), (r["b"], r["a"]))}


def said(row: dict[str, Any]) -> str:
    """How many curves, as text."""
    return f"> {telling.COUNTS[-1]}" if row["n_curves"] is None else str(row["n_curves"])


def table(found: dict[Any, Any], names: list[str]) -> str:
    """Markdown, half of a square: the number of curves."""
    lines = [f"| | {' | '.join(names[1:])} |", "|---|" + "--:|" * (len(names) - 1)]
    for i, a in enumerate(names[:-1]):
        cells = [said(found[a, b]) if j > i else "" for j, b in enumerate(names) if j]
        lines.append(f"| {a} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ladder(rows: list[dict[str, Any]], pairs: Iterable[tuple[str, str]]) -> str:
    """Markdown: the number of curves of a pair at every noise and number of checkpoints."""
    cells = list(itertools.product(SIGMAS, CHECKPOINTS))
    head = ["free shape", *(f"σ {sigma}, {n}" for sigma, n in cells)]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * len(cells)]
    for pair in pairs:
        counts = [said(matrix(rows, "free", *cell)[pair]) for cell in cells]
        lines.append(f"| {pair[0]} / {pair[1]} | {' | '.join(counts)} |")
    return "\n".join(lines)


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """As CSV; what a row does not have is left empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(rows: list[dict[str, Any]], setting: Setting, path: Path) -> None:
    """One mean loss; the curves of single subtasks behind it; and how many of them tell each pair apart."""
    import telling_figure

    shared, learners, laws, met = setting
    age, middle = np.linspace(-4, 3, 700), np.median(shared.time)[None]
    means = {
        name: telling.mean_loss(learners[name], law.frequencies, law.clock * shared.time) for name, law in laws.items()
    }
    singles = {name: left_at(learner, age) for name, learner in learners.items()}
    for name, one in met.items():
        means[name], singles[name] = one.mean, one.curve(middle, middle * np.exp(age))[0]
    shown = matrix(rows, "known", *SHOWN)
    counts = {pair: row["n_curves"] for pair, row in shown.items()}
    errors = [row[key] for row in shown.values() if row["n_curves"] for key in ("error_a", "error_b")]
    title = (
        f"single curves that tell two apart: wrong in {np.mean(errors):.0%} on new curves, of the worst pair "
        f"{max(errors):.0%}\n"
        f"σ = {SHOWN[0]:g} of chance, {SHOWN[1]} checkpoints; shapes known, onsets free"
    )
    telling_figure.draw(shared.time, means, age, singles, counts, telling.COUNTS[-1], title, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few curves, one noise; nothing is written")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--figure", type=Path, default=HERE / "figures" / "identifiability.png")
    options = parser.parse_args()
    learners = members()
    if options.quick:
        learners = {name: learners[name] for name in QUICK}
    shared = telling.reference()
    laws = telling.worlds(learners, shared)
    setting = Setting(shared, learners, laws, {} if options.quick else meeting(shared))
    first, last = shared.loss[[0, -1]]
    print(
        f"One mean loss, from {first:.3f} to {last:.4f} of chance in {np.log(shared.time[-1] / shared.time[0]):.1f} nats.\n"
    )
    print("| theory | subtasks | largest Δ ln L | γ |\n|---|--:|--:|--:|")
    for row in described(setting):
        print(f"| {row['theory']} | {row['n_subtasks']:,} | {row['deviation']:.2%} | {row['timing']:.2f} |")
    right = macro_alone(learners, shared, range(1 if options.quick else 3))
    print(f"\nThe right one of two, from the mean loss alone, known to 1 %: {right:.0%} (guessing: 50 %).", flush=True)
    shapes = Shapes(learners, setting.met)
    rows = []
    for sigma, n in [SHOWN] if options.quick else itertools.product(SIGMAS, CHECKPOINTS):
        rows += cell(sigma, n, shapes, setting, 200 if options.quick else N_POOL)
        print(f"σ {sigma}, {n} checkpoints", file=sys.stderr, flush=True)
    report(rows, shapes)
    if options.quick:
        return
    rows += sampled(300)
    names = [f"m = {m}" for m in (1, 3, 10, 30, 100)]
    print(f"\nOnsets of one sampled run\n\n{table(matrix(rows, 'sampled', None, None), [*names, 'quantum'])}")
    write([{key: row.get(key) for key in COLUMNS} for row in rows], options.out / "identifiability.csv")
    write(described(setting), options.out / "identifiability_worlds.csv")
    draw(rows, setting, options.figure)


def report(rows: list[dict[str, Any]], shapes: Shapes) -> None:
    """Print the tables, and the error rates that were measured on new curves."""
    where = f"σ = {SHOWN[0]}, {SHOWN[1]} checkpoints"
    print(f"\nCurves needed, known shape, {where}\n\n{table(matrix(rows, 'known', *SHOWN), shapes.labels)}")
    print(f"\nCurves needed, free shape, {where}\n\n{table(matrix(rows, 'free', *SHOWN), shapes.families)}")
    if len({(row["sigma"], row["n_checkpoints"]) for row in rows}) > 1:
        print(f"\n{ladder(rows, itertools.combinations(shapes.families, 2))}")
    told = [row for row in rows if row["n_curves"]]
    errors = np.array([(row["error_a"], row["error_b"]) for row in told])
    print(
        f"\nOf {len(rows)} cells {len(told)} are told within {telling.COUNTS[-1]} curves; on new curves the error rate is "
        f"{errors.mean():.1%} in the mean, {errors.max():.1%} at most, above {telling.HELD:.0%} in "
        f"{int((errors > telling.HELD).sum())} of {errors.size}."
    )


if __name__ == "__main__":
    main()
