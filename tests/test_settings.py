"""In what two runs differ: what is otherwise is named, with both values, and nothing else is."""

import pytest

from quanta import simulate
from quanta._settings import differing

OLD = {"learner": "parity_network(n_bits=12, k=2, rate=0.01)", "steps": "60", "frequencies": "Zipf(n_subtasks=6)"}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({}, ""),
        ({"steps": "61"}, "steps was 60, is 61"),
        ({"learner": "parity_network(n_bits=12, k=3, rate=0.02)"}, "k was 2, is 3; rate was 0.01, is 0.02"),
        ({"learner": "threshold(hits=3)"}, "learner was parity_network(n_bits=12, k=2, rate=0.01), is threshold(hits=3)"),
        ({"learner": "(("}, "learner was parity_network(n_bits=12, k=2, rate=0.01), is (("),
        ({"frequencies": "Uniform(n_subtasks=6)"}, "frequencies was Zipf(n_subtasks=6), is Uniform(n_subtasks=6)"),
        ({"patience": "5"}, "patience was None, is 5"),
    ],
)  # fmt: skip
def test_the_fields_that_differ_are_named_with_both_values(new, said):
    assert differing(OLD, OLD | new) == said


def test_a_part_within_a_part_is_told_apart_too():
    assert (
        differing({"a": "mix(one=threshold(hits=3), n=1)"}, {"a": "mix(one=threshold(hits=4), n=1)"})
        == "hits was 3, is 4"
    )


def test_many_differences_are_counted_and_long_values_cut():
    old, new = ({f"f{i}": str(i + more) for i in range(9)} for more in (0, 1))
    assert differing(old, new).endswith("; f3 was 3, is 4; and 5 more")
    assert len(differing({"a": "x" * 1000}, {"a": "y" * 1000})) < 200


@pytest.mark.parametrize("finished", [True, False])
def test_a_directory_that_holds_another_run_says_in_what_that_differs(finished, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--n-subtasks", "5", "--no-detect", "--quiet", "--out", "run"]
    if not finished:
        monkeypatch.setattr("quanta._output.Output.finish", lambda *_: None)
    assert simulate.main([*flags, "--json"]) == 0
    capfd.readouterr()
    assert simulate.main([*flags, "--exponent", "1.2"]) == 2
    assert "run holds a run with other settings (exponent was 1.5, is 1.2); choose" in capfd.readouterr().err
