"""Figures and tables from saved runs alone: `python -m experiments.figures`.

With folders it draws their runs again. Without, it rebuilds those figures and tables of the paper and of the README
that are not up to date, from `outputs/published/` or from the runs in another folder of the same form, where some may
be missing, and writes what they were made of into `figures/manifest.json` beside them.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from experiments import bench, chain_figures, image_figures, plateau, text_figures
from experiments.cards import draw_card, published_cards
from experiments.ledger import ledger_table
from experiments.manifest import Product, rebuild
from experiments.published import (
    CAUSES,
    LEDGER,
    PLATEAUS,
    PUBLISHED,
    TEXTS,
)
from experiments.readme import TABLES, save_table, stored_tables, write_readme
from experiments.run_figure import draw_run
from experiments.run_folder import find_runs
from experiments.schema import REPOSITORY
from influence.files import write_atomically


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the runs named on the command line, or everything that the README shows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="run folders, or folders of runs")
    parser.add_argument(
        "--runs",
        type=Path,
        default=PUBLISHED,
        metavar="FOLDER",
        help="where the runs of the paper's figures are: local ones, or those of `experiments.mirror --download`",
    )
    parser.add_argument("--force", action="store_true", help="also make again what is up to date")
    options = parser.parse_args(arguments)
    try:
        if options.folders:
            drawn = [path for folder in find_runs(options.folders) for path in draw_run(folder)]
        else:
            drawn = rebuild(PRODUCTS, options.runs, force=options.force, partial=options.runs != PUBLISHED)
            if options.runs == PUBLISHED:
                write_readme(REPOSITORY / "README.md", stored_tables(PUBLISHED))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"figures: {error}")
    for path in drawn:
        print(path)
    if not drawn:
        print("All figures and tables are up to date.")


def draw_plateau(published: Path) -> list[Path]:
    """The plateau of learning rates."""
    return plateau.draw(plateau.published_table(published), published / "figures")


def draw_cards(published: Path) -> list[Path]:
    """The desiderata card of every model."""
    cards = published_cards(published).items()
    return [path for model, card in cards for path in draw_card(model, card, published / "figures")]


def save_ledger(published: Path) -> list[Path]:
    """The table of the paper's claims as data."""
    path = published / LEDGER
    write_atomically(path, lambda file: ledger_table(published).to_csv(file, index=False, lineterminator="\n"))
    return [path]


PRODUCTS = (
    Product("fig1d", ("fig1_cnn",), image_figures.draw_fig1d),
    Product("lr_plateau", PLATEAUS, draw_plateau),
    Product("fig2 to fig6", tuple(TEXTS), text_figures.draw_published),
    Product("transitivity", CAUSES, chain_figures.draw_published),
    Product("cards", (), draw_cards),
    Product("bench", ("bench",), bench.draw),
    Product("ledger", (), save_ledger),
    *(Product(f"table: {name}", (), partial(save_table, name=name)) for name in TABLES),
)
"""All figures and tables of the paper and of the README."""


if __name__ == "__main__":
    main()
