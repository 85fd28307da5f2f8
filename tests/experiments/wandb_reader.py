"""Runs on disk through W&B's own reader."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def inspect(run_folder: Path, pattern: str, *options: str) -> str:
    """What W&B's own reader prints of the one run whose folder matches."""
    (folder,) = (run_folder.parents[1] / "wandb").glob(pattern)
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def read_summary(run_folder: Path, pattern: str = "offline-run-*") -> dict[str, Any]:
    """State of a run: its config, summary and exit code."""
    return json.loads(inspect(run_folder, pattern, "--summary"))


def read_records(run_folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records of an offline run in order, by kind."""
    records = defaultdict(list)
    for record in map(json.loads, inspect(run_folder, "offline-run-*").splitlines()):
        records[record["type"]].append(record[record["type"]])
    return records
