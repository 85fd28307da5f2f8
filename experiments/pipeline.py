"""What a run does, in order: base model, samples, matrix, scores, figures; each saved before the next begins."""

import logging
import os
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from experiments import build
from experiments.figures import draw_run
from experiments.identity import base_hash
from experiments.run_folder import RunFolder
from experiments.schema import REPOSITORY, Config, ImagesConfig
from experiments.score import save_scores
from experiments.tracking import track
from influence import provenance
from influence.data.stored import save_images
from influence.desiderata.scoring import score
from influence.measurement import measure, seconds_a_probe

log = logging.getLogger(__name__)


def execute(config: Config, folder: RunFolder) -> None:
    """Measure, score and draw one run into its folder; what is there already is kept."""
    torch.set_num_threads(config.engine.threads or len(os.sched_getaffinity(0)))
    cfg = folder.config
    base_folder = Path(config.outputs) / "models" / base_hash(cfg)
    if not (base_folder / "training.json").exists() and config.trainer.epochs > 0:
        log.info("Training the base model, %d epochs.", config.trainer.epochs)
    model, base = build.base_model(config, base_folder)
    log.info(
        "Base model: %s",
        ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in base.items()
        ),
    )
    probes, targets = build.samples(config)
    estimator, readout = build.estimator(config.estimator), config.readout.name
    sources = {"seed": config.seed, "base_model": {"folder": base_folder.name, **base}}
    if isinstance(config.data, ImagesConfig):
        images = build.domain(config.data)
        save_images(folder.path / "samples.npz", pd.concat([probes, targets]), images)
        sources["data"] = {images.name: dict(images.checksums)}

    seconds = seconds_a_probe(
        model, probes, targets, estimator=estimator, readout=readout, batch_size=config.engine.batch_size
    )
    log.info(
        "%d probes x %d targets: about %s%s.",
        len(probes),
        len(targets),
        tqdm.format_interval(seconds * len(probes)),
        "" if estimator.self_gain is None else ", after the search of the step size",
    )
    with (
        track(
            config.tracking,
            folder=folder.path,
            run_id=folder.path.name,
            name=config.name,
            config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
            group=config.name,
            job_type="influence",
            tags=[config.estimator.name],
        ) as tracker,
        tqdm(total=len(probes), unit="probe", file=sys.stderr) as bar,
    ):
        start = time.perf_counter()

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)
            if done % config.engine.block_size == 0 or done == total:
                tracker.progress(done, total, (time.perf_counter() - start) / done * (total - done))

        matrix = measure(
            model,
            probes,
            targets,
            estimator=estimator,
            readout=readout,
            seed=config.seed,
            batch_size=config.engine.batch_size,
            block_size=config.engine.block_size,
            folder=folder.path,
            provenance={**provenance.collect(REPOSITORY), **sources},
            progress=progress,
        )
        for probe, reason in list(matrix.failures.items())[:3]:
            log.warning("Probe %s failed: %s", probe, reason)
        if matrix.failures:
            log.warning("%d of %d probes failed; their rows are empty.", len(matrix.failures), len(probes))
        scores = score(matrix, seed=config.seed)
        save_scores(folder.path, scores)
        figures = draw_run(folder.path)
        tracker.result(matrix, scores, [path for path in figures if path.suffix == ".png"])
