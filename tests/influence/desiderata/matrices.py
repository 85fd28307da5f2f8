"""Hand-made influence matrices."""

from typing import Any

import numpy as np
import pandas as pd

from influence.matrix import Block, InfluenceMatrix


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
