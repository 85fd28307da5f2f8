"""Which cells of a matrix a score reads: of other sources, of clean samples, of samples read both ways."""

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from influence.arrays import Array
from influence.desiderata.spec import Condition, NotApplicableError, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_clean, is_first_draw, is_pure_noise, is_single

CLEAN: Condition = {"sigma": 0.0}

PRIMARY_NOISE: Condition = {"sigma": 1.0}
"""At which verdicts are given."""


def column(samples: pd.DataFrame, name: str) -> Array:
    """A column of a sample table; NotApplicableError where it is missing."""
    if name not in samples:
        raise NotApplicableError(f"expected a column {name!r} of the samples, got {', '.join(map(str, samples))}")
    return np.asarray(samples[name])


def numbered_columns(samples: pd.DataFrame, prefix: str) -> Float64[Array, "N D"]:
    """The columns `<prefix>_0`, `<prefix>_1`, ... of the samples.

    Raises:
        NotApplicableError: there are none.
        UndefinedError: a number is missing.
    """
    column(samples, f"{prefix}_0")
    names = itertools.takewhile(lambda name: name in samples, (f"{prefix}_{number}" for number in itertools.count()))
    values_ND = samples[list(names)].to_numpy(np.float64)
    if not np.isfinite(values_ND).all():
        bad = samples["id"][~np.isfinite(values_ND).all(1)].iloc[0]
        raise UndefinedError(f"expected finite numbers in {prefix}_0, {prefix}_1, ..., got another in {bad!r}")
    return values_ND


def source(samples: pd.DataFrame) -> Array:
    """What each sample was made from; itself where no source is named."""
    return np.asarray(samples["source"] if "source" in samples else samples["id"])


def other_source(matrix: InfluenceMatrix) -> Bool[Array, "P T"]:
    """Cells whose probe and target are made from different sources."""
    source_P, source_T = source(matrix.probes), source(matrix.targets)
    code_N, _ = pd.factorize(np.concatenate([source_P, source_T]))
    other_PT: Array = code_N[: len(source_P), None] != code_N[None, len(source_P) :]
    return other_PT


def check_reads_loss(matrix: InfluenceMatrix) -> None:
    """Refuse gains of another readout than minus the training loss.

    Raises:
        UndefinedError: the readout is another than `log_prob`.
    """
    if (name := matrix.readout["name"]) != "log_prob":
        raise UndefinedError(f"expected the readout log_prob, minus the loss, got {name}")


@lru_cache(maxsize=1)  # a jackknife asks every score about one part before it takes the next
def clean_part(matrix: InfluenceMatrix) -> InfluenceMatrix:
    """Gains of clean targets after learning clean probes."""
    return matrix.select(probes=is_clean(matrix.probes), targets=is_clean(matrix.targets))


@lru_cache(maxsize=2)  # of the whole matrix and of its clean part
def square(matrix: InfluenceMatrix) -> tuple[Float64[Array, "N N"], Bool[Array, "N N"]]:
    """Gains of the samples that are probe and target, in the order of the probes, and the cells that count.

    Samples of several statements, further noise draws and pure noise are left out.

    Returns:
        gain_NN, and used_NN: the cells between different sources.

    Raises:
        UndefinedError: the ids of the probes and of the targets differ.
    """
    kept_P, kept_T = (
        is_first_draw(table) & is_single(table) & ~is_pure_noise(table) for table in (matrix.probes, matrix.targets)
    )
    matrix = matrix.select(probes=kept_P, targets=kept_T)
    column_N = pd.Index(matrix.targets["id"]).get_indexer(matrix.probes["id"])
    if len(matrix.probes) != len(matrix.targets) or (column_N < 0).any():
        raise UndefinedError(
            f"expected the same ids as probes and as targets, got {len(matrix.probes)} probes and "
            f"{len(matrix.targets)} targets with {int((column_N >= 0).sum())} ids in common; "
            "measure a set of samples on itself"
        )
    used_NN = other_source(matrix)[:, column_N]
    if not used_NN.any():
        raise UndefinedError("expected samples of at least two sources, got fewer")
    return matrix.gain[:, column_N], used_NN


def square_of_loss(matrix: InfluenceMatrix) -> tuple[Float64[Array, "N N"], Bool[Array, "N N"]]:
    """The same of a matrix that reads minus the training loss, of which alone symmetry follows.

    Raises:
        UndefinedError: as `square`, and where another number is read.
    """
    check_reads_loss(matrix)
    return square(matrix)


def noise_levels(units: Sequence[InfluenceMatrix]) -> list[Condition]:
    """Every noise of probes: by its kind (`noise`) where samples name one, else by its standard deviation (`sigma`).

    The primary one stands where there is no noise, and the score says there that it has no noisy copies; of texts,
    that it does not apply.
    """
    probes = pd.concat([unit.probes for unit in units])
    by = "noise" if "noise" in probes else "sigma"
    levels = sorted(set(probes[by][~is_clean(probes) & ~is_pure_noise(probes)])) if by in probes else []
    return [{by: level} for level in levels] or [PRIMARY_NOISE]


def copies(samples: pd.DataFrame, noise: Condition, *, draw: int = 0) -> pd.Series:
    """Position in the table of each source's copy with that noise, by source.

    Args:
        samples: with the columns that the condition names.
        noise: `CLEAN`, or one of `noise_levels`.
        draw: of the noise.

    Raises:
        UndefinedError: a source has two such copies, or none has one.
        NotApplicableError: their noise is of kinds, and the condition names a standard deviation.
    """
    if "noise" in samples and noise.get("sigma"):
        raise NotApplicableError("expected noise of some standard deviation, got samples whose noise is of kinds")
    wanted_N = np.logical_and.reduce([column(samples, name) == level for name, level in noise.items()])
    if "draw" in samples:
        wanted_N = wanted_N & (np.asarray(samples["draw"]) == draw)
    position = pd.Series(np.flatnonzero(wanted_N), index=source(samples)[wanted_N])
    if not len(position) or not position.index.is_unique:
        found = "none" if not len(position) else f"two of {position.index[position.index.duplicated()][0]!r}"
        named = [f"{name} {level if isinstance(level, str) else format(level, 'g')}" for name, level in noise.items()]
        raise UndefinedError(f"expected one copy a source with {', '.join(named)} and draw {draw}, got {found}")
    return position


def common_sources(*positions: pd.Series) -> list[Int64[Array, " S"]]:
    """The positions of the sources that have a copy in each of the series, in one order.

    Raises:
        UndefinedError: there are none.
    """
    aligned = pd.concat(positions, axis=1, join="inner")
    if not len(aligned):
        raise UndefinedError("expected sources with a clean and a noisy copy, got none")
    return [aligned.iloc[:, number].to_numpy(np.int64) for number in range(len(positions))]
