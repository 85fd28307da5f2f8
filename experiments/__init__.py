"""Hydra experiments: the only code that knows configuration, run folders and tracking."""
