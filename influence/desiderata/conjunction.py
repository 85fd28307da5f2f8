"""Conjunction: is it two premises together that teach what follows from them, and in its direction.

Both scores take off what a broken pair teaches, "a R b, d R c" in place of "a R b, b R c": the same words in the same
places, from which nothing follows. They are read on the ordinary items of a domain; the exact test of composition is
`influence.desiderata.transitivity`.
"""

import numpy as np

from influence.desiderata.items import World
from influence.desiderata.spec import NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix


def direction(matrix: InfluenceMatrix) -> Ratio:
    """([M(pq -> aRc) - M(pq -> cRa)] - [M(broken -> aRc) - M(broken -> cRa)]) / mean self-gain of p and q.

    0 for a learner of words and places, as aRc and cRa hold the same words and the broken pair has a and c in the same
    places; above 0 when what follows gains more than its converse by the shared b.

    Args:
        matrix: of one world, with `item`, `role`, `of`, `text` and `premises`; cRa is of role `converse` and `of` the
            entailed aRc, or the contradiction that says the same words.

    Returns:
        Numerator and denominator, in the unit of the readout.

    Raises:
        NotApplicableError: the world has no broken pair, or several.
        UndefinedError: it lacks another of these items.
    """
    world = World.of(matrix)
    both, broken = _pairs(world)
    entailed = _one(world.of_role("entailed"), "entailed item")
    converses = [item for of, item in world.pairs("converse") if of == entailed] or [
        item for of, item in world.pairs("contradicted") if of == entailed and _words(world, item) == _words(world, of)
    ]
    converse = _one(converses, f"converse of {entailed}")
    gap = (
        world.gain(both, entailed)
        - world.gain(both, converse)
        - world.gain(broken, entailed)
        + world.gain(broken, converse)
    )
    return Ratio(gap, _self_gain(world, both))


def synergy(matrix: InfluenceMatrix) -> Ratio:
    """([M(pq -> aRc) - M(p -> aRc) - M(q -> aRc)] - the same of the broken pair) / mean self-gain of p and q.

    0 where premises add up, as to first order in a step of SGD on the sum of their losses; above 0 when together they
    teach what follows more than one by one, and a broken pair does not.

    Args:
        matrix: of one world, with `item`, `role`, `text` and `premises`; every statement of both pairs is learned alone
            too.

    Returns:
        Numerator and denominator, in the unit of the readout.

    Raises:
        NotApplicableError: the world has no broken pair, or several.
        UndefinedError: it lacks another of these items.
    """
    world = World.of(matrix)
    both, broken = _pairs(world)
    entailed = _one(world.of_role("entailed"), "entailed item")
    beyond = [
        world.gain(pair, entailed) - sum(world.gain(statement, entailed) for statement in _statements(world, pair))
        for pair in (both, broken)
    ]
    return Ratio(beyond[0] - beyond[1], _self_gain(world, both))


def _pairs(world: World) -> tuple[str, str]:
    """The premises of a world, and the broken pair."""
    broken = [item for item in world.of_role("broken") if "\n" in world.text(item)]
    if len(broken) != 1:  # some domains have none; crossed chains have many, and scores of their own
        raise NotApplicableError(f"expected one broken pair of premises, got {len(broken)}")
    return world.premises, broken[0]


def _statements(world: World, item: str) -> list[str]:
    """The items that say a statement of this one each."""
    alone = {world.text(other): other for other in world.row}
    lines = world.text(item).split("\n")
    if len(lines) < 2 or any(line not in alone for line in lines):
        raise UndefinedError(f"expected several statements in {item}, each learned alone too, got {world.text(item)!r}")
    return [alone[line] for line in lines]


def _self_gain(world: World, pair: str) -> float:
    return float(np.mean([world.self_gain(statement) for statement in _statements(world, pair)]))


def _words(world: World, item: str) -> list[str]:
    return sorted(world.text(item).split())


def _one(items: list[str], what: str) -> str:
    if len(items) != 1:
        raise UndefinedError(f"expected one {what}, got {', '.join(items) or 'none'}")
    return items[0]


SCORES = tuple(
    Score(
        name=measure.__name__,
        desideratum="transitivity and causality",
        better="higher",
        measure=measure,
        null=0.0,
        smooth=False,
    )
    for measure in (direction, synergy)
)
