"""From records to exponents: the mean loss along any axis, subtasks drawn anew, audits, comparisons, the frontier, figures."""

import numpy as np
import pytest
from scipy import stats

from quanta import plot, record
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.scaling import (
    Chinchilla,
    FiniteSum,
    Kaplan,
    OneExponent,
    PowerLaw,
    audit,
    compare,
    fit,
    fit_record,
    frontier,
)
from quanta.scaling._subtasks import drawn_subtasks

LAW = Zipf(n_subtasks=400, exponent=1.5)
P = LAW.probabilities()
WINDOW = (3 / P[0], 0.3 / P[-1])
STEP = np.unique(np.geomspace(1, 1 / P[-1], 90).astype(int))
TRUE = 0.5 / 1.5


def world(scatter=0.0, seed=0, **more):
    """Steps at 1/p, early or late by so many nats."""
    onset = np.exp(scatter * np.random.default_rng(seed).standard_normal(P.size)) / P
    loss = np.where(onset[:, None] > STEP, 1.0, 0.0)
    return record.new(
        loss,
        step=STEP,
        frequency=P,
        chance_loss=np.ones(P.size),
        units="nat",
        source="simulated",
        optimizer="sgd",
        **more,
    )


def test_a_record_is_fitted_as_its_mean_loss_is():
    ds = world()
    found = fit_record(PowerLaw(), ds, window=WINDOW, bootstrap=None)
    plain = fit(PowerLaw(), STEP, record.mean_loss(ds).values, window=WINDOW, bootstrap=None)
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-6)
    assert found.estimate["alpha"] == pytest.approx(TRUE, abs=0.02)


def test_step_0_is_left_out_and_any_clock_will_do():
    step = np.array([0, *STEP])
    loss = np.concatenate([np.ones((P.size, 1)), world()["loss"].values], axis=1)
    ds = record.new(
        loss, step=step, frequency=P, chance_loss=np.ones(P.size), units="nat", source="simulated", optimizer="sgd",
        examples=10.0 * step,
    )  # fmt: skip
    found = fit_record(PowerLaw(), ds, along="examples", bootstrap=None)
    assert found.n == STEP.size
    assert found.window["x"] == (10.0, 10.0 * STEP[-1])


def test_seeds_are_averaged_or_drawn():
    seeds = record.combine([world(0.4, seed) for seed in range(6)], "seed")
    found = fit_record(PowerLaw(), seeds, window=WINDOW, bootstrap="seeds", n_bootstrap=50)
    means = np.mean([record.mean_loss(world(0.4, seed)).values for seed in range(6)], axis=0)
    assert found.estimate["alpha"] == pytest.approx(
        fit(PowerLaw(), STEP, means, window=WINDOW, bootstrap=None).estimate["alpha"], rel=1e-4
    )
    assert found.resampled == "seeds"
    assert found.interval["alpha"][0] < TRUE < found.interval["alpha"][1]


def widths():
    """Records of four widths, each of which holds so many subtasks, with a loss that rises again at the end."""
    members = []
    for n in (20, 40, 80, 160):
        loss = np.where((np.arange(P.size)[:, None] >= n) | (1 / P[:, None] > STEP), 1.0, 0.0)
        loss[:, -1] = 1.0
        members.append(world().assign(loss=world()["loss"].copy(data=loss.astype(np.float32))))
    return record.combine(members, "width").assign_coords(width=[20, 40, 80, 160])


def test_along_a_dim_the_loss_counts_where_it_is_lowest():
    ds = widths()
    found = fit_record(PowerLaw(offset="none"), ds, along="width", n_bootstrap=20)
    late = STEP[-2] < 1 / P
    lowest = [P[(np.arange(P.size) >= n) | late].sum() for n in (20, 40, 80, 160)]
    np.testing.assert_allclose(np.log(found.predict(ds["width"].values)) - found.errors, np.log(lowest), atol=1e-5)
    assert found.n == 4


def test_two_axes_are_fitted_at_once_in_either_order():
    ds = widths().isel(step=slice(0, -1))
    law = Chinchilla(variables=("width", "step"))
    found = fit_record(law, ds, along=("width", "step"), bootstrap=None)
    turned = fit_record(Chinchilla(variables=("step", "width")), ds, along=("step", "width"), bootstrap=None)
    assert found.n == turned.n == 4 * (STEP.size - 1)
    assert found.total == pytest.approx(turned.total, rel=1e-6)
    assert found.estimate["alpha_width"] == pytest.approx(turned.estimate["alpha_width"], rel=1e-3)


def test_subtasks_drawn_anew_keep_their_frequencies():
    ds = world()
    draws = drawn_subtasks(ds, ds["loss"].values.astype(float), clocked=True, rng=np.random.default_rng(0))
    drawn = next(draws)
    assert drawn.shape == ds["loss"].shape
    onset = STEP[(drawn < 0.5).argmax(axis=1)]
    learned = (drawn < 0.5).any(axis=1) & (onset > 10)  # before, checkpoints are far apart
    assert np.abs(np.log(onset * P)[learned]).max() < 0.25  # two checkpoints: without scatter there is none


def test_what_is_learned_at_step_0_has_no_onset_to_go_by():
    ds = world()
    ds = record.new(
        np.concatenate([np.where(np.arange(P.size) < 3, 0.1, 1.0)[:, None], ds["loss"].values], axis=1),
        step=[0, *STEP], frequency=P, chance_loss=np.ones(P.size), units="nat", source="simulated",
    )  # fmt: skip
    assert np.isfinite(fit_record(PowerLaw(), ds, window=WINDOW, n_bootstrap=10).interval["alpha"]).all()


def test_of_one_subtask_there_is_nothing_to_draw():
    ds = world().isel(subtask=slice(0, 1)).assign(weight=("subtask", [1.0]))
    loss = ds["loss"].values.astype(float)
    np.testing.assert_array_equal(next(drawn_subtasks(ds, loss, clocked=True, rng=np.random.default_rng(0))), loss)


@pytest.mark.slow
def test_intervals_over_subtasks_hold_the_truth_where_a_naive_fit_does_not():
    fits, naive = [], []
    for seed in range(12):
        ds = world(0.4, seed)
        fits.append(fit_record(PowerLaw(), ds, window=WINDOW, n_bootstrap=60, seed=seed))
        naive.append(fit_record(PowerLaw(offset="none"), ds, window=WINDOW, bootstrap=None).estimate["alpha"])
    held = sum(one.interval["alpha"][0] < TRUE < one.interval["alpha"][1] for one in fits)
    assert stats.binomtest(held, len(fits), 0.9, alternative="less").pvalue > 0.01
    assert min(naive) > TRUE + 0.05
    assert np.mean([one.estimate["alpha"] for one in fits]) == pytest.approx(TRUE, abs=0.03)


@pytest.mark.parametrize("shape", ["step", "exponential", "multilinear"])
@pytest.mark.parametrize("s", [1.25, 1.5, 2.0])
def test_the_default_law_has_the_planted_exponent_and_one_without_an_offset_is_biased(s, shape):
    law = Zipf(n_subtasks=1000, exponent=s)
    p = law.probabilities()
    x = np.geomspace(3 / p[0], 0.3 / p[-1], 80)
    y = FiniteSum(frequencies=law, shape=shape).loss((1.0, 1.0, 0.0), x[None])
    true = (s - 1) / s
    assert fit(PowerLaw(), x, y, bootstrap=None).estimate["alpha"] == pytest.approx(true, abs=0.02)
    for offset in ("none", "positive"):
        assert fit(PowerLaw(offset=offset), x, y, bootstrap=None).estimate["alpha"] > true + 0.02


# Audits

X = np.geomspace(10, 1e5, 40)


def test_an_audit_of_a_power_law_has_one_exponent_and_of_a_truncated_one_the_offset_decides():
    pure = audit(X, 3 * X**-0.4, n_windows=2)
    assert dict(pure["exponent"].sizes) == {"law": 3, "weighting": 2, "objective": 1, "start": 2, "end": 2}
    np.testing.assert_allclose(pure["exponent"], 0.4, rtol=1e-3)
    cut = audit(X, 3 * X**-0.4 - 0.02, n_windows=2)
    free, positive, none = (cut["median"].sel(law=f"{word} offset").item() for word in ("free", "positive", "no"))
    assert free == pytest.approx(0.4, rel=1e-3)
    assert none > 0.43
    assert np.isnan(positive)  # at its bound in every window: not trusted
    spread = cut["greatest"] - cut["least"]
    assert spread.sel(law="no offset") > 0.05 > 0.001 > spread.sel(law="free offset")


def test_an_audit_weighs_points_by_their_stretch_of_ln_x_if_asked():
    uneven = np.concatenate([np.geomspace(10, 100, 60), np.geomspace(130, 1e5, 12)])
    y = 3 * uneven**-0.4 + uneven**-1.0
    law = {"none": PowerLaw(offset="none")}
    found = audit(uneven, y, laws=law, n_windows=1)["exponent"].squeeze()
    even = np.geomspace(10, 1e5, 400)
    true = fit(law["none"], even, 3 * even**-0.4 + even**-1.0, bootstrap=None).estimate["alpha"]
    assert abs(found.sel(weighting="log x") - true) < abs(found.sel(weighting="points") - true) / 5


def test_a_window_with_too_few_points_has_no_exponent():
    few = audit(X[::6], 3 * X[::6] ** -0.4, n_windows=2)
    assert np.isnan(few["exponent"].sel(law="free offset").isel(start=1, end=0)).all()
    assert not few["trusted"].sel(law="free offset").isel(start=1, end=0).any()
    assert np.isfinite(few["exponent"].isel(start=0, end=1)).all()


# Comparisons

AT = np.stack([axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e10, 9), np.geomspace(1e9, 1e12, 9))])
JOINT = {
    "sum": (Chinchilla(), (482.0, 2085.0, 0.348, 0.366, 1.82)),
    "max": (Chinchilla(join="max"), (482.0, 2085.0, 0.348, 0.366, 0.4)),
    "kaplan": (Kaplan(), (8.8e13, 5.4e13, 0.076, 0.103)),
    "one exponent": (OneExponent(), (1e7, 3e6, 0.45, 0.3)),
}  # fmt: skip
LAWS = {name: law for name, (law, _) in JOINT.items()}


@pytest.mark.parametrize("name", JOINT)
def test_the_planted_law_foretells_best_what_is_held_out(name):
    law, values = JOINT[name]
    y = law.loss(values, AT) * np.exp(0.003 * np.random.default_rng(0).standard_normal(AT.shape[1]))
    found = compare(LAWS, AT, y)
    assert found.attrs["best"] == found.attrs["best_inside"] == name
    assert found.attrs["n_held_out"] == 20
    assert found["error_outside"].sel(law=name) < 0.01


def test_it_is_the_largest_that_are_held_out_or_what_one_says():
    at = AT * np.exp(0.1 * np.random.default_rng(0).standard_normal(AT.shape))  # no two products are the same
    y = Chinchilla().loss(JOINT["sum"][1], at)
    large = at.prod(axis=0) > np.sort(at.prod(axis=0))[-21]
    spoilt = np.where(large, 99.0, y)
    found = compare({"sum": Chinchilla()}, at, spoilt)
    assert found["error_inside"].item() < 1e-6
    assert found["bias_outside"].item() < -3
    assert compare({"sum": Chinchilla()}, at, spoilt, held_out=large).equals(found)


# The frontier


def test_the_frontier_is_hoffmann_s_closed_form():
    a, b, alpha, beta, floor = values = (406.4, 410.7, 0.34, 0.28, 1.69)
    law, compute = Chinchilla(), np.geomspace(1e18, 1e26, 9)
    found = frontier(fit(law, AT, law.loss(values, AT), bootstrap=None), compute)
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    n, d = g * (compute / 6) ** (beta / (alpha + beta)), (compute / 6) ** (alpha / (alpha + beta)) / g
    np.testing.assert_allclose(found["N"], n, rtol=1e-5)
    np.testing.assert_allclose(found["D"], d, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], floor + a * n**-alpha + b * d**-beta, rtol=1e-9)
    assert found.attrs["exponent_N"] == pytest.approx(beta / (alpha + beta), rel=1e-5)
    assert "N_low" not in found


def test_the_frontier_is_found_where_the_best_split_is_very_uneven():
    law, values, compute = Chinchilla(), (1e-6, 1e9, 0.3, 0.3, 0.1), np.array([6e20])
    at = np.stack([np.geomspace(1e-20, 1e-10, 40), np.geomspace(1e30, 1e40, 40)])
    at = np.concatenate([at, at[:, ::-1]], axis=1)
    found = frontier(fit(law, at, law.loss(values, at), bootstrap=None), compute)
    ratio = (1e-6 / 1e9) ** (1 / 0.3)  # of N to D, where each leaves as much as the other
    assert found["N"].item() / found["D"].item() == pytest.approx(ratio, rel=1e-3)


def test_the_frontier_has_intervals_and_other_variables_are_fixed():
    law = Chinchilla(variables=("N", "S", "D"))
    at = np.stack([axis.ravel() for axis in np.meshgrid(*[np.geomspace(10, 1e5, 5)] * 3)])
    y = law.loss((2.0, 5.0, 3.0, 0.5, 0.3, 0.8, 0.3), at) * np.exp(0.01 * np.random.default_rng(0).standard_normal(125))
    found = frontier(fit(law, at, y, n_bootstrap=30), [1e6, 1e8], cost=2.0, fixed={"D": 1e3})
    np.testing.assert_allclose(found["N"] * found["S"] * 2.0, [1e6, 1e8], rtol=1e-9)
    for name in ("N", "S", "loss"):
        assert (found[f"{name}_low"] < found[name]).all()
        assert (found[name] < found[f"{name}_high"]).all()


def test_a_frontier_of_the_scarcest_is_where_both_are_as_scarce():
    law, values = Chinchilla(join="max"), (482.0, 2085.0, 0.348, 0.366, 0.4)
    found = frontier(fit(law, AT, law.loss(values, AT), bootstrap=None), [1e20])
    assert 482 * found["N"].item() ** -0.348 == pytest.approx(2085 * found["D"].item() ** -0.366, rel=1e-5)


WRONG = {
    "the record has no tokens; expected a clock or a dim: step": lambda: fit_record(PowerLaw(), world(), along="tokens"),
    "along is step; expected 2, for the N, D of Chinchilla": lambda: fit_record(Chinchilla(), world()),
    "the record has a dim width; choose one with .sel(width=…)": lambda: fit_record(PowerLaw(), widths()),
    "bootstrap is 'subtask'; expected one of subtasks, seeds, points": lambda: fit_record(
        PowerLaw(), world(), bootstrap="subtask"
    ),
    "the record has no frequencies, so that subtasks cannot be drawn": lambda: fit_record(
        PowerLaw(), world().drop_vars("frequency")
    ),
    "the record has no loss": lambda: fit_record(PowerLaw(), world().drop_vars("loss")),
    "has no exponent of one variable": lambda: audit(X, 1 / X, laws={"sum": FiniteSum(frequencies=LAW)}),
    "Kaplan(), has no exponent of one variable": lambda: audit(X, 1 / X, laws={"two": Kaplan()}),
    "weighting is 'x'; expected one of points, log x": lambda: audit(X, 1 / X, weightings=["x"]),
    "objective is 'l2'": lambda: audit(X, 1 / X, objectives=["l2"]),
    "n_windows is 0": lambda: audit(X, 1 / X, n_windows=0),
    "the loss is nan at point 0": lambda: audit(X, np.full(40, np.nan)),
    "x is -10.0 at point 0": lambda: audit(-X, 1 / X),
    "no window holds enough of them": lambda: audit(X[:2], 1 / X[:2]),
    "there are no laws": lambda: compare({}, X, 1 / X),
    "the law 'two' depends on N, D, others on x": lambda: compare({"one": PowerLaw(), "two": Kaplan()}, X, 1 / X),
    "held_out is 1.5; expected a share": lambda: compare({"one": PowerLaw()}, X, 1 / X, held_out=1.5),
    "held_out has shape (3,); expected (40,)": lambda: compare({"one": PowerLaw()}, X, 1 / X, held_out=np.ones(3, bool)),
    "40 of 40 points are held out": lambda: compare({"one": PowerLaw()}, X, 1 / X, held_out=np.ones(40, bool)),
    "has x to spend on; expected two": lambda: frontier(fit(PowerLaw(), X, 3 * X**-0.4, bootstrap=None), [1.0]),
    "budgets and cost must be finite numbers above 0": lambda: frontier(
        fit(Kaplan(), AT, Kaplan().loss(JOINT["kaplan"][1], AT), bootstrap=None), [-1.0]
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_is_refused_in_one_line(message):
    with pytest.raises(InputError) as caught:
        WRONG[message]()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Figures


def test_figures_show_every_law_and_what_is_not_trusted():
    y = 3 * X**-0.4 - 0.02
    found = audit(X, y, n_windows=2, objectives=("huber-log", "squares-log"))
    figure = plot.audit(found)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert [title.split(":")[0] for title in titles] == list(found["law"].values)
    assert titles[0].startswith("free offset: 0.4 (0.4 to 0.4)")
    assert titles[1] == "positive offset: never trusted"
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"weighed by log x", "squares-log", "not trusted"} <= {*words}

    fits = {
        "free": fit(PowerLaw(), X, y, window=(100, 1e4)),
        "none": fit(PowerLaw(offset="none"), X, y, window=(100, 1e4)),
    }
    left, right = plot.scaling(fits, X, y).axes
    assert [line.get_label() for line in right.get_lines() if not line.get_label().startswith("_")] == ["free", "none"]
    curve = next(line for line in left.get_lines() if line.get_label() == "none")
    np.testing.assert_allclose(curve.get_ydata(), fits["none"].predict(curve.get_xdata()))
