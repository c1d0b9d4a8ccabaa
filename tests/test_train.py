"""Training end to end: the record, resuming after kill -9, controls, and the command."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta import _train_run, record, train
from quanta._errors import InputError
from quanta._grid import between, log_spaced
from quanta.frequencies import Zipf
from quanta.models import AbstractModel, AbstractRun, Decoder, Kernel, Tabular
from quanta.models.base import Setting
from quanta.tasks import Copying, ModularArithmetic
from quanta.tasks.stream import Stream

SMALL = {"decoder": Decoder(width=16, heads=2), "tabular": Tabular(), "kernel": Kernel(width=16, heads=2)}
FLAGS = ["--n-subtasks", "4", "--modulus", "3", "--steps", "300", "--n-checkpoints", "20", "--batch-size", "64"]
models = pytest.mark.parametrize("kind", SMALL)


def small(kind="decoder", **changes):
    how = {"batch_size": 64, "steps": 300, "n_checkpoints": 20, **changes}
    task = how.pop("task", ModularArithmetic(modulus=3))
    n_subtasks = how.pop("n_subtasks", 4)
    return train.train(Zipf(n_subtasks=n_subtasks, exponent=1.0), task, SMALL[kind], **how)


def same_data(a, b):
    xr.testing.assert_identical(a.drop_attrs(), b.drop_attrs())


@pytest.mark.parametrize(("steps", "n"), [(12_000, 120), (300, 20), (10, 120), (119, 120), (120, 120), (10**7, 400)])
def test_checkpoints_are_log_spaced_from_zero_to_the_end(steps, n):
    grid = log_spaced(steps, n)
    assert (grid[0], grid[1], grid[-1]) == (0, 1, steps)
    assert np.all(np.diff(grid) > 0)
    assert len(grid) >= min(n, steps + 1)
    late = grid[grid > 100]
    # neighbours differ by the common ratio, but for rounding to whole numbers
    assert len(late) < 2 or np.all(np.diff(np.log(late)) < np.log(steps) / (len(grid) - n // 2) + 2 / late[:-1])


@given(first=st.integers(1, 10**7), ratio=st.floats(1.0, 3.0))
@settings(deadline=None)
def test_steps_between_checkpoints_are_inside_and_a_hundredth_of_a_nat_apart(first, ratio):
    last = first + 1 + int(first * (ratio - 1))
    steps = [first, *between(first, last), last]
    assert np.all(np.diff(steps) > 0)
    # neighbours differ by an even share of the interval, but for rounding to whole numbers
    n_parts = np.ceil(np.log(last / first) / 0.01)
    assert np.max(np.diff(steps)) <= (last - first) / n_parts + 1


def walls(steps, falls):
    """A run whose only subtask drops from 1 to 0 over the interval ``falls``, in straight line."""

    class Wall(AbstractRun):
        step = 0

        def advance(self, target):
            self.step = target
            return target

        def snapshot(self):
            return self.step

        def measure_at(self, snapshot):
            fallen = np.interp(snapshot, falls, [0.0, 1.0])
            curves = {name: np.full(4, fallen) for name in ("accuracy", "probability", "exposures")}
            return {"loss": np.full(4, np.log(3) * (1 - fallen)), **curves}

        def measure(self):
            return self.measure_at(self.step)

        def state(self):
            return {}

        def restore(self, state):
            pass

    class Walls(Overshooting):
        control_kind = ""

        def start(self, stream, setting):
            return Wall()

    frequencies = Zipf(n_subtasks=4, exponent=1.0)
    ds = train.train(frequencies, ModularArithmetic(modulus=3), Walls(), learning_rate=1.0, steps=steps)
    return ds["step"].values


def test_a_wall_is_looked_at_closely_and_a_slow_decline_is_not():
    pytest.importorskip("torch")
    grid = log_spaced(12_000, 120)
    np.testing.assert_array_equal(walls(12_000, [1, 12_000]), grid)  # never more than e^.08 − 1 of a twelve-thousandth
    steps = walls(12_000, [4000, 4300])  # .072 nats
    extra = set(steps) - set(grid)
    assert extra
    assert min(extra) > 3500
    assert max(extra) < 5000
    inside = steps[(steps >= 4000) & (steps <= 4300)]
    assert len(inside) >= 6


@pytest.mark.parametrize("schedule", ["constant", "cosine", "wsd"])
def test_rates_rise_over_the_warm_up_reach_the_highest_and_end_as_the_schedule_says(schedule):
    course = Setting(optimizer="sgd", learning_rate=0.3, device="cpu", schedule=schedule, warmup=10, steps=1000)
    rate = course.rate(np.arange(1000))
    np.testing.assert_allclose(rate[:10], 0.3 * np.arange(1, 11) / 11)
    assert rate.max() == pytest.approx(0.3)
    assert np.all(np.diff(rate[10:]) <= 0)
    middle = {"constant": 0.3, "cosine": 0.15, "wsd": 0.3}[schedule]
    assert course.rate(505) == pytest.approx(middle)
    assert course.rate(1000) == pytest.approx(0.3 if schedule == "constant" else 0.0)
    np.testing.assert_allclose(course.rate_sums(np.array([0, 1, 7, 1000])), [rate[:n].sum() for n in (0, 1, 7, 1000)])


def test_weight_decay_shrinks_the_weights_by_rate_times_decay_in_every_optimizer():
    """Two copies of one run, a single step from the same weights: they differ by rate · decay · weights."""
    pytest.importorskip("torch")
    for optimizer, rate in (("sgd", 0.1), ("momentum", 0.1), ("adam", 0.01)):
        after = []
        for decay in (0.0, 0.5):
            how = Setting(optimizer=optimizer, learning_rate=rate, device="cpu", weight_decay=decay, steps=2)
            frequencies = Zipf(n_subtasks=4, exponent=1.0)
            stream = Stream(frequencies=frequencies, task=ModularArithmetic(modulus=3), batch_size=8, seed=0)
            run = SMALL["decoder"].start(stream, how)
            before = run.weights()
            run.advance(1)
            after.append(run.weights())
        for name, start in before.items():
            np.testing.assert_allclose(after[0][name] - after[1][name], rate * 0.5 * start, atol=1e-6)


@models
def test_the_record_is_valid_and_says_what_was_run(kind):
    pytest.importorskip("torch")
    ds = small(kind, seed=3)
    record.validate(ds)
    assert ds.sizes["subtask"] == 4
    assert set(log_spaced(300, 20)) <= set(ds["step"].values)
    assert set(ds.data_vars) >= {"loss", "accuracy", "probability", "exposures", "examples", "learning_rate_sum"}
    assert (ds.attrs["source"], ds.attrs["optimizer"], ds.attrs["seed"]) == ("trained", "sgd", 3)
    assert ds.attrs["control_kind"] == ("" if kind == "decoder" else kind)
    config = json.loads(ds.attrs["config"])
    assert eval(config["model"], {type(SMALL[kind]).__name__: type(SMALL[kind])}) == SMALL[kind]
    np.testing.assert_allclose(ds["chance_loss"], np.log(3))
    np.testing.assert_allclose(ds["exposures"].sum("subtask"), ds["examples"], rtol=1e-6)  # of float32
    assert np.all(np.diff(ds["exposures"], axis=-1) >= 0)


def test_controls_share_data_and_initial_weights_with_the_network():
    pytest.importorskip("torch")
    network, table, kernel = (small(kind) for kind in SMALL)
    assert network.attrs["data_id"] == table.attrs["data_id"] == kernel.attrs["data_id"]
    assert network.attrs["data_id"] != small("tabular", seed=1).attrs["data_id"]
    assert network.attrs["network"] == kernel.attrs["network"] == repr(SMALL["decoder"])
    np.testing.assert_allclose(network["loss"][:, 0], kernel["loss"][:, 0], atol=1e-5)  # float32 against float64
    xr.testing.assert_equal(network["exposures"], table["exposures"])


def test_the_network_learns_subtasks_and_more_of_the_frequent():
    pytest.importorskip("torch")
    ds = small(steps=2500, batch_size=128)
    assert np.all(ds["loss"][:, -1] < 0.25 * np.log(3))
    half = [int(ds["step"][np.argmax(curve < np.log(3) / 2)]) for curve in ds["loss"].values]
    assert half[0] < half[-1]


def test_copying_is_learned_with_adam():
    pytest.importorskip("torch")
    ds = small(task=Copying(string=4, vocabulary=3), n_subtasks=2, optimizer="adam", learning_rate=0.01, steps=600)
    assert ds.attrs["optimizer"] == "adam"
    assert np.all(ds["accuracy"][:, -1] > 0.95)


class Overshooting(AbstractModel):
    """A control in name: the network, to be trained at a rate at which it cannot be stable."""

    control_kind = "kernel"
    network = repr(SMALL["decoder"])

    def default_rate(self, optimizer, stream):
        return 20.0

    def check(self, stream, setting):
        pass

    def start(self, stream, setting):
        return SMALL["decoder"].start(stream, setting)


def test_a_control_that_rises_above_its_start_is_stopped_and_called_unstable():
    pytest.importorskip("torch")
    ds = train.train(Zipf(n_subtasks=4, exponent=1.0), ModularArithmetic(modulus=3), Overshooting(), steps=300)
    assert ds.attrs["control_status"] == "unstable"
    assert ds["step"][-1] < 300
    mean = record.mean_loss(ds)
    assert mean[-1] > mean[0]
    assert np.all(mean[:-1] <= 1.01 * mean[0])


def test_a_control_that_has_not_learned_half_of_the_subtasks_is_unfinished():
    pytest.importorskip("torch")
    assert small("kernel", steps=10).attrs["control_status"] == "unfinished"
    assert small("tabular", steps=1000).attrs["control_status"] == "ok"
    assert small("decoder", steps=10).attrs["control_status"] == ""


def test_a_diverging_run_keeps_its_record_so_far(tmp_path, capsys):
    pytest.importorskip("torch")
    assert train.main([*FLAGS, "--learning-rate", "1e30", "--out", str(tmp_path / "run"), "--quiet"]) == 2
    message = capsys.readouterr().err
    assert "the training loss is not finite at step" in message
    assert message.count("\n") == 1
    assert record.load(tmp_path / "run")["step"].values.tolist() == [0]


def test_a_run_whose_first_loss_is_no_number_says_so_in_one_line(tmp_path, capsys):
    pytest.importorskip("torch")
    assert train.main([*FLAGS, "--token-std", "1e30", "--norm", "none", "--out", str(tmp_path / "run"), "--quiet"]) == 2
    message = capsys.readouterr().err
    assert "the training loss is not finite at step 0" in message
    assert message.count("\n") == 1


@models
def test_the_result_does_not_depend_on_when_checkpoints_are_saved(kind, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(_train_run, "_SAVE_EVERY", -1.0)
    saved = small(kind, checkpoint=tmp_path / "state", seed=1)
    same_data(saved, small(kind, seed=1))
    same_data(saved, small(kind, seed=1, checkpoint=tmp_path / "state", resume=True))  # of a finished run


def wait_for_saves(path, process, n):
    """Wait until the file has been replaced n times."""
    seen = set()
    while len(seen) < n:
        assert process.poll() is None, "the run ended before it could be killed"
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.002)


@models
def test_a_run_that_was_killed_resumes_to_the_same_result_to_the_last_bit(kind, tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "run"
    flags = [*FLAGS, "--model", kind, "--steps", "3000", "--n-checkpoints", "60", "--quiet"]
    flags += [] if kind == "tabular" else ["--width", "16", "--heads", "2"]
    whole, flags = [*flags, "--out", str(tmp_path / "whole")], [*flags, "--out", str(out)]
    often = (
        f"from quanta import _train_run, train; _train_run._SAVE_EVERY = -1.0; raise SystemExit(train.main({flags}))"
    )
    process = subprocess.Popen([sys.executable, "-c", often], stderr=subprocess.DEVNULL)
    wait_for_saves(out / "train.checkpoint", process, 8)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "record.zarr").exists()

    assert train.main(flags) == 2  # an unfinished run is not overwritten in silence
    assert train.main([*flags, "--resume"]) == 0
    assert not list(out.glob("*checkpoint*"))
    assert train.main(whole) == 0
    same_data(record.load(out), record.load(tmp_path / "whole"))


def test_resuming_with_other_settings_is_refused_with_what_differs(tmp_path):
    pytest.importorskip("torch")
    small(checkpoint=tmp_path / "state", steps=10)
    with pytest.raises(InputError, match=r"steps was 10, is 300; seed was 0, is 1\. "):
        small(checkpoint=tmp_path / "state", seed=1, resume=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04torn", b"no checkpoint"])
def test_a_torn_checkpoint_is_refused(content, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        small(checkpoint=tmp_path / "state", resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"n_checkpoints": 2}, "n_checkpoints is 2"),
        ({"n_checkpoints": 10**9}, "expected at most 10000"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"optimizer": "muon"}, "'muon' is unknown"),
        ({"schedule": "linear"}, "'linear' is unknown; expected one of constant, cosine, wsd"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"weight_decay": 10.0, "learning_rate": 0.1}, "each step would take away every weight"),
        ({"warmup": 301}, "warmup is 301; expected 0 to steps, 300"),
        ({"save_weights": "log:1"}, "save_weights is 'log:1'"),
        ({"device": "tpu"}, "'tpu' is unknown; expected cpu or cuda"),
        ({"n_subtasks": 13}, "has only 12 distinct"),
    ],
)
def test_arguments_out_of_range_are_refused(changes, message):
    pytest.importorskip("torch")
    with pytest.raises(InputError, match=message):
        small(**changes)


def test_the_command_writes_a_record_names_what_comes_next_and_finds_itself_again(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert train.main(FLAGS) == 0
    said = capsys.readouterr().out
    path = next((tmp_path / "runs").iterdir())
    run = f"runs/{path.name}"
    assert path.name.startswith("train-decoder-modular_arithmetic-")
    record.load(path)
    assert f"--out {run}-kernel" in said
    assert f"python -m quanta.composition {run} --control {run}-kernel --control {run}-tabular" in said

    started = time.perf_counter()
    assert train.main(FLAGS) == 0
    assert time.perf_counter() - started < 1
    assert "finished already" in capsys.readouterr().out

    commands = [line.split() for line in said.splitlines() if "quanta.train --model" in line]
    assert len(commands) == 2
    for words in commands:
        assert train.main([*words[3:], "--quiet"]) == 0
    ids = {record.load(run + suffix).attrs["data_id"] for suffix in ("", "-kernel", "-tabular")}
    assert len(ids) == 1


def test_controls_that_cannot_be_are_not_offered(tmp_path, capsys):
    pytest.importorskip("torch")
    flags = ["--modulus", "1031", "--n-subtasks", "2", "--steps", "3", "--width", "8", "--heads", "1"]
    assert train.main([*flags, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "no tabular control" in said
    assert "--model kernel" not in said
    assert f"--control {tmp_path / 'run-linearised'}\n" in said


def test_json_is_one_object(tmp_path, capsys):
    pytest.importorskip("torch")
    assert train.main([*FLAGS, "--out", str(tmp_path / "run"), "--json", "--quiet"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_subtasks"] == 4
    assert summary["evaluation_share"] <= 1


def test_a_device_that_is_not_there_is_refused_in_one_line(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    assert train.main(["--device", "cuda", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "sees no CUDA device" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_without_torch_one_line_says_how_to_install_it(tmp_path):
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(f'No module named {name!r}')\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from quanta import train; raise SystemExit(train.main([]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        "quanta.train: error: quanta.train needs PyTorch; install it with: pip install 'quanta[torch]'\n"
    )
    assert not list(tmp_path.iterdir())


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom quanta import train\ntry: train.main(['--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'numba', 'xarray', 'scipy'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--n-subtasks" in result.stdout
    assert result.stdout.endswith("set()\n")
