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
from experiments.identity import run_hash
from experiments.run_folder import RunFolder

log = logging.getLogger(__name__)


def run_path(*, _root_: DictConfig) -> str:
    """Folder of the configured run; a resolver, so that single runs and jobs of a sweep share it."""
    return str(Path(_root_.outputs) / _root_.name / run_hash(_root_))


@hydra.main(version_base="1.3", config_path=str(schema.REPOSITORY / "conf"), config_name="config")
def main(cfg: DictConfig) -> None:
    """Measure what the configuration describes, unless it has been measured."""
    try:
        config = schema.check(cfg)
        folder = RunFolder(Path(config.outputs) / config.name / run_hash(cfg))
        if folder.is_done:
            log.info("Already measured.")
        else:
            with folder.running(cfg):
                from experiments.pipeline import execute

                execute(config, folder)
        from experiments.summary import show

        show(folder)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        # One sentence for the user; the traceback is in run.json.
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        if HydraConfig.get().mode is RunMode.MULTIRUN:  # where an exit would take the other jobs with it
            log.error("Error: %s", error)
            raise CompactHydraException("A job of the sweep failed; its sentence is above.") from None
        sys.exit(f"Error: {error}")
    except (KeyboardInterrupt, SystemExit):  # Lightning exits where base training is interrupted
        sys.exit("Interrupted; what is finished stays, and the same command goes on from there.")


def unless(given: object, otherwise: object) -> object:
    """None where something is given, else `otherwise`: a default that gives way to an alternative."""
    return otherwise if given is None else None


def stored_lr(*, _parent_: DictConfig, _root_: DictConfig) -> float | None:
    """The learning rate that the experiment stores for the optimizer, unless another size or number is asked for."""
    if not OmegaConf.is_interpolation(_parent_, "self_gain") or _parent_.num_steps != _root_.step_sizes_at.num_steps:
        return None
    lr: float | None = _root_.step_sizes.get(_parent_.optimizer)
    return lr


OmegaConf.register_new_resolver("run_path", run_path, replace=True)
OmegaConf.register_new_resolver("run_hash", lambda *, _root_: run_hash(_root_), replace=True)
OmegaConf.register_new_resolver("unless", unless, replace=True)
OmegaConf.register_new_resolver("stored_lr", stored_lr, replace=True)
schema.register()
# Torch's threads sleep while they wait: on a machine that is shared, spinning ones take the time of the working ones.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if __name__ == "__main__":
    main()
