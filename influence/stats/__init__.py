"""Intervals and null distributions."""
