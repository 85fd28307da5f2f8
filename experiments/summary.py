"""What a run prints when it ends: its scores, and where everything is."""

import pandas as pd

from experiments.run_folder import RunFolder
from experiments.tables import scores_table


def show(folder: RunFolder) -> None:
    """Print the table of scores and the paths of a finished run."""
    print(scores_table(pd.read_parquet(folder.path / "scores.parquet")))
    print()
    for name, path in {
        "run": folder.path,
        "scores": folder.path / "scores.parquet",
        "figure": folder.path / "figures" / "matrix.png",
    }.items():
        print(f"{name:8}{path}")
