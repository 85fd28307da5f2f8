"""Measure an influence matrix block by block, so that interrupted work resumes and many processes can share it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from influence.blocks import Block, Extent, block_extents
from influence.engine.chunks import DEFAULT, Engine
from influence.estimators.protocol import Estimator
from influence.files import locked
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import check_blocks, read_header, write_header, write_tables
from influence.models import protocol
from influence.provenance import weights_digest
from influence.readout import Reader, Readout, class_probabilities, find
from influence.samples import check, digest, sets_step_size, without_inputs
from influence.step_size import check_step_size, find_step_size


@dataclass(frozen=True, eq=False, kw_only=True)
class _Job:
    """What is measured of which model, and how; `seed` to `engine` as for `measure`."""

    model: nn.Module
    probes: pd.DataFrame
    targets: pd.DataFrame
    estimator: Estimator
    readout: Readout
    seed: int
    batch_size: int
    engine: Engine

    def reader(self, targets: slice) -> Reader:
        """Reads these targets, the base model's values first."""
        return Reader(
            self.model, self.targets.iloc[targets], self.readout, batch_size=self.batch_size, engine=self.engine
        )

    def block(
        self, extent: Extent, reader: Reader, *, stamp: Mapping[str, str], progress: Callable[[int], None]
    ) -> Block:
        """The gains of one block, in memory; `progress` is told how many of its rows are there."""
        rows = []
        for row in self.estimator.rows(self.model, self.probes.iloc[extent.probes], reader, seed=self.seed):
            rows.append(row)
            progress(len(rows))
        return Block(
            id=extent.id,
            first_probe=extent.probes.start,
            first_target=extent.targets.start,
            gain_PT=np.stack([row.gain_T for row in rows]),
            self_gain_P=np.array([row.self_gain for row in rows]),
            before_T=reader.before,
            failure_P=np.array([row.failure for row in rows]),
            stamp=stamp,
            halvings_P=np.array([row.halvings for row in rows]),
        )


def measure(
    model: nn.Module,
    probes: pd.DataFrame,
    targets: pd.DataFrame | None = None,
    *,
    estimator: Estimator,
    readout: str | Readout = "log_prob",
    seed: int = 0,
    batch_size: int = 320,
    block_size: int = 32,
    engine: Engine = DEFAULT,
    folder: Path | str | None = None,
    shard: tuple[int, int] = (0, 1),
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> InfluenceMatrix:
    """The influence of every probe on every target, and of every probe on itself.

    Args:
        model: the base model (`influence.models.protocol.Model`); it is left as it was, bit for bit.
        probes: sample table of the rows.
        targets: sample table of the columns; the probes where None.
        estimator: how the influence is obtained.
        readout: a name in `influence.readout.READOUTS`, or a readout of one's own.
        seed: of the fine-tuning, where it is random.
        batch_size: most targets a forward: few of them pay more for each, many leave the cache. Another size changes
            gains by rounding only.
        block_size: probes a block, which is what an interrupt can lose; worlds are blocks of their own.
        engine: whether to take the fast ways, and the memory for what they hold at a time.
        folder: where blocks are saved as they finish and found again, so that no more than one is in memory; None
            keeps all there.
        shard: index and count, (2, 5) for the third of five processes on one folder: every fifth block from the third
            on is measured here, the others by the others.
        provenance: kept with the matrix, beside the weights' checksum and the noise floor.
        progress: called with the number of probes done and the number of all, of this shard: first with those found
            in the folder, then with every probe and, when it is saved, every block.

    Returns:
        The matrix, with the blocks of other shards as far as they are there. Where the model is a classifier its tables
        also hold the base model's class probabilities, `prob_0` to `prob_<C-1>`.

    Raises:
        TypeError: the model lacks the protocol.
        ValueError: samples that cannot be measured, a folder that holds another matrix, or a shard that is none or has
            no folder to share.
    """
    index, count = shard
    if not 0 <= index < count or (count > 1 and folder is None):
        raise ValueError(
            f"expected a shard (index, count) with 0 <= index < count, and a folder to share, got {shard} "
            f"and folder={folder}"
        )
    protocol.check(model)
    targets = probes if targets is None else targets
    check(probes, "probe")
    check(targets, "target")
    job = _Job(
        model=model,
        probes=probes,
        targets=targets,
        estimator=estimator,
        readout=find(readout, model),
        seed=seed,
        batch_size=batch_size,
        engine=engine,
    )
    for samples in (probes, targets):
        _check_collates(model, samples, batch_size)
    folder = None if folder is None else Path(folder)
    identity = {
        "weights": weights_digest(model),
        "model": describe() if callable(describe := getattr(model, "describe", None)) else {},
        "probes": digest(probes),
        "targets": digest(targets),
        "seed": seed,
        "readout": job.readout.describe(),
        "estimator": estimator.describe(),
    }
    tables = [_with_probabilities(model, probes, batch_size)]
    tables.append(tables[0] if targets is probes else _with_probabilities(model, targets, batch_size))

    def begin() -> dict[str, Any]:
        return _begin(job, identity, block_size, provenance or {})

    header = begin() if folder is None else _begin_once(folder, tables, identity, begin)
    if estimator.self_gain is not None:
        job = replace(job, estimator=estimator.with_lr(header["estimator"]["lr"]))
    mine = block_extents(probes, targets, header["block_size"])[index::count]
    if folder is None:
        return InfluenceMatrix(
            blocks=list(_blocks(job, mine, mine, stamp=header["stamp"], progress=progress)),
            probes=tables[0],
            targets=tables[1],
            readout=header["readout"],
            estimator=header["estimator"],
            provenance=header["provenance"],
        )
    found = [extent.id for extent in mine if (folder / "blocks" / f"{extent.id}.npz").exists()]
    check_blocks(folder, found)
    missing = [extent for extent in mine if extent.id not in found]
    for block in _blocks(job, mine, missing, stamp=header["stamp"], progress=progress):
        block.save(folder / "blocks")
    return InfluenceMatrix.load(folder, partial=count > 1)


def estimate_seconds(
    model: nn.Module,
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    *,
    estimator: Estimator,
    readout: str | Readout = "log_prob",
    batch_size: int = 320,
    engine: Engine = DEFAULT,
) -> float:
    """Time that measuring will take, seconds, without a search of the step size.

    One probe is learned at a tiny lr, which pays for what is spent once, then one again, then two, and all are thrown
    away: the difference of the last two is a probe's own time. Where one alone takes more than two seconds it is
    that, and where it takes more than ten it is not learned again.
    """
    if "world" in probes:
        targets = targets[targets["world"] == probes["world"].iloc[0]]
    reader = Reader(model, targets, find(readout, model), batch_size=batch_size, engine=engine)

    def seconds(count: int) -> float:
        start = time.perf_counter()
        for _ in estimator.with_lr(1e-12).rows(model, probes.iloc[:count], reader):
            pass
        return time.perf_counter() - start

    first = seconds(1)
    one = seconds(1) if first <= 10 else first
    own = one if one > 2 else max(0.0, seconds(2) - one)
    return first + own * (len(probes) - 1)


def noise_floor(model: nn.Module, targets: pd.DataFrame, readout: Readout, *, batch_size: int) -> float:
    """What rounding alone does to a readout, in its unit.

    The root mean square over targets of the change that other chunks make, or of eps |readout|, the resolution of the
    model's own numbers, whichever is larger.
    """
    whole = Reader(model, targets, readout, batch_size=batch_size).before
    parts = Reader(model, targets, readout, batch_size=math.ceil(min(batch_size, len(targets)) / 3)).before
    resolution = max((torch.finfo(parameter.dtype).eps for parameter in model.parameters()), default=0.0)
    return float(max(np.sqrt(np.mean((whole - parts) ** 2)), resolution * np.sqrt(np.mean(whole**2))))


def _blocks(
    job: _Job,
    extents: Sequence[Extent],
    missing: Sequence[Extent],
    *,
    stamp: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> Iterator[Block]:
    """Measures those of the extents that are missing, one by one; blocks of the same targets share their reader."""
    total = sum(extent.size for extent in extents)
    done = total - sum(extent.size for extent in missing)
    progress(done, total)
    reader, read = None, slice(0)
    for extent in missing:
        if reader is None or extent.targets != read:
            reader, read = job.reader(extent.targets), extent.targets
        yield job.block(
            extent,
            reader,
            stamp=stamp,
            progress=lambda rows, done=done: progress(done + rows, total),  # type: ignore[misc]
        )
        done += extent.size
        progress(done, total)


def _begin_once(
    folder: Path, tables: Sequence[pd.DataFrame], identity: Mapping[str, Any], begin: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The header of a folder: written by the first process that asks for it, while the others wait, and read by all."""
    if not (folder / "matrix.json").exists():
        with locked(folder / ".matrix.lock", "prepares the matrix"):
            if not (folder / "matrix.json").exists():
                header = begin()
                write_tables(folder, *tables)
                write_header(folder, **header)
    header = read_header(folder)
    _check_same(folder, header["provenance"]["identity"], identity)
    return {"stamp": {}, **header}  # a folder of before blocks were stamped has none


def _begin(job: _Job, identity: Mapping[str, Any], block_size: int, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What is settled before the first block: the step size, the plan of blocks and the provenance."""
    estimator, settings = job.estimator, dict(job.estimator.describe())
    if estimator.self_gain is not None:
        step_size = find_step_size(job.model, job.probes, estimator, seed=job.seed, engine=job.engine)
        settings |= {"lr": step_size.lr, "step_size": step_size.describe()}
    elif settings.get("lr") and job.readout.name != "log_prob" and sets_step_size(job.probes).any():
        checked = check_step_size(job.model, job.probes, estimator, seed=job.seed, engine=job.engine)
        settings |= {"step_size": checked.describe()} if checked else {}
    return {
        "stamp": _stamp(identity, settings),
        "blocks": {
            extent.id: (extent.probes.start, extent.probes.stop)
            for extent in block_extents(job.probes, job.targets, block_size)
        },
        "block_size": block_size,
        "readout": job.readout.describe(),
        "estimator": settings,
        "provenance": {
            **provenance,
            "identity": identity,
            "noise_floor": noise_floor(job.model, job.targets, job.readout, batch_size=job.batch_size),
        },
    }


def _stamp(identity: Mapping[str, Any], estimator: Mapping[str, Any]) -> dict[str, str]:
    """Digests of what every block of a matrix must have been measured with."""
    settings = {**identity, "estimator": estimator}
    parts = {
        "weights": [settings.pop("weights")],
        "data": [settings.pop("probes"), settings.pop("targets")],
        "settings": [settings],
    }
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16] for name, part in parts.items()
    }


def _check_same(folder: Path, stored: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    as_stored = json.loads(json.dumps(identity))  # where tuples are lists
    for name, value in as_stored.items():
        if stored.get(name) != value:
            raise ValueError(
                f"expected {folder} to hold the same matrix, got one with other {name} "
                f"({stored.get(name)!r}, now {value!r}); choose another folder"
            )


def _check_collates(model: nn.Module, samples: pd.DataFrame, batch_size: int) -> None:
    """Let the model refuse what it cannot read before anything is measured."""
    for start in range(0, len(samples), batch_size):
        protocol.collate(model, samples.iloc[start : start + batch_size])


def _with_probabilities(model: nn.Module, samples: pd.DataFrame, batch_size: int) -> pd.DataFrame:
    table = without_inputs(samples)
    probabilities_NC = class_probabilities(model, samples, batch_size=batch_size)
    if probabilities_NC is None:
        return table
    columns = {f"prob_{label}": column for label, column in enumerate(probabilities_NC.T)}
    return pd.concat([table, pd.DataFrame(columns)], axis=1)
