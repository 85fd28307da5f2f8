"""Artifacts of a run in Weights & Biases: what it began with, and the matrix and the scores that it made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.run_folder import IMAGES, RunFolder
from experiments.tables import slug
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import read_header

if TYPE_CHECKING:  # not at run time: `tracking=off` needs no wandb
    from wandb import Artifact

MATRIX, SCORES = "influence-matrix", "scores"
"""Types of the artifacts that a run makes; it uses artifacts of the types `data` and `model`."""

MAX_WEIGHTS = 50_000_000
"""Bytes of weights that are kept with a run; larger ones are named by their digest."""


def data_artifact(folder: Path) -> "Artifact":
    """What the samples are: their settings, and the checksums of their source and of themselves."""
    config, provenance = RunFolder(folder).settings, read_header(folder)["provenance"]
    identity = provenance.get("identity", {})
    content = {
        "data": {key: value for key, value in config["data"].items() if key != "folder"},
        "checksums": provenance.get("data", {}),
        **{name: identity.get(name) for name in ("probes", "targets")},
    }
    return _described(f"data-{slug(domain(config))}", "data", content)


def model_artifact(folder: Path) -> "Artifact":
    """What the base model is, with its weights where they were trained here."""
    config, provenance = RunFolder(folder).settings, read_header(folder)["provenance"]
    base = provenance.get("base_model", {})
    content = {
        "model": {key: value for key, value in config["model"].items() if key != "weights"},
        "weights": provenance.get("identity", {}).get("weights"),
        **base,
    }
    artifact = _described(f"model-{slug(str(config['model'].get('name', 'own')))}", "model", content)
    weights = folder.resolve().parents[1] / "models" / base.get("folder", "") / "weights.safetensors"
    if weights.is_file() and weights.stat().st_size <= MAX_WEIGHTS:
        artifact.add_file(str(weights))
    return artifact


def _described(name: str, kind: str, content: Mapping[str, Any]) -> "Artifact":
    """An artifact of one JSON file, which is its metadata too."""
    import wandb

    artifact = wandb.Artifact(name, type=kind, metadata=dict(content))
    with artifact.new_file(f"{kind}.json") as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
    return artifact


def matrix_artifact(run_id: str, folder: Path, matrix: InfluenceMatrix) -> "Artifact":
    """The run folder without its scores, as `InfluenceMatrix.load` reads it; its metadata say how to."""
    import wandb

    artifact = wandb.Artifact(
        f"{MATRIX}-{run_id}",
        type=MATRIX,
        metadata={
            "shape": [len(matrix.probes), len(matrix.targets)],
            "orientation": "rows are probes, columns are targets",
            "sign": "positive = more likely",
            "readout": dict(matrix.readout),
            "estimator": dict(matrix.estimator),
        },
    )
    for name in ("config.yaml", "run.json", "matrix.json", "probes.parquet", "targets.parquet", IMAGES):
        if (folder / name).exists():
            artifact.add_file(str(folder / name))
    if (folder / "blocks").is_dir():
        artifact.add_dir(str(folder / "blocks"), name="blocks")
    else:
        artifact.add_file(str(folder / "blocks.npz"))
    return artifact


def scores_artifact(run_id: str, folder: Path) -> "Artifact":
    """`scores.parquet`."""
    import wandb

    artifact = wandb.Artifact(f"{SCORES}-{run_id}", type=SCORES, metadata={"matrix": f"{MATRIX}-{run_id}"})
    artifact.add_file(str(folder / "scores.parquet"))
    return artifact


def domain(config: Mapping[str, Any]) -> str:
    """Of the samples of a run, by its settings; of a user's own the name of what makes them."""
    data = config["data"]
    return str(data.get("domain") or data.get("_target_") or "nouns")
