"""Scaling laws: how onsets grow as subtasks become rarer."""

from quanta.scaling.timing import Timing, fit_timing, timing

__all__ = ["Timing", "fit_timing", "timing"]
