"""Blocks of an influence matrix: how it is cut, and what is measured, saved and resumed as one."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from influence.arrays import Array
from influence.files import write_atomically


@dataclass(frozen=True)
class Extent:
    """A block before it is measured: its name and its ranges of probes and targets."""

    id: str
    probes: slice
    targets: slice

    @property
    def size(self) -> int:
        """Number of probes."""
        return int(self.probes.stop - self.probes.start)


def block_extents(probes: pd.DataFrame, targets: pd.DataFrame, block_size: int) -> list[Extent]:
    """One block a world where the probes name worlds, else ranges of `block_size` probes on all targets.

    Raises:
        ValueError: the samples of a world do not stand together, or a world has no targets.
    """
    if "world" not in probes:
        return [
            Extent(f"{start:06d}", slice(start, min(start + block_size, len(probes))), slice(0, len(targets)))
            for start in range(0, len(probes), block_size)
        ]
    return [
        Extent(f"world-{world}", _world_range(probes, world, "probe"), _world_range(targets, world, "target"))
        for world in probes["world"].unique()
    ]


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """Gains of a range of probes on a range of targets, measured and saved as one.

    Attributes:
        id: name of the block's file.
        first_probe, first_target: position of its first row and column in the tables.
        gain_PT: readout after minus readout before, NaN in the rows that failed.
        self_gain_P: gain of each probe on itself, read even where it is no target.
        before_T: readout of each target under the base model.
        failure_P: why a probe's row failed, or "".
        stamp: digests of the weights, data and settings that it was measured with; {} where nobody told.
        halvings_P: how often the chunk of a probe was halved for want of memory, so that its bits may differ.
    """

    id: str
    first_probe: int
    first_target: int
    gain_PT: Float64[Array, "P T"]
    self_gain_P: Float64[Array, " P"]
    before_T: Float64[Array, " T"]
    failure_P: Array
    stamp: Mapping[str, str] = field(default_factory=dict)
    halvings_P: Array = field(default_factory=lambda: np.zeros(0, int))

    @property
    def probes(self) -> slice:
        """Rows of the probe table that the block covers."""
        return slice(self.first_probe, self.first_probe + self.gain_PT.shape[0])

    @property
    def targets(self) -> slice:
        """Rows of the target table that the block covers."""
        return slice(self.first_target, self.first_target + self.gain_PT.shape[1])

    def save(self, folder: Path) -> None:
        """Write `<folder>/<id>.npz`, atomically."""
        arrays = {
            "first": np.array([self.first_probe, self.first_target]),
            "gain": self.gain_PT,
            "self_gain": self.self_gain_P,
            "before": self.before_T,
            "failure": self.failure_P.astype(str),
            "stamp": _stamp_array(self.stamp),
        }
        if self.halvings_P.any():
            arrays["halvings"] = self.halvings_P
        write_atomically(folder / f"{self.id}.npz", lambda path: np.savez(path, allow_pickle=False, **arrays))

    @classmethod
    def load(cls, folder: Path, id: str) -> Self:
        """Read `<folder>/<id>.npz`; ValueError names a torn file."""
        with arrays_of(folder / f"{id}.npz") as arrays:
            return cls(
                id=id,
                first_probe=int(arrays["first"][0]),
                first_target=int(arrays["first"][1]),
                gain_PT=arrays["gain"],
                self_gain_P=arrays["self_gain"],
                before_T=arrays["before"],
                failure_P=arrays["failure"],
                stamp=stamp_of(arrays),
                halvings_P=arrays["halvings"] if "halvings" in arrays else np.zeros(0, int),
            )


def _stamp_array(stamp: Mapping[str, str]) -> Array:
    return np.array(sorted(stamp.items()), str).reshape(-1, 2)


def stamp_of(arrays: Mapping[str, Array]) -> dict[str, str]:
    """The digests that the arrays of a block were saved with."""
    return {str(name): str(digest) for name, digest in arrays["stamp"]} if "stamp" in arrays else {}


class StoredBlocks:
    """Blocks of a folder, each read from its file whenever it is asked for, and none kept.

    Attributes:
        folder: holds `<id>.npz` of each block.
        rows: the probes that each block covers, by its id, in order.
    """

    def __init__(self, folder: Path, rows: Mapping[str, slice]) -> None:
        self.folder, self.rows = folder, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Block]:
        return (Block.load(self.folder, id) for id in self.rows)

    def __getitem__(self, index: int) -> Block:
        return Block.load(self.folder, list(self.rows)[index])

    def holding(self, keep_P: Bool[Array, " P"]) -> "StoredBlocks":
        """Those that hold a probe of the mask, found without reading any."""
        return StoredBlocks(self.folder, {id: rows for id, rows in self.rows.items() if keep_P[rows].any()})


@contextmanager
def arrays_of(path: Path) -> Iterator[Any]:
    """The arrays of a file; ValueError names one that is torn."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            yield arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"expected a whole block of gains in {path}, got a torn file ({error}); "
            "delete it and run the same command again"
        ) from None


def _world_range(samples: pd.DataFrame, world: Any, role: str) -> slice:
    positions = np.flatnonzero(samples["world"] == world) if "world" in samples else np.empty(0, int)
    if len(positions) == 0:
        raise ValueError(f"expected a {role} in world {world}, got none; name the world of every {role} in its table")
    if positions[-1] - positions[0] + 1 != len(positions):
        raise ValueError(
            f"expected the {role}s of world {world} to stand together, got others between them; sort the table by world"
        )
    return slice(int(positions[0]), int(positions[-1]) + 1)
