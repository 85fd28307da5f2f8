"""Every score by name."""

from influence.desiderata import (
    class_block,
    class_pair,
    gauge,
    invariance,
    negation_leak,
    noise_discount,
    paraphrase_transfer,
    premise_gate,
    reversal_gap,
    selectivity,
    self_gain,
    social_relations,
    symmetry,
    word_variance,
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
        premise_gate,
        paraphrase_transfer,
        reversal_gap,
        negation_leak,
        word_variance,
    )
    for score in module.SCORES
}
"""In the order of tables and cards."""
