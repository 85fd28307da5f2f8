"""Score finished runs: `python -m experiments.score outputs/<name>`, or single run folders.

Each run is scored alone, and `scores.parquet` and `scores.json` are written into its folder. Runs that differ
only in their seeds are also scored together, with the seeds as units; `--out` keeps that table.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from experiments.identity import DECISIVE
from experiments.run_folder import RunFolder, find_runs
from influence.desiderata import score
from influence.files import write_atomically, write_json
from influence.matrix import InfluenceMatrix


def main(arguments: Sequence[str] | None = None) -> None:
    """Score the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="scores wanted; all if none is named")
    parser.add_argument("--seed", type=int, default=0, help="of the random signs and permutations (default 0)")
    parser.add_argument("--out", type=Path, help="folder for the scores over seeds")
    options = parser.parse_args(arguments)
    try:
        score_runs(find_runs(options.folders), names=options.scores, seed=options.seed, out=options.out)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"score: {error}")


def score_runs(
    folders: Sequence[Path], *, names: Sequence[str] | None = None, seed: int = 0, out: Path | None = None
) -> None:
    """Score each run alone, write its scores and print them; then the runs that differ only in their seeds.

    Args:
        folders: run folders.
        names: the scores wanted, None for all.
        seed: of the random signs and permutations.
        out: folder for the scores over seeds, or None to print them only.

    Raises:
        FileNotFoundError: a run has not finished.
        ValueError: a matrix is torn, a score is unknown, or `out` is given without exactly one set of seeds.
    """
    repetitions = same_but_seeds(folders)
    if out is not None and len(repetitions) != 1:
        raise ValueError(
            f"expected runs of one experiment, different in their seeds, for --out, got {len(repetitions)} such sets; "
            "name the runs of one"
        )
    for folder in folders:
        frame = score(InfluenceMatrix.load(folder), names, seed=seed)
        save_scores(folder, frame)
        print(f"{folder}\n{table(frame)}\n")
    for runs in repetitions:
        frame = score([InfluenceMatrix.load(folder) for folder in runs], names, seed=seed)
        if out is not None:
            save_scores(out, frame)
        print(f"{len(runs)} seeds: {', '.join(map(str, runs))}\n{table(frame)}\n")


def save_scores(folder: Path, frame: pd.DataFrame) -> None:
    """Write `scores.parquet` and `scores.json` (a list of rows, null where undefined), each atomically."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    write_atomically(folder / "scores.parquet", lambda path: frame.to_parquet(path, index=False))
    write_json(folder / "scores.json", rows)


def same_but_seeds(folders: Sequence[Path]) -> list[list[Path]]:
    """The sets of two or more runs whose numbers are decided by the same settings but for the seeds."""
    sets: dict[str, list[Path]] = {}
    for folder in folders:
        if (folder / "config.yaml").exists():
            config: Any = OmegaConf.to_container(RunFolder(folder).config)
            settings = _without_seeds({key: config.get(key) for key in DECISIVE})
            sets.setdefault(json.dumps(settings, sort_keys=True), []).append(folder)
    return [runs for runs in sets.values() if len(runs) > 1]


def table(frame: pd.DataFrame) -> str:
    """Scores as aligned text: name, value with its interval and unit, p, units, verdict and note."""
    lines = [("score", "value", "95 % interval", "unit", "p", "n", "verdict", "note")]
    for row in frame.to_dict("records"):
        lines.append(
            (
                condition_label(row["score"], row["condition"]),
                number(row["value"]),
                "" if pd.isna(row["low"]) else f"{number(row['low'])} to {number(row['high'])}",
                row["unit"],
                "" if pd.isna(row["p"]) else f"{row['p']:.4f}",
                f"{row['n']} {row['unit_of_n']}",
                row["verdict"],
                row["note"],
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def condition_label(score: str, condition: str) -> str:
    """`noise_discount[sigma=1]`."""
    return f"{score}[{condition}]" if condition else score


def _without_seeds(node: Any) -> Any:
    """The settings without any `seed`, at whatever depth: of the run, of its images, of base training."""
    if isinstance(node, dict):
        return {key: _without_seeds(value) for key, value in node.items() if key != "seed"}
    return node


def number(value: float) -> str:
    """Three digits, or a dash for what is undefined."""
    return "-" if pd.isna(value) else f"{value:.3g}"


if __name__ == "__main__":
    main()
