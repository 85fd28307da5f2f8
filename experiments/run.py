"""One run, or a sweep of them: `python -m experiments.run experiment=fig1_cnn estimator.optimizer=adam`.

A finished run is looked up, not repeated; torch is imported only when there is something to measure.
"""

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from experiments import schema
from experiments.checks import checked
from experiments.identity import run_hash
from experiments.run_folder import RunFolder, shard_path
from influence.matrix_folder import missing_blocks

log = logging.getLogger(__name__)

INTERRUPTED = "Interrupted; what is finished stays, and the same command goes on from there."


def run_folder(cfg: DictConfig) -> RunFolder:
    """Folder of the configured run."""
    return RunFolder(Path(cfg.outputs) / cfg.name / run_hash(cfg))


def job_path(*, _root_: DictConfig) -> str:
    """Where the job's log is among the runs; a resolver, so that single runs and jobs of a sweep share it."""
    return str(Path(run_hash(_root_)) / shard_path(_root_.shard.index, _root_.shard.count))


@hydra.main(version_base="1.3", config_path=str(schema.REPOSITORY / "conf"), config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Measure what the configuration describes, unless it has been measured; return the objective, if one is named."""
    try:
        config = checked(cfg)
        run = run_folder(cfg)
        if was_done := run.is_done:
            log.info("Already measured: %s", run.path)
        else:
            _measure(config, cfg, run)
        if not run.is_done:
            return None
        from experiments.summary import objective, show

        if config.shard.index == 0 or not was_done:  # shards that are looked up would all show the same
            show(run)
        return objective(run, config.objective)
    except (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError) as error:
        # One sentence for the user; the traceback is in run.json.
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        if HydraConfig.get().mode is RunMode.MULTIRUN:  # where an exit would take the other jobs with it
            log.error("Error: %s", error)
            raise CompactHydraException(
                f"A job of the sweep failed: {error}\n"
                f"The others are not touched; python -m experiments.status {run_folder(cfg).path.parent} tells of all."
            ) from None
        sys.exit(f"Error: {error}")
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != 1:  # of submitit, which queues the job again
            raise
        sys.exit(INTERRUPTED)  # Lightning exits with 1 where base training is interrupted


def _measure(config: schema.Config, cfg: DictConfig, run: RunFolder) -> None:
    """What is left to do: all of the run, or a shard's blocks, and the scores when no block is missing."""
    index, count = config.shard.index, config.shard.count
    job = run.shard(index, count)
    with job.alone():
        if run.is_done:  # while this process waited
            log.info("Already measured: %s", run.path)
        elif not (job.is_done and run.is_measured((index, count))):
            with job.recorded(cfg):
                from experiments import pipeline

                if count == 1:
                    pipeline.execute(config, run)
                else:
                    pipeline.measure_shard(config, run)
    if run.is_done:
        return
    if not run.is_measured():
        missing = len(missing_blocks(run.path))
        log.info("Shard %d of %d is measured; %d blocks of other shards are missing.", index, count, missing)
        return
    with run.alone():
        if not run.is_done:
            with run.recorded(cfg):
                from experiments import pipeline

                pipeline.merge(config, run)


def unless(given: object, otherwise: object) -> object:
    """None where something is given, else `otherwise`: a default that gives way to an alternative."""
    return otherwise if given is None else None


def stored_lr(*, _parent_: DictConfig, _root_: DictConfig) -> float | None:
    """The learning rate that the experiment stores for the optimizer, unless another size or number is asked for."""
    if not OmegaConf.is_interpolation(_parent_, "self_gain") or _parent_.num_steps != _root_.step_sizes_at.num_steps:
        return None
    lr: float | None = _root_.step_sizes.get(_parent_.optimizer)
    return lr


OmegaConf.register_new_resolver("job_path", job_path, replace=True)
OmegaConf.register_new_resolver("unless", unless, replace=True)
OmegaConf.register_new_resolver("stored_lr", stored_lr, replace=True)
schema.register()
# Torch's threads sleep while they wait: on a machine that is shared, spinning ones take the time of the working ones.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # while it waited for the jobs of a sweep
        sys.exit(INTERRUPTED)
