"""Train a real network, or one of its controls, on subtasks of known frequencies: frequencies + task + model → record.

    python -m quanta.train                                    # mod 5, 32 subtasks: under a minute on one core
    python -m quanta.train --model kernel                     # the control that a verdict rests on
    python -m quanta.train --task copying --optimizer adam
    python -m quanta.train --replicates 8                     # eight runs of the same subtasks in one record
    python -m quanta.train --reweight changes.csv             # the same subtasks, at other frequencies

Needs PyTorch.
"""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quanta import _checkpoint, _cli, _train_report, _train_run
from quanta._checks import check_whole
from quanta._errors import InputError
from quanta._grid import log_spaced
from quanta._output import Output, Work
from quanta._train_run import DESIGN, Kept, Plan
from quanta.frequencies import AbstractFrequencies, Zipf, read_changes
from quanta.models import MODELS, AbstractModel, _memory
from quanta.models.base import OPTIMIZERS, Diverged, Setting, require_torch
from quanta.tasks import TASKS, AbstractTask
from quanta.tasks.stream import Stream

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DESIGN", "main", "run", "train", "work"]

_MAX_CHECKPOINTS = 10_000
_BATCH_SIZE = 256


def train(
    frequencies: AbstractFrequencies | None,
    task: AbstractTask,
    model: AbstractModel,
    *,
    optimizer: str = "sgd",
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    warmup: int = 0,
    batch_size: int | None = None,
    steps: int = 12_000,
    n_checkpoints: int = 120,
    seed: int = 0,
    replicate: int = 0,
    replicates: int | None = None,
    device: str = "cpu",
    save_weights: str | None = None,
    checkpoint: Path | None = None,
    weights: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> "xr.Dataset":
    """Train a model, and measure every subtask at log-spaced steps, and closely where a loss drops within one interval.

    Parameters
    ----------
    frequencies : AbstractFrequencies or None
        How often each subtask is drawn; None where the task decides it itself.
    task : AbstractTask
        What the subtasks are; they are drawn from the seed without replacement.
    model : AbstractModel
        The network, or a control. Runs that differ in nothing but their model see the same subtasks, the same
        batches and, where they have a network, the same initial weights.
    optimizer : {"sgd", "momentum", "adam"}
        Plain SGD, SGD with momentum 0.9, or AdamW with β = (0.9, 0.98).
    learning_rate : float, optional
        The highest; by default the model's own.
    weight_decay : float
        Decoupled: each step shrinks the weights by rate × this.
    schedule : {"constant", "cosine", "wsd"}
        Course of the rate after ``warmup`` steps of linear rise; see :class:`quanta.models.base.Setting`.
    warmup : int
        Steps.
    batch_size, steps : int
        Examples in a batch (256, or the whole training set of a task that is trained on it); number of batches.
    n_checkpoints : int
        Number of log-spaced measurements, step 0 included (a few more or less, since steps are whole numbers). Fewer than
        about 60 leave intervals too long for a wall in one to be told from a slow decline.
    seed : int
        Seed of subtasks, weights and data.
    replicate : int
        Another run of the same subtasks: each number but 0 has weights and batches of its own.
    replicates : int, optional
        Train so many of them together, from ``replicate`` on: the record's curves have a first dim ``seed``, whose labels
        are the numbers. Each learns as it would alone, up to rounding; small networks learn together in less time.
    device : str
        "cpu", or "cuda" where there is one.
    save_weights : str, optional
        "log:20": write the weights at 20 log-spaced checkpoints, into the directory ``weights``.
    checkpoint, weights : path, optional
        A file that holds the run while it is in progress, and is left in place at the end; a directory for the weights.
    resume : bool
        Go on from that file, if it is there; the result is the same to the last bit (on a CPU).
    progress : bool
        Show progress on stderr.

    Returns
    -------
    xr.Dataset
        A record with ``loss``, ``accuracy``, ``probability``, ``exposures``, the task's own measures by step, and attrs ``control_kind``,
        ``control_status`` (of a control: ok, unfinished, unstable), ``data_id`` and ``network`` (what controls must
        share with the run that they control), ``inputs`` (of a control: the part of them that it was given, in words; "" for all), ``design_id`` (what an intervention must share with it), ``time_law``, ``train_seconds``, ``evaluation_seconds``.

    Raises
    ------
    InputError
        For what cannot work; :class:`~quanta.models.base.Diverged`, with the record so far, if the loss stops
        being finite.
    """
    plan = _plan(
        frequencies, task, model, optimizer=optimizer, learning_rate=learning_rate, weight_decay=weight_decay,
        schedule=schedule, warmup=warmup, batch_size=batch_size, steps=steps, n_checkpoints=n_checkpoints, seed=seed,
        replicate=replicate, replicates=replicates, device=device, save_weights=save_weights,
    )  # fmt: skip
    return _train_run.execute(plan, Kept(checkpoint, weights), resume=resume, progress=progress)


def _plan(
    frequencies: AbstractFrequencies | None,
    task: AbstractTask,
    model: AbstractModel,
    *,
    optimizer: str,
    learning_rate: float | None,
    batch_size: int | None,
    steps: int,
    n_checkpoints: int,
    device: str,
    replicates: int | None = None,
    save_weights: str | None = None,
    **how: Any,
) -> Plan:
    """Check everything, and fill in what was left open."""
    torch = require_torch()
    check_whole("seed", how["seed"], 0)
    check_whole("steps", steps, 1)
    check_whole("n_checkpoints", n_checkpoints, 3)
    if n_checkpoints > _MAX_CHECKPOINTS:
        raise InputError(f"n_checkpoints is {n_checkpoints}; expected at most {_MAX_CHECKPOINTS}.")
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; expected cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is 'cuda', but PyTorch sees no CUDA device here; use cpu.")
    shares = task.shares()
    if (frequencies is None) == (shares is None):
        raise InputError(
            f"frequencies were not given; expected how often each subtask of {task!r} is drawn, such as Zipf."
            if shares is None
            else f"{task!r} decides itself how often its subtasks occur; expected no frequencies."
        )
    chosen = frequencies if frequencies is not None else shares
    assert chosen is not None
    if batch_size is None:
        batch_size = task.full_batch or _BATCH_SIZE
    stream = Stream(frequencies=chosen, task=task, batch_size=batch_size, seed=how["seed"], replicate=how["replicate"])
    if learning_rate is None:
        learning_rate = model.default_rate(optimizer, stream) if optimizer in OPTIMIZERS else math.nan
    course = {name: how[name] for name in ("weight_decay", "schedule", "warmup")}
    setting = Setting(optimizer=optimizer, learning_rate=learning_rate, device=device, steps=steps, **course)
    model.check(stream, setting)
    words = {
        "frequencies": chosen, "task": task, "model": model, "optimizer": optimizer, "learning_rate": learning_rate,
        **course, "batch_size": batch_size, "steps": steps, "n_checkpoints": n_checkpoints, "seed": how["seed"],
        "replicate": how["replicate"], "device": device, **_content(task),
    }  # fmt: skip
    members: tuple[Stream, ...] = ()
    if replicates is not None:
        check_whole("replicates", replicates, 1)
        words["replicates"] = replicates
        members = tuple(dataclasses.replace(stream, replicate=stream.replicate + i) for i in range(replicates))
    _memory.check(model, stream, device, max(len(members), 1))
    grid = log_spaced(steps, n_checkpoints)
    return Plan(stream, model, setting, grid, words, _saved_steps(save_weights, grid), members)


def _content(task: AbstractTask) -> dict[str, str]:
    """What names the files that a task reads: they may change, and then it is another run."""
    return {} if task.identity == repr(task) else {"data": task.identity}


def _saved_steps(words: str | None, grid: np.ndarray) -> np.ndarray:
    """The checkpoints nearest to log-spaced steps: "log:20" → 20 of them."""
    if words is None:
        return np.empty(0, dtype=np.int64)
    law, _, number = words.partition(":")
    if law != "log" or not number.isdecimal() or int(number) < 2:
        raise InputError(f"save_weights is {words!r}; expected log: and a number of at least 2, such as log:20.")
    places = np.rint(np.linspace(0, len(grid) - 1, min(int(number), len(grid))))
    return grid[places.astype(np.int64)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(_cli.Common):
    """Train a transformer, or one of its controls, on subtasks of known frequencies, and record each one's loss."""

    n_subtasks: int | None = None
    """Number of subtasks: 32, or as many as the task has where it leaves no choice."""
    exponent: float | None = None
    """Zipf exponent s of their frequencies, p_k ∝ k^-s: 1.4, unless the task decides it itself."""
    reweight: Path | None = None
    """A CSV file that changes them: subtask,factor (those not named keep theirs) or subtask,frequency (all anew)."""
    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    """Plain SGD, SGD with momentum 0.9, or AdamW."""
    learning_rate: float | None = None
    """Highest learning rate; by default the model's own for the optimizer."""
    weight_decay: float = 0.0
    """Decoupled weight decay: each step shrinks the weights by rate × this."""
    schedule: Literal["constant", "cosine", "wsd"] = "constant"
    """Course of the rate: constant, half a cosine to 0, or stable with a linear decay over the last fifth."""
    warmup: int = 0
    """Steps over which the rate first rises linearly."""
    batch_size: int | None = None
    """Examples in a batch: 256, or the whole training set of a task that is trained on it."""
    steps: int = 12_000
    """Number of batches."""
    n_checkpoints: int = 120
    """Number of log-spaced measurements, about, step 0 included; what lies between is measured too where a loss drops."""
    replicate: int = 0
    """Another run of the same subtasks: each number but 0 has weights and batches of its own."""
    replicates: int | None = None
    """Train so many of them together, from --replicate on, into one record with a dim seed."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute."""
    save_weights: str | None = None
    """Write the weights too, as safetensors files: log:20 for 20 log-spaced checkpoints."""
    threads: int = 1
    """Threads of PyTorch. For networks this small one is about as fast as two, and its results do not depend on
    how busy the machine is."""
    resume: bool = False
    """Go on with an unfinished run, to the very result it would have had."""


_HOW = {
    "optimizer", "learning_rate", "weight_decay", "schedule", "warmup", "batch_size", "steps", "n_checkpoints", "seed",
    "replicate", "replicates", "device", "save_weights",
}  # fmt: skip


def _frequencies(options: Options, task: AbstractTask) -> AbstractFrequencies | None:
    """Zipf, unless the task decides it itself."""
    if task.shares() is None:
        n_subtasks = task.n_default if options.n_subtasks is None else options.n_subtasks
        task.check_count(n_subtasks)
        return Zipf(n_subtasks=n_subtasks, exponent=1.4 if options.exponent is None else options.exponent)
    for name in ("n_subtasks", "exponent", "reweight"):
        if getattr(options, name) is not None:
            raise InputError(
                f"{name} is {getattr(options, name)}, but {task!r} decides itself how often its subtasks occur; "
                f"expected nothing. Leave out --{name.replace('_', '-')}."
            )
    return None


def run(argv: Sequence[str] | None = None) -> int:
    """Train, as the flags say, and write the record."""
    return work(argv).run()


def work(argv: Sequence[str] | Mapping[str, Any] | None = None) -> Work:
    """What the flags ask for (or settings, as in a file of --config): where it belongs, and how it is made."""
    parsed = _cli.parse("train", Options, {"task": (TASKS, "modular_arithmetic"), "model": (MODELS, "decoder")}, argv)
    options, task, model = parsed.options, parsed.parts["task"], parsed.parts["model"]
    if not options.quiet:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    frequencies = _frequencies(options, task)
    if options.reweight and frequencies is not None:
        frequencies = read_changes(options.reweight, frequencies)
        parsed = parsed.with_content(frequencies=frequencies)
    elif content := _content(task):
        parsed = parsed.with_content(**content)
    how = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name in _HOW}

    def plan() -> Plan:
        torch = require_torch()
        check_whole("threads", options.threads, 1)
        torch.set_num_threads(options.threads)
        planned = _plan(frequencies, task, model, **how)
        if options.resume and options.out and (options.out / "train.checkpoint").exists():
            _checkpoint.load(options.out / "train.checkpoint", planned.words)
        return planned

    return Work(
        "train",
        f"{parsed.choices['model']}-{parsed.choices['task']}",
        parsed,
        plan=plan,
        make=lambda out, plan: _train_into(out, parsed, plan),
        report=lambda out, plan: _train_report.report(out.path, out.summary(), parsed, plan),
    )


def _train_into(out: Output, parsed: _cli.Parsed, plan: Plan) -> None:
    """Train; write the record and mark the run as finished; then drop the checkpoint."""
    from quanta import record

    checkpoint = out.path / "train.checkpoint"
    options = parsed.options
    if options.resume and not checkpoint.exists():
        logging.getLogger("quanta.train").info("no unfinished run at %s; starting at step 0", out.path)
    try:
        kept = Kept(checkpoint, out.path / "weights")
        ds = _train_run.execute(plan, kept, resume=options.resume, progress=not options.quiet)
    except KeyboardInterrupt:
        logging.getLogger("quanta.train").info("stopped; the same command with --resume goes on from %s", checkpoint)
        raise
    except Diverged as error:
        if error.record is None:
            raise
        record.save(error.record, out.record, overwrite=True)
        raise InputError(f"{error} The record up to step {int(error.record.step[-1])} is {out.record}.") from None
    if not ds.attrs["control_kind"]:
        ds.attrs["kernel_command"] = _train_report.kernel_command(out.path, parsed, plan)
    record.save(ds, out.record, overwrite=True)
    loss = ds["loss"].values[..., -1]
    summary = {
        "record": str(out.record),
        "learned": round(float(_train_run.learned(plan, loss).sum(axis=-1).mean()), 1),
        "n_subtasks": ds.sizes["subtask"],
        "replicates": ds.sizes.get("seed", 1),
        "mean_loss": float(record.mean_loss(ds)[..., -1].mean()),
        "chance_loss": float(plan.stream.chance @ plan.weight),
        **{name: ds.attrs[name] for name in ("control_kind", "control_status", "inputs", "data_id")},
        "seconds": round(ds.attrs["train_seconds"], 2),
        "weights": len(list((out.path / "weights").glob("*.safetensors"))),
        "evaluation_share": round(ds.attrs["evaluation_seconds"] / ds.attrs["train_seconds"], 3),
    }
    out.finish(parsed.configuration(), summary)
    checkpoint.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return _cli.main("train", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
