"""Settings of all tests: no figure windows, examples that do not depend on the machine's speed, no silent skips."""

import os

import matplotlib as mpl
from hypothesis import settings

mpl.use("Agg")
settings.register_profile("quanta", deadline=None, derandomize=True)
settings.load_profile("quanta")

if os.environ.get("QUANTA_REQUIRE_TORCH"):
    import torch  # noqa: F401  (``make test`` promises PyTorch: its tests must run, not be skipped)
