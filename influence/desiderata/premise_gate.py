"""Premise gate: is each premise learned when all are learned together, without which nothing could follow."""

from influence.desiderata.items import World
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix


def premise_gate(matrix: InfluenceMatrix, *, premise: int) -> Ratio:
    """M(premises -> p) / M(p -> p): what a premise gains by learning all premises, over its gain alone.

    1 when each has the dose that it has alone and they leave each other be, 0 when it is not learned: then what
    follows from the premises tells nothing of inference. Training on the mean over the statements instead of their
    sum halves it.

    Args:
        matrix: of one world, with `item`, `role`, `text` and `premises`.
        premise: number of p, the item of role `p1` or `p2`.

    Returns:
        Both gains, in the unit of the readout.

    Raises:
        UndefinedError: there is no such premise, or the premises are not several statements with p among them.
    """
    world = World.of(matrix)
    together = world.premises
    alone = [item for item in world.of_role(f"p{premise}") if world.has(item, item) and world.has(together, item)]
    if len(alone) != 1:
        raise UndefinedError(f"expected one item of role p{premise}, learned alone and with others, got {len(alone)}")
    statements = world.text(together).split("\n")
    if len(statements) < 2 or world.text(alone[0]) not in statements:
        raise UndefinedError(f"expected premises of several statements, {alone[0]} among them, got {together!r}")
    return Ratio(world.gain(together, alone[0]), world.self_gain(alone[0]))


SCORES = (
    Score(
        name="premise_gate",
        desideratum="transitivity and causality",
        better="higher",
        measure=premise_gate,
        conditions=lambda _units: [{"premise": 1}, {"premise": 2}],
        smooth=False,
    ),
)
