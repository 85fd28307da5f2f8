"""Self-gain: how much a sample teaches itself, and whether it is what it teaches most."""

from collections.abc import Callable

import numpy as np

from influence.arrays import Array
from influence.desiderata.cells import other_source
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_clean, is_single


def self_gain(matrix: InfluenceMatrix, statistic: Callable[[Array], float]) -> Ratio:
    """Median, least or largest self-gain of the clean probes of one statement, in the unit of the readout.

    The median is the step size at which matrices are compared.
    """
    matrix = _clean(matrix)
    single_P = is_single(matrix.probes)
    if not single_P.any():
        raise UndefinedError("expected probes of one statement, got none")
    return Ratio(float(statistic(matrix.self_gain[single_P])))


def self_gain_is_largest(matrix: InfluenceMatrix) -> Ratio:
    """Share of the clean probes that teach no sample of another source more than themselves.

    Matelsky et al. 2024, section 4: even the same stimulus is not always learned most.
    """
    matrix = _clean(matrix)
    used_PT = other_source(matrix)
    if not used_PT.any(1).all():
        raise UndefinedError("expected a target of another source for every probe, got none for some")
    largest_P = np.where(used_PT, matrix.gain, -np.inf).max(1)
    return Ratio(float((matrix.self_gain >= largest_P).mean()))


def _clean(matrix: InfluenceMatrix) -> InfluenceMatrix:
    clean_P = is_clean(matrix.probes)
    if not clean_P.any():
        raise UndefinedError("expected clean probes, got noisy ones alone")
    return matrix.select(probes=clean_P)


def _score(name: str, statistic: Callable[[Array], float]) -> Score:
    return Score(
        name=f"self_gain_{name}",
        desideratum="memorisation",
        unit="{readout}",
        measure=lambda matrix: self_gain(matrix, statistic),
        smooth=False,
    )


SCORES = (
    _score("median", lambda self_gain_P: float(np.median(self_gain_P))),
    _score("min", lambda self_gain_P: float(np.min(self_gain_P))),
    _score("max", lambda self_gain_P: float(np.max(self_gain_P))),
    Score(name="self_gain_is_largest", desideratum="memorisation", better="higher", measure=self_gain_is_largest),
)
