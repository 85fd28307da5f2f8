"""Figures and tables from saved runs alone: `python -m experiments.figures`.

With folders it draws their runs again. Without, it rebuilds those figures and tables of the paper and of the README
that are not up to date, from `outputs/published/` or from the runs in another folder of the same form, where some may
be missing, and writes what they were made of into `figures/manifest.json` beside them.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from experiments import bench, chain_figures, plateau, text_figures
from experiments.cards import draw_card, published_cards
from experiments.ledger import ledger_table
from experiments.manifest import Product, rebuild
from experiments.published import (
    CHAINS,
    IMAGE_OPTIMIZERS,
    LEDGER,
    OPTIMIZERS,
    PLATEAUS,
    PUBLISHED,
    SELF_GAINS,
    TEXTS,
    fig1_step_sizes,
)
from experiments.readme import TABLES, save_table, stored_tables, write_readme
from experiments.run_folder import find_runs, images_of
from experiments.schema import REPOSITORY
from influence.arrays import Array
from influence.data.stored import load_images
from influence.files import write_atomically
from influence.matrix import InfluenceMatrix
from influence.plots.matrix import Panel, matrix_figure
from influence.plots.style import save_figure

CLIP_QUANTILE = 0.9
"""Colours end where this share of the absolute gains lies below, rounded to two digits."""


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


MOST_DRAWN = 1000
"""Rows, and columns: of more, every second or third is drawn, and so on, since a figure has no room for them."""


def draw_run(folder: Path, figures: Path | None = None) -> list[Path]:
    """The matrix of one run, in `<folder>/figures/` or in a folder of its own."""
    stem = (figures or folder / "figures") / "matrix"
    matrix = InfluenceMatrix.load(folder)
    if {"item", "noun"} & set(matrix.probes):
        return text_figures.draw_beside([folder], stem)
    matrix = _thinned(matrix)
    figure = matrix_figure(
        [[_panel(matrix)]],
        matrix.probes,
        matrix.targets,
        unit=matrix.readout["unit"],
        thumbnails=_thumbnails(folder, matrix),
        width=4.5,
    )
    return save_figure(figure, stem, {**_ids(matrix), "gain": matrix.gain})


def _thinned(matrix: InfluenceMatrix) -> InfluenceMatrix:
    """At most `MOST_DRAWN` rows and columns, evenly from the whole, read a block at a time."""
    if max(len(matrix.probes), len(matrix.targets)) <= MOST_DRAWN:
        return matrix
    keep_P, keep_T = (
        np.arange(len(table)) % math.ceil(len(table) / MOST_DRAWN) == 0 for table in (matrix.probes, matrix.targets)
    )
    return matrix.select(probes=keep_P, targets=keep_T)


def draw_fig1d(published: Path) -> list[Path]:
    """Fig. 1D at three self-gains, SGD above Adam."""
    folders = fig1_step_sizes(published)
    matrices = {key: InfluenceMatrix.load(folder) for key, folder in folders.items()}
    first = next(iter(matrices.values()))
    figure = matrix_figure(
        [[_panel(matrices[optimizer, gain]) for gain in SELF_GAINS] for optimizer in IMAGE_OPTIMIZERS],
        first.probes,
        first.targets,
        unit=first.readout["unit"],
        thumbnails=_thumbnails(next(iter(folders.values())), first),
    )
    # In three digits, of which a colour shows two; the runs have the others.
    data = {f"{optimizer}_{gain:g}": matrix.gain.astype(np.float16) for (optimizer, gain), matrix in matrices.items()}
    return save_figure(figure, published / "figures" / "fig1d", {**_ids(first), **data})


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
    Product("fig1d", ("fig1_cnn",), draw_fig1d),
    Product("lr_plateau", PLATEAUS, draw_plateau),
    Product("fig2 to fig6", tuple(TEXTS), text_figures.draw_published),
    Product("transitivity", CHAINS[:1], chain_figures.draw_published),
    Product("cards", (), draw_cards),
    Product("bench", ("bench",), bench.draw),
    Product("ledger", (), save_ledger),
    *(Product(f"table: {name}", (), partial(save_table, name=name)) for name in TABLES),
)
"""All figures and tables of the paper and of the README."""


def _panel(matrix: InfluenceMatrix) -> Panel:
    return Panel(title=title(matrix), gain_PT=matrix.gain, clip=_clip(matrix.gain))


def title(matrix: InfluenceMatrix) -> str:
    """Optimiser and step size of a matrix, as a figure names it."""
    settings = matrix.estimator
    optimizer = OPTIMIZERS.get(settings["optimizer"], settings["optimizer"])
    if settings["self_gain"] is None:
        return f"{optimizer}, learning rate {settings['lr']:.3g}"
    return f"{optimizer}, self-gain {settings['self_gain']:g} nat"


def _clip(gain_PT: Array) -> float:
    """Where the colours end, to two digits; 1 where every gain is 0 or missing."""
    measured = np.abs(gain_PT[np.isfinite(gain_PT)])
    quantile = float(np.quantile(measured, CLIP_QUANTILE)) if len(measured) else 0.0
    return float(f"{quantile:.2g}") or 1.0


def _thumbnails(folder: Path, matrix: InfluenceMatrix) -> dict[str, list[Array]]:
    """One image a group, that of the first probe in it; none where the samples are no images."""
    kept = images_of(folder)
    if not kept.exists():
        return {}
    images = load_images(kept, matrix.probes.drop_duplicates("group"))
    return {group: [image[0]] for group, image in zip(images["group"], images["image"], strict=True)}


def _ids(matrix: InfluenceMatrix) -> dict[str, Array]:
    return {name: table["id"].to_numpy(str) for name, table in (("probes", matrix.probes), ("targets", matrix.targets))}


if __name__ == "__main__":
    main()
