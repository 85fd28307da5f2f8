"""Empirical influence functions: what a neural network learns from one example.

>>> matrix = influence.measure(model, probes, estimator=influence.FineTune(optimizer="sgd", lr=1e-2))
>>> matrix.gain, matrix.to_frame(), influence.score(matrix)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from influence.desiderata.card import card
    from influence.desiderata.registry import register
    from influence.desiderata.scoring import compare, score
    from influence.desiderata.spec import Criterion, NotApplicableError, Ratio, Score, UndefinedError
    from influence.engine.chunks import Engine
    from influence.estimators.finetune import FineTune
    from influence.estimators.first_order import FirstOrder
    from influence.estimators.prompt import Prompt
    from influence.matrix import InfluenceMatrix
    from influence.measurement import measure

__all__ = [
    "Criterion",
    "Engine",
    "FineTune",
    "FirstOrder",
    "InfluenceMatrix",
    "NotApplicableError",
    "Prompt",
    "Ratio",
    "Score",
    "UndefinedError",
    "card",
    "compare",
    "measure",
    "register",
    "score",
]

_HOMES = {
    "Criterion": "influence.desiderata.spec",
    "Engine": "influence.engine.chunks",
    "FineTune": "influence.estimators.finetune",
    "FirstOrder": "influence.estimators.first_order",
    "InfluenceMatrix": "influence.matrix",
    "NotApplicableError": "influence.desiderata.spec",
    "Prompt": "influence.estimators.prompt",
    "Ratio": "influence.desiderata.spec",
    "Score": "influence.desiderata.spec",
    "UndefinedError": "influence.desiderata.spec",
    "card": "influence.desiderata.card",
    "compare": "influence.desiderata.scoring",
    "measure": "influence.measurement",
    "register": "influence.desiderata.registry",
    "score": "influence.desiderata.scoring",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import influence` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'influence' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
