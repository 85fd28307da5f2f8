"""Converse contrast: does one premise raise what follows from it above the same statement turned round."""

import numpy as np

from influence.desiderata.items import World
from influence.desiderata.spec import NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix


def converse_contrast(matrix: InfluenceMatrix) -> Ratio:
    """{[M(p -> e) - M(p -> e~)] - [N(e) - N(e~)]} / M(p -> p), N the gains after the neutral item.

    p is the one premise, "dogs are mammals"; e follows from it, "my dog A is a mammal"; e~ is e turned round, "a
    mammal is my dog A", with the same words. 0 when p speaks as strongly for the reverse, which Matelsky et al.
    2024, section 3.2, report, and for any learner of words. The direction of chains of premises is a score of its
    own.

    Args:
        matrix: of one world, with `item`, `role`, `of`, `text` and `premises`; e has role `entailed`, and e~ role
            `converse` and is `of` e.

    Returns:
        Numerator and denominator, means over the world's pairs, in the unit of the readout.

    Raises:
        NotApplicableError: the premises are several statements.
        UndefinedError: there is no such pair, or the premises or the neutral item were not learned.
    """
    world = World.of(matrix)
    if world.premises in world.items.index and "\n" in world.text(world.premises):
        raise NotApplicableError(f"expected premises of one statement, got {world.premises!r}")
    pairs = [
        (e, converse)
        for e, converse in world.pairs("converse")
        if e in world.of_role("entailed") and {e, converse} <= world.column.keys()
    ]
    if not pairs:
        raise UndefinedError("expected what follows and its converse, got none")
    contrast = float(np.mean([world.effect(e) - world.effect(converse) for e, converse in pairs]))
    return Ratio(contrast, world.self_gain(world.premises))


SCORES = (
    Score(
        name="converse_contrast",
        desideratum="ontology",
        better="higher",
        measure=converse_contrast,
        null=0.0,
        smooth=False,
    ),
)
