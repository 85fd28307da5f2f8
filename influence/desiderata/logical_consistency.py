"""Logical consistency: do the premises raise what follows from them above what they exclude."""

import json

from influence.desiderata.items import World
from influence.desiderata.spec import Criterion, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix


def logical_consistency(matrix: InfluenceMatrix) -> Ratio:
    """LC = [sum (M_e - M_x) - sum (N_e - N_x)] / sum (|M_e| + |M_x|) over the minimal pairs (e, x) of a world.

    e follows from the premises and x is excluded by them; M is a gain after the premises are learned, N after the
    neutral item, whose names are the same. LC is 0 for a learner of words, to whom e and x are alike, and whatever
    neutral does as well; 1 when what follows rises and what is excluded falls or stays; -1 for the contrary. The
    threshold is .5.

    e has role `entailed`; x has role `contradicted`, is `of` e and says the same but for one place or for the order:
    see `is_minimal`.

    Args:
        matrix: of one world, with `item`, `role`, `of`, `text`, `spans` and `premises`.

    Returns:
        Numerator and denominator, sums over the pairs, in the unit of the readout.

    Raises:
        UndefinedError: the world has no such pair, or the premises or the neutral item were not learned.
    """
    world = World.of(matrix)
    pairs = [
        (e, x)
        for e, x in world.pairs("contradicted")
        if e in world.of_role("entailed")
        and {e, x} <= world.column.keys()
        and _names(world, e) == _names(world, x)
        and is_minimal(world.text(e), world.text(x))
    ]
    if not pairs:
        raise UndefinedError("expected what follows and what is excluded in a minimal pair, got none")
    difference = sum(world.effect(e) - world.effect(x) for e, x in pairs)
    size = sum(abs(world.gain(world.premises, item)) for pair in pairs for item in pair)
    return Ratio(difference, size)


def is_minimal(text: str, other: str) -> bool:
    """Whether two texts differ in one place between words they share, or in the order of their words alone.

    So do every and no, is and is not, has and does not have, inside and outside, feathers and fins; and "A is bigger
    than C" and "C is bigger than A". "It causes C to happen" and "it prevents C from happening" differ in two
    places, with C between them.

    >>> is_minimal("a dax is a wug", "a dax is not a wug")
    True
    """
    words, others = text.split(), other.split()
    if words == others:
        return False
    if sorted(words) == sorted(others):
        return True
    while words and others and words[0] == others[0]:
        words, others = words[1:], others[1:]
    while words and others and words[-1] == others[-1]:
        words, others = words[:-1], others[:-1]
    return not set(words) & set(others)


def _names(world: World, item: str) -> list[str]:
    """The slots that an item fills, in alphabetical order."""
    return sorted(slot for slot, _, _ in json.loads(str(world.items.at[item, "spans"])))


SCORES = (
    Score(
        name="logical_consistency",
        desideratum="logical consistency",
        better="higher",
        criterion=Criterion(threshold=0.5),
        measure=logical_consistency,
        null=0.0,
        smooth=False,
    ),
)
