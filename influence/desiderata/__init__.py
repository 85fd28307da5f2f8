"""Desiderata as numbers: one score a file, each a pure function of an influence matrix."""

from influence.desiderata.registry import SCORES, register
from influence.desiderata.scoring import compare, score
from influence.desiderata.spec import Criterion, NotApplicableError, Ratio, Score, UndefinedError

__all__ = [
    "SCORES",
    "Criterion",
    "NotApplicableError",
    "Ratio",
    "Score",
    "UndefinedError",
    "compare",
    "register",
    "score",
]
