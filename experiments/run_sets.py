"""Runs that are scored together: one, or those that differ in their seeds alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from experiments.identity import DECISIVE, base_hash
from experiments.published import OPTIMIZERS
from experiments.run_folder import RunFolder
from experiments.schema import SCHEMAS
from influence.matrix import InfluenceMatrix

NOT_UNUSUAL = {"name", "optimizer", "lr", "self_gain", "num_steps"}
"""Settings of an estimator that its kind or its step size says."""


@dataclass(frozen=True)
class RunSet:
    """One run, or several that differ in their seeds, which are then the units of its scores.

    Attributes:
        folders: of the runs; all of them have a `config.yaml`, or it is one that has none.
    """

    folders: tuple[Path, ...]

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings that the runs share, without any seed; {} where a matrix was saved without them."""
        return dict(_without_seeds(_settings(self.folders[0])))

    @property
    def name(self) -> str:
        """Of the experiment."""
        return str(self.config.get("name", self.folders[0].name))

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.config["model"].get("name", "model"))

    @cached_property
    def model_hash(self) -> str:
        """Of what makes the base model, but for the seed of its training."""
        return base_hash(OmegaConf.create(self.config))

    @property
    def domain(self) -> str:
        """That the samples are from."""
        data = self.config["data"]
        return str(data.get("domain") or ("nouns" if "per_category" in data else ""))

    @property
    def kind(self) -> str:
        """How the influence was obtained: "SGD", "AdamW", "prompted", "SGD, first order"."""
        settings = self.config["estimator"]
        if settings["name"] == "prompt":
            return "prompted"
        optimizer = str(settings.get("optimizer", "sgd"))
        return OPTIMIZERS.get(optimizer, optimizer) + (", first order" if settings["name"] == "first_order" else "")

    @property
    def unusual(self) -> str:
        """Settings of the estimator that are not its defaults, but for the step size: "statements joined", or ""."""
        settings = self.config["estimator"]
        usual = asdict(SCHEMAS["estimator", settings["name"]]())
        changed = {key: settings[key] for key in usual.keys() & settings.keys() - NOT_UNUSUAL}
        changed["optimizer_options"] = {
            key: value
            for key, value in changed.get("optimizer_options", {}).items()
            if key != "fused"  # for speed
        }
        return ", ".join(f"{key} {value}" for key, value in sorted(changed.items()) if value != usual.get(key, {}))

    @property
    def label(self) -> str:
        """What tells it from other runs of an experiment: kind, what is unusual, and step size."""
        settings = self.config.get("estimator", {})
        if not settings:
            return ""
        parts = [self.kind, self.unusual]
        if settings.get("num_steps", 1) != 1:
            parts.append(f"{settings['num_steps']} steps")
        return ", ".join(filter(None, [*parts, step_size(settings)]))

    def matrices(self) -> list[InfluenceMatrix]:
        """Of every run, by folder."""
        return [InfluenceMatrix.load(folder) for folder in self.folders]


def step_size(estimator: Mapping[str, Any]) -> str:
    """Of an estimator's settings: "self-gain 0.3", "lr 0.01", or "" of a prompt."""
    if estimator.get("self_gain") is not None:
        return f"self-gain {estimator['self_gain']:g}"
    return f"lr {estimator['lr']:g}" if estimator.get("lr") is not None else ""


def run_sets(folders: Sequence[Path]) -> list[RunSet]:
    """The runs of these folders, those together, by seed, whose settings agree in all that decides but the seeds."""
    sets: dict[str, list[tuple[int, Path]]] = {}
    for folder in folders:
        settings = _settings(folder)
        shared = _without_seeds({key: settings.get(key) for key in DECISIVE}) if settings else str(folder)
        sets.setdefault(json.dumps(shared, sort_keys=True), []).append((settings.get("seed", 0), folder))
    return [RunSet(tuple(folder for _, folder in sorted(runs))) for runs in sets.values()]


def _settings(folder: Path) -> dict[str, Any]:
    return RunFolder(folder).settings if (folder / "config.yaml").exists() else {}


def _without_seeds(node: Any) -> Any:
    """The settings without any `seed`, at whatever depth: of the run, of its images, of base training."""
    if isinstance(node, Mapping):
        return {key: _without_seeds(value) for key, value in node.items() if key != "seed"}
    return node
