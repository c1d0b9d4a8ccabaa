"""Worlds: runs whose answer is known, traps included, on which every detector and verdict is scored.

A detector is not believed but measured: on records whose verdict is known (:func:`make`), on their matched
controls (:func:`controls`), and on single curves whose step is known (:func:`curves`).
"""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from quanta import record
from quanta._errors import InputError
from quanta.worlds.base import Build, Draft, World
from quanta.worlds.compositions import COMPOSITIONS
from quanta.worlds.controlled import CONTROLLED
from quanta.worlds.convex import CONVEX
from quanta.worlds.families import (
    MULTI_STEP_FAMILIES,
    SMOOTH_FAMILIES,
    STEP_FAMILIES,
    TRAP_FAMILIES,
    Truth,
    checkpoints,
    curves,
    family_fields,
)
from quanta.worlds.measurement import MEASUREMENT
from quanta.worlds.noise import Noise
from quanta.worlds.smooth import SMOOTH_WORLDS
from quanta.worlds.training import TRAINING

__all__ = [
    "MULTI_STEP_FAMILIES",
    "SMOOTH_FAMILIES",
    "STEP_FAMILIES",
    "TRAP_FAMILIES",
    "WORLDS",
    "Noise",
    "Truth",
    "World",
    "checkpoints",
    "controls",
    "curves",
    "family_fields",
    "family_record",
    "make",
]

_NOISES = {
    "ar1": (Noise(phi=0.8), "noise that lasts from checkpoint to checkpoint (φ = .8)"),
    "shared_noise": (Noise(shared=0.5), "noise that subtasks share (ρ = .5), as from one evaluation batch"),
    "growing_noise": (Noise(sigma=0.05, growth=1.0), "noise proportional to the loss"),
    "heavy_tailed": (Noise(tails=3.0), "noise with tails of Student's t, 3 degrees of freedom"),
}


def _noisy(quiet: World, prefix: str) -> list[World]:
    """List the world again under each kind of noise."""
    return [
        replace(
            quiet,
            name=f"{prefix}_{kind}",
            noise=noise,
            trap=prefix == "exponential",
            summary=f"The world {quiet.name} under {words}.",
        )
        for kind, (noise, words) in _NOISES.items()
    ]


_ALL = (*COMPOSITIONS, *CONTROLLED, *SMOOTH_WORLDS, *CONVEX, *MEASUREMENT, *TRAINING)
WORLDS: dict[str, World] = {world.name: world for world in _ALL}
WORLDS |= {w.name: w for w in _noisy(WORLDS["ordered_logistic"], "ordered")}
WORLDS |= {w.name: w for w in _noisy(WORLDS["exponential"], "exponential")}


def make(
    name: str, *, seed: int = 0, n_subtasks: int = 40, n_checkpoints: int = 100, noise: Noise | None = None
) -> xr.Dataset:
    """Draw a record of a world.

    Parameters
    ----------
    name : str
        A key of ``WORLDS``.
    seed : int
        Same seed, same record.
    n_subtasks, n_checkpoints : int
        Size; a few worlds are defined by a size of their own.
    noise : Noise, optional
        How the curves are measured; by default as the world says.

    Returns
    -------
    xr.Dataset
        A valid record with attrs ``world`` and ``run_id``, and with ``true_onset`` and ``true_width`` where
        there are steps.

    Raises
    ------
    InputError
        If the name is unknown.

    Examples
    --------
    >>> run = make("ordered_logistic", seed=3)
    >>> dict(run.sizes), sorted(WORLDS["ordered_logistic"].right)
    ({'subtask': 40, 'step': 100}, ['ordered-composition'])
    """
    world = _world(name)
    drawn = _draw(world, world.build, seed, n_subtasks, n_checkpoints)
    return _measure(drawn, noise or world.noise, _rng(world, seed, 1)).assign_attrs(
        world=name, seed=seed, run_id=_run_id(world, seed)
    )


def controls(
    name: str, *, seed: int = 0, n_subtasks: int = 40, n_checkpoints: int = 100, noise: Noise | None = None
) -> list[xr.Dataset]:
    """Draw the controls that belong to the record that :func:`make` draws from the same arguments.

    Returns
    -------
    list of xr.Dataset
        Records with attrs ``control_kind`` and ``control_of``; empty for most worlds.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    world = _world(name)
    if world.control is None:
        return []
    drawn = _draw(world, world.control, seed, n_subtasks, n_checkpoints)
    control = _measure(drawn, noise or world.noise, _rng(world, seed, 2))
    return [
        control.assign_attrs(
            world=name,
            seed=seed,
            run_id=f"{_run_id(world, seed)}-kernel",
            control_kind="kernel",
            control_of=_run_id(world, seed),
        )
    ]


def family_record(family: str, *, n: int, seed: int = 0, **options: Any) -> tuple[xr.Dataset, Truth]:
    """Draw the same curves as a record of equally frequent subtasks that says all that :func:`family_fields` knows.

    Parameters
    ----------
    family, n, seed, **options
        As :func:`curves` takes them.

    Returns
    -------
    xr.Dataset, Truth

    Raises
    ------
    InputError
        If the family is unknown, or the curves are negative for want of a floor.
    """
    step, loss, truth = curves(family, n=n, seed=seed, **options)
    fields = family_fields(family)
    if np.isfinite(truth.chance).all():
        fields["chance_loss"] = truth.chance
    return record.new(loss, step=step, frequency=np.full(n, 1 / n), source="simulated", **fields), truth


def _world(name: str) -> World:
    if name not in WORLDS:
        raise InputError(f"world is {name!r}; expected one of {', '.join(WORLDS)}.")
    return WORLDS[name]


def _run_id(world: World, seed: int) -> str:
    return f"{world.name}-{seed}"


def _rng(world: World, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(world.name.encode()), stream])


def _draw(world: World, build: Build, seed: int, n_subtasks: int, n_checkpoints: int) -> Draft:
    return build(_rng(world, seed, 0), n_subtasks, n_checkpoints)


def _measure(drawn: Draft, noise: Noise, rng: np.random.Generator) -> xr.Dataset:
    """The record of a draft; accuracy and probability are measured with the same kind of noise."""
    fields = dict(drawn.fields)
    for metric in ("accuracy", "probability"):
        if metric in fields:
            whole = np.ones(drawn.frequency.size)
            fields[metric] = np.clip(noise.add(fields[metric], whole, rng), 0, 1)
    loss = None if fields.pop("without_loss", False) else noise.add(drawn.loss, drawn.height, rng)
    return record.new(loss, step=drawn.step, frequency=drawn.frequency, source="simulated", **fields)
