"""The identity of a run: a hash of what decides its numbers, and nothing else."""

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from influence.files import sha256

RESULTS_VERSION = 1
"""Raised, with the golden file and the changelog's "Results changed", when equal settings give new numbers."""

DECISIVE = ("data", "model", "trainer", "estimator", "readout", "seed")
"""The parts of a configuration that decide the numbers; name, engine, tracking, trust and outputs do not."""


def run_hash(cfg: DictConfig) -> str:
    """Twelve hexadecimal digits that two runs share exactly when their numbers must agree."""
    content = {key: _plain(cfg[key]) for key in DECISIVE}
    content["data"].pop("folder", None)
    content["model"] = _model(cfg)
    return _digest(content)


def base_hash(cfg: DictConfig) -> str:
    """The same for the base model: its architecture, what it learned, and how."""
    data = _plain(cfg.data)
    return _digest({"base": data.get("base", data), "model": _model(cfg), "trainer": _plain(cfg.trainer)})


def _model(cfg: DictConfig) -> Any:
    """The model's settings; given weights count by their content, not by their path."""
    settings = _plain(cfg.model)
    if settings.get("weights") is not None and Path(settings["weights"]).exists():
        settings["weights"] = sha256(Path(settings["weights"]))
    return settings


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True, enum_to_str=True) if OmegaConf.is_config(node) else node


def _digest(content: Any) -> str:
    text = json.dumps([RESULTS_VERSION, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
