"""The look of every figure, and how it is saved: vector, photograph and data side by side."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib.rcsetup
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from influence.arrays import Array
from influence.files import write_atomically

PAGE_WIDTH = 7.2
"""Width of two journal columns, in inches."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart under every common colour blindness (Okabe and Ito 2008)."""

STYLE: dict[str, Any] = {
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": matplotlib.rcsetup.cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same glyphs
    "font.size": 7,
    "hatch.linewidth": 0.4,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "lines.linewidth": 1,
    "lines.markersize": 3,
    "pdf.fonttype": 42,  # TrueType outlines: text stays text, which journals ask for
    "savefig.dpi": 200,
    "xtick.labelsize": 6,
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.labelsize": 6,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
}


def style() -> AbstractContextManager[None]:
    """The settings in which every figure is made and saved, whatever the user's own."""
    return matplotlib.style.context(STYLE, after_reset=True)


def save_figure(figure: Figure, stem: Path, data: Mapping[str, Array] | pd.DataFrame) -> list[Path]:
    """Write a figure and the numbers it shows; the same figure gives the same bytes.

    Args:
        figure: what to save; neither a display nor pyplot is needed.
        stem: path without a suffix.
        data: a frame, saved as CSV, or arrays by name, saved as NPZ.

    Returns:
        `<stem>.pdf` (vector, TrueType fonts), `<stem>.png` and `<stem>.csv` or `<stem>.npz`.
    """
    if isinstance(data, pd.DataFrame):
        numbers = _suffixed(stem, ".csv")
        write_atomically(numbers, lambda path: data.to_csv(path, index=False, lineterminator="\n"))
    else:
        numbers = _suffixed(stem, ".npz")
        write_atomically(numbers, lambda path: np.savez_compressed(path, allow_pickle=False, **data))
    pdf, png = _suffixed(stem, ".pdf"), _suffixed(stem, ".png")
    with style():
        # A date or a version in the metadata would change the bytes of an unchanged figure.
        write_atomically(pdf, lambda path: figure.savefig(path, metadata={"CreationDate": None}))
        write_atomically(png, lambda path: _save_png(figure, path))
    return [pdf, png, numbers]


def _save_png(figure: Figure, path: Path) -> None:
    """With a palette of 256 colours, which look alike in a third of the bytes."""
    figure.savefig(path, metadata={"Software": None}, format="png")
    with Image.open(path) as drawn:
        palette = drawn.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(path, format="png", optimize=True)


def _suffixed(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)  # with_suffix would cut "lr_0.03" to "lr_0"
