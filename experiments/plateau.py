"""The plateau of learning rates of a sweep: `python -m experiments.plateau outputs/lr_plateau`.

Written by itself when `sweep=lr_plateau` ends; this command does it again, e.g. after a sweep in which a job failed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from experiments.identity import DECISIVE
from experiments.published import OPTIMIZERS, PLATEAUS
from experiments.run_folder import RunFolder, find_runs
from influence.matrix import InfluenceMatrix
from influence.plateau import MIN_CORRELATION, plateau
from influence.plots.plateau import plateau_figure
from influence.plots.style import save_figure


class DrawPlateau(Callback):
    """Draws the plateau when a sweep of learning rates ends."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Draw it in the folder of the sweep."""
        show(Path(config.outputs) / config.name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the plateau of the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the sweep's runs")
    try:
        show(parser.parse_args(arguments).folder)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"plateau: {error}")


def show(folder: Path) -> None:
    """Draw and print the plateau of the runs in a folder."""
    table = plateau_table([folder])
    print(table.to_string(index=False, float_format=lambda number: f"{number:.3g}"))
    for path in draw(table, folder / "figures"):
        print(path)


def published_table(published: Path) -> pd.DataFrame:
    """The plateaus that the README shows: of the CNN and of the language model."""
    return plateau_table([published / name for name in PLATEAUS])


def plateau_table(folders: Sequence[Path]) -> pd.DataFrame:
    """The plateau of every set of runs that differ in their learning rate alone.

    Returns:
        The table of `influence.plateau.plateau`, with the `model` and `optimizer` of the set.

    Raises:
        FileNotFoundError: there are no runs, or one has not finished.
        ValueError: no two runs differ in their learning rate alone, or those of a model and optimizer in more.
    """
    sets: dict[str, list[Path]] = {}
    for run in find_runs(folders):
        settings = RunFolder(run).settings
        settings["estimator"]["lr"] = None
        sets.setdefault(json.dumps({key: settings[key] for key in DECISIVE}, sort_keys=True), []).append(run)
    tables = []
    for runs in sets.values():
        config = RunFolder(runs[0]).config
        table = plateau([InfluenceMatrix.load(run) for run in runs])
        table.insert(0, "model", config.model.name)
        table.insert(1, "optimizer", config.estimator.optimizer)
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True)
    repeated = joined[joined.duplicated(["model", "optimizer", "lr"])]
    if len(repeated):
        raise ValueError(
            f"expected runs of {repeated['model'].iloc[0]}, {repeated['optimizer'].iloc[0]} that differ in their "
            "learning rate alone, got some that differ in more, e.g. their seed; keep such runs in folders of their own"
        )
    return joined


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """The plateau's figure, with the table as its data, in `folder`."""
    named = table.replace({"optimizer": OPTIMIZERS})
    figure = plateau_figure(named, min_correlation=MIN_CORRELATION, band="quartiles", unit="nats;\nof texts, per token")
    return save_figure(figure, folder / "lr_plateau", table)


if __name__ == "__main__":
    main()
