"""What Weights & Biases is told of a result, alike while it is measured, when it has been, and long after."""

import hashlib
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.artifacts import data_artifact, domain, matrix_artifact, model_artifact, scores_artifact
from experiments.run_folder import RunFolder
from influence.files import sha256
from influence.matrix import InfluenceMatrix

if TYPE_CHECKING:  # not at run time: `tracking=off` needs no wandb
    from wandb import Run

DIGEST = "result/sha256"
"""Key of the summary that says which result a run of W&B holds; written last, when all of it has arrived."""

RUNNING = ("self_gain_median", "self_gain_is_largest", "asymmetry_index", "reciprocity")
"""Scores that are quick and mean something of a part of a matrix: those of a live run."""

MAX_TABLE_ROWS = 10_000
"""W&B cuts the view of a longer table without a word."""

_log = logging.getLogger(__name__)


def log_result(run: "Run", folder: Path, figures: Sequence[Path]) -> None:
    """Log a finished run folder to an open run of W&B, alike for a live run and for one that ended long ago.

    ======================================  ====================================================================
    `desiderata/<score>`, or with           summary: the value; below it `/low`, `/high` and `/p`; only what is
    `/<condition>` where it has one         finite
    `matrix/<quantity>`                     summary: see `quantities`
    `figures/<stem>`                        each figure as an image
    `tables/scores`                         the scores as a table, tidy over runs
    artifacts used                          `data-<domain>` and `model-<name>`: what the run began with
    artifact `influence-matrix-<run id>`    the run folder without its scores, as `InfluenceMatrix.load` reads it
    artifact `scores-<run id>`              `scores.parquet`; the run uses the matrix to make it
    `result/sha256`                         summary: `result_digest`, last, so that it stands for all of the others
    ======================================  ====================================================================

    Args:
        run: the open run.
        folder: the run's folder.
        figures: paths of PNG files.
    """
    import wandb

    matrix, scores = InfluenceMatrix.load(folder), pd.read_parquet(folder / "scores.parquet")
    for key, number in numbers(matrix, scores).items():
        run.summary[key] = number

    media: dict[str, Any] = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    if len(scores) <= MAX_TABLE_ROWS:
        tidy = _tidy(scores, folder).replace([math.inf, -math.inf], math.nan)
        media["tables/scores"] = wandb.Table(dataframe=tidy.astype(object).where(tidy.notna(), None))
    else:
        _log.warning("W&B gets no table of %d scores, more than %d; see the run folder", len(scores), MAX_TABLE_ROWS)
    run.log(media)

    made_from, made = (data_artifact(folder), model_artifact(folder)), matrix_artifact(run.id, folder, matrix)
    if run.offline:  # there the SDK knows no artifacts to use
        run.log_artifact(made)
        run.log_artifact(scores_artifact(run.id, folder))
    else:
        for artifact in made_from:
            run.use_artifact(artifact)
        run.log_artifact(made).wait()
        run.use_artifact(made)  # the scores come from it
        run.log_artifact(scores_artifact(run.id, folder)).wait()
    run.summary[DIGEST] = result_digest(folder)


def numbers(matrix: InfluenceMatrix, scores: pd.DataFrame) -> dict[str, float]:
    """What of a result is a finite number, by key of the summary: see `log_result`."""
    found = {**quantities(matrix), **_summary(scores)}
    return {key: number for key, number in found.items() if math.isfinite(number)}


def result_digest(folder: Path) -> str:
    """SHA-256 of what a run came to: the header of its matrix, which names weights and samples, and its scores.

    A frozen copy, whose gains have fewer digits, is the same result.
    """
    parts = [sha256(folder / name) for name in ("matrix.json", "scores.parquet")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def quantities(matrix: InfluenceMatrix) -> dict[str, float]:
    """Numbers that a matrix has beside its scores, by key of the summary."""
    return {
        "matrix/probes": len(matrix.probes),
        "matrix/targets": len(matrix.targets),
        "matrix/failures": len(matrix.failures),
        "matrix/lr": matrix.estimator.get("lr") or math.nan,
        "matrix/median_self_gain": matrix.median_self_gain,
        "matrix/noise_floor": matrix.provenance.get("noise_floor", math.nan),
    }


def running_scores(matrix: InfluenceMatrix) -> dict[str, float]:
    """The quick scores of what is measured so far, `running/<score>`, as ratios of means over the whole worlds."""
    from influence.desiderata.evaluation import questions
    from influence.desiderata.spec import Ratio
    from influence.desiderata.units import failed, without

    parts = [without(world, failed(world)) for world in matrix.worlds()]
    units = [part for part in parts if len(part.probes) > 1]
    scores = {}
    for question in questions(RUNNING, units, 0) if units else []:
        ratios = [ratio for unit in units if isinstance(ratio := question.measure(unit), Ratio)]
        if denominator := sum(ratio.denominator for ratio in ratios):
            scores[f"running/{question.score.name}"] = sum(ratio.numerator for ratio in ratios) / denominator
    return scores


def _summary(scores: pd.DataFrame) -> dict[str, float]:
    keys = "desiderata/" + scores["score"] + scores["condition"].map(lambda condition: condition and f"/{condition}")
    return {
        f"{key}{suffix}": number
        for column, suffix in {"value": "", "low": "/low", "high": "/high", "p": "/p"}.items()
        for key, number in zip(keys, scores[column], strict=True)
    }


def _tidy(scores: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The scores with what tells their run from others, so that the tables of many runs make one."""
    config = RunFolder(folder).settings
    estimator = config["estimator"]
    columns = {
        "run": folder.name,
        "experiment": config["name"],
        "model": config["model"].get("name"),
        "domain": domain(config),
        "estimator": estimator["name"],
        "optimizer": estimator.get("optimizer"),
        "seed": config["seed"],
    }
    return scores.assign(**columns)[[*columns, *scores.columns]]
