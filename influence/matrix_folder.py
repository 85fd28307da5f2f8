"""The files of a matrix: `matrix.json`, two tables, and `blocks/`, or all blocks packed into one file."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64

from influence.arrays import Array
from influence.blocks import Block, arrays_of, stamp_of
from influence.files import read_json, write_atomically, write_json
from influence.samples import without_inputs

FORMAT = 1
"""Version of the files; raised whenever they change."""

SMALL: dict[str, Any] = {
    "index": False,
    "compression": "zstd",
    "use_dictionary": False,
    "write_statistics": False,
}
"""How tables of some hundred rows take two thirds of the bytes."""

PACKED = "blocks.npz"
"""All blocks of a matrix in one file: small, and not to be added to."""


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
        with arrays_of(path) as arrays:
            stamp = stamp_of(arrays)
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


def unpack(folder: Path, ids: Sequence[str]) -> list[Block]:
    """The named blocks of a packed file, whose arrays stand one after another."""
    with arrays_of(folder / PACKED) as packed:
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
