"""Negation leak: does learning a statement make its negation more likely, as it would for a learner of words."""

import re
from typing import Literal

import numpy as np

from influence.desiderata.items import World
from influence.desiderata.spec import Criterion, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix

NEGATORS = {"no", "not", "never"}


def negation_leak(matrix: InfluenceMatrix, *, learned: Literal["statement", "negation"]) -> Ratio:
    """NL = mean M(s -> not s) / mean M(s -> s), or the reverse, mean M(not s -> s) / mean M(not s -> not s).

    1 when the negation rises as the statement does (the paper's finding, Matelsky et al. 2024, section 3.2), 0 when
    it stays, below 0 when it falls as logic asks.

    s and not s are an item and one of role `contradicted` that is `of` it and says no, not or never where s does
    not: "every A is a C" and "no A is a C". Left to the scores of logic are contradictions by another word
    ("outside", "prevents") and by order ("C is bigger than A"): those test what is known of a relation, this one
    the logical word.

    Args:
        matrix: of one world, with `item`, `role`, `of` and `text`.
        learned: which of the two is learned, and the other read.

    Returns:
        The two means over the world's pairs, in the unit of the readout.

    Raises:
        UndefinedError: the world has no such pair.
    """
    world = World.of(matrix)
    pairs = _negations(world)
    if learned == "negation":
        pairs = [(not_s, s) for s, not_s in pairs]
    return world.transfer(pairs, f"an item contradicted by {', '.join(sorted(NEGATORS))}")


def negation_leak_beyond_padding(matrix: InfluenceMatrix) -> Ratio:
    """NL* = mean [M(s -> not s) - M(s -> s')] / mean M(s -> s), s' the statement with a neutral word in place of not.

    "my dog is now a mammal" is as long as "my dog is not a mammal" and as far from what was learned, for a learner of
    words. 0 when not is to the model a word like any other, below 0 when it holds the negation back.

    Args:
        matrix: of one world, with `item`, `role`, `of` and `text`; s' has role `padded` and is `of` s.

    Returns:
        The two means over the world's statements, in the unit of the readout.

    Raises:
        UndefinedError: the world has no statement s, or not s and s' were not read after it.
    """
    world = World.of(matrix)
    triples = [
        (s, not_s, padded)
        for s, not_s in _negations(world)
        for of, padded in world.pairs("padded")
        if of == s and world.has(s, not_s) and world.has(s, padded)
    ]
    if not triples:
        raise UndefinedError("expected an item, its negation and itself with a neutral word, got none")
    return Ratio(
        float(np.mean([world.gain(s, not_s) - world.gain(s, padded) for s, not_s, padded in triples])),
        float(np.mean([world.self_gain(s) for s, _, _ in triples])),
    )


def _negations(world: World) -> list[tuple[str, str]]:
    """The pairs (s, not s)."""
    return [(s, not_s) for s, not_s in world.pairs("contradicted") if negates(world.text(not_s), world.text(s))]


def negates(text: str, other: str) -> bool:
    """Whether a text says no, not or never where the other does not.

    >>> negates("a dax is not a wug", "a dax is a wug")
    True
    """
    words, other_words = (set(re.findall(r"[a-z]+", part.lower())) for part in (text, other))
    return bool((words - other_words) & NEGATORS)


SCORES = (
    Score(
        name="negation_leak",
        desideratum="logical consistency",
        better="lower",
        criterion=Criterion(threshold=0.1),
        measure=negation_leak,
        null=0.0,
        conditions=lambda _units: [{"learned": "statement"}, {"learned": "negation"}],
        smooth=False,
    ),
    Score(
        name="negation_leak_beyond_padding",
        desideratum="logical consistency",
        better="lower",
        measure=negation_leak_beyond_padding,
        null=0.0,
        smooth=False,
    ),
)
