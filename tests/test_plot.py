"""Figures: how many panels, what is in them, and that they are drawn without a warning, a window or a leak."""

import itertools

import numpy as np
import pytest
import xarray as xr
from matplotlib.text import Text

from quanta import _plot_style, ensemble, plot, record, transitions, worlds
from quanta._errors import InputError


@pytest.fixture(scope="module")
def run():
    real = worlds.make("ordered_logistic", n_subtasks=12)
    return real, transitions.detect(real)


def _gates(passed):
    return [("sharp enough", "S = 2.43, at least 2.2", "bound above S0 = 1.20", passed), ("finished", "a", "b", True)]


def _fit(real, **more):
    curve = real["loss"].values[0].astype(float)
    return {"subtask": 0, "null": curve, "fitted": curve, "gates": _gates(True), "title": "subtask 0: sharp", **more}


def _words(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]


def test_a_run_has_two_panels_and_a_scale_of_colours(run):
    assert len(plot.run(*run).axes) == 3


@pytest.mark.parametrize("decades", [0.5, 1.3, 1.9, 2.1, 6])
def test_the_numbers_on_the_scale_of_colours_do_not_overlap(decades):
    frequency = np.geomspace(10.0**-decades, 1, 12) / np.geomspace(10.0**-decades, 1, 12).sum()
    flat = record.new(np.ones((12, 3)), step=[0, 1, 2], frequency=frequency, chance_loss=1.0, source="simulated")
    figure = plot.run(flat)
    figure.draw_without_rendering()
    axis = figure.axes[2].xaxis
    labels = [tick.label1 for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()) if tick.label1.get_text()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_every_curve_of_a_small_run_is_drawn_and_its_onset_marked(run):
    real, found = run
    left = plot.run(real, found).axes[0]
    assert len(left.lines) == 12
    marked = np.sort(np.asarray(left.collections[0].get_offsets())[:, 0])
    onset = found["onset"].values
    np.testing.assert_allclose(marked, np.sort(onset[np.isfinite(onset)]))


def test_the_pieces_are_the_sharp_steps_and_what_is_no_step(run):
    real, found = run
    right = plot.run(real, found).axes[1]
    assert len(right.collections) == 1 + int((found["status"] == "sharp").sum())


def test_the_pieces_add_up_to_the_fitted_mean_loss(run):
    real, found = run
    tops = plot.run(real, found).axes[1].collections[-1].get_paths()[0].vertices
    fitted = real["weight"].values @ found["fitted"].values
    assert tops[:, 1].max() == pytest.approx(fitted.max(), rel=1e-3)


def test_a_run_without_transitions_shows_no_pieces(run):
    left, right, _ = plot.run(run[0]).axes
    assert not right.collections
    assert not left.collections


def test_of_many_subtasks_sixty_at_most_are_drawn_the_most_frequent_and_the_rarest_among_them():
    real = worlds.make("ordered_logistic", n_subtasks=300)
    left = plot.run(real).axes[0]
    assert 30 <= len(left.lines) <= 60
    order = np.argsort(-real["frequency"].values, kind="stable")
    first = real["loss"].values[order[0]]
    assert any(np.corrcoef(line.get_ydata(), first)[0, 1] > 0.999999 for line in left.lines)


def test_the_verdict_is_the_title(run):
    result = xr.Dataset(attrs={"sentence": "A plain sentence."})
    assert "A plain sentence." in _words(plot.run(*run, result))


@pytest.mark.parametrize("change", ["accuracy only", "no frequency", "ensemble", "equal frequencies", "one subtask"])
def test_records_of_every_kind_are_drawn(run, change):
    real = run[0]
    if change == "accuracy only":
        real = real.drop_vars("loss").assign(accuracy=(("subtask", "step"), 1 - real["loss"].values / 20))
    elif change == "no frequency":
        real = real.drop_vars("frequency")
    elif change == "equal frequencies":
        real = real.assign(frequency=("subtask", np.full(12, 1 / 12)))
    elif change == "one subtask":
        real = real.isel(subtask=[0]).assign(weight=("subtask", [1.0]))
    else:
        real = record.combine([real, real], "seed")
    plot.run(real).draw_without_rendering()


def test_explain_shows_the_curve_the_fits_the_onset_and_every_gate(run):
    figure = plot.explain(run[0], _fit(run[0], onset=50.0))
    curves, gates = figure.axes
    assert [line.get_label() for line in curves.lines[:3]] == [
        "measured",
        "best smooth curve (null)",
        "smooth curve + one step",
    ]
    assert curves.lines[3].get_xdata() == [50.0, 50.0]
    assert len(gates.texts) == 3 * 2


def test_a_failed_gate_is_told_from_one_that_passed(run):
    passed, failed = (plot.explain(run[0], _fit(run[0], gates=_gates(p))).axes[1].texts[0] for p in (True, False))
    assert passed.get_text() != failed.get_text()
    assert passed.get_color() != failed.get_color()


def test_without_an_onset_no_line_is_drawn(run):
    assert len(plot.explain(run[0], _fit(run[0], onset=np.nan)).axes[0].lines) == 3


def test_nothing_global_is_changed(run):
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    plot.run(*run)
    assert dict(mpl.rcParams) == before
    assert not pyplot.get_fignums()


def test_a_figure_is_saved_as_png(run, tmp_path):
    path = plot.save(plot.run(*run), tmp_path / "figure.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(InputError, match=r"saved as \.png"):
        plot.save(plot.run(*run), tmp_path / "figure.jpg")


def _with_a_measure(lead):
    """Logistic falls at steps 100, 200 …, the last never; a measure that is half way up ``lead`` times as early."""
    step = np.unique(np.rint(np.geomspace(1, 10_000, 300)))
    onset = np.array([100.0, 200.0, 400.0, 800.0, 1e9])
    loss = 1 / (1 + (step / onset[:, None]) ** 6)
    gap = 0.3 / (1 + (lead * onset[:, None] / step) ** 6)
    return record.new(
        loss,
        step=step,
        frequency=np.full(5, 0.2),
        chance_loss=1.0,
        source="simulated",
        measures={"fourier_gap": gap, "held_out": loss},
    )


@pytest.mark.parametrize("lead", [0.2, 1.0])
def test_a_measure_is_shown_in_time_by_the_onsets_so_that_its_lead_can_be_read_off(lead):
    real = _with_a_measure(lead)
    assert plot.measures(real) == ["fourier_gap"]  # and no loss on other strings
    left, right = plot.progress(real).axes
    age, middle = left.lines[1].get_data()
    assert age[np.argmax(middle > 0.5)] == pytest.approx(lead, rel=0.05)
    assert left.lines[1].get_label() == "fourier_gap, of 0.3"
    assert len(left.get_legend().get_texts()) == 2
    assert "the 4 that are learned" in left.get_title(loc="left")
    dots = sorted(float(line.get_xdata()[0]) for line in right.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots, [100, 200, 400, 800], rtol=0.05)


def test_where_nothing_is_learned_measures_are_drawn_all_the_same():
    idle = _with_a_measure(1.0).isel(subtask=[4]).assign(weight=("subtask", [1.0]))
    assert "the 0 that are learned" in plot.progress(idle).axes[0].get_title(loc="left")


def test_without_a_measure_of_hidden_progress_there_is_none_to_draw(run):
    assert plot.measures(run[0]) == []
    with pytest.raises(InputError, match="no measure of hidden progress; expected fourier_gap or moved"):
        plot.progress(run[0])


# ------------------------------------------------------------------------------------------------ runs that went wrong


def _rising(factor):
    """Losses that begin at chance, 0.7, and end at so many times that."""
    step = np.unique(np.rint(np.geomspace(1, 1000, 60)))
    loss = 0.7 * factor ** (np.log(step) / np.log(1000)) * np.ones((4, 1))
    return record.new(loss, step=step, frequency=[0.4, 0.3, 0.2, 0.1], chance_loss=0.7, source="simulated")


@pytest.mark.parametrize("factor", [1.5, 3.0, 10.0, 1e6, 1e18])
def test_curves_that_rise_far_above_chance_lie_within_the_figure_and_leave_room_for_those_that_do_not(factor):
    left, right, _ = plot.run(_rising(factor)).axes
    for axes, start in ((left, 1.0), (right, 0.7)):
        bottom, top = axes.transData.inverted().transform(axes.transAxes.transform([(0, 0), (0, 1)]))[:, 1]
        assert bottom <= 0
        assert top >= 0.9999 * start * factor
        height = axes.transAxes.inverted().transform(axes.transData.transform([(1, start)]))[0, 1]
        assert height > 0.08
        assert ("logarithmic above the line" in [text.get_text() for text in axes.texts]) == (factor > 4)


def test_a_run_that_stays_near_chance_has_linear_heights(run):
    left, right, _ = plot.run(*run).axes
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "linear")


# ------------------------------------------------------------------------------------------------ several seeds


def _seeds(run):
    return record.combine([run.assign_attrs(seed=seed) for seed in (3, 5, 8)], "seed")


def test_of_several_seeds_the_title_says_which_is_drawn_below_what_the_verdict_is(run):
    result = xr.Dataset(attrs={"sentence": "A plain sentence."})
    assert plot.run(_seeds(run[0]), None, result).get_suptitle() == "A plain sentence.\nDrawn: seed 3, of 3."
    assert "Drawn: seed 3, of 3." in plot.progress(_seeds(_with_a_measure(1.0))).get_suptitle()
    assert "Drawn" not in plot.run(*run, result).get_suptitle()


def test_subtasks_that_some_seeds_did_not_learn_are_marked_with_how_many_did(run):
    over = ensemble.seeds(_seeds(run[0]))
    assert not [text for text in plot.seeds(over).axes[0].texts if "of 3" in text.get_text()]
    k = int(np.flatnonzero(over["n_learned"] == 3)[0])
    onset = over["onset"].values.copy()
    onset[1, k] = np.nan
    fewer = over.assign(onset=(over["onset"].dims, onset))
    fewer["n_learned"][k] = 2
    axes = plot.seeds(fewer).axes[0]
    assert [text.get_text() for text in axes.texts] == ["2 of 3"]
    assert "timed in fewer than all 3 seeds" in axes.get_title(loc="left")


# ------------------------------------------------------------------------------------------------ the scale of colours


@pytest.mark.parametrize("ratio", [1.02, 1.3, 2.0, 5.0, 20.0, 99.0, 1e3, 1e6])
@pytest.mark.parametrize("most", [0.1, 0.73])
def test_the_scale_of_frequencies_has_several_numbers_that_do_not_meet(ratio, most, run):
    real = run[0].isel(subtask=slice(8))
    frequency = most * np.geomspace(1, 1 / ratio, 8)
    real = real.assign(frequency=("subtask", frequency), weight=("subtask", frequency / frequency.sum()))
    figure = plot.run(real)
    figure.draw_without_rendering()
    bar = figure.axes[2]
    low, high = bar.get_xlim()
    labels = [*bar.xaxis.get_majorticklabels(), *bar.xaxis.get_minorticklabels()]
    shown = [text for text in labels if text.get_text() and low <= text.get_position()[0] <= high]
    assert len(shown) >= 2
    boxes = sorted((text.get_window_extent() for text in shown), key=lambda box: box.x0)
    assert all(a.x1 + 3 < b.x0 for a, b in itertools.pairwise(boxes))


def test_round_numbers_are_few_and_between_the_two():
    for low in np.geomspace(1e-7, 1, 40):
        for ratio in (1.001, 1.5, 4, 30, 99.9):
            found = _plot_style.round_numbers(low, low * ratio)
            assert 2 <= len(found) <= 7
            assert 0.999999 * low <= min(found) < max(found) <= 1.000001 * low * ratio


def test_titles_of_panels_end_before_the_next_and_within_the_figure(run):
    figure = plot.run(*run)
    figure.draw_without_rendering()
    left, right = (
        next(text for text in axes.findobj(Text) if text.get_text() == axes.get_title(loc="left")).get_window_extent()
        for axes in figure.axes[:2]
    )
    assert left.x1 < right.x0
    assert right.x1 <= figure.bbox.x1
