"""The folder of a run: its configuration, its status, and where its parts are."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from influence.files import is_locked, locked, read_json, write_atomically, write_json
from influence.matrix_folder import missing_blocks

IMAGES = "samples.npz"


class RunFolder:
    """`outputs/<name>/<hash>/`, or the folder of one of its shards.

    It holds `config.yaml`, `run.json` (status, times, error), the matrix (`matrix.json`, `probes.parquet`,
    `targets.parquet` where the targets are others, `blocks/`), `samples.npz` of images, `scores.parquet`,
    `scores.json` and `figures/`. A run that is measured in shards also has `shards/<index>-of-<count>/`, each with a
    `config.yaml`, `run.json` and log of its own. Beside the runs of a sweep stands its plan, `outputs/<name>/plan.json`
    (see `experiments.plan`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> DictConfig:
        """The composed configuration as it was run."""
        config = OmegaConf.load(self.path / "config.yaml")
        assert isinstance(config, DictConfig)
        return config

    @property
    def settings(self) -> dict[str, Any]:
        """The same in plain containers."""
        settings: Any = OmegaConf.to_container(self.config)
        return dict(settings)

    @property
    def status(self) -> dict[str, Any]:
        """Content of `run.json`; empty before the first start."""
        path = self.path / "run.json"
        status: dict[str, Any] = read_json(path) if path.exists() else {}
        return status

    @property
    def is_done(self) -> bool:
        """Whether the run has finished."""
        return self.status.get("status") == "done"

    def is_measured(self, shard: tuple[int, int] = (0, 1)) -> bool:
        """Whether every block is there, of the run or of a shard (index, count) of it."""
        return (self.path / "matrix.json").exists() and not missing_blocks(self.path, shard)

    @property
    def is_held(self) -> bool:
        """Whether a process is at it now. A lock is free as soon as its process has died, however it did."""
        return is_locked(self.path / ".lock")

    def shard(self, index: int, count: int) -> "RunFolder":
        """The folder of a shard's status and log: its own, or that of the run where it is the only one."""
        return RunFolder(self.path / shard_path(index, count))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process is at it, and hold its lock."""
        with locked(self.path / ".lock", f"is at {self.path}"):
            yield

    @contextmanager
    def recorded(self, cfg: DictConfig) -> Iterator[None]:
        """Write the configuration, and how it went when the scope ends: done, failed or interrupted."""
        write_atomically(self.path / "config.yaml", lambda path: path.write_text(OmegaConf.to_yaml(cfg, resolve=True)))
        earlier = self.status.get("seconds", 0.0)
        start = time.perf_counter()
        status = {"status": "running", "started": datetime.now(UTC).isoformat(), "seconds": earlier}
        write_json(self.path / "run.json", status)
        try:
            yield
            status["status"] = "done"
        except BaseException as error:
            # Lightning turns an interrupt of the base training into SystemExit.
            status["status"] = "failed" if isinstance(error, Exception) else "interrupted"
            status |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
            raise
        finally:
            status["finished"] = datetime.now(UTC).isoformat()
            write_json(self.path / "run.json", status | {"seconds": earlier + time.perf_counter() - start})


def shard_path(index: int, count: int) -> str:
    """Folder of a shard inside that of its run; "." where there is but one."""
    return "." if count == 1 else f"shards/{index}-of-{count}"


def images_of(folder: Path) -> Path:
    """Where the images of a run are, if any: in its folder, or in that of a frozen run beside it on the same data."""
    if not (folder / IMAGES).exists():
        for kept in sorted(folder.parent.glob(f"*/{IMAGES}")):
            if RunFolder(kept.parent).settings["data"] == RunFolder(folder).settings["data"]:
                return kept
    return folder / IMAGES


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Every run folder at or below the given folders, in order.

    Raises:
        FileNotFoundError: a path is missing or holds no run.
    """
    runs: list[Path] = []
    for path in paths:
        found = sorted(header.parent for header in path.glob("**/matrix.json"))
        if not found:
            raise FileNotFoundError(f"expected run folders in {path}, got none; give outputs/<name> or a folder in it")
        runs += found
    return list(dict.fromkeys(runs))
