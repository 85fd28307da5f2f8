"""Reversal gap: does a statement teach its own meaning in other words more than that of its reversal."""

import numpy as np

from influence.desiderata.items import World
from influence.desiderata.spec import Criterion, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix


def reversal_gap(matrix: InfluenceMatrix) -> Ratio:
    """RG = [M(s -> para s) - M(s -> para s~) + M(s~ -> para s~) - M(s~ -> para s)] / [M(s -> s) + M(s~ -> s~)].

    s = R(A, B), "every A is a B", its reversal s~ = R(B, A), and para the same in other words, "one kind of B is
    the A". The words of para s and of para s~ are the same, so RG is 0 for a bag of words; it is 1 when each
    paraphrase is learned as its statement is and the other not at all, and below 0 when the wrong one is.

    Args:
        matrix: of one world, with `item`, `role` and `of`; s~ has role `converse` and is `of` s, and both have an
            item of role `paraphrase`.

    Returns:
        Numerator and denominator, means over the world's quadruples, in the unit of the readout.

    Raises:
        UndefinedError: the world has no such quadruple.
    """
    world = World.of(matrix)
    rewordings = world.pairs("paraphrase")
    quadruples = [
        (s, reworded, reversal, reversal_reworded)
        for s, reversal in world.pairs("converse")
        for of, reworded in rewordings
        for of_reversal, reversal_reworded in rewordings
        if (of, of_reversal) == (s, reversal)
        and all(world.has(learned, read) for learned in (s, reversal) for read in (reworded, reversal_reworded))
    ]
    if not quadruples:
        raise UndefinedError("expected an item and its converse, each with a paraphrase, got none")
    gaps = [
        world.gain(s, reworded)
        - world.gain(s, reversal_reworded)
        + world.gain(reversal, reversal_reworded)
        - world.gain(reversal, reworded)
        for s, reworded, reversal, reversal_reworded in quadruples
    ]
    self_gains = [world.self_gain(s) + world.self_gain(reversal) for s, _, reversal, _ in quadruples]
    return Ratio(float(np.mean(gaps)), float(np.mean(self_gains)))


SCORES = (
    Score(
        name="reversal_gap",
        desideratum="ontology",
        better="higher",
        criterion=Criterion(threshold=0.25),
        measure=reversal_gap,
        null=0.0,
        smooth=False,
    ),
)
