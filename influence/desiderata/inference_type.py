"""Types of inference: what the premises do to what follows from them, and to what only looks as if it did."""

from collections.abc import Callable, Sequence

import numpy as np

from influence.desiderata.items import World
from influence.desiderata.spec import Condition, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix

WARRANTED = ("entailed", "symmetric", "hedged")
"""What follows: by the relation (`entailed`), from the premise turned round where the relation is `symmetric`, or said
with doubt (`hedged`)."""

UNWARRANTED = ("converse", "inverse", "control")
"""What does not: a statement turned round, or negated on both sides, or what would follow were the relation
transitive. In some domains it is even excluded: of what is inside, the converse is false."""


def inference(matrix: InfluenceMatrix, *, type: str) -> Ratio:
    """Mean of M(premises -> item) - M(neutral -> item) over the items of a type, / M(premises -> premises).

    0 when the premises do to the item what a statement with the same names does from which nothing follows, 1 when
    they raise it as themselves beyond that. What follows should rise: a symmetric relation's converse by half or
    more. What does not follow should stay within .1 of 0, and below it where it is excluded. A learner of words
    treats entailed, symmetric, converse and control alike.

    Args:
        matrix: of one world, with `item`, `role`, `text` and `premises`.
        type: one of `WARRANTED` or `UNWARRANTED`.

    Returns:
        Mean difference and self-gain of the premises, in the unit of the readout.

    Raises:
        UndefinedError: the world has no item of this type, or the premises or the neutral item were not learned.
    """
    world = World.of(matrix)
    items = [item for item in world.column if _type(world, item) == type]
    if not items:
        raise UndefinedError(f"expected an item to read of type {type}, got none")
    return Ratio(float(np.mean([world.effect(item) for item in items])), world.self_gain(world.premises))


def _type(world: World, item: str) -> str:
    """The role of an item; symmetric where it is the premise with its words in another order, and follows."""
    role = str(world.items.at[item, "role"])
    if role == "entailed" and world.premises in world.items.index:
        words, of_premises = (sorted(world.text(one).split()) for one in (item, world.premises))
        return "symmetric" if words == of_premises else role
    return role


def _found(types: Sequence[str]) -> Callable[[Sequence[InfluenceMatrix]], list[Condition]]:
    """Of these types those that the first unit has; the first type, for the reason, where it has none."""

    def conditions(units: Sequence[InfluenceMatrix]) -> list[Condition]:
        try:
            world = World.of(units[0])
        except UndefinedError:
            return [{"type": types[0]}]
        found = {_type(world, item) for item in world.column}
        return [{"type": type} for type in types if type in found] or [{"type": types[0]}]

    return conditions


SCORES = (
    Score(
        name="warranted_inference",
        desideratum="logical consistency",
        better="higher",
        measure=inference,
        null=0.0,
        conditions=_found(WARRANTED),
        smooth=False,
    ),
    Score(
        name="unwarranted_inference",
        desideratum="logical consistency",
        measure=inference,
        null=0.0,
        conditions=_found(UNWARRANTED),
        smooth=False,
        margin=0.1,
    ),
)
