"""Every score by name."""

from influence.desiderata import (
    class_block,
    class_pair,
    gauge,
    invariance,
    noise_discount,
    selectivity,
    self_gain,
    social_relations,
    symmetry,
)
from influence.desiderata.spec import Score

SCORES: dict[str, Score] = {
    score.name: score
    for module in (
        self_gain,
        symmetry,
        social_relations,
        gauge,
        class_block,
        class_pair,
        noise_discount,
        selectivity,
        invariance,
    )
    for score in module.SCORES
}
"""In the order of tables and cards."""
