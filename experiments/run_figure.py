"""The figure of one run, whatever its samples are."""

from pathlib import Path

from experiments import image_figures, text_figures
from influence.matrix_folder import read_tables


def draw_run(folder: Path, figures: Path | None = None) -> list[Path]:
    """The matrix of one run, in `<folder>/figures/` or in a folder of its own."""
    stem = (figures or folder / "figures") / "matrix"
    probes, _ = read_tables(folder)
    if {"item", "noun"} & set(probes):
        return text_figures.draw_beside([folder], stem)
    return image_figures.draw_matrix(folder, stem)
