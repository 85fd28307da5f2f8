"""Verdicts: satisfied, violated or undecided, by interval and corrected p-value together, never by p alone."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from influence.desiderata.spec import Criterion
from influence.matrix import NEAR, InfluenceMatrix
from influence.stats.holm import holm

SATISFIED, VIOLATED, UNDECIDED, VOID = "satisfied", "violated", "undecided", "void"
DESCRIPTIVE = "descriptive"
"""A primary score that is not judged: too few units, or another step size or way to learn."""
DIAGNOSTIC = "diagnostic"
"""A score that has no criterion, or none at this condition."""

LEVEL = 0.05


def judge(table: pd.DataFrame) -> pd.DataFrame:
    """The table of scores with the verdicts of one card: of one model by one estimator, from one run or several.

    Judged are the rows with `p_good` and `p_bad`, one-sided p-values of "the score is on the good, bad side of its
    threshold". Each side's are corrected together by Holm's method (1979). Satisfied: the whole 95 % interval is on
    the good side and the corrected p of that side is below .05; violated: the same of the bad side; else undecided.

    Returns:
        The table with `verdict`, and with `p_holm`, the corrected p of the side that the value is on.
    """
    table = table.copy()
    judged = table["p_good"].notna()
    if not judged.any():
        return table
    rows = table[judged]
    sign = np.where(rows["better"] == "higher", 1.0, -1.0)
    low, value, high = (sign * (rows[name] - rows["threshold"]) for name in ("low", "value", "high"))
    good, bad = (holm(rows[name].to_numpy(np.float64)) for name in ("p_good", "p_bad"))
    satisfied = (np.minimum(low, high) > 0) & (good < LEVEL)
    violated = (np.maximum(low, high) < 0) & (bad < LEVEL)
    table.loc[judged, "p_holm"] = np.where(value > 0, good, bad)
    table.loc[judged, "verdict"] = np.select([satisfied, violated], [SATISFIED, VIOLATED], UNDECIDED)
    return table


def why_descriptive(criterion: Criterion, matrices: Sequence[InfluenceMatrix], *, n: int, unit_of_n: str) -> str:
    """Why a primary score is not judged, one clause, or ""."""
    if n < (needed := criterion.units.get(unit_of_n, math.inf)):
        wanted = " or ".join(f"{count} {unit}" for unit, count in criterion.units.items())
        return f"{n} {unit_of_n}, judged from {needed} on" if needed < math.inf else f"judged over {wanted}"
    settings = matrices[0].estimator
    if settings["name"] == "prompt":
        return ""
    if (num_steps := settings.get("num_steps", 1)) != criterion.num_steps:
        return f"num_steps {num_steps}, judged at {criterion.num_steps}"
    if (statements := settings.get("statements", criterion.statements)) != criterion.statements:
        return f"statements {statements}, judged where learned {criterion.statements}"
    self_gain = float(np.median([matrix.median_self_gain for matrix in matrices]))
    if not abs(self_gain / criterion.self_gain - 1) <= NEAR:
        return f"median self-gain {self_gain:.2g}, judged at {criterion.self_gain:g}"
    return ""
