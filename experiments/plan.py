"""The plan of a sweep: the runs that it is to make, written before the first begins.

`outputs/<name>/plan.json` maps the hash of each run to `overrides`, what was typed and swept but for the shard, and to
`shards`, their number, where the run is measured in several. Later sweeps into the same folder add to it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from experiments.identity import run_hash
from influence.files import read_json, write_json

PLAN = "plan.json"


class WritePlan(Callback):
    """Writes the plan of a sweep when it starts; a search, which makes its runs up as it goes, has none."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Expand the sweep as Hydra will, and add its runs to the plan."""
        sweeper = config.hydra.sweeper
        if sweeper._target_ == f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
            swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
            write_plan(config, [*swept, *config.hydra.overrides.task])


def write_plan(config: DictConfig, overrides: Sequence[str]) -> None:
    """Add the runs of a sweep to the plan in `<outputs>/<name>/` of each.

    Args:
        config: composed without what is swept.
        overrides: of the command line and of the sweep, of which some are sweeps.
    """
    loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    shards: dict[tuple[str, ...], int] = {}  # to compose takes a moment, and shards are of one run
    for job in jobs:
        run = tuple(override for override in job if not _is_of_shard(override))
        shards[run] = max(_shard_count(job, config), shards.get(run, 1))
    plans: dict[Path, dict[str, Any]] = {}
    for run, count in shards.items():
        cfg = loader.load_sweep_config(config, list(run))
        planned = {"overrides": list(run)} | ({"shards": count} if count > 1 else {})
        plans.setdefault(Path(cfg.outputs) / cfg.name, {})[run_hash(cfg)] = planned
    for folder, plan in plans.items():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".plan.lock"):
            write_json(folder / PLAN, read_plan(folder) | plan)


def read_plan(folder: Path) -> dict[str, dict[str, Any]]:
    """What `write_plan` wrote; {} where there is none."""
    plan: dict[str, dict[str, Any]] = read_json(folder / PLAN) if (folder / PLAN).exists() else {}
    return plan


def _is_of_shard(override: str) -> bool:
    return override.startswith("shard.")


def _shard_count(job: Sequence[str], config: DictConfig) -> int:
    """The number of shards that a job names, else that of the configuration."""
    named = OmegaConf.from_dotlist([override for override in job if _is_of_shard(override)])
    count: int = OmegaConf.select(named, "shard.count", default=config.shard.count)
    return count
