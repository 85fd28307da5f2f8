"""Desiderata as numbers: one score a file, each a pure function of an influence matrix."""

from influence.desiderata.registry import SCORES
from influence.desiderata.scoring import score
from influence.desiderata.spec import Ratio, Score, UndefinedError

__all__ = ["SCORES", "Ratio", "Score", "UndefinedError", "score"]
