"""What a run does, in order: base model, samples, matrix, scores, figures; each saved before the next begins."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import torch
from omegaconf import DictConfig
from torch import nn
from tqdm import tqdm

from experiments import build
from experiments.identity import base_hash
from experiments.progress import ProgressBar
from experiments.run_figure import draw_run
from experiments.run_folder import IMAGES, RunFolder
from experiments.schema import REPOSITORY, Config, DomainConfig, ImagesConfig, PromptConfig
from experiments.score import save_scores
from experiments.tracking import Tracker, track
from influence import provenance
from influence.blocks import block_extents
from influence.data.stored import save_images
from influence.desiderata.registry import SCORES
from influence.desiderata.scoring import score
from influence.estimators.protocol import Estimator
from influence.isolation import select_parameters
from influence.matrix import NEAR, InfluenceMatrix
from influence.matrix_folder import check_blocks, missing_blocks
from influence.measurement import estimate_seconds, measure
from influence.models import protocol
from influence.readout import find
from influence.step_size import clean_probes

log = logging.getLogger(__name__)


Progress: TypeAlias = Callable[[int, int], None]
"""Is told the number of probes done and of all."""


def execute(config: Config, folder: RunFolder) -> None:
    """Measure, score and draw one run into its folder; what is there already is kept."""
    measuring = prepare(config, folder)
    with track(config.tracking, folder.path) as tracker:
        with ProgressBar() as bar:

            def progress(done: int, total: int) -> None:
                bar(done, total)
                if done % config.engine.block_size == 0 or done == total:
                    tracker.progress(done, total, bar.seconds_left)

            measuring(progress)
        del measuring  # with the model and the samples: scoring a large matrix wants the memory
        _finish(config, folder, tracker)


def measure_shard(config: Config, folder: RunFolder) -> None:
    """Measure the blocks of one shard of a run."""
    measuring = prepare(config, folder)
    with ProgressBar() as bar:
        measuring(bar)


def merge(config: Config, folder: RunFolder) -> None:
    """Score and draw a run whose blocks its shards have measured.

    Raises:
        FileNotFoundError: blocks are missing.
        ValueError: a block was measured with other weights, data or settings.
    """
    check_blocks(folder.path)
    with track(config.tracking, folder.path) as tracker:
        _finish(config, folder, tracker)


def prepare(config: Config, folder: RunFolder) -> Callable[[Progress], InfluenceMatrix]:
    """Base model and samples of a run, or shard, whose configuration stands in its folder; what measures them."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it tells of every device it did not find
    torch.set_num_threads(config.engine.threads or provenance.cores())
    shard = (config.shard.index, config.shard.count)
    cfg = folder.shard(*shard).config
    estimator = build.estimator(config.estimator)
    if isinstance(config.data, DomainConfig):
        build.templates(config.data)  # a misspelt name is refused before a large model is loaded
    initial = build.initial_model(config)
    probes, targets = build.samples(config, getattr(initial, "token_ids", None))
    _check(config, initial, probes, estimator)
    model, base = _base_model(initial, config, cfg)
    sources = {"base_model": base, "data": _save_images(config, folder, probes, targets)}
    if left := _left(config, folder, probes, targets):
        _announce(config, model, probes, targets, estimator, left)
    return lambda progress: measure(
        model,
        probes,
        targets,
        estimator=estimator,
        readout=config.readout.name,
        seed=config.seed,
        batch_size=config.engine.batch_size,
        block_size=config.engine.block_size,
        engine=build.engine(config),
        folder=folder.path,
        shard=shard,
        provenance={**provenance.collect(REPOSITORY), **sources},
        progress=progress,
    )


def _finish(config: Config, folder: RunFolder, tracker: Tracker) -> None:
    """What follows when every block is there."""
    matrix = InfluenceMatrix.load(folder.path)
    _warn_of_failures(matrix)
    _warn_of_step_size(matrix, config)
    if "world" not in matrix.probes:
        log.info("Scoring; with many images the intervals, which leave out each in turn, take minutes.")
    save_scores(folder.path, score(matrix, seed=config.seed))
    draw_run(folder.path)
    tracker.result()


def _check(config: Config, model: nn.Module, probes: pd.DataFrame, estimator: Estimator) -> None:
    """Refuse before the base training what `measure` would refuse after it."""
    protocol.check(model)
    find(config.readout.name, model)
    if config.objective.score is not None and config.objective.score not in SCORES:
        raise ValueError(
            f"expected objective.score among {', '.join(SCORES)}, got {config.objective.score!r}; correct it"
        )
    if not isinstance(config.estimator, PromptConfig):
        select_parameters(model, config.estimator.parameters)
    if estimator.self_gain is not None:
        clean_probes(probes)


def _base_model(initial: nn.Module, config: Config, cfg: DictConfig) -> tuple[nn.Module, dict[str, Any]]:
    base_folder = Path(config.outputs) / "models" / base_hash(cfg)
    model, record = build.base_model(initial, config, base_folder)
    log.info(
        "Base model: %s",
        ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in record.items()
        ),
    )
    return model, {"folder": base_folder.name, **record}


def _save_images(config: Config, folder: RunFolder, probes: pd.DataFrame, targets: pd.DataFrame) -> dict[str, Any]:
    """Keep the clean images of the run; return the checksums of where they come from."""
    if not isinstance(config.data, ImagesConfig):
        return {}
    images = build.domain(config.data)
    save_images(folder.path / IMAGES, pd.concat([probes, targets]), images)
    return {f"{images.name} {images.split}": dict(images.checksums)}


def _left(config: Config, folder: RunFolder, probes: pd.DataFrame, targets: pd.DataFrame) -> int:
    """Number of probes that this process has yet to learn."""
    planned = block_extents(probes, targets, config.engine.block_size)
    mine = planned[config.shard.index :: config.shard.count]
    if not mine:
        log.warning(
            "Shard %d of %d has nothing to do: the %d probes are %d block%s; engine.block_size makes smaller ones.",
            *(config.shard.index, config.shard.count, len(probes), len(planned), "s" if len(planned) > 1 else ""),
        )
    missing = set(missing_blocks(folder.path)) if (folder.path / "matrix.json").exists() else {one.id for one in mine}
    return sum(one.size for one in mine if one.id in missing)


def _announce(
    config: Config, model: nn.Module, probes: pd.DataFrame, targets: pd.DataFrame, estimator: Estimator, left: int
) -> None:
    """Say how long it will take to measure what is left to this process, so many of the probes."""
    seconds = estimate_seconds(
        model,
        probes,
        targets,
        estimator=estimator,
        readout=config.readout.name,
        batch_size=config.engine.batch_size,
        engine=build.engine(config),
    )
    log.info(
        "%s%s: about %s%s.",
        _extent(probes, targets),
        "" if left == len(probes) else f", {left} of these probes left to this process",
        tqdm.format_interval(seconds * left / len(probes)),
        "" if estimator.self_gain is None else ", after the search of the step size",
    )


def _extent(probes: pd.DataFrame, targets: pd.DataFrame) -> str:
    """How much is to be measured: nothing crosses worlds."""
    if "world" not in probes:
        return f"{len(probes)} probes x {len(targets)} targets"
    count = probes["world"].nunique()
    return f"{len(probes)} probes, each x the {len(targets) // count} targets of its world ({count} worlds)"


def _warn_of_failures(matrix: InfluenceMatrix) -> None:
    """Also where all did: that a learning rate is too high is a result, which a plateau needs."""
    for probe, reason in list(matrix.failures.items())[:3]:
        log.warning("Probe %s failed: %s", probe, reason)
    if matrix.failures:
        log.warning("%d of %d probes failed; their rows are empty.", len(matrix.failures), len(matrix.probes))


def _warn_of_step_size(matrix: InfluenceMatrix, config: Config) -> None:
    """A stored learning rate is one for a model and its samples: say so where it gives another self-gain."""
    stored = config.step_sizes.get(matrix.estimator.get("optimizer", ""))
    if stored is None or matrix.estimator["lr"] != stored:
        return
    wanted, median = config.step_sizes_at.self_gain, matrix.median_self_gain
    if abs(median / wanted - 1) > NEAR:
        log.warning(
            "Expected a median self-gain within %.0f %% of %g nats at the stored learning rate %.3g, got %.3g; "
            "find another with estimator.self_gain=%g.",
            100 * NEAR,
            wanted,
            stored,
            median,
            wanted,
        )
