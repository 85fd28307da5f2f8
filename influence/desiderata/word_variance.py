"""Word variance: how much of what a sample teaches another is due to the words that a world happens to have."""

import numpy as np
from jaxtyping import Float64

from influence.arrays import Array
from influence.desiderata.cells import column, other_source
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.desiderata.units import check_alike
from influence.matrix import InfluenceMatrix


def word_variance(gain_WC: Float64[Array, "W C"]) -> Ratio:
    """Share of the variance of gains that is within cells, between worlds: MSW / (MSW + (MSB - MSW) / W).

    One-way variance components with cells as groups, x_wc the gain of cell c in world w:
    MSW = sum (x_wc - mean_c)^2 / (C (W - 1)), MSB = W sum_c (mean_c - mean)^2 / (C - 1), so that (MSB - MSW) / W
    is the variance between cells; the share is 1 - ICC(1) (Shrout and Fleiss 1979). 0 when every world is alike,
    about 1 when cells differ by chance alone.

    Args:
        gain_WC: gains of C cells in W worlds; any unit.

    Raises:
        UndefinedError: there are fewer than 2 worlds or cells, or all gains are the same.

    >>> word_variance(np.array([[0.0, 4.0], [2.0, 6.0]])).value
    0.222...
    """
    worlds, cells = gain_WC.shape
    if worlds < 2 or cells < 2:
        raise UndefinedError(f"expected at least 2 worlds and 2 cells, got {worlds} and {cells}")
    mean_C = gain_WC.mean(0)
    within = float(((gain_WC - mean_C) ** 2).sum()) / (cells * (worlds - 1))
    between = float(((mean_C - mean_C.mean()) ** 2).sum()) * worlds / (cells - 1)
    total = within + (between - within) / worlds
    if total == 0:
        raise UndefinedError("expected gains that differ, got the same in every cell")
    return Ratio(within / total)


def _word_variance(*worlds: InfluenceMatrix) -> Ratio:
    """Of the cells of different sources, which the same items have in every world."""
    column(worlds[0].probes, "world")
    check_alike(worlds)
    used_PT = other_source(worlds[0])
    return word_variance(np.stack([world.gain[used_PT] for world in worlds]))


SCORES = (
    Score(
        name="word_variance",
        desideratum="word invariance",
        better="lower",
        measure=_word_variance,
        of_all_worlds=True,
    ),
)
