"""The units that scores are taken over: worlds or seeds, without failures, side by side, or all in one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float64

from influence.arrays import Array
from influence.desiderata.spec import UndefinedError
from influence.matrix import InfluenceMatrix


def failed(matrix: InfluenceMatrix) -> set[object]:
    """Ids of the probes whose row failed."""
    failed_P = ~np.isfinite(matrix.gain).all(1) | ~np.isfinite(matrix.self_gain)
    return set(matrix.probes["id"][failed_P])


def without(matrix: InfluenceMatrix, ids: set[object]) -> InfluenceMatrix:
    """The matrix without these samples, neither as probes nor as targets."""
    if not ids:
        return matrix
    return matrix.select(
        probes=~matrix.probes["id"].isin(ids).to_numpy(), targets=~matrix.targets["id"].isin(ids).to_numpy()
    )


def in_worlds(matrix: InfluenceMatrix, worlds: set[object]) -> InfluenceMatrix:
    """The part of a matrix that is of these worlds."""
    return matrix.select(
        probes=matrix.probes["world"].isin(worlds).to_numpy(), targets=matrix.targets["world"].isin(worlds).to_numpy()
    )


def pair(
    left: Sequence[InfluenceMatrix], right: Sequence[InfluenceMatrix]
) -> list[tuple[InfluenceMatrix, InfluenceMatrix]]:
    """The worlds of the matrices on either side, two and two; matrices without worlds in their order.

    Raises:
        ValueError: the sides differ in their number of matrices, in their worlds or samples, or in what is read.
    """
    if len(left) != len(right):
        raise ValueError(
            f"expected as many matrices on the left as on the right, got {len(left)} and {len(right)}; "
            "measure the same seeds under both conditions"
        )
    pairs = []
    for one, other in zip(left, right, strict=True):
        if one.readout["name"] != other.readout["name"]:
            raise ValueError(
                f"expected one readout on both sides, got {one.readout['name']} and {other.readout['name']}; "
                "measure both with the same"
            )
        worlds = [{_world(world): world for world in matrix.worlds()} for matrix in (one, other)]
        if alone := worlds[0].keys() ^ worlds[1].keys():
            raise ValueError(
                f"expected the same worlds on both sides, got {', '.join(sorted(map(str, alone)))} on one alone; "
                "measure the missing ones or leave them out of both"
            )
        pairs += [(world, worlds[1][number]) for number, world in worlds[0].items()]
    for one, other in pairs:
        for table, its in ((one.probes, other.probes), (one.targets, other.targets)):
            if unlike := _described(table) ^ _described(its):
                raise ValueError(
                    f"expected the same samples on both sides, got {min(map(str, unlike))} on one alone; "
                    "measure both on the same worlds, drawn with the same seed"
                )
    return pairs


def aligned(matrix: InfluenceMatrix, like: InfluenceMatrix) -> Float64[Array, "P T"]:
    """Gains in the order of the probes and targets of another matrix of the same samples."""
    row_P = pd.Index(matrix.probes["id"]).get_indexer(like.probes["id"])
    column_T = pd.Index(matrix.targets["id"]).get_indexer(like.targets["id"])
    return matrix.gain[np.ix_(row_P, column_T)]


def without_in_all(worlds: Sequence[InfluenceMatrix], ids: Sequence[set[object]]) -> list[InfluenceMatrix]:
    """The worlds without some samples of each, and without what stands in their place in the others.

    So that worlds still lie on each other where a probe of one failed. Where samples are no items of a domain, each
    loses its own.
    """
    tables = [pd.concat([world.probes, world.targets]) for world in worlds]
    if not all("item" in table for table in tables):
        return [without(world, its) for world, its in zip(worlds, ids, strict=True)]
    items = {item for table, its in zip(tables, ids, strict=True) for item in table["item"][table["id"].isin(its)]}
    return [
        without(world, set(table["id"][table["item"].isin(items)])) for world, table in zip(worlds, tables, strict=True)
    ]


def check_alike(worlds: Sequence[InfluenceMatrix]) -> None:
    """Refuse worlds whose cells cannot be laid on each other.

    Raises:
        UndefinedError: they differ in their shape or in the items of their rows and columns.
    """
    if len({world.gain.shape for world in worlds}) > 1:
        raise UndefinedError("expected worlds of one shape, got several")
    first, *others = ([list(table.get("item", ())) for table in (world.probes, world.targets)] for world in worlds)
    if any(items != first for items in others):
        raise UndefinedError("expected the same items in the same order in every world, got others")


def mean_world(worlds: Sequence[InfluenceMatrix]) -> InfluenceMatrix:
    """The first of several worlds, its gains replaced by the mean over the worlds, cell by cell.

    Raises:
        UndefinedError: the worlds cannot be laid on each other.
    """
    check_alike(worlds)
    if len(worlds) == 1:
        return worlds[0]
    gain_PT = np.mean([world.gain for world in worlds], axis=0)
    blocks = [replace(block, gain_PT=gain_PT[block.probes, block.targets]) for block in worlds[0].blocks]
    return replace(worlds[0], blocks=blocks)


def _world(matrix: InfluenceMatrix) -> object:
    return matrix.probes["world"].iloc[0] if "world" in matrix.probes and len(matrix.probes) else ""


def _described(samples: pd.DataFrame) -> set[tuple[object, ...]]:
    """What tells samples apart: the id, and the text, whose names the id of a world does not tell."""
    return set(samples.filter(["id", "text"]).itertuples(index=False, name=None))
