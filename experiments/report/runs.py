"""What the report says of a run: its settings, how it went, and what it came to."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.plan import read_plan
from experiments.report.embed import table_data
from experiments.run_folder import IMAGES, RunFolder
from experiments.run_sets import RunSet, step_size
from experiments.schema import REPOSITORY
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import read_header

SCORES = ["desideratum", "score", "condition", "value", "low", "high", "unit", "p", "n", "unit_of_n", "verdict", "note"]
"""Columns of a run's scores that are shown."""

ABSOLUTE = re.compile(r"""(?<![\w.~:/-])/(?:[^\s/:"',]+/)+""")
"""Folders of an absolute path, as errors and tracebacks name them."""


def find_folders(paths: Sequence[Path]) -> list[Path]:
    """Every run at or below the given folders, also one that failed before it had a matrix.

    Raises:
        FileNotFoundError: a path is missing, or there is no run at all.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in paths:
        if not path.is_dir():
            raise FileNotFoundError(f"expected a folder of runs, got no folder {path}; give outputs/<name>")
        marks = [*path.glob("**/matrix.json"), *path.glob("**/run.json")]
        for folder in sorted({mark.parent for mark in marks if "shards" not in mark.parts}):
            # A run that is both kept and published stands there once.
            found.setdefault((folder.resolve().parent.name, folder.resolve().name), folder)
    if not found:
        raise FileNotFoundError(
            f"expected runs in {', '.join(map(str, paths))}, got none; measure one: "
            "python -m experiments.run experiment=digits"
        )
    return list(found.values())


def content_key(folder: Path, *, salt: str) -> str:
    """Of all that a run's part of the report is made from: equal where nothing changed."""
    content = hashlib.sha256(f"{salt}/{place(folder)}".encode())
    for path in _files(folder):
        content.update(f"{path.relative_to(folder)}:".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:16]


def describe(folder: Path) -> dict[str, Any]:
    """Name, settings and status of a run, as the table of runs shows them."""
    run, runs = RunFolder(folder), RunSet((folder,))
    status, config = run.status, runs.config
    if status.get("status") == "running" and not run.is_held:
        status |= {"status": "interrupted", "error": "Its process ended without a word; the same command goes on."}
    header = read_header(folder) if (folder / "matrix.json").exists() else {}
    estimator = config.get("estimator") or header.get("estimator", {})
    experiment, hash = folder.resolve().parent.name, folder.resolve().name
    return {
        "experiment": experiment,
        "hash": hash,
        "place": place(folder),
        "model": runs.model if config else "",
        "data": _data(runs) if config else "",
        "estimator": ", ".join(filter(None, [runs.kind, runs.unusual])) if config else str(estimator.get("name", "")),
        "step": _step(estimator),
        "seed": run.config.get("seed", 0) if config else None,
        "status": status.get("status", "saved"),
        "started": status.get("started"),
        "seconds": status.get("seconds"),
        "error": _shortened(status.get("error")),
        "traceback": _shortened(status.get("traceback")),
    }


def scores(folder: Path) -> list[dict[str, Any]]:
    """The saved scores of a run, row by row; none where it was not scored alone."""
    path = folder / "scores.parquet"
    return table_data(pd.read_parquet(path).reindex(columns=SCORES)) if path.exists() else []


def planned(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Hashes of the runs that sweeps are to make, by experiment."""
    experiments = {folder.resolve().parent for folder in folders}
    return {one.name: sorted(plan) for one in sorted(experiments) if (plan := read_plan(one))}


def outcome(matrix: InfluenceMatrix) -> dict[str, Any]:
    """What the table of runs shows of a matrix."""
    median = matrix.median_self_gain
    return {
        "probes_count": len(matrix.probes),
        "targets_count": len(matrix.targets),
        "self_gain": median if median == median else None,
        "failures": matrix.failures,
    }


def place(folder: Path) -> str:
    """Where a run is, without what is above it on this machine: `outputs/fig1_cnn/0c819e031eee`."""
    path = folder.resolve()
    return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else "/".join(path.parts[-2:])


def _files(folder: Path) -> Iterator[Path]:
    names = ("config.yaml", "run.json", "matrix.json", IMAGES, "scores.parquet", "blocks.npz")
    yield from (folder / name for name in names if (folder / name).exists())
    yield from sorted([*folder.glob("*.parquet"), *folder.glob("blocks/*.npz")])


def _data(runs: RunSet) -> str:
    return runs.domain or str(runs.config["data"].get("_target_", ""))


def _step(estimator: Any) -> str:
    """`self-gain 0.3`, `lr 0.01, 3 steps`; nothing for a prompt."""
    steps = estimator.get("num_steps") or 1
    return ", ".join(filter(None, [step_size(estimator), f"{steps} steps" if steps != 1 else ""]))


def _shortened(text: str | None) -> str | None:
    """Without the folders of this machine: the report is for others too."""
    return text and ABSOLUTE.sub("…/", text)
