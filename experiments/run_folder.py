"""The folder of a run: its configuration, its status, and where its parts are."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from influence.files import read_json, write_atomically, write_json


class RunFolder:
    """`outputs/<name>/<hash>/`.

    It holds `config.yaml`, `run.json` (status, times, error), the matrix (`matrix.json`, `probes.parquet`,
    `targets.parquet` where the targets are others, `blocks/`), `samples.npz` of images, `scores.parquet`,
    `scores.json` and `figures/`.
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
    def status(self) -> dict[str, Any]:
        """Content of `run.json`; empty before the first start."""
        path = self.path / "run.json"
        status: dict[str, Any] = read_json(path) if path.exists() else {}
        return status

    @property
    def is_done(self) -> bool:
        """Whether the run has finished."""
        return self.status.get("status") == "done"

    @contextmanager
    def running(self, cfg: DictConfig) -> Iterator[None]:
        """Hold the run's lock, and write how it went when the scope ends: done, failed or interrupted.

        Raises:
            RuntimeError: another process is at the same run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.path / ".lock").acquire(blocking=False)
        except Timeout:
            raise RuntimeError(
                f"expected to be alone at {self.path}, got another process measuring it; wait for it to finish"
            ) from None
        with lock:
            write_atomically(
                self.path / "config.yaml", lambda path: path.write_text(OmegaConf.to_yaml(cfg, resolve=True))
            )
            earlier = self.status.get("seconds", 0.0)
            start, status = time.perf_counter(), {"status": "running", "started": datetime.now(UTC).isoformat()}
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
