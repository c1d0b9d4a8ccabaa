"""The command at its edges: interrupted where a run has ended, and what it says of runs that went wrong."""

import itertools
import json
import re

import numpy as np
import pytest
import xarray as xr
from test_simulate import SMALL_NETWORK
from test_simulate_resume import FLAGS

from quanta import _simulate_run, composition, record, simulate
from quanta._errors import InputError
from quanta.frequencies import Zipf
from quanta.learners import ParityNetwork, _parity_data

SEVERAL = ["--seeds", "0:3"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------------------------ interrupted at its end


def interrupted_in(patch, module, name, n=1):
    """Let the user interrupt at the n-th call of a function."""
    original, count = getattr(module, name), itertools.count(1)

    def interrupted(*args, **more):
        if next(count) == n:
            raise KeyboardInterrupt
        return original(*args, **more)

    patch.setattr(module, name, interrupted)


PLACES = {
    "making the record": (record, "new", 1, []),
    "writing": (record, "save", 1, []),
    "combining": (record, "combine", 1, SEVERAL),
    "writing several": (record, "save", 1, SEVERAL),
    "analysing": (composition, "test", 1, ["--detect"]),
    "writing an analysis": (record, "save", 3, ["--detect"]),
}


@pytest.mark.parametrize(("module", "name", "n", "more"), PLACES.values(), ids=PLACES)
def test_a_run_that_is_interrupted_while_its_record_is_written_is_not_lost(module, name, n, more, monkeypatch, capfd):
    monkeypatch.setattr(_simulate_run, "_LONG", 0.0)
    flags = [*FLAGS, *more]
    with monkeypatch.context() as patch:
        interrupted_in(patch, module, name, n)
        assert simulate.main(flags) == 130
    assert "The same command with --resume" in capfd.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("quanta.learners.ParityNetwork.advance", None)  # no step is made again
        assert simulate.main([*flags, "--resume"]) == 0
    assert simulate.main([*flags, "--no-detect", "--out", "whole"]) == 0
    xr.testing.assert_identical(record.load("run").drop_attrs(), record.load("whole").drop_attrs())


# ------------------------------------------------------------------------------------------------ runs that went wrong


def summary_of(capsys, flags):
    assert simulate.main([*flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("why", [["--rate", "50"], ["--n-examples", "60"]], ids=["diverges", "overfits"])
def test_a_run_that_ends_worse_than_it_began_says_so_and_where_it_was_best(why, capsys):
    flags = [*FLAGS, "--steps", "1000", *why]
    summary = summary_of(capsys, flags)
    mean = record.mean_loss(record.load("run"))
    best = int(mean.values.argmin())
    assert mean[-1] > mean[0]
    assert summary["lowest_step"] == mean["step"][best]
    assert summary["lowest_mean_loss"] == pytest.approx(float(mean[best]))
    said = f"the mean loss ends above where it began; lowest at step {int(mean['step'][best])}: {float(mean[best]):.4g}"
    assert summary["warning"] == said
    assert simulate.main(flags) == 0
    assert f"warning: {said}\n" in capsys.readouterr().out


def test_of_several_seeds_it_is_said_how_many_end_worse_than_they_began(capsys):
    summary = summary_of(capsys, [*FLAGS, "--rate", "50", "--steps", "200", *SEVERAL])
    mean = record.mean_loss(record.load("run")).values
    assert np.all(mean[:, -1] > mean[:, 0])
    assert re.match(
        r"the mean loss of 3 of 3 seeds ends above where it began; lowest, seed by seed, at step \d", summary["warning"]
    )
    assert summary["lowest_step"] == record.load("run")["step"].values[mean.argmin(axis=1)].tolist()


def test_a_run_that_learns_or_does_not_is_not_warned_of(capsys):
    assert "warning" not in summary_of(capsys, ["--n-subtasks", "20", "--no-detect", "--quiet", "--out", "learns"])
    assert "warning" not in summary_of(capsys, [*FLAGS, "--rate", "1e-9"])


# ------------------------------------------------------------------------------------------------ what subtasks are


def bits_of(learner, p, seed):
    """The places of the bits of each subtask of a seed, as the learner itself has them."""
    state = learner.start(p, np.random.default_rng(seed), dynamics="sampled", batch_size=30)
    return [np.flatnonzero([int(m[i // 64]) >> (i % 64) & 1 for i in range(learner.n_bits)]) for m in state.masks]


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
@pytest.mark.parametrize("control", [[], ["--control", "kernel(n_inputs=4)"], ["--control", "tabular"]], ids=str)
def test_the_record_says_which_bits_each_subtask_is_the_parity_of_in_every_seed(control, suffix, capsys):
    assert simulate.main([*FLAGS, "--n-composites", "2", "--seeds", "1:3", *control]) == 0
    ds = record.load(record.save(record.load("run"), f"again.{suffix}"))
    assert ds["bits"].dims == ("seed", "subtask", "bit")
    assert ds["bits"].dtype == np.uint8
    network = ParityNetwork(n_bits=12, k=2, width=20, n_test=64, n_composites=2)
    for seed in (1, 2):
        bits = ds["bits"].sel(seed=seed).values
        own = bits_of(network, ds["frequency"].values, seed)
        assert [np.flatnonzero(row).tolist() for row in bits] == [row.tolist() for row in own]
        for k, atoms in enumerate(ds["atoms"].sel(seed=seed).values):
            if ds["kind"].values[k] == "atom":
                assert np.all(atoms == -1)
            else:
                np.testing.assert_array_equal(bits[k], bits[atoms].max(axis=0))
    assert not np.array_equal(*ds["bits"].values)


def test_bits_that_would_take_much_room_are_left_out_and_those_kept_take_little(tmp_path, monkeypatch):
    how = {"steps": 3, "batch_size": 10, "n_checkpoints": 3}
    law, network = Zipf(n_subtasks=2000), ParityNetwork(n_bits=128, k=3, width=4, n_test=64)
    with_bits = record.save(simulate.simulate(law, network, **how), tmp_path / "with.zarr")
    monkeypatch.setattr(_parity_data, "_MOST_KEPT", 2000 * 128 - 1)
    without = simulate.simulate(law, network, **how)
    assert "bits" not in without
    without = record.save(without, tmp_path / "without.zarr")
    size = [sum(file.stat().st_size for file in store.rglob("*")) for store in (with_bits, without)]
    assert size[0] - size[1] < 2000 * 128 / 8


def test_variables_say_on_what_they_were_measured():
    ds = simulate.simulate(Zipf(n_subtasks=4), SMALL_NETWORK, steps=3, batch_size=10)
    assert "test strings" in ds["loss"].attrs["long_name"]
    assert "apart from the training examples" in ds["loss"].attrs["long_name"]
    assert ds["loss"].attrs["units"] == "nat"
    assert "the subtask is" in ds["bits"].attrs["long_name"]


def test_the_help_says_what_a_loss_is_measured_on_and_what_a_seed_decides(capsys):
    with pytest.raises(SystemExit):
        simulate.main(["--learner", "parity_network", "--help"])
    said = " ".join(re.sub(r"[│─╭╮╰╯]+", " ", capsys.readouterr().out).split())
    assert "drawn apart from the training examples, on which its loss is measured" in said
    assert "no training loss is measured" in said
    assert "also which bits each subtask is about" in said
    assert "2 % of chance" in said
    assert "learner parity_network options" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"k": "3"}, "k is '3'; expected a whole number"),
        ({"n_test": 0}, "n_test is 0; expected at least 64, and a multiple of it"),
        ({"n_test": 100}, "n_test is 100; expected at least 64, and a multiple of it"),
    ],
)
def test_what_is_refused_is_told_apart_from_what_is_wanted(fields, said):
    with pytest.raises(InputError, match=said):
        ParityNetwork(**fields)


def test_a_network_that_is_not_told_how_long_to_run_asks_for_steps():
    with pytest.raises(InputError, match=r"Give steps\.$"):
        simulate.simulate(Zipf(n_subtasks=3), SMALL_NETWORK)
