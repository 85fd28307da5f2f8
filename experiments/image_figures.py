"""Figures of the matrices of images: of one run, and of the paper's Fig. 1D."""

import math
from pathlib import Path

import numpy as np

from experiments.published import IMAGE_OPTIMIZERS, OPTIMIZERS, SELF_GAINS, fig1_step_sizes
from experiments.run_folder import images_of
from influence.arrays import Array
from influence.data.stored import load_images
from influence.matrix import InfluenceMatrix
from influence.plots.matrix import Panel, end_of_colors, matrix_figure
from influence.plots.style import save_figure

CLIP_QUANTILE = 0.9
"""Colours end where this share of the absolute gains lies below."""

MOST_DRAWN = 1000
"""Rows, and columns: of more, every second or third is drawn, and so on, since a figure has no room for them."""


def draw_matrix(folder: Path, stem: Path) -> list[Path]:
    """The matrix of a run, with an image of each group beside it."""
    matrix = _thinned(InfluenceMatrix.load(folder))
    figure = matrix_figure(
        [[_panel(matrix)]],
        matrix.probes,
        matrix.targets,
        unit=matrix.readout["unit"],
        thumbnails=_thumbnails(folder, matrix),
        width=4.5,
    )
    return save_figure(figure, stem, {**_ids(matrix), "gain": matrix.gain})


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


def _thinned(matrix: InfluenceMatrix) -> InfluenceMatrix:
    """At most `MOST_DRAWN` rows and columns, evenly from the whole, read a block at a time."""
    if max(len(matrix.probes), len(matrix.targets)) <= MOST_DRAWN:
        return matrix
    keep_P, keep_T = (
        np.arange(len(table)) % math.ceil(len(table) / MOST_DRAWN) == 0 for table in (matrix.probes, matrix.targets)
    )
    return matrix.select(probes=keep_P, targets=keep_T)


def _panel(matrix: InfluenceMatrix) -> Panel:
    return Panel(title=_title(matrix), gain_PT=matrix.gain, clip=end_of_colors(matrix.gain, CLIP_QUANTILE))


def _title(matrix: InfluenceMatrix) -> str:
    """Optimiser and step size of a matrix, as a figure names it."""
    settings = matrix.estimator
    optimizer = OPTIMIZERS.get(settings["optimizer"], settings["optimizer"])
    if settings["self_gain"] is None:
        return f"{optimizer}, learning rate {settings['lr']:.3g}"
    return f"{optimizer}, self-gain {settings['self_gain']:g} nat"


def _thumbnails(folder: Path, matrix: InfluenceMatrix) -> dict[str, list[Array]]:
    """One image a group, that of the first probe in it; none where the samples are no images."""
    kept = images_of(folder)
    if not kept.exists():
        return {}
    images = load_images(kept, matrix.probes.drop_duplicates("group"))
    return {group: [image[0]] for group, image in zip(images["group"], images["image"], strict=True)}


def _ids(matrix: InfluenceMatrix) -> dict[str, Array]:
    return {name: table["id"].to_numpy(str) for name, table in (("probes", matrix.probes), ("targets", matrix.targets))}
