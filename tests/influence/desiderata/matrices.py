"""Hand-made influence matrices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from influence.blocks import Block
from influence.data.domains import load
from influence.data.worlds import worlds
from influence.matrix import InfluenceMatrix

DOMAINS = Path(__file__).parents[3] / "conf" / "domain"


def matrix_of(
    gain: Any,
    probes: pd.DataFrame,
    targets: pd.DataFrame | None = None,
    *,
    self_gain: Any = None,
    before: Any = -1.0,
    readout: str = "log_prob",
) -> InfluenceMatrix:
    """A matrix of one block a world with these gains; self-gains are 1 nat where none are given."""
    gain_PT = np.array(gain, dtype=float)
    targets = probes if targets is None else targets
    self_gain_P = np.broadcast_to(np.array(1.0 if self_gain is None else self_gain, dtype=float), len(probes)).copy()
    before_T = np.broadcast_to(np.array(before, dtype=float), len(targets)).copy()
    world_P, world_T = (table.get("world", pd.Series(0, index=table.index)) for table in (probes, targets))
    blocks = []
    for world in world_P.unique():
        rows, columns = np.flatnonzero(world_P == world), np.flatnonzero(world_T == world)
        blocks.append(
            Block(
                id=f"world-{world}",
                first_probe=int(rows[0]),
                first_target=int(columns[0]),
                gain_PT=gain_PT[np.ix_(rows, columns)],
                self_gain_P=self_gain_P[rows],
                before_T=before_T[columns],
                failure_P=np.where(np.isfinite(self_gain_P[rows]), "", "diverged").astype(str),
            )
        )
    return InfluenceMatrix(
        blocks=blocks,
        probes=probes,
        targets=targets,
        readout={"name": readout, "unit": "nats", "higher_is_better": True},
        estimator={"name": "finetune"},
    )


def samples(count: int, *, prefix: str = "s", **columns: Any) -> pd.DataFrame:
    """A plain sample table with ids s0, s1, ..."""
    return pd.DataFrame({"id": [f"{prefix}{number}" for number in range(count)], **columns})


def images(labels: Any, *, sigmas: Any = (0.0,), draws: Any = (0,), prefix: str = "") -> pd.DataFrame:
    """A table as the image domains have it: one source a label, a clean copy, and one a sigma and draw."""
    rows = []
    for sigma in sigmas:
        for draw in draws if sigma > 0 else (0,):
            for index, label in enumerate(labels):
                copy = f"-noise{sigma:g}-{draw}" if sigma > 0 else ""
                source = f"{prefix}{index}"
                rows.append({"id": source + copy, "label": label, "sigma": sigma, "draw": draw, "source": source})
    return pd.DataFrame(rows)


def language(
    domain: str, gains: Mapping[tuple[str, str], Any], *, count: int = 1, seed: int = 0, other: Any = 0.0
) -> InfluenceMatrix:
    """Worlds of a shipped domain with these gains by (learned, read), each a number or one a world.

    Self-gains are 1 nat, and other cells `other`, where nothing is given.
    """
    table = worlds(load(DOMAINS / f"{domain}.yaml"), count=count, seed=seed)
    world_N, size = table["world"].to_numpy(), len(table) // count
    gain_NN = np.where(world_N[:, None] == world_N, other, np.nan)
    np.fill_diagonal(gain_NN, 1.0)
    row = {item: position for position, item in enumerate(table["item"][:size])}
    start_W = size * np.arange(count)
    for (learned, read), value in gains.items():
        gain_NN[start_W + row[learned], start_W + row[read]] = value
    return matrix_of(gain_NN, table, self_gain=np.diag(gain_NN))


def scaled(matrix: InfluenceMatrix, factor: float) -> InfluenceMatrix:
    """The same cells in another unit."""
    return matrix_of(
        factor * matrix.gain,
        matrix.probes,
        matrix.targets,
        self_gain=factor * matrix.self_gain,
        before=factor * matrix.before,
    )


def with_probabilities(table: pd.DataFrame, probability_NC: Any) -> pd.DataFrame:
    """The table with the columns prob_0, prob_1, ..."""
    return table.assign(**{f"prob_{label}": column for label, column in enumerate(np.array(probability_NC).T)})


def shuffled(matrix: InfluenceMatrix, seed: int = 0) -> InfluenceMatrix:
    """The same cells with rows and columns in orders of their own."""
    rng = np.random.default_rng(seed)
    row_P, column_T = rng.permutation(len(matrix.probes)), rng.permutation(len(matrix.targets))
    return matrix_of(
        matrix.gain[np.ix_(row_P, column_T)],
        matrix.probes.iloc[row_P].reset_index(drop=True),
        matrix.targets.iloc[column_T].reset_index(drop=True),
        self_gain=matrix.self_gain[row_P],
        before=matrix.before[column_T],
    )
