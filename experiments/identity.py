"""The identity of a run: a hash of what decides its numbers, and nothing else."""

import hashlib
import json
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments.domains import FOLDER
from influence.data.nouns import LEXICON
from influence.files import sha256

RESULTS_VERSION = 1
"""Raised, with the golden file and the changelog's "Results changed", when equal settings give new numbers."""

DECISIVE = ("data", "model", "trainer", "estimator", "readout", "seed")
"""The parts of a configuration that decide the numbers; name, engine, tracking, trust and outputs do not."""

MODEL_FILES = {".json", ".safetensors", ".model", ".txt", ".jinja"}
"""Endings of what a language model is loaded from."""


def run_hash(cfg: DictConfig) -> str:
    """Twelve hexadecimal digits that two runs share exactly when their numbers must agree."""
    content = {key: _plain(cfg[key]) for key in DECISIVE}
    content["data"] = _data(cfg)
    content["model"] = _model(cfg)
    if content["model"].get("weights") is not None or "source" in content["model"]:
        content.pop("trainer")  # nothing is trained
    return _digest(content)


def base_hash(cfg: DictConfig) -> str:
    """The same for the base model: its architecture, what it learned, and how."""
    model = _model(cfg)
    if "source" in model:
        return _digest({"model": model})
    data = _plain(cfg.data)
    return _digest({"base": data.get("base", data), "model": model, "trainer": _plain(cfg.trainer)})


def _data(cfg: DictConfig) -> Any:
    """The data's settings without their folder; a domain and the lexicon count by the content of their files."""
    settings = _plain(cfg.data)
    folder = settings.pop("folder", None)  # a frozen run has none
    if "worlds" in settings:
        if settings.get("probes") is None:
            settings.pop("probes", None)  # a run on all items is that of before there was a choice
        else:
            settings["probes"] = sorted(set(settings["probes"]))
        file = Path(folder or FOLDER) / f"{settings['domain']}.yaml" if "domain" in settings else LEXICON
        settings["content"] = sha256(file) if file.exists() else None
    return settings


def _model(cfg: DictConfig) -> Any:
    """The model's settings; given weights count by their content, not by their path."""
    settings = _plain(cfg.model)
    if settings.get("weights") is not None and Path(settings["weights"]).exists():
        settings["weights"] = sha256(Path(settings["weights"]))
    if "source" in settings:
        settings.pop("name")  # a title
    if settings.get("source") and Path(settings["source"]).is_dir():
        files = sorted(path for path in Path(settings["source"]).iterdir() if path.suffix in MODEL_FILES)
        settings["source"] = {path.name: sha256(path) for path in files}
    return settings


def _plain(node: Any) -> Any:
    """The settings of a node; code of one's own counts by the content of its file, not by its name alone."""
    if not OmegaConf.is_config(node):
        return node
    settings: Any = OmegaConf.to_container(node, resolve=True, enum_to_str=True)
    if "_target_" in settings:
        settings["code"] = _code(settings["_target_"])
    return settings


def _code(target: str) -> str | None:
    """SHA-256 of the file that holds a class or function, found without running any of it; None where there is none."""
    names, folders, spec = target.split(".")[:-1], None, None
    for depth in range(len(names)):
        spec = PathFinder.find_spec(".".join(names[: depth + 1]), folders)
        if spec is None:
            return None
        folders = spec.submodule_search_locations
    return sha256(Path(spec.origin)) if spec is not None and spec.has_location and spec.origin else None


def _digest(content: Any) -> str:
    text = json.dumps([RESULTS_VERSION, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
