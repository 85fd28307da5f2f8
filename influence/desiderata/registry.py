"""Every score by name."""

from influence.desiderata import (
    class_block,
    class_pair,
    conjunction,
    converse_contrast,
    gauge,
    inference_type,
    invariance,
    logical_consistency,
    negation_leak,
    noise_discount,
    paraphrase_transfer,
    premise_gate,
    pure_noise,
    reversal_gap,
    selectivity,
    self_gain,
    semantics,
    social_relations,
    sparsity,
    symmetry,
    transitivity,
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
        semantics,
        sparsity,
        noise_discount,
        selectivity,
        invariance,
        pure_noise,
        transitivity,
        conjunction,
        premise_gate,
        paraphrase_transfer,
        reversal_gap,
        converse_contrast,
        logical_consistency,
        negation_leak,
        inference_type,
        word_variance,
    )
    for score in module.SCORES
}
"""In the order of tables and cards."""


def register(score: Score) -> Score:
    """Add a score of your own: `influence.score`, the command `experiments.score` and the card then know its name.

    >>> register(Score(name="reach", desideratum="reach", better="higher", measure=lambda matrix: matrix.gain.mean()))

    Args:
        score: its `measure` returns a number or a `Ratio`, or raises UndefinedError where there is none and
            NotApplicableError where the samples are of another kind. With a `criterion` it stands on the card.

    Returns:
        The score.

    Raises:
        ValueError: the name is taken, or the score has a criterion and no better side.
    """
    if score.name in SCORES:
        raise ValueError(f"expected a name that no score has, got {score.name!r}; choose another")
    if score.criterion and score.better is None:
        raise ValueError(f"expected a better side of {score.name}, which has a criterion, got none; set better")
    SCORES[score.name] = score
    return score
