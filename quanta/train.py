"""Train a real network, or one of its controls, on subtasks of known frequencies: frequencies + task + model → record.

    python -m quanta.train                                    # mod 5, 32 subtasks: under a minute on one core
    python -m quanta.train --model kernel                     # the control that a verdict rests on
    python -m quanta.train --task copying --optimizer adam
    python -m quanta.train --reweight changes.csv             # the same subtasks, at other frequencies

Needs PyTorch.
"""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from quanta import _checkpoint, _cli, _train_report
from quanta._errors import InputError
from quanta._grid import log_spaced
from quanta.frequencies import AbstractFrequencies, Zipf, read_changes
from quanta.models import MODELS, AbstractModel, AbstractRun
from quanta.models.base import OPTIMIZERS, Diverged, Setting, require_torch
from quanta.tasks import TASKS, AbstractTask
from quanta.tasks.base import check_whole
from quanta.tasks.stream import Stream

if TYPE_CHECKING:
    import xarray as xr

    from quanta._output import Output

_LEARNED = 0.25  # of chance
_UNFINISHED = 0.5  # of the subtasks: a control that has learned fewer has not shown how it learns
_UNSTABLE = 1.01  # of the loss at step 0: where a control's mean loss exceeds it, it is no control
_MAX_CHECKPOINTS = 10_000
_SAVE_EVERY = 3.0  # seconds
DESIGN = ("task", "model", "optimizer", "learning_rate", "batch_size", "seed")
"""What a run and an intervention on it share: all but the frequencies, the length, and chance."""

Rows = dict[str, list[Any]]  # name → one entry for each measurement


class Plan(NamedTuple):
    """Everything that decides a run, checked."""

    stream: Stream
    model: AbstractModel
    setting: Setting
    grid: np.ndarray  # steps at which the subtasks are measured
    words: dict[str, Any]  # all of it by name: the record's provenance, and what a checkpoint must agree with

    @property
    def chance(self) -> float:
        """Loss of guessing, in nats."""
        return math.log(self.stream.task.n_classes)


def train(
    frequencies: AbstractFrequencies,
    task: AbstractTask,
    model: AbstractModel,
    *,
    optimizer: str = "sgd",
    learning_rate: float | None = None,
    batch_size: int = 256,
    steps: int = 12_000,
    n_checkpoints: int = 120,
    seed: int = 0,
    replicate: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> "xr.Dataset":
    """Train a model, and measure every subtask at log-spaced steps.

    Parameters
    ----------
    frequencies : AbstractFrequencies
        How often each subtask is drawn.
    task : AbstractTask
        What the subtasks are; they are drawn from the seed without replacement.
    model : AbstractModel
        The network, or a control. Runs that differ in nothing but their model see the same subtasks, the same
        batches and, where they have a network, the same initial weights.
    optimizer : {"sgd", "adam"}
        Plain SGD, or AdamW without decay, β = (0.9, 0.98). The rate is constant.
    learning_rate : float, optional
        By default the model's own.
    batch_size, steps : int
        Examples in a batch; number of batches.
    n_checkpoints : int
        Least number of measurements, step 0 included (fewer only where there are fewer steps).
    seed : int
        Seed of subtasks, weights and data.
    replicate : int
        Another run of the same subtasks: each number but 0 has weights and batches of its own.
    device : str
        "cpu", or "cuda" where there is one.
    checkpoint : path, optional
        A file that holds the run while it is in progress; by default there is none. It is left in place at the end.
    resume : bool
        Go on from that file, if it is there; the result is the same to the last bit (on a CPU).
    progress : bool
        Show progress on stderr.

    Returns
    -------
    xr.Dataset
        A record with ``loss``, ``accuracy``, ``probability``, ``exposures``, and attrs ``control_kind``,
        ``control_status`` (of a control: ok, unfinished, unstable), ``data_id`` and ``network`` (what controls must
        share with the run that they control), ``design_id`` (what an intervention must share with it), ``time_law``, ``train_seconds``, ``evaluation_seconds``.

    Raises
    ------
    InputError
        For what cannot work; :class:`~quanta.models.base.Diverged`, with the record so far, if the loss stops
        being finite.
    """
    plan = _plan(
        frequencies, task, model, optimizer=optimizer, learning_rate=learning_rate, batch_size=batch_size, steps=steps,
        n_checkpoints=n_checkpoints, seed=seed, replicate=replicate, device=device,
    )  # fmt: skip
    return _execute(plan, checkpoint, resume=resume, progress=progress)


def _plan(
    frequencies: AbstractFrequencies,
    task: AbstractTask,
    model: AbstractModel,
    *,
    optimizer: str,
    learning_rate: float | None,
    batch_size: int,
    steps: int,
    n_checkpoints: int,
    seed: int,
    replicate: int,
    device: str,
) -> Plan:
    torch = require_torch()
    check_whole("seed", seed, 0)
    check_whole("steps", steps, 1)
    check_whole("n_checkpoints", n_checkpoints, 3)
    if n_checkpoints > _MAX_CHECKPOINTS:
        raise InputError(f"n_checkpoints is {n_checkpoints}; expected at most {_MAX_CHECKPOINTS}.")
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; expected cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is 'cuda', but PyTorch sees no CUDA device here; use cpu.")
    if learning_rate is None:
        learning_rate = model.default_rate(optimizer) if optimizer in OPTIMIZERS else math.nan
    setting = Setting(optimizer=optimizer, learning_rate=learning_rate, device=device)
    stream = Stream(frequencies=frequencies, task=task, batch_size=batch_size, seed=seed, replicate=replicate)
    model.check(stream, setting)
    words = {
        "frequencies": frequencies, "task": task, "model": model, "optimizer": optimizer, "learning_rate": learning_rate,
        "batch_size": batch_size, "steps": steps, "n_checkpoints": n_checkpoints, "seed": seed,
        "replicate": replicate, "device": device,
    }  # fmt: skip
    return Plan(stream, model, setting, log_spaced(steps, n_checkpoints), words)


def _execute(plan: Plan, checkpoint: Path | None, *, resume: bool, progress: bool) -> "xr.Dataset":
    rows: Rows = {}
    seconds = [0.0, 0.0]  # in all, of which evaluation
    began = time.perf_counter()
    run = plan.model.start(plan.stream, plan.setting)
    if checkpoint is not None and resume and checkpoint.exists():
        found = _checkpoint.load(checkpoint, plan.words, plan.setting.device)
        rows, seconds = found["rows"], found["seconds"]
        run.restore(found["run"])
    seconds[0] += time.perf_counter() - began
    try:
        _follow(plan, run, rows, seconds, checkpoint, progress)
    except Diverged as error:
        error.record = _record(plan, rows, seconds)
        raise
    return _record(plan, rows, seconds)


def _follow(
    plan: Plan, run: AbstractRun, rows: Rows, seconds: list[float], checkpoint: Path | None, shown: bool
) -> None:
    """Take a run to its end, adding to ``rows`` at each step of the grid, and to ``seconds``."""
    from quanta._progress import Progress

    def note() -> str:
        return f"learned {learned(rows, plan.chance)} of {plan.stream.n_subtasks}"

    began, saved = time.perf_counter() - seconds[0], -math.inf
    step = int(rows["step"][-1]) if rows else 0
    with Progress("quanta.train", int(plan.grid[-1]), step, shown=shown) as progress:
        for target in plan.grid[len(rows.get("step", [])) :]:
            if rows and _unstable(plan, rows):
                return
            measured = False
            while not measured:
                step = run.advance(int(target)) if target else 0
                if step == target:
                    _measure(int(target), run, rows, seconds)
                    measured = True
                progress.update(step, note)
                seconds[0] = time.perf_counter() - began
                if checkpoint is not None and time.monotonic() - saved > _SAVE_EVERY:
                    _checkpoint.save(checkpoint, plan.words, rows, seconds=list(seconds), run=run.state())
                    saved = time.monotonic()


def _measure(step: int, run: AbstractRun, rows: Rows, seconds: list[float]) -> None:
    began = time.perf_counter()
    row = {"step": np.asarray(step), **run.measure()}
    for name, value in row.items():
        rows.setdefault(name, []).append(value)
    seconds[1] += time.perf_counter() - began


def learned(rows: Rows, chance: float) -> int:
    """How many subtasks are learned by the last measurement: loss below a quarter of chance."""
    return int(np.sum(rows["loss"][-1] < _LEARNED * chance)) if rows else 0


def _unstable(plan: Plan, rows: Rows) -> bool:
    """Whether a control's mean loss has risen above its start."""
    first, last = (float(rows["loss"][i] @ plan.stream.probability) for i in (0, -1))
    return bool(plan.model.control_kind) and last > _UNSTABLE * first


def _status(plan: Plan, rows: Rows) -> str:
    """Whether a control can calibrate anything; "" for the network itself."""
    if not plan.model.control_kind:
        return ""
    if _unstable(plan, rows):
        return "unstable"
    return "ok" if learned(rows, plan.chance) >= _UNFINISHED * plan.stream.n_subtasks else "unfinished"


def _record(plan: Plan, rows: Rows, seconds: list[float]) -> "xr.Dataset":
    from quanta import record

    stream, setting, words = plan.stream, plan.setting, plan.words
    step = np.array(rows["step"], dtype=np.int64)
    curves: dict[str, Any] = {name: np.stack(values, axis=-1) for name, values in rows.items() if name != "step"}
    return record.new(
        curves.pop("loss"), step=step, frequency=stream.probability, source="trained", optimizer=setting.optimizer,
        n_classes=stream.task.n_classes, chance_loss=plan.chance, **curves,
        examples=step * stream.batch_size, learning_rate=np.full(len(step), setting.learning_rate),
        learning_rate_sum=step * setting.learning_rate, seed=stream.seed,
        dynamics=plan.model.dynamics,
        config=record.config_json(**words), control_kind=plan.model.control_kind,
        attrs={
            "control_status": _status(plan, rows), "data_id": stream.data_id, "network": plan.model.network,
            "design_id": record.design_id(n_subtasks=stream.n_subtasks, **{name: words[name] for name in DESIGN}),
            "time_law": f"{setting.optimizer}: {setting.learning_rate:g} x step",
            "train_seconds": seconds[0], "evaluation_seconds": seconds[1],
        },
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(_cli.Common):
    """Train a transformer, or one of its controls, on subtasks of known frequencies, and record each one's loss."""

    n_subtasks: int = 32
    """Number of subtasks."""
    exponent: float = 1.4
    """Zipf exponent s of their frequencies, p_k ∝ k^-s."""
    reweight: Path | None = None
    """A CSV file that changes them: subtask,factor (those not named keep theirs) or subtask,frequency (all anew)."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Plain SGD, or AdamW without weight decay."""
    learning_rate: float | None = None
    """Constant learning rate; by default the model's own for the optimizer."""
    batch_size: int = 256
    """Examples in a batch."""
    steps: int = 12_000
    """Number of batches."""
    n_checkpoints: int = 120
    """Least number of log-spaced measurements, step 0 included."""
    replicate: int = 0
    """Another run of the same subtasks: each number but 0 has weights and batches of its own."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute."""
    threads: int = 1
    """Threads of PyTorch. For networks this small one is about as fast as two, and its results do not depend on
    how busy the machine is."""
    resume: bool = False
    """Go on with an unfinished run, to the very result it would have had."""


def run(argv: Sequence[str] | None = None) -> int:
    """Train, as the flags say, and write the record."""
    parsed = _cli.parse("train", Options, {"task": (TASKS, "modular_arithmetic"), "model": (MODELS, "decoder")}, argv)
    options, task, model = parsed.options, parsed.parts["task"], parsed.parts["model"]
    torch = require_torch()
    check_whole("threads", options.threads, 1)
    torch.set_num_threads(options.threads)
    if not options.quiet:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    task.check_count(options.n_subtasks)
    frequencies: AbstractFrequencies = Zipf(n_subtasks=options.n_subtasks, exponent=options.exponent)
    if options.reweight:
        frequencies = read_changes(options.reweight, frequencies)
        parsed = parsed.with_content(frequencies=frequencies)
    how = {name: getattr(options, name) for name in ("optimizer", "learning_rate", "batch_size", "steps",
                                                     "n_checkpoints", "seed", "replicate", "device")}  # fmt: skip
    plan = _plan(frequencies, task, model, **how)
    if options.resume and options.out and (options.out / "train.checkpoint").exists():
        _checkpoint.load(options.out / "train.checkpoint", plan.words)
    from quanta._output import output

    what = f"{parsed.choices['model']}-{parsed.choices['task']}"
    out = output("train", what, parsed, resume=options.resume)
    if not out.finished():
        _train_into(out, parsed, plan)
    elif not options.json:
        print(f"this very run is finished already: {out.path}")
    summary = out.summary()
    print(json.dumps(summary) if options.json else _train_report.report(out.path, summary, parsed, plan))
    return 0


def _train_into(out: "Output", parsed: _cli.Parsed, plan: Plan) -> None:
    """Train; write the record and mark the run as finished; then drop the checkpoint."""
    from quanta import record

    checkpoint = out.path / "train.checkpoint"
    options = parsed.options
    if options.resume and not checkpoint.exists():
        logging.getLogger("quanta.train").info("no unfinished run at %s; starting at step 0", out.path)
    try:
        ds = _execute(plan, checkpoint, resume=options.resume, progress=not options.quiet)
    except KeyboardInterrupt:
        logging.getLogger("quanta.train").info("stopped; the same command with --resume goes on from %s", checkpoint)
        raise
    except Diverged as error:
        record.save(error.record, out.record, overwrite=True)
        raise InputError(f"{error} The record up to step {int(error.record.step[-1])} is {out.record}.") from None
    if not ds.attrs["control_kind"]:
        ds.attrs["kernel_command"] = _train_report.kernel_command(out.path, parsed, plan)
    record.save(ds, out.record, overwrite=True)
    loss = ds["loss"].values[:, -1]
    summary = {
        "record": str(out.record),
        "learned": int(np.sum(loss < _LEARNED * plan.chance)),
        "n_subtasks": len(loss),
        "mean_loss": float(record.mean_loss(ds)[-1]),
        "chance_loss": plan.chance,
        **{name: ds.attrs[name] for name in ("control_kind", "control_status", "data_id")},
        "seconds": round(ds.attrs["train_seconds"], 2),
        "evaluation_share": round(ds.attrs["evaluation_seconds"] / ds.attrs["train_seconds"], 3),
    }
    out.finish(parsed.configuration(), summary)
    checkpoint.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return _cli.main("train", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
