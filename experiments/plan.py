"""The plan of a sweep: the runs that it is to make, written before the first begins.

`outputs/<name>/plan.json` maps the hash of each run to `overrides`, what was typed and swept but for the shard. Later
sweeps into the same folder add to it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from experiments.identity import run_hash
from influence.files import read_json, write_json

PLAN = "plan.json"

log = logging.getLogger(__name__)


class WritePlan(Callback):
    """Writes the plan of a sweep when it starts; a search, which makes its runs up as it goes, has none."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Expand the sweep as Hydra will, and add its runs to the plan."""
        sweeper = config.hydra.sweeper
        if sweeper._target_ == f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
            swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
            try:
                plans = write_plan(config, [*swept, *config.hydra.overrides.task])
            except HydraException:
                return  # the sweep is about to be refused for the same reason, by a sentence of its own
            for folder, count in plans.items():
                log.info("%d runs planned; python -m experiments.status %s tells how they stand.", count, folder)


def write_plan(config: DictConfig, overrides: Sequence[str]) -> dict[Path, int]:
    """Add the runs of a sweep to the plan in `<outputs>/<name>/` of each.

    Args:
        config: composed without what is swept.
        overrides: of the command line and of the sweep, of which some are sweeps.

    Returns:
        The number of the sweep's runs in each folder.
    """
    loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    # To compose takes a moment, and shards are of one run.
    runs = dict.fromkeys(tuple(override for override in job if not override.startswith("shard.")) for job in jobs)
    plans: dict[Path, dict[str, Any]] = {}
    for run in runs:
        cfg = loader.load_sweep_config(config, list(run))
        plans.setdefault(Path(cfg.outputs) / cfg.name, {})[run_hash(cfg)] = {"overrides": list(run)}
    for folder, plan in plans.items():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".plan.lock"):
            write_json(folder / PLAN, read_plan(folder) | plan)
    return {folder: len(plan) for folder, plan in plans.items()}


def read_plan(folder: Path) -> dict[str, dict[str, Any]]:
    """What `write_plan` wrote; {} where there is none."""
    plan: dict[str, dict[str, Any]] = read_json(folder / PLAN) if (folder / PLAN).exists() else {}
    return plan
