"""Detectors of a transition in one curve."""
