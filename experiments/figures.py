"""Figures and tables from saved runs alone: `python -m experiments.figures`.

With folders it draws their runs again; without, it rebuilds the figures and tables of the README from
`outputs/published/`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments import plateau, text_figures
from experiments.cards import draw_card, published_cards
from experiments.published import IMAGE_OPTIMIZERS, OPTIMIZERS, PUBLISHED, SELF_GAINS, fig1_step_sizes
from experiments.readme import write_readme
from experiments.run_folder import find_runs
from experiments.schema import REPOSITORY
from influence.arrays import Array
from influence.data.stored import load_images
from influence.matrix import InfluenceMatrix
from influence.plots.matrix import Panel, matrix_figure
from influence.plots.style import save_figure

CLIP_QUANTILE = 0.9
"""Colours end where this share of the absolute gains lies below, rounded to two digits."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the runs named on the command line, or everything that the README shows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="run folders, or folders of runs")
    options = parser.parse_args(arguments)
    try:
        if options.folders:
            drawn = [path for folder in find_runs(options.folders) for path in draw_run(folder)]
        else:
            drawn = [*draw_published(PUBLISHED), write_readme(REPOSITORY / "README.md", PUBLISHED)]
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"figures: {error}")
    for path in drawn:
        print(path)


def draw_run(folder: Path) -> list[Path]:
    """The matrix of one run, in `<folder>/figures/`."""
    matrix = InfluenceMatrix.load(folder)
    if {"item", "noun"} & set(matrix.probes):
        return text_figures.draw_run(folder)
    figure = matrix_figure(
        [[_panel(matrix)]],
        matrix.probes,
        matrix.targets,
        unit=matrix.readout["unit"],
        thumbnails=_thumbnails(folder, matrix),
        width=4.5,
    )
    return save_figure(figure, folder / "figures" / "matrix", {**_ids(matrix), "gain": matrix.gain})


def draw_published(published: Path) -> list[Path]:
    """The figures of the README: Fig. 1D at three self-gains, SGD above Adam; the plateau; language; and the cards."""
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
    data = {f"{optimizer}_{gain:g}": matrix.gain.astype(np.float32) for (optimizer, gain), matrix in matrices.items()}
    return [
        *save_figure(figure, published / "figures" / "fig1d", {**_ids(first), **data}),
        *plateau.draw(plateau.plateau_table(published / "lr_plateau"), published / "figures"),
        *text_figures.draw_published(published),
        *(
            path
            for model, card in published_cards(published).items()
            for path in draw_card(model, card, published / "figures")
        ),
    ]


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
    if not (folder / "samples.npz").exists():
        return {}
    first = matrix.probes.drop_duplicates("group")
    images = load_images(folder / "samples.npz", first)
    return {group: [image[0]] for group, image in zip(images["group"], images["image"], strict=True)}


def _ids(matrix: InfluenceMatrix) -> dict[str, Array]:
    return {name: table["id"].to_numpy(str) for name, table in (("probes", matrix.probes), ("targets", matrix.targets))}


if __name__ == "__main__":
    main()
