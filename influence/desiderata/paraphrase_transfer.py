"""Paraphrase transfer: does learning a statement teach the same in other words."""

from influence.desiderata.items import World
from influence.desiderata.spec import Ratio, Score
from influence.matrix import InfluenceMatrix


def paraphrase_transfer(matrix: InfluenceMatrix) -> Ratio:
    """Mean M(s -> para s) / mean M(s -> s) over the items s that have a paraphrase.

    1 when the paraphrase is learned as the statement is, 0 when it is not learned. A learner of words that shares
    their gain transfers too: read it beside the reversal gap, which such a learner cannot pass.

    Args:
        matrix: of one world, with `item`, `role` and `of`; para s has role `paraphrase` and is `of` s.

    Returns:
        The two means over the world's pairs, in the unit of the readout.

    Raises:
        UndefinedError: the world has no such pair.
    """
    world = World.of(matrix)
    return world.transfer(world.pairs("paraphrase"), "an item with a paraphrase")


SCORES = (
    Score(
        name="paraphrase_transfer",
        desideratum="ontology",
        better="higher",
        measure=paraphrase_transfer,
        null=0.0,
        smooth=False,
    ),
)
