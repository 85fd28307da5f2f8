"""Agreement of two matrices of the same samples: learned beside first order, or measured beside published."""

import math

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64
from scipy import stats

from influence.arrays import Array
from influence.desiderata.cells import other_source, source
from influence.desiderata.units import aligned, check_alike, failed, pair
from influence.matrix import InfluenceMatrix
from influence.stats.jackknife import jackknife_interval

STATISTICS = ("pearson", "spearman", "slope", "relative_distance")


def agreement_of(measured: Float64[Array, " cells"], other: Float64[Array, " cells"]) -> dict[str, float]:
    """How well gains F agree with measured gains M, over the same cells.

    `pearson` and `spearman` correlations; `slope` <M, F> / <M, M> of F on M through 0; `relative_distance`
    |M - F| / |M|. The first two do not change with the scale of either; equal matrices have 1, 1, 1 and 0. NaN
    where there is none: correlations of constants, ratios to M = 0.

    Args:
        measured: M, in the unit of the readout.
        other: F.

    >>> agreement_of(np.array([1.0, 2.0]), np.array([2.0, 4.0]))["slope"]
    2.0
    """
    values = dict.fromkeys(STATISTICS, math.nan)
    if len(measured) > 1 and np.ptp(measured) > 0 and np.ptp(other) > 0:
        values["pearson"] = float(np.corrcoef(measured, other)[0, 1])
        values["spearman"] = float(stats.spearmanr(measured, other).statistic)
    if measured.any():
        values["slope"] = float(measured @ other / (measured @ measured))
        values["relative_distance"] = float(np.linalg.norm(measured - other) / np.linalg.norm(measured))
    return values


def agreement(
    measured: InfluenceMatrix,
    other: InfluenceMatrix | Float64[Array, "P T"],
    *,
    clip: float | None = None,
) -> pd.DataFrame:
    """How well two matrices agree over the cells of different sources, with 95 % intervals.

    Of several worlds the matrices are means over the worlds, cell by cell, and the interval is a jackknife that
    leaves out one world, of both where both were measured. Of a single world, or of images, it leaves out one
    source, as probe and as target. Cells of a probe that failed, as probe and as target, count in no world.

    Args:
        measured: M.
        other: F, measured on the same samples, or a published matrix in the order of the items of one world.
        clip: largest |gain| that `other` can show, such as 3 for one read off a figure whose colours end there;
            both means are cut to it, since M beyond it could not agree. None to cut neither.

    Returns:
        One row a statistic of `agreement_of`: `statistic`, `value`, `low`, `high`, `n` units left out in turn,
        `unit_of_n` ("worlds" or "sources") and `cells`, the number compared. What is undefined is NaN.

    Raises:
        ValueError: the matrices differ in their worlds, samples, readout or shape.
        UndefinedError: the worlds of one matrix cannot be laid on each other.
    """
    measured_WPT, other_WPT, used_PT, world = _overlaid(measured, other)

    def values(keep_W: Array, keep_PT: Array) -> list[float]:
        means = [gain_WPT[keep_W].mean(0)[keep_PT] for gain_WPT in (measured_WPT, other_WPT)]
        return list(agreement_of(*(mean if clip is None else mean.clip(-clip, clip) for mean in means)).values())

    every_W = np.ones(len(measured_WPT), bool)
    if len(every_W) > 1:
        unit_of_n, parts = "worlds", [values(keep_W, used_PT) for keep_W in ~np.eye(len(every_W), dtype=bool)]
    else:
        source_P, source_T = source(world.probes), source(world.targets)
        kept = [(source_P != one)[:, None] & (source_T != one) for one in dict.fromkeys([*source_P, *source_T])]
        unit_of_n, parts = "sources", [values(every_W, used_PT & keep_PT) for keep_PT in kept]
    rows = []
    for statistic, value, part in zip(STATISTICS, values(every_W, used_PT), np.array(parts).T, strict=True):
        interval = jackknife_interval(value, part)
        rows.append(
            {
                "statistic": statistic,
                "value": interval.value,
                "low": interval.low,
                "high": interval.high,
                "n": len(part),
                "unit_of_n": unit_of_n,
                "cells": int(used_PT.sum()),
            }
        )
    return pd.DataFrame(rows)


def _overlaid(
    measured: InfluenceMatrix, other: InfluenceMatrix | Float64[Array, "P T"]
) -> tuple[Float64[Array, "W P T"], Float64[Array, "W P T"], Bool[Array, "P T"], InfluenceMatrix]:
    """Gains of both world by world, the cells that count in all of them, and a world to name rows and columns."""
    worlds = list(measured.worlds())
    check_alike(worlds)
    failures = [failed(world) for world in worlds]
    if isinstance(other, InfluenceMatrix):
        counterparts = [counterpart for _, counterpart in pair([measured], [other])]
        other_WPT = np.stack([aligned(*both) for both in zip(counterparts, worlds, strict=True)])
        failures += [failed(counterpart) for counterpart in counterparts]
    elif other.shape == worlds[0].gain.shape:
        other_WPT = np.stack([other] * len(worlds))
    else:
        raise ValueError(
            f"expected {worlds[0].gain.shape} gains, as many as a world has, got {other.shape}; "
            "select the probes and targets that both have"
        )
    used_PT = other_source(worlds[0])
    ids = set().union(*failures)
    for world in worlds:
        failed_P, failed_T = (table["id"].isin(ids).to_numpy() for table in (world.probes, world.targets))
        used_PT = used_PT & ~failed_P[:, None] & ~failed_T
    return np.stack([world.gain for world in worlds]), other_WPT, used_PT, worlds[0]
