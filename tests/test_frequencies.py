"""How often each subtask occurs: what every law of occurrence promises."""

import json
import math
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from quanta import frequencies, record, simulate
from quanta._errors import InputError
from quanta.frequencies import (
    FREQUENCIES,
    Empirical,
    ExponentialDecay,
    Reweighted,
    Uniform,
    Zipf,
    fit_zipf,
    read_counts,
)

counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(any)
sizes = st.integers(1, 300)
laws = st.one_of(
    st.builds(
        Zipf,
        n_subtasks=sizes,
        exponent=st.floats(0, 4),
        offset=st.sampled_from([0.0, 0.5, 2.7, 1e9]),
        cutoff=st.floats(1, 1e6) | st.just(math.inf),
    ),
    st.builds(Uniform, n_subtasks=sizes),
    st.builds(ExponentialDecay, n_subtasks=sizes, decay=st.floats(0.2, 1)),
    st.builds(Empirical, counts=counts.map(tuple)),
    st.builds(Reweighted, base=st.builds(Uniform, n_subtasks=st.integers(2, 9)), factors=st.just(((0, 3.0), (1, 0.0)))),
)


def test_every_law_of_the_family_is_among_those_drawn_here():
    assert {*FREQUENCIES.values()} == {Zipf, Uniform, ExponentialDecay, Empirical, Reweighted}


@given(laws)
def test_probabilities_are_one_per_subtask_and_sum_to_one(law):
    p = law.probabilities()
    assert p.dtype == np.float64
    assert p.shape == (law.size,)
    assert np.all(p >= 0)
    assert math.fsum(p) == pytest.approx(1, abs=1e-12)


@given(laws)
def test_the_repr_of_a_law_evaluates_back_to_it(law):
    assert eval(repr(law), vars(frequencies)) == law


@given(n=st.integers(2, 300), exponent=st.floats(0, 4))
def test_each_step_of_a_zipf_law_is_the_power_of_the_ratio_of_ranks(n, exponent):
    p = Zipf(n_subtasks=n, exponent=exponent).probabilities()
    k = np.arange(1, n)
    np.testing.assert_allclose(p[1:] / p[:-1], (k / (k + 1)) ** exponent, rtol=1e-12)


@given(n=st.integers(2, 300), exponent=st.floats(0, 4), offset=st.floats(0, 1e6), cutoff=st.floats(1, 1e9))
def test_an_offset_shifts_the_ranks_and_a_cutoff_adds_an_exponential(n, exponent, offset, cutoff):
    p = Zipf(n_subtasks=n, exponent=exponent, offset=offset, cutoff=cutoff).probabilities()
    k = np.arange(1, n)
    expected = ((k + offset) / (k + 1 + offset)) ** exponent * math.exp(-1 / cutoff)
    np.testing.assert_allclose(p[1:] / p[:-1], expected, rtol=1e-11)


@given(n=sizes, exponent=st.floats(0, 4))
def test_without_an_offset_and_a_cutoff_a_zipf_law_is_written_and_numbered_as_before_there_were_any(n, exponent):
    law = Zipf(n_subtasks=n, exponent=exponent)
    assert repr(law) == f"Zipf(n_subtasks={n}, exponent={exponent})"
    p = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    np.testing.assert_array_equal(law.probabilities(), p / p.sum())


@given(n=st.integers(2, 300), decay=st.floats(0.2, 1))
def test_exponential_frequencies_fall_by_one_factor(n, decay):
    p = ExponentialDecay(n_subtasks=n, decay=decay).probabilities()
    np.testing.assert_allclose(p[1:] / p[:-1], decay, rtol=1e-12)


@pytest.mark.parametrize(
    ("law", "exponent"),
    [
        (Zipf(exponent=1.3), 1.3),
        (Zipf(exponent=1.3, offset=7.0), 1.3),
        (Zipf(exponent=1.3, cutoff=100.0), math.nan),
        (Uniform(), math.nan),
        (ExponentialDecay(), math.nan),
    ],
    ids=repr,
)
def test_a_law_says_as_which_power_of_the_rank_it_falls_in_the_end(law, exponent):
    assert law.tail_exponent == pytest.approx(exponent, nan_ok=True)


# ------------------------------------------------------------------------------- the notation of papers and their code

SETTINGS = {  # who: (frequencies as they write them, at their setting; the law here)
    "Michaud 2023, paper, α = 0.4": (lambda k: k ** -(0.4 + 1), Zipf(n_subtasks=500, exponent=1.4)),
    "Michaud 2023, code, alpha = 1.4": (lambda k: k**-1.4, Zipf(n_subtasks=500, exponent=1.4)),
    "Hutter 2021, α = 0.4": (lambda k: k ** -(0.4 + 1), Zipf(n_subtasks=100, exponent=1.4)),
    "Nam 2024, paper, α = 0.6": (lambda k: k ** -(0.6 + 1), Zipf(n_subtasks=5, exponent=1.6)),
    "Nam 2024, code, alpha = 1.6": (lambda k: k**-1.6, Zipf(n_subtasks=5, exponent=1.6)),
    "Liu 2025, paper and code, alpha = 2": (lambda k: k**-2.0, Zipf(n_subtasks=10, exponent=2.0)),
}


@pytest.mark.parametrize(("written", "law"), SETTINGS.values(), ids=SETTINGS)
def test_the_settings_of_papers_and_of_their_code_give_their_frequencies(written, law):
    """As Σ p_k L_k of such frequencies is a mean loss, they sum to 1 over the subtasks that there are."""
    p = [written(k) for k in range(1, law.size + 1)]
    np.testing.assert_allclose(law.probabilities(), np.array(p) / math.fsum(p), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.3, 0.6, 0.9])
def test_truncated_frequencies_are_those_of_the_zeta_law_given_that_the_rank_is_within(alpha):
    """Michaud's and Nam's p_k = k^-(α+1) / ζ(α+1) has no last subtask; ζ by Euler and Maclaurin."""
    n, s = 1000, alpha + 1
    k = np.arange(1, n + 1, dtype=float)
    beyond = n ** (1 - s) / (s - 1) - n**-s / 2 + s * n ** (-s - 1) / 12
    zeta = math.fsum(k**-s) + beyond
    within = 1 - beyond / zeta
    p = Zipf(n_subtasks=n, exponent=s).probabilities()
    np.testing.assert_allclose(p * within, k**-s / zeta, rtol=1e-12)
    assert zeta == pytest.approx(special.zeta(s), rel=1e-12)
    assert not np.allclose(Zipf(n_subtasks=n, exponent=alpha).probabilities() * within, k**-s / zeta, rtol=0.1)


def test_a_zipf_law_says_which_papers_and_codes_mean_what_by_alpha():
    for name in ("Michaud", "Hutter", "Nam", "Liu"):
        assert name in Zipf.__doc__


@given(n=st.integers(1, 300))
def test_a_zipf_law_of_exponent_zero_is_uniform(n):
    np.testing.assert_allclose(Zipf(n_subtasks=n, exponent=0).probabilities(), Uniform(n_subtasks=n).probabilities())


@given(counts, st.floats(1e-3, 1e3))
def test_only_the_ratios_of_counts_matter(numbers, factor):
    scaled = Empirical(counts=tuple(factor * c for c in numbers))
    np.testing.assert_allclose(scaled.probabilities(), np.array(numbers) / sum(numbers), rtol=1e-12)


def test_counts_may_be_an_array():
    assert Empirical(counts=np.array([3, 1])) == Empirical(counts=(3.0, 1.0))


def test_counts_near_the_largest_number_do_not_overflow():
    assert Empirical(counts=(1.7e308, 1.7e308)).probabilities().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("law", [Zipf, Uniform, ExponentialDecay])
@pytest.mark.parametrize("n", [0, -3, 2.5, math.nan, "many", None, True])
def test_a_number_of_subtasks_that_is_no_whole_positive_number_is_refused(law, n):
    with pytest.raises(InputError, match=f"n_subtasks is {n!r}"):
        law(n_subtasks=n)


@pytest.mark.parametrize("exponent", [-0.1, math.nan, math.inf, -math.inf])
def test_an_exponent_that_is_negative_or_not_finite_is_refused(exponent):
    with pytest.raises(InputError, match=f"exponent is {exponent}"):
        Zipf(exponent=exponent)


@pytest.mark.parametrize("bad", [(), (0, 0), (1, -1), (1, math.nan), (1, math.inf), ((1, 2), (3, 4)), ("a",), 7])
def test_counts_that_are_no_counts_are_refused(bad):
    with pytest.raises(InputError, match="counts"):
        Empirical(counts=bad)


@pytest.mark.parametrize("offset", [-0.1, math.nan, math.inf])
def test_an_offset_that_is_negative_or_not_finite_is_refused(offset):
    with pytest.raises(InputError, match=f"offset is {offset}"):
        Zipf(offset=offset)


@pytest.mark.parametrize("cutoff", [0.0, -5.0, math.nan, -math.inf])
def test_a_cutoff_that_is_no_rank_is_refused(cutoff):
    with pytest.raises(InputError, match=f"cutoff is {cutoff}"):
        Zipf(cutoff=cutoff)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.01, math.nan, math.inf])
def test_a_decay_that_is_no_factor_of_at_most_one_is_refused(decay):
    with pytest.raises(InputError, match=f"decay is {decay}"):
        ExponentialDecay(decay=decay)


STEEP = {
    "decay": lambda n: ExponentialDecay(n_subtasks=n, decay=0.5),
    "cutoff": lambda n: Zipf(n_subtasks=n, cutoff=1.5),
    "exponent": lambda n: Zipf(n_subtasks=n, exponent=150.0),
}


@pytest.mark.parametrize("steep", STEEP.values(), ids=STEEP)
def test_subtasks_too_rare_for_a_number_are_named_at_once_and_one_fewer_are_not_refused(steep):
    with pytest.raises(InputError, match=r"subtasks (\d+) to 999999999 would have a frequency of 0") as caught:
        steep(10**9)
    most = int(re.search(r"Take at most (\d+) subtasks", str(caught.value))[1])
    p = steep(most).probabilities()
    assert p[-1] >= sys.float_info.min
    assert np.isfinite(1 / p).all()


# ------------------------------------------------------------------------------------------------ counts from a file


def written(folder, text):
    path = folder / "counts.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "5\n0\n2.5\n",
        "\ufeff5\r\n\r\n 0 \r\n2.5",
        "subtask,count\n2,2.5\n0,5\n1,0\n",
        "count, subtask\n0,1\n5, 0\n2.5,2",
    ],
)
def test_counts_are_read_one_to_a_line_or_by_subtask(tmp_path, text):
    assert read_counts(written(tmp_path, text)) == Empirical(counts=(5.0, 0.0, 2.5))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; expected one count to a line, or CSV with the heading subtask,count"),
        (" \n\n", "is empty"),
        ("0\n0\n", "not all 0"),
        ("subtask,count\n", "one count for each subtask"),
        ("subtask,count\n0,0\n1,0\n", "not all 0"),
        ("count\n3\n", "the line 'count' is no count"),
        ("3\nmany\n", "the line 'many' is no count"),
        ("3\n4 5\n", "the line '4 5' is no count"),
        ("3\n-4\n", "the line '-4' is no count"),
        ("3\nnan\n", "the line 'nan' is no count"),
        ("3\n1e999\n", "the line '1e999' is no count"),
        ("3,2\n", "begins with '3,2'; expected the heading subtask,count"),
        ("subtask,frequency\n0,2\n", "begins with 'subtask,frequency'"),
        ("subtask,count\n0,2\n1\n", "the line '1' is not the number of a subtask and its count"),
        ("subtask,count\n0,2\none,3\n", "the line 'one,3'"),
        ("subtask,count\n0,2\n2,3\n", "subtask 2 is unknown; expected 0 to 1"),
        ("subtask,count\n0,2\n0,3\n", "subtask 0 is named twice"),
        ("subtask,count\n0,2\n1,-3\n", "the count of subtask 1 is -3"),
    ],
)
def test_a_file_of_what_are_no_counts_is_refused_in_one_line_that_names_it(tmp_path, text, says):
    with pytest.raises(InputError, match=r"counts\.txt") as caught:
        read_counts(written(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_counts_that_is_not_there_or_is_no_text_is_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            read_counts(tmp_path / name)


def test_the_provenance_of_many_counts_is_short_and_differs_where_they_do():
    many = np.arange(100_000)
    kept, other = (record.config_json(frequencies=Empirical(counts=many + extra)) for extra in (1, 2))
    assert len(kept) < 500
    assert kept != other
    few = Empirical(counts=(3, 1))
    assert eval(json.loads(record.config_json(frequencies=few))["frequencies"], vars(frequencies)) == few


# ------------------------------------------------------------------------------------------------ on the command line


def command(capsys, *flags, status=0):
    assert simulate.main([*flags, "--no-detect", "--quiet", "--json"]) == status
    said = capsys.readouterr()
    return said.err if status else json.loads(said.out)


def test_a_run_at_counted_frequencies_has_them_and_no_slope_of_a_law_that_it_has_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    summary = command(capsys, "--counts", str(written(tmp_path, "6\n0\n3\n1\n")))
    np.testing.assert_allclose(record.load(summary["record"])["frequency"], [0.6, 0, 0.3, 0.1])
    assert summary["n_subtasks"] == 4
    assert summary["slope_asymptote"] is None
    (kept,) = tmp_path.glob("runs/*/run.json")
    configuration = json.loads(kept.read_text(encoding="utf-8"))["configuration"]
    assert configuration["frequencies"] == "Empirical(counts=(6.0, 0.0, 3.0, 1.0))"
    assert "exponent" not in configuration


def test_a_file_of_other_counts_is_another_run_and_of_the_same_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts = ["6\n3\n1\n", "6\n3\n2\n", "6.0\n3\n\n1\n"]
    runs = [command(capsys, "--counts", str(written(tmp_path, text)))["record"] for text in texts]
    assert runs[0] == runs[2] != runs[1]


def test_counts_may_be_reweighted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changes.csv").write_text("subtask,factor\n0,0\n2,3\n", encoding="utf-8")
    summary = command(capsys, "--counts", str(written(tmp_path, "6\n3\n1\n")), "--reweight", "changes.csv")
    np.testing.assert_allclose(record.load(summary["record"])["frequency"], [0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("flags", "law"),
    [
        (["--offset", "2.7", "--cutoff", "12"], Zipf(n_subtasks=20, offset=2.7, cutoff=12.0)),
        (["--cutoff", "inf"], Zipf(n_subtasks=20)),
        (["--frequencies", "exponential", "--decay", "0.8"], ExponentialDecay(n_subtasks=20, decay=0.8)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_law_is_chosen_by_flags_and_again_by_the_configuration_that_they_print(
    flags, law, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    flags = ["--n-subtasks", "20", *flags]
    first = command(capsys, *flags)
    with pytest.raises(SystemExit):
        simulate.main([*flags, "--no-detect", "--print-config"])
    (tmp_path / "config.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert command(capsys, "--config", "config.toml") == first
    ds = record.load(first["record"])
    assert eval(json.loads(ds.attrs["config"])["frequencies"], vars(frequencies)) == law
    np.testing.assert_array_equal(ds["frequency"], law.probabilities())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--counts", "counts.txt", "--exponent", "2"], "the flags ask for Zipf(n_subtasks=1000, exponent=2.0) too"),
        (["--counts", "counts.txt", "--frequencies", "uniform"], "the flags ask for Uniform(n_subtasks=1000) too"),
        (["--counts", "none.txt"], "none.txt cannot be read"),
        (["--counts", "empty.txt"], "empty.txt is empty"),
        (["--decay", "0.5"], "--decay belongs to --frequencies exponential, but --frequencies is zipf"),
        (["--frequencies", "uniform", "--cutoff", "9"], "--cutoff belongs to --frequencies zipf"),
        (["--frequencies", "exponential", "--decay", "0.1"], "subtasks 305 to 999 would have a frequency of 0"),
        (["--frequencies", "empirical"], "expected one of zipf, uniform, exponential"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_bad_frequencies_are_one_line_and_nothing_is_written(flags, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "3\n1\n")
    (tmp_path / "empty.txt").touch()
    error = command(capsys, *flags, status=2)
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------------------------ the fitted exponent

WORLDS = {  # n_subtasks, exponent, offset, draws
    "many draws": (1000, 1.4, 0.0, 10_000),
    "fewer draws than subtasks": (1000, 1.0, 0.0, 300),
    "exponent below 1": (1000, 0.5, 0.0, 10_000),
    "steep": (100, 2.0, 0.0, 1000),
    "offset": (300, 1.6, 3.0, 3000),
}
N_SEEDS = 60


def drawn(n, exponent, offset, total, seed):
    p = Zipf(n_subtasks=n, exponent=exponent, offset=offset).probabilities()
    return np.random.default_rng(seed).multinomial(total, p)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("ranked", [True, False], ids=["ranks known", "ranks from the counts"])
def test_the_exponent_is_recovered_without_bias_and_its_error_covers_as_a_normal_one_does(world, ranked):
    """Of N standardised errors: the mean is 0 to 4/√N, the spread 1 to 4/√(2N), and 68 % and 95 % are within 1 and 2."""
    exponent, offset = world[1:3]
    z = []
    for seed in range(N_SEEDS):
        counts = drawn(*world, seed)
        counts = counts if ranked else np.random.default_rng(seed).permutation(counts)
        fit = fit_zipf(counts, ranked=ranked, offset=offset, seed=seed)
        z.append((fit.exponent - exponent) / fit.standard_error)
    z = np.array(z)
    assert abs(z.mean()) < 4 / math.sqrt(N_SEEDS)
    assert abs(z.std() - 1) < 4 / math.sqrt(2 * N_SEEDS)
    for within, share in ((1, 0.683), (2, 0.954)):
        assert abs(np.mean(np.abs(z) < within) - share) < 4 * math.sqrt(share * (1 - share) / N_SEEDS)


def test_sorting_alone_would_overstate_the_exponent_by_what_is_said_and_a_line_through_logarithms_is_far_off():
    """The negative controls, on the same counts as above: what is commonly done with them."""
    world = WORLDS["fewer draws than subtasks"]
    alone, line, fits = [], [], []
    for seed in range(30):
        counts = -np.sort(-drawn(*world, seed))
        alone.append(fit_zipf(counts, ranked=True).exponent)
        seen = counts[counts > 0]
        line.append(-np.polyfit(np.log(np.arange(1, seen.size + 1)), np.log(seen), 1)[0])
        fits.append(fit_zipf(counts, seed=seed))
    exponent, error, bias = (np.array([fit[i] for fit in fits]) for i in range(3))
    np.testing.assert_allclose(exponent + bias, alone, rtol=1e-9)
    standard = error.mean() / math.sqrt(30)
    assert np.mean(alone) - 1.0 > 10 * standard
    assert 1.0 - np.mean(line) > 10 * standard
    assert abs(np.mean(exponent) - 1.0) < 4 * standard


def test_the_estimate_maximises_the_likelihood_and_its_error_is_the_curvature():
    counts = drawn(50, 1.2, 0.0, 500, seed=3)
    fit = fit_zipf(counts, ranked=True)

    def likelihood(s):
        return float(counts @ np.log(Zipf(n_subtasks=50, exponent=s).probabilities()))

    h = 1e-3
    below, at, above = (likelihood(fit.exponent + d) for d in (-h, 0, h))
    assert fit.log_likelihood == pytest.approx(at, rel=1e-12)
    assert abs(above - below) / (2 * h) < 1e-3 / fit.standard_error
    assert (2 * at - above - below) / h**2 == pytest.approx(fit.standard_error**-2, rel=1e-4)


def test_equal_counts_are_of_no_exponent_above_zero():
    for ranked in (True, False):
        fit = fit_zipf([7] * 40, ranked=ranked)
        assert fit.exponent == pytest.approx(0, abs=1e-9)
        assert fit.standard_error > 1 / math.sqrt(280) / np.log(np.arange(1, 41)).std() * 0.999


@settings(max_examples=15)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=20).filter(lambda c: np.count_nonzero(c) > 1), st.randoms())
def test_the_order_of_counts_is_of_no_matter_where_ranks_are_not_known(numbers, random):
    shuffled = random.sample(numbers, len(numbers))
    np.testing.assert_equal(fit_zipf(shuffled), fit_zipf(numbers))


def test_subtasks_never_drawn_may_be_listed_or_numbered():
    counts = [9, 5, 2, 1, 1]
    for ranked in (True, False):
        np.testing.assert_equal(
            fit_zipf(counts, ranked=ranked, n_subtasks=9), fit_zipf([*counts, 0, 0, 0, 0], ranked=ranked)
        )
    assert fit_zipf(counts, n_subtasks=9).n_ranks == 9


def test_another_law_is_further_from_its_counts_than_chance_makes_them():
    """Kolmogorov's 1 % point, 1.63/√N, holds for continuous laws, and is generous for others."""
    n, total = 300, 10_000
    for law, far in ((Zipf(n_subtasks=n, exponent=1.2), False), (ExponentialDecay(n_subtasks=n, decay=0.97), True)):
        counts = np.random.default_rng(2).multinomial(total, law.probabilities())
        for ranked in (True, False):
            assert (fit_zipf(counts, ranked=ranked).distance > 1.63 / math.sqrt(total)) == far


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([], "above 0 for 0 of 0 subtasks"),
        ([0, 0, 0], "above 0 for 0 of 3 subtasks; an exponent needs 2"),
        ([0, 8, 0], "above 0 for 1 of 3 subtasks"),
        ([1, 2.5], "the count of subtask 1 is 2.5; expected a whole number"),
        ([1, -2], "the count of subtask 1 is -2"),
        ([1, math.nan], "the count of subtask 1 is nan"),
        ([1, 1e30], "the count of subtask 1 is 1e"),
        ([[1, 2], [3, 4]], "shape"),
        (["a", "b"], "cannot be read as numbers"),
    ],
)
def test_counts_of_which_no_exponent_can_be_had_are_refused(counts, says):
    with pytest.raises(InputError, match=re.escape(says)):
        fit_zipf(counts)


def test_settings_of_a_fit_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="offset is -1"):
        fit_zipf([2, 1], offset=-1)
    with pytest.raises(InputError, match="n_subtasks is 1; expected a whole number of at least 2"):
        fit_zipf([2, 1], n_subtasks=1)
    with pytest.raises(InputError, match=r"n_subtasks is 2.5; expected a whole number of at least 2"):
        fit_zipf([2, 1], n_subtasks=2.5)
