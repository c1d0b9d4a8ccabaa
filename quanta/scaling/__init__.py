"""Scaling laws: how onsets grow as subtasks become rarer."""

from quanta.scaling.timing import Timing, between, fit_timing, timing

__all__ = ["Timing", "between", "fit_timing", "timing"]
