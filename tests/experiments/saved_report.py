"""Runs for a report to show, made by hand: images and sentences that are not square, hostile texts, failures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from influence.data.selection import Selection, select
from influence.data.stored import save_images
from influence.data.vision import load
from influence.files import write_json
from influence.matrix import InfluenceMatrix
from influence.samples import without_inputs
from tests.experiments.fabricated import GEMMA, save_run
from tests.influence.desiderata.matrices import language, matrix_of, samples

HOSTILE = '</script><img src=x onerror="window.broken = true">'

CNN: dict[str, Any] = {
    "data": {"base": "digits_rotated", "domain": "digits", "probes": {"per_class": 1, "seed": 0}},
    "model": {"name": "CNN", "channels": [4, 8]},
}


def image_run(folder: Path, *, optimizer: str = "sgd", lr: float = 0.1, seed: int = 0) -> Path:
    """Five clean probes and eight targets of which some are noisy; the gains follow the seed and the estimator."""
    image_set = load("digits", "test", Path())
    probes = select(image_set, Selection(classes=range(5), per_class=1))
    targets = select(image_set, Selection(classes=range(4), per_class=1, sigmas=[0.0, 1.0]))
    rng = np.random.default_rng([seed, len(optimizer), round(1e3 * lr)])
    gain_PT, before_T = rng.normal(size=(5, 8)), rng.normal(-2, 1, 8)
    gain_PT[3] = np.nan
    self_gain_P = np.array([0.3, 0.2, 0.4, np.nan, 0.1])
    matrix = matrix_of(gain_PT, without_inputs(probes), without_inputs(targets), self_gain=self_gain_P, before=before_T)
    save_images(folder / "samples.npz", pd.concat([probes, targets], ignore_index=True), image_set)
    settings = {"name": "finetune", "optimizer": optimizer, "lr": lr}
    return _done(save_run(folder, matrix, seed=seed, estimator=settings, **CNN))


def text_run(folder: Path) -> Path:
    """Two worlds, of which three statements each are learned and all are read; one has a hostile text."""
    matrix = language("transitivity", {("p1", "p1"): 0.5}, count=2, other=-0.1)
    matrix = matrix.select(probes=matrix.probes["item"].isin(["p1", "p2", "both"]).to_numpy())
    targets = matrix.targets.copy()
    targets.loc[targets.index[-1], ["item", "text", "spans"]] = [HOSTILE, HOSTILE, "[]"]
    estimator = {"name": "finetune", "optimizer": "sgd", "statements": "together"}
    whole = InfluenceMatrix(
        blocks=matrix.blocks,
        probes=matrix.probes,
        targets=targets,
        readout=matrix.readout,
        estimator=matrix.estimator,
    )
    return _done(save_run(folder, whole, data={"domain": "transitivity"}, model=GEMMA, estimator=estimator))


def large_run(folder: Path, size: int) -> Path:
    """A square matrix of samples with ten labels."""
    table = samples(size, label=np.random.default_rng(1).integers(0, 10, size))
    gain_PT = np.random.default_rng(2).normal(size=(size, size))
    return _done(save_run(folder, matrix_of(gain_PT, table), estimator={"name": "finetune", "optimizer": "sgd"}, **CNN))


def failed_run(folder: Path) -> Path:
    """It ended before it had a matrix."""
    where = "/".join(["", "somewhere", "ada", "influence", "run.py"])
    error = {"error": f"ValueError: expected {HOSTILE}, got {where}", "traceback": f'  File "{where}", line 3, in f\n'}
    status = {"status": "failed", "started": "2026-01-02T03:04:05+00:00", "seconds": 7.0}
    write_json(folder / "run.json", status | error)
    return folder


def _done(folder: Path) -> Path:
    write_json(folder / "run.json", {"status": "done", "started": "2026-01-02T03:04:05+00:00", "seconds": 61.0})
    return folder
