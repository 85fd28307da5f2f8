"""One table of a sweep: `python -m experiments.collect outputs/<name>`.

Scans the finished runs and writes `outputs/<name>/results.parquet`: their scores, one row a run, score and condition,
with the run's hash and every setting in which the runs differ in front, named as on the command line.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.identity import DECISIVE
from experiments.run_folder import RunFolder, find_runs
from influence.files import write_atomically

RESULTS = "results.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect the sweep named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of a sweep, outputs/<name>")
    options = parser.parse_args(arguments)
    path = options.folder / RESULTS
    try:
        runs = find_runs([options.folder])
        finished = [run for run in runs if RunFolder(run).is_done]
        if not finished:
            raise ValueError(f"expected finished runs, got none of {len(runs)}; run the sweep to its end")
        table = collect(finished)
        write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"collect: {error}")
    print(f"{path}: {len(table)} rows x {len(table.columns)} columns, of {len(finished)} of {len(runs)} runs")
    if len(finished) < len(runs):
        print(f"The others have not finished: python -m experiments.status {options.folder}")


def collect(runs: Sequence[Path]) -> pd.DataFrame:
    """The scores of finished runs, beside their hash and the settings in which they differ.

    Lists and other compound settings stand as JSON; a setting that a run does not have is missing.
    """
    settings = pd.DataFrame([_settings(run) for run in runs])
    differing = [name for name in settings if settings[name].nunique(dropna=False) > 1]
    settings = settings[differing].apply(_of_one_type)
    settings.insert(0, "run", [run.name for run in runs])
    unscored = [str(run) for run in runs if not (run / "scores.parquet").exists()]
    if unscored:
        raise FileNotFoundError(
            f"expected scores in {unscored[0]}, got none; give it to python -m experiments.score, unless it is frozen"
        )
    tables = [pd.read_parquet(run / "scores.parquet") for run in runs]
    rows = settings.loc[settings.index.repeat([len(table) for table in tables])].reset_index(drop=True)
    return pd.concat([rows, pd.concat(tables, ignore_index=True)], axis=1)


def _settings(run: Path) -> dict[str, Any]:
    """A run's name and what decides its numbers, by dotted names."""
    config = RunFolder(run).settings
    return _flat({name: config.get(name) for name in ("name", *DECISIVE)})


def _of_one_type(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column as a file can hold it: where a setting is a number here and a word there, all as words."""
    present = column.dropna()
    return present.astype(str).reindex(column.index) if present.map(type).nunique() > 1 else column


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


if __name__ == "__main__":
    main()
