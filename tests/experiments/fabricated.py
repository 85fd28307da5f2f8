"""Finished runs that nobody measured: matrices made by hand, with the configuration that a run leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from experiments.score import save_scores
from influence.desiderata.scoring import score
from influence.files import write_json
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, language, matrix_of

SCORED = ["self_gain_median", "asymmetry_index", "noise_discount"]

PICTURE = Path(__file__).parents[2] / "outputs" / "published" / "figures" / "fig5b.png"

GEMMA = {"name": "Gemma", "source": "gemma", "dtype": "float32"}


def save_run(folder: Path, matrix: InfluenceMatrix, **config: Any) -> Path:
    """A run folder with this matrix."""
    estimator = {"lr": 0.1, "self_gain": None, "num_steps": 1, **config["estimator"]}
    if estimator["name"] == "prompt":
        estimator = config["estimator"]
    replace(matrix, estimator=estimator).save(folder)
    settings = {"name": folder.parent.name, "seed": 0, "trainer": {"epochs": 1}, "readout": {"name": "log_prob"}}
    OmegaConf.save(OmegaConf.create({**settings, **config, "estimator": estimator}), folder / "config.yaml")
    return folder


def image_run(folder: Path, *, seed: int = 0, noisy: float = 1.0, estimator: Any = None, **config: Any) -> Path:
    """Six images of two classes, clean and noisy, of which the noisy teach so much of what the clean do.

    Images and base training follow the seed; self-gains are 0.3 nat.
    """
    rng = np.random.default_rng(seed)
    table = images(np.arange(6) % 2, sigmas=[0.0, 1.0])
    teaches_P = np.where(table["sigma"] > 0, noisy, 1.0)
    matrix = matrix_of(teaches_P[:, None] * rng.normal(1, 0.1, size=(12, 12)), table, self_gain=0.3)
    settings: dict[str, Any] = {
        "seed": seed,
        "data": {"base": "digits_rotated", "domain": "digits", "probes": {"per_class": 3, "seed": seed}},
        "model": {"name": "CNN", "channels": [4, 8]},
        "trainer": {"epochs": 1, "seed": seed},
        "estimator": {"name": "finetune", "optimizer": "sgd", **(estimator or {})},
        "engine": {"threads": 1},
        **config,
    }
    return save_run(folder, matrix, **settings)


def text_run(
    folder: Path, gains: Any, *, domain: str, worlds: int = 12, estimator: Any = None, other: Any = 0.0
) -> Path:
    """Worlds of a shipped domain with these gains, see `matrices.language`; a run by SGD unless it says otherwise."""
    return save_run(
        folder,
        language(domain, gains, count=worlds),
        data={"domain": domain, "worlds": worlds},
        model=GEMMA,
        estimator=estimator or {"name": "finetune", "optimizer": "sgd", "statements": "together"},
    )


def finished(folder: Path, seed: int) -> Path:
    """A run of images, measured, scored and drawn."""
    image_run(folder, seed=seed)
    save_scores(folder, score([InfluenceMatrix.load(folder)], SCORED, seed=0))
    (folder / "figures").mkdir()
    (folder / "figures" / "matrix.png").write_bytes(PICTURE.read_bytes())
    write_json(folder / "run.json", {"status": "done"})
    return folder
