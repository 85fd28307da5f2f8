"""Calibrate the statistics: `python -m experiments.calibration`, six minutes.

Intervals are drawn again and again from data whose truth is known, and tests from data without an effect, at the sizes
that the suite uses. The table is kept in `outputs/published/calibration.csv`, and `make verify` makes it anew.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.published import PUBLISHED
from influence.arrays import Array
from influence.files import write_atomically
from influence.seeds import generator
from influence.stats.bootstrap import bootstrap_ratio_interval
from influence.stats.equivalence import equivalence_p
from influence.stats.interval import Interval
from influence.stats.jackknife import jackknife_ratio_interval
from influence.stats.mrqap import mrqap
from influence.stats.permutation import joint_permutations
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import mean_interval, ratio_interval

FILE = "calibration.csv"

DRAWS, FEWER = 2_000, 500
"""Simulations of each interval, and fewer of each test, which draws thousands of times itself."""

COVERAGE = (0.93, 0.97)
SKEWED = (0.90, 1.0)
NOT_GATED = (0.0, 1.0)
"""Bands of coverage: of normal effects, of exponential ones, of heavier tails, which are reported alone."""

LEVELS = (0.05, 0.2, 0.5)

SAMPLES = 150
"""Rows and columns of a simulated influence matrix, in ten labels."""

SOURCES = 30
"""The same where every source is left out in turn."""


class Rate(NamedTuple):
    """How often something happened in the simulation, and how often it may."""

    what: str
    of: str
    units: int
    rate: float
    low: float
    high: float
    draws: int


EFFECTS: dict[str, tuple[Callable[..., Array], float, tuple[float, float]]] = {
    "normal": (lambda rng, size: rng.normal(1.0, 0.5, size), 1.0, COVERAGE),
    "exponential": (lambda rng, size: rng.exponential(1.0, size), 1.0, SKEWED),
    "lognormal": (lambda rng, size: rng.lognormal(0.0, 1.0, size), float(np.exp(0.5)), NOT_GATED),
}
"""Effects of a unit by their distribution: how they are drawn, their mean, and the band of its interval's coverage."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the table and keep it."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    table = calibration()
    print(table.to_string(index=False))
    write_table(table, PUBLISHED / FILE)
    print(PUBLISHED / FILE)


def calibration() -> pd.DataFrame:
    """A row a method, kind of data and size; see `Rate` for the columns."""
    return pd.DataFrame([*intervals(), *bootstraps(), *jackknives(), *sign_flips(), *equivalences(), *slopes()])


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Keep the table, atomically."""
    write_atomically(path, partial(table.to_csv, index=False, lineterminator="\n"))


def intervals() -> Iterator[Rate]:
    """Student's interval of a mean, and of a ratio whose numerator and denominator share their units."""
    for name, (draw, truth, band) in EFFECTS.items():
        for units in (8, 10, 40):
            # Few skewed units are known to cover less: reported alone.
            gate = band if name == "normal" or units == 40 else NOT_GATED
            values = draw(generator(0, "mean", name, units), (DRAWS, units))
            yield _coverage("interval of a mean", name, map(mean_interval, values), truth, units, gate)
    for units in (8, 10, 40):
        numerator, denominator = _ratios(units, DRAWS)
        found = map(ratio_interval, numerator, denominator)
        yield _coverage("interval of a ratio of means", "normal", found, 0.7, units, COVERAGE)


def bootstraps() -> Iterator[Rate]:
    """The BCa interval that stands beside Student's from 40 units on."""
    rng = generator(0, "bootstrap")
    for name, (draw, truth, band) in EFFECTS.items():
        values = draw(generator(0, "bootstrap", name), (DRAWS, 40))
        found = (bootstrap_ratio_interval(value_W, np.ones(40), rng) for value_W in values)
        yield _coverage("BCa interval of a mean", name, found, truth, 40, band)


def jackknives() -> Iterator[Rate]:
    """The mean of a matrix, sources left out, or cells as if alone: with effects of rows and columns, and without any.

    Without them every cell leaves with two sources, and the interval is about the square root of 2 too wide.
    """
    other_NN = ~np.eye(SOURCES, dtype=bool)
    count, without = float(other_NN.sum()), np.full(SOURCES, (SOURCES - 1.0) * (SOURCES - 2))
    for kind, size, band in (("row and column effects", 1.0, COVERAGE), ("cells alone", 0.0, NOT_GATED)):
        rng = generator(0, "jackknife", kind)
        of_sources, of_cells = [], []
        for _ in range(DRAWS):
            gain_NN = size * (rng.normal(size=(SOURCES, 1)) + rng.normal(size=SOURCES))
            gain_NN = np.where(other_NN, gain_NN + rng.normal(size=(SOURCES, SOURCES)), 0)
            total = float(gain_NN.sum())
            left_S = total - gain_NN.sum(0) - gain_NN.sum(1)
            of_sources.append(jackknife_ratio_interval(total, count, left_S, without))
            of_cells.append(mean_interval(gain_NN[other_NN]))
        yield _coverage("jackknife over sources", kind, of_sources, 0.0, SOURCES, band)
        yield _coverage("cells as if independent", kind, of_cells, 0.0, SOURCES, NOT_GATED)


def sign_flips() -> Iterator[Rate]:
    """Tests of contrasts around 0, two-sided and of one side."""
    for units in (8, 10, 40):
        contrasts = generator(0, "null", units).normal(0.0, 1.0, (FEWER, units))
        for alternative in ("two-sided", "greater"):
            p = [
                sign_flip_p(contrast_W, generator(0, "signs", draw), alternative=alternative)
                for draw, contrast_W in enumerate(contrasts)
            ]
            yield from _rejections(f"sign flips, {alternative}", "normal", p, units, step=2.0**-units)


def equivalences() -> Iterator[Rate]:
    """Tests of "no effect" where the effect is as large as the margin: to be taken for none 5 % of the time."""
    for units in (10, 40):
        values = generator(0, "margin", units).normal(0.1, 0.05, (DRAWS, units))
        p = [equivalence_p(value_W, center=0.0, margin=0.1) for value_W in values]
        yield from _rejections("equivalence at its margin", "normal", p, units, levels=LEVELS[:1])


def slopes() -> Iterator[Rate]:
    """MRQAP of a matrix that follows a control and row and column effects, and distances that follow the control too.

    Beside it a plain permutation of the distances, which takes what they share with the control for an effect.
    """
    rng = generator(0, "slopes")
    label_N = np.arange(SAMPLES) % 10
    used_NN = (label_N[:, None] == label_N) & ~np.eye(SAMPLES, dtype=bool)
    p: dict[str, list[float]] = {"MRQAP inside labels": [], "permutation without controls": []}
    for _ in range(FEWER):
        place_ND = rng.normal(size=(SAMPLES, 3))
        control_NN = _distances(place_ND)
        distance_NN = _distances(place_ND + 0.5 * rng.normal(size=place_ND.shape))
        gain_NN = -control_NN + rng.normal(size=(SAMPLES, 1)) + rng.normal(size=SAMPLES)
        gain_NN += rng.normal(size=(SAMPLES, SAMPLES))
        order = joint_permutations(np.arange(SAMPLES), rng, kind_N=label_N, draws=199)
        for name, controls in zip(p, ([control_NN], []), strict=True):
            p[name].append(mrqap(gain_NN, distance_NN, controls, used_NN).permutation_p(order))
    for name, found in p.items():
        gated = name.startswith("MRQAP")
        yield from _rejections(name, "no slope beyond the control", found, SAMPLES, step=1 / 200, gated=gated)


def _distances(place_ND: Array) -> Array:
    gap: Array = np.linalg.norm(place_ND[:, None] - place_ND, axis=-1)
    return gap


def _ratios(units: int, draws: int) -> tuple[Array, Array]:
    """N = 0.7 D + noise, so that the ratio of means is 0.7."""
    rng = generator(0, "ratio", units)
    denominator = rng.normal(2.0, 0.3, (draws, units))
    return 0.7 * denominator + rng.normal(0.0, 0.2, (draws, units)), denominator


def _coverage(
    what: str,
    of: str,
    intervals: Iterator[Interval] | list[Interval],
    truth: float,
    units: int,
    band: tuple[float, float],
) -> Rate:
    covered = [interval.low <= truth <= interval.high for interval in intervals]
    return Rate(f"{what} covers", of, units, float(np.mean(covered)), *band, len(covered))


def _rejections(
    what: str,
    of: str,
    p: list[float],
    units: int,
    *,
    step: float = 0.0,
    levels: tuple[float, ...] = LEVELS,
    gated: bool = True,
) -> Iterator[Rate]:
    """How often p is at most each level; it may be within four standard errors, and a step of a discrete test below."""
    for level in levels:
        error = 4 * float(np.sqrt(level * (1 - level) / len(p)))
        band = (round(level - error - step, 3), round(level + error, 3)) if gated else NOT_GATED
        yield Rate(f"{what}, p <= {level:g}", of, units, float((np.array(p) <= level).mean()), *band, len(p))


if __name__ == "__main__":
    main()
