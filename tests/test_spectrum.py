"""The learning-time spectrum: against closed forms, and that rebuilding it succeeds for steps and for exponentials."""

import numpy as np
import pytest

from quanta import _spectrum, composition, plot, record, worlds
from quanta._errors import InputError
from quanta.transitions import detect

QUIET = worlds.Noise(sigma=0.0)


def spectrum_of(name, **how):
    ds = worlds.make(name, **how)
    return composition.spectrum(ds, detect(ds))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("ordered_logistic", 0.9),
        ("ordered_weibull", 0.9),
        ("equal_frequencies", 0.9),
        ("exponential", 0.85),
        ("exponential_mixtures", 0.85),
    ],
)
def test_rebuilding_succeeds_for_steps_and_for_smooth_curves_alike(name, least):
    """So it decides nothing, and says so."""
    found = spectrum_of(name)
    assert float(found["rebuilt_q2"]) > least
    said = found.attrs["reasons"][0]
    assert "a mean curve alone is no evidence of steps" in said
    assert "the verdict rests on single subtasks" in said


def test_exponentials_at_the_half_times_are_right_where_curves_are_exponentials():
    assert float(spectrum_of("exponential", noise=QUIET)["smooth_q2"]) > 0.95


def test_of_one_step_the_spectrum_is_its_density():
    """A Weibull step has -dl/d ln t = h n u e^-u, u = ln 2 (t/t50)^n, which is at most h n/e."""
    step = worlds.checkpoints(300)
    u = np.log(2) * (step / 300) ** 3.0
    loss = np.stack([1 + 2 * np.exp(-u)] * 6)
    ds = record.new(loss, step=step, frequency=np.full(6, 1 / 6), source="simulated", optimizer="sgd", chance_loss=12.0)
    found = composition.spectrum(ds, detect(ds), bandwidth=0.05)
    density = (2 * 3 * u * np.exp(-u))[step > 0]
    later = slice(60, -5)  # where spacing is even
    np.testing.assert_allclose(found["measured"][later], density[later], atol=0.03 * 6 / np.e)


def test_slopes_of_a_line_are_exact_and_noise_is_smoothed():
    x = np.sort(np.random.default_rng(0).uniform(0, 10, 80))
    np.testing.assert_allclose(_spectrum._derivative(x, 0.3) @ (4 - 2.5 * x), -2.5, rtol=1e-8)
    assert (
        np.abs(_spectrum._derivative(x, 1.0)).sum(axis=1)[20:60].max()
        < np.abs(_spectrum._derivative(x, 0.3)).sum(axis=1)[20:60].min()
    )


def test_widths_are_those_of_the_shape():
    """10–90 % width of an exponential: ln(ln 10 / ln(10/9)) = 3.084 nats."""
    step = worlds.checkpoints(400)
    curve = np.exp(-step / 200.0)[None]
    assert _spectrum._widths(curve, step) == pytest.approx([3.084], rel=0.01)


def test_seeds_are_averaged():
    ds = record.combine([worlds.make("ordered_logistic", seed=s, n_subtasks=10) for s in (0, 1)], "seed")
    found = composition.spectrum(ds, detect(ds))
    assert found["measured"].dims == ("step",)
    assert float(found["rebuilt_q2"]) > 0.9


def test_only_steps_after_the_first_have_a_log_time():
    found = spectrum_of("ordered_logistic", n_subtasks=8)
    assert float(found["step"].min()) == 1


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.nan])
def test_a_bandwidth_must_be_positive(bandwidth):
    ds = worlds.make("ordered_logistic", n_subtasks=5)
    with pytest.raises(InputError, match="bandwidth is"):
        composition.spectrum(ds, detect(ds), bandwidth=bandwidth)


def test_without_a_loss_there_is_no_spectrum():
    ds = worlds.make("accuracy_only", n_subtasks=5)
    with pytest.raises(record.RecordError, match="no loss"):
        composition.spectrum(ds.drop_vars("loss", errors="ignore"), detect(ds))


# -------------------------------------------------------------------------------------------------------- figures


def words(figure):
    figure.draw_without_rendering()
    return " ".join(text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text")))


def test_the_figure_says_that_smooth_curves_are_rebuilt_as_well():
    figure = plot.spectrum(spectrum_of("exponential", n_subtasks=10))
    assert len(figure.axes[0].lines) == 3
    assert "of smooth curves it is rebuilt as well" in words(figure)


def test_granularity_is_drawn_with_and_without_deciles():
    from quanta import partition

    ds = worlds.make("ordered_logistic", n_subtasks=12)
    levels = partition.levels(ds, {"thirds": np.arange(12) // 4}, n_shuffles=1)
    assert len(plot.granularity(levels).axes) == 1
    figure = plot.granularity(levels, partition.by_frequency(ds, detect(ds)))
    assert len(figure.axes) == 2
    assert "thirds (3)" in words(figure)


def test_seeds_are_drawn_a_row_for_each_subtask():
    from quanta import ensemble

    ds = record.combine([worlds.make("ordered_logistic", seed=s, n_subtasks=6) for s in range(3)], "seed")
    figure = plot.seeds(ensemble.seeds(ds))
    assert len([line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]) == 6
    assert "between subtasks" in words(figure)
