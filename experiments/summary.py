"""What a run prints when it ends: its scores, and where everything is."""

import pandas as pd

from experiments.run_folder import RunFolder
from experiments.schema import ObjectiveConfig
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


def objective(folder: RunFolder, config: ObjectiveConfig) -> float | None:
    """The value of a score of a finished run, NaN where it is undefined; None where none is named.

    Raises:
        ValueError: the run has no such score, or not at that condition.
    """
    if config.score is None:
        return None
    scores = pd.read_parquet(folder.path / "scores.parquet")
    of_name = scores[scores["score"] == config.score]
    found = of_name["value"][of_name["condition"] == config.condition]
    if len(found) != 1:
        known = scores["score"] + scores["condition"].map(lambda at: f"[{at}]" if at else "")
        raise ValueError(
            f"expected objective.score and objective.condition among the scores of {folder.path}, which are "
            f"{', '.join(known)}, got {config.score!r} at {config.condition!r}; name one of them"
        )
    return float(found.iloc[0])
