"""The influence matrix: blocks of gains with their probe and target tables, on disk or in memory."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from influence.arrays import Array
from influence.blocks import Block, StoredBlocks
from influence.matrix_folder import PACKED, missing_blocks, read_header, read_tables, unpack, write_header, write_tables
from influence.samples import sets_step_size

SELF_GAIN = 0.3
"""The median self-gain, nats, at which claims are read."""

NEAR = 0.3
"""How far from the wanted median self-gain a given learning rate may lead, relatively."""


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
        """Median self-gain of the probes that set the step size, nats of `log_prob`.

        Failed probes count as the lowest. NaN where the median one failed, or another readout tells nothing of it.
        """
        if step_size := self.estimator.get("step_size"):
            return float(step_size["median"])
        self_gain = self.self_gain[sets_step_size(self.probes)]
        if self.readout["name"] != "log_prob" or not len(self_gain):
            return math.nan
        median = float(np.median(np.nan_to_num(self_gain, nan=-math.inf)))
        return median if math.isfinite(median) else math.nan

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
                        halvings_P=_kept(block.halvings_P, rows) if len(block.halvings_P) else block.halvings_P,
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
            blocks=unpack(folder, present)
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


def _kept(all_N: Any, keep_N: Bool[Array, " N"]) -> Any:
    """The rows of an array or table in which the mask holds; itself, not a copy, where it holds everywhere."""
    return all_N if keep_N.all() else all_N[keep_N]


def _positions(table: pd.DataFrame, ids: Sequence[str]) -> Array:
    wanted_N = table["id"].isin(list(ids)).to_numpy()
    found = set(table["id"][wanted_N])
    if missing := [id for id in ids if id not in found]:
        raise ValueError(f"expected ids of probes of the matrix, got {missing[0]!r}; see its probes table")
    return np.flatnonzero(wanted_N)
