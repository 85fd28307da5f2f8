"""The influence matrix: blocks of gains with their probe and target tables, on disk or in memory."""

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Float64

from influence.arrays import Array
from influence.files import read_json, write_atomically, write_json
from influence.samples import sets_step_size, without_inputs

SELF_GAIN = 0.3
"""The median self-gain, nats, at which claims are read."""

NEAR = 0.3
"""How far from the wanted median self-gain a given learning rate may lead, relatively."""

FORMAT = 1
"""Version of the files below; raised whenever they change."""


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
        with _arrays_of(folder / f"{id}.npz") as arrays:
            return cls(
                id=id,
                first_probe=int(arrays["first"][0]),
                first_target=int(arrays["first"][1]),
                gain_PT=arrays["gain"],
                self_gain_P=arrays["self_gain"],
                before_T=arrays["before"],
                failure_P=arrays["failure"],
                stamp=_stamp_of(arrays),
                halvings_P=arrays["halvings"] if "halvings" in arrays else np.zeros(0, int),
            )


def _stamp_array(stamp: Mapping[str, str]) -> Array:
    return np.array(sorted(stamp.items()), str).reshape(-1, 2)


def _stamp_of(arrays: Mapping[str, Array]) -> dict[str, str]:
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


SMALL: dict[str, Any] = {
    "index": False,
    "compression": "zstd",
    "use_dictionary": False,
    "write_statistics": False,
}
"""How tables of some hundred rows take two thirds of the bytes."""

PACKED = "blocks.npz"
"""All blocks of a matrix in one file: small, and not to be added to."""


def pack(folder: Path, target: Path) -> None:
    """Write a saved matrix to another folder, its blocks as one packed file, every gain to a part in 65,000."""
    probes, targets = (
        table.astype({name: np.float32 for name in table if str(name).startswith("prob_")})
        for table in read_tables(folder)
    )
    write_tables(target, probes, targets)
    blocks = [Block.load(folder / "blocks", id) for id in read_header(folder)["blocks"]]
    arrays = {
        "id": np.array([block.id for block in blocks]),
        "first": np.array([(block.first_probe, block.first_target) for block in blocks]),
        "shape": np.array([block.gain_PT.shape for block in blocks]),
        "gain": _rounded(np.concatenate([block.gain_PT.ravel() for block in blocks])),
        "self_gain": _rounded(np.concatenate([block.self_gain_P for block in blocks])),
        "before": np.concatenate([block.before_T for block in blocks]).astype(np.float32),
        "failure": np.concatenate([block.failure_P.astype(str) for block in blocks]),
    }
    write_atomically(target / PACKED, lambda path: np.savez_compressed(path, allow_pickle=False, **arrays))


def _rounded(array: Float64[Array, "..."]) -> Float32[Array, "..."]:
    """Single precision without the last eight bits, which hold noise alone and do not compress."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(np.float32)


def _unpack(folder: Path, ids: Sequence[str]) -> list[Block]:
    """The named blocks of a packed file, whose arrays stand one after another."""
    with _arrays_of(folder / PACKED) as packed:
        arrays = dict(packed)
    probe_ends, target_ends = np.cumsum(arrays["shape"], axis=0).T
    cell_ends = np.cumsum(arrays["shape"].prod(axis=1))
    parts = zip(
        arrays["id"],
        arrays["first"],
        arrays["shape"],
        np.split(arrays["gain"], cell_ends[:-1]),
        np.split(arrays["self_gain"], probe_ends[:-1]),
        np.split(arrays["before"], target_ends[:-1]),
        np.split(arrays["failure"], probe_ends[:-1]),
        strict=True,
    )
    return [
        Block(
            id=str(id),
            first_probe=int(first_probe),
            first_target=int(first_target),
            gain_PT=gain.reshape(shape).astype(float),
            self_gain_P=self_gain_P.astype(float),
            before_T=before_T.astype(float),
            failure_P=failure_P,
        )
        for id, (first_probe, first_target), shape, gain, self_gain_P, before_T, failure_P in parts
        if id in ids
    ]


@contextmanager
def _arrays_of(path: Path) -> Iterator[Any]:
    """The arrays of a file; ValueError names one that is torn."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            yield arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"expected a whole block of gains in {path}, got a torn file ({error}); "
            "delete it and run the same command again"
        ) from None


@dataclass(frozen=True, eq=False, kw_only=True)
class InfluenceMatrix:
    """Gains of every target after learning every probe.

    `gain[i, j]` is the readout of target j after learning probe i alone, minus the readout before:
    positive means that the target became more likely (Matelsky et al. 2024, Eqs. 4 and 7, with the sign
    of their Figs. 2 to 6; `delta_loss` has the sign of Fig. 1).

    Attributes:
        blocks: the measured parts; together they need not cover P x T. Those of a folder stay there until read.
        probes, targets: one row a sample, in the order of rows and columns.
        readout: `name`, `unit` and `higher_is_better` of the number that was read.
        estimator: `name` and settings of how the influence was obtained.
        provenance: where the numbers come from.
    """

    blocks: Sequence[Block] | StoredBlocks
    probes: pd.DataFrame
    targets: pd.DataFrame
    readout: Mapping[str, Any]
    estimator: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def gain(self) -> Float64[Array, "P T"]:
        """Dense gains, NaN where nothing was to be measured or the probe failed."""
        shape = (len(self.probes), len(self.targets))
        if len(self.blocks) == 1 and (only := self.blocks[0]).gain_PT.shape == shape:
            return only.gain_PT  # a copy would double what a part of a large matrix takes
        gain_PT = np.full(shape, np.nan)
        for block in self.blocks:
            gain_PT[block.probes, block.targets] = block.gain_PT
        return gain_PT

    @property
    def delta_loss(self) -> Float64[Array, "P T"]:
        """Change of loss, the negative of the gain: the sign of the paper's Eq. 4 and Fig. 1."""
        return -self.gain

    @cached_property
    def self_gain(self) -> Float64[Array, " P"]:
        """Gain of each probe on itself."""
        self_gain_P = np.full(len(self.probes), np.nan)
        for block in self.blocks:
            self_gain_P[block.probes] = block.self_gain_P
        return self_gain_P

    @cached_property
    def before(self) -> Float64[Array, " T"]:
        """Readout of each target under the base model."""
        before_T = np.full(len(self.targets), np.nan)
        for block in self.blocks:
            before_T[block.targets] = block.before_T
        return before_T

    @property
    def median_self_gain(self) -> float:
        """Of the probes that set the step size, nats of `log_prob`; NaN where it is not known."""
        if step_size := self.estimator.get("step_size"):
            return float(step_size["median"])
        self_gain = self.self_gain[sets_step_size(self.probes)]
        known = self.readout["name"] == "log_prob" and np.isfinite(self_gain).any()
        return float(np.nanmedian(self_gain)) if known else math.nan

    @property
    def failures(self) -> dict[str, str]:
        """Ids of the probes whose row failed, with the reason."""
        ids = self.probes["id"].to_numpy()
        return {
            ids[block.probes][row]: str(reason)
            for block in self.blocks
            for row, reason in enumerate(block.failure_P)
            if reason
        }

    def worlds(self) -> Iterator["InfluenceMatrix"]:
        """The matrix of each world alone, in order; the whole matrix where no world is named."""
        if "world" not in self.probes or self.probes["world"].nunique() == 1:
            yield self
            return
        for world in self.probes["world"].unique():
            yield self.select(
                probes=(self.probes["world"] == world).to_numpy(), targets=(self.targets["world"] == world).to_numpy()
            )

    def select(self, *, probes: Array | None = None, targets: Array | None = None) -> "InfluenceMatrix":
        """The part of the matrix in which the masks hold, in the same order.

        Args:
            probes: boolean mask over rows, or None for all.
            targets: boolean mask over columns, or None for all.
        """
        keep_P = np.ones(len(self.probes), bool) if probes is None else np.asarray(probes, bool)
        keep_T = np.ones(len(self.targets), bool) if targets is None else np.asarray(targets, bool)
        row_P, column_T = np.cumsum(keep_P) - keep_P, np.cumsum(keep_T) - keep_T
        blocks = []
        for block in self.blocks.holding(keep_P) if isinstance(self.blocks, StoredBlocks) else self.blocks:
            rows, columns = keep_P[block.probes], keep_T[block.targets]
            if rows.any() and columns.any():
                blocks.append(
                    replace(
                        block,
                        first_probe=int(row_P[block.first_probe]),
                        first_target=int(column_T[block.first_target]),
                        gain_PT=_kept(block.gain_PT, rows) if columns.all() else block.gain_PT[np.ix_(rows, columns)],
                        self_gain_P=_kept(block.self_gain_P, rows),
                        before_T=_kept(block.before_T, columns),
                        failure_P=_kept(block.failure_P, rows),
                    )
                )
        return replace(
            self,
            blocks=blocks,
            probes=_kept(self.probes, keep_P).reset_index(drop=True),
            targets=_kept(self.targets, keep_T).reset_index(drop=True),
        )

    def joined(self) -> "InfluenceMatrix":
        """The same matrix as one block in memory, of which a part is one copy and not two."""
        failure_P = np.full(len(self.probes), "", object)
        for block in self.blocks:
            failure_P[block.probes] = block.failure_P
        one = Block(
            id="joined",
            first_probe=0,
            first_target=0,
            gain_PT=self.gain,
            self_gain_P=self.self_gain,
            before_T=self.before,
            failure_P=failure_P,
        )
        return replace(self, blocks=[one])

    def to_frame(self) -> pd.DataFrame:
        """One row a measured cell: probe, target, before, gain, after, and whether it is the self-gain."""
        probe_ids, target_ids = self.probes["id"].to_numpy(), self.targets["id"].to_numpy()
        frames = []
        for block in self.blocks:
            rows, columns = block.gain_PT.shape
            frame = pd.DataFrame(
                {
                    "probe": np.repeat(probe_ids[block.probes], columns),
                    "target": np.tile(target_ids[block.targets], rows),
                    "before": np.tile(block.before_T, rows),
                    "gain": block.gain_PT.ravel(),
                }
            )
            frames.append(frame)
        cells = pd.concat(frames, ignore_index=True)
        cells["after"] = cells["before"] + cells["gain"]
        cells["is_self"] = cells["probe"] == cells["target"]
        return cells

    def save(self, folder: Path | str) -> Path:
        """Write the matrix to a folder: `matrix.json`, the two tables and `blocks/`.

        Raises:
            FileExistsError: the folder holds a matrix already; finished work is never overwritten.
        """
        folder = Path(folder)
        if (folder / "matrix.json").exists():
            raise FileExistsError(f"expected a folder without a matrix, got {folder}; choose another or delete it")
        for block in self.blocks:
            block.save(folder / "blocks")
        write_tables(folder, self.probes, self.targets)
        write_header(
            folder,
            blocks={block.id: (block.probes.start, block.probes.stop) for block in self.blocks},
            readout=self.readout,
            estimator=self.estimator,
            provenance=self.provenance,
        )
        return folder

    @classmethod
    def load(cls, folder: Path | str, *, probes: Sequence[str] | None = None, partial: bool = False) -> Self:
        """Read a matrix from a folder.

        Args:
            folder: where `save` or `measure` wrote it.
            probes: ids of the probes wanted; only the blocks that hold them are read.
            partial: accept a matrix whose measuring has not finished.

        Raises:
            FileNotFoundError: there is no matrix, or blocks are missing and `partial` is False.
            ValueError: another format, a torn file, or a probe that the matrix does not hold.
        """
        folder = Path(folder)
        header = read_header(folder)
        tables = read_tables(folder)
        needed = list(header["blocks"])
        if probes is not None:
            wanted = _positions(tables[0], probes)
            needed = [
                id for id, (start, stop) in header["blocks"].items() if ((start <= wanted) & (wanted < stop)).any()
            ]
        missing = set(missing_blocks(folder))
        present = [id for id in needed if id not in missing]
        if len(present) < len(needed) and not partial:
            raise FileNotFoundError(
                f"expected {len(needed)} blocks in {folder}, got {len(present)}; "
                "run the same command again to measure the rest, or load with partial=True"
            )
        matrix = cls(
            blocks=_unpack(folder, present)
            if (folder / PACKED).exists()
            else StoredBlocks(folder / "blocks", {id: slice(*header["blocks"][id]) for id in present}),
            probes=tables[0],
            targets=tables[1],
            readout=header["readout"],
            estimator=header["estimator"],
            provenance=header["provenance"],
        )
        if probes is None:
            return matrix
        keep_P = np.zeros(len(tables[0]), bool)
        keep_P[wanted] = True
        return matrix.select(probes=keep_P)  # type: ignore[return-value]


def write_tables(folder: Path, probes: pd.DataFrame, targets: pd.DataFrame) -> None:
    """Write `probes.parquet` and, where they are others, `targets.parquet`, without inputs."""
    tables = {"probes": without_inputs(probes), "targets": without_inputs(targets)}
    if tables["targets"].equals(tables["probes"]):
        del tables["targets"]
    for name, table in tables.items():
        write_atomically(folder / f"{name}.parquet", partial(table.to_parquet, **SMALL))


def read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what `write_tables` wrote: the probes and the targets."""
    probes = _read_table(folder / "probes.parquet")
    targets = folder / "targets.parquet"
    return probes, _read_table(targets) if targets.exists() else probes


def _read_table(path: Path) -> pd.DataFrame:
    """The table alone: `pandas.read_parquet` leaves several times its memory behind."""
    with pq.ParquetFile(path) as file:
        table: pd.DataFrame = file.read(use_threads=False).to_pandas(split_blocks=True, self_destruct=True)
    pa.default_memory_pool().release_unused()
    return table


def missing_blocks(folder: Path, shard: tuple[int, int] = (0, 1)) -> list[str]:
    """Ids of the planned blocks without a file, in order; of all, or of a shard (index, count).

    Raises:
        FileNotFoundError, ValueError: as `read_header`.
    """
    index, count = shard
    planned = list(read_header(folder)["blocks"])[index::count]
    if (folder / PACKED).exists():
        return []
    present = {path.stem for path in (folder / "blocks").glob("*.npz")}
    return [id for id in planned if id not in present]


def check_blocks(folder: Path, ids: Sequence[str] | None = None) -> None:
    """Refuse blocks that are missing, or were measured with other weights, data or settings than `matrix.json` names.

    Args:
        folder: of the matrix.
        ids: the blocks to check; None for all that are planned.

    Raises:
        FileNotFoundError: blocks are missing.
        ValueError: a block is of another matrix, or torn.
    """
    header = read_header(folder)
    wanted = list(header["blocks"]) if ids is None else ids
    absent = set(missing_blocks(folder))
    if missing := [id for id in wanted if id in absent]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise FileNotFoundError(
            f"expected {len(wanted)} blocks in {folder}, got none for {', '.join(missing[:5])}{more}; "
            "run the same command again to measure them"
        )
    expected = header.get("stamp", {})
    for id in wanted:
        path = folder / "blocks" / f"{id}.npz"
        with _arrays_of(path) as arrays:
            stamp = _stamp_of(arrays)
        if other := [name for name in expected if stamp and stamp.get(name) != expected[name]]:
            raise ValueError(
                f"expected {path} to be a block of this matrix, got one measured with other {' and '.join(other)}; "
                "delete it and run the same command again"
            )


def write_header(folder: Path, *, blocks: Mapping[str, tuple[int, int]], **description: Any) -> None:
    """Write `matrix.json`: format, planned blocks with the range of probes of each, and the description."""
    write_json(folder / "matrix.json", {"format": FORMAT, "blocks": dict(blocks), **description})


def read_header(folder: Path) -> dict[str, Any]:
    """Read `matrix.json`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is torn or of another format.
    """
    path = folder / "matrix.json"
    if not path.exists():
        raise FileNotFoundError(f"expected an influence matrix in {folder}, got no matrix.json; measure one first")
    header = read_json(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else header
        raise ValueError(
            f"expected a matrix of format {FORMAT} in {folder}, got {found!r}; "
            "load it with the version that wrote it, or measure again"
        )
    return header


def _kept(all_N: Any, keep_N: Bool[Array, " N"]) -> Any:
    """The rows of an array or table in which the mask holds; itself, not a copy, where it holds everywhere."""
    return all_N if keep_N.all() else all_N[keep_N]


def _positions(table: pd.DataFrame, ids: Sequence[str]) -> Array:
    wanted_N = table["id"].isin(list(ids)).to_numpy()
    found = set(table["id"][wanted_N])
    if missing := [id for id in ids if id not in found]:
        raise ValueError(f"expected ids of probes of the matrix, got {missing[0]!r}; see its probes table")
    return np.flatnonzero(wanted_N)
