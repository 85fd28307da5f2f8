"""What a run does, in order: base model, samples, matrix, scores, figures; each saved before the next begins."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import nn
from tqdm import tqdm

from experiments import build
from experiments.figures import draw_run
from experiments.identity import base_hash
from experiments.run_folder import RunFolder
from experiments.schema import REPOSITORY, Config, DomainConfig, ImagesConfig, PromptConfig
from experiments.score import save_scores
from experiments.tracking import Tracker, track
from influence import provenance
from influence.data.stored import save_images
from influence.desiderata.scoring import score
from influence.estimators.protocol import Estimator
from influence.isolation import select_parameters
from influence.matrix import NEAR, InfluenceMatrix
from influence.measurement import estimate_seconds, measure
from influence.models import protocol
from influence.readout import find
from influence.step_size import clean_probes

log = logging.getLogger(__name__)


def execute(config: Config, folder: RunFolder) -> None:
    """Measure, score and draw one run into its folder; what is there already is kept."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it tells of every device it did not find
    torch.set_num_threads(config.engine.threads or provenance.cores())
    settings: Any = OmegaConf.to_container(folder.config)
    estimator = build.estimator(config.estimator)
    if isinstance(config.data, DomainConfig):
        build.templates(config.data)  # a misspelt name is refused before a large model is loaded
    initial = build.initial_model(config)
    probes, targets = build.samples(config, getattr(initial, "token_ids", None))
    _check(config, initial, probes, estimator)
    model, base = _base_model(initial, config, folder)
    sources = {"base_model": base, "data": _save_images(config, folder, probes, targets)}
    _announce(config, model, probes, targets, estimator)
    with track(
        config.tracking,
        folder=folder.path,
        run_id=folder.path.name,
        name=config.name,
        config=settings,
        group=config.name,
        job_type="influence",
        tags=[config.estimator.name],
    ) as tracker:
        with _progress(tracker, config.engine.block_size) as progress:
            matrix = measure(
                model,
                probes,
                targets,
                estimator=estimator,
                readout=config.readout.name,
                seed=config.seed,
                batch_size=config.engine.batch_size,
                block_size=config.engine.block_size,
                folder=folder.path,
                provenance={**provenance.collect(REPOSITORY), **sources},
                progress=progress,
            )
        _warn_of_failures(matrix)
        if config.step_sizes:
            _warn_of_step_size(matrix, config.step_sizes_at.self_gain)
        if "world" not in probes:
            log.info("Scoring; with many images the intervals, which leave out each in turn, take minutes.")
        scores = score(matrix, seed=config.seed)
        save_scores(folder.path, scores)
        figures = draw_run(folder.path)
        tracker.result(matrix, scores, [path for path in figures if path.suffix == ".png"])


def _check(config: Config, model: nn.Module, probes: pd.DataFrame, estimator: Estimator) -> None:
    """Refuse before the base training what `measure` would refuse after it."""
    protocol.check(model)
    find(config.readout.name, model)
    if not isinstance(config.estimator, PromptConfig):
        select_parameters(model, config.estimator.parameters)
    if estimator.self_gain is not None:
        clean_probes(probes)


def _base_model(initial: nn.Module, config: Config, folder: RunFolder) -> tuple[nn.Module, dict[str, Any]]:
    base_folder = Path(config.outputs) / "models" / base_hash(folder.config)
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
    save_images(folder.path / "samples.npz", pd.concat([probes, targets]), images)
    return {f"{images.name} {images.split}": dict(images.checksums)}


def _announce(
    config: Config, model: nn.Module, probes: pd.DataFrame, targets: pd.DataFrame, estimator: Estimator
) -> None:
    """Say how long the measuring will take."""
    seconds = estimate_seconds(
        model,
        probes,
        targets,
        estimator=estimator,
        readout=config.readout.name,
        batch_size=config.engine.batch_size,
    )
    log.info(
        "%s: about %s%s.",
        _extent(probes, targets),
        tqdm.format_interval(seconds),
        "" if estimator.self_gain is None else ", after the search of the step size",
    )


def _extent(probes: pd.DataFrame, targets: pd.DataFrame) -> str:
    """How much is to be measured: nothing crosses worlds."""
    if "world" not in probes:
        return f"{len(probes)} probes x {len(targets)} targets"
    count = probes["world"].nunique()
    return f"{len(probes)} probes, each x the {len(targets) // count} targets of its world ({count} worlds)"


@contextmanager
def _progress(tracker: Tracker, block_size: int) -> Iterator[Callable[[int, int], None]]:
    """A bar that opens with the first probe and moves with each; the tracker is told after every block."""
    bar, start = tqdm(desc="Measuring", unit="probe", file=sys.stderr, delay=1e-9), time.perf_counter()

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done % block_size == 0 or done == total:
            tracker.progress(done, total, (time.perf_counter() - start) / done * (total - done))

    with bar:
        yield progress


def _warn_of_failures(matrix: InfluenceMatrix) -> None:
    for probe, reason in list(matrix.failures.items())[:3]:
        log.warning("Probe %s failed: %s", probe, reason)
    if matrix.failures:
        log.warning("%d of %d probes failed; their rows are empty.", len(matrix.failures), len(matrix.probes))


def _warn_of_step_size(matrix: InfluenceMatrix, wanted: float) -> None:
    """A stored learning rate is one for a model and its samples: say so where it gives another self-gain."""
    if matrix.estimator.get("lr") is None or matrix.estimator["self_gain"] is not None:  # none, or one searched for
        return
    median = matrix.median_self_gain
    if abs(median / wanted - 1) > NEAR:
        log.warning(
            "Expected a median self-gain within %.0f %% of %g nats at the stored learning rate %.3g, got %.3g; "
            "find another with estimator.self_gain=%g.",
            100 * NEAR,
            wanted,
            matrix.estimator["lr"],
            median,
            wanted,
        )
