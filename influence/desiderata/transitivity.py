"""Transitivity and causality: does learning the links of a chain teach what follows, and not their words alone.

Read on the crossed chains of `influence.data.chains`, whose pairings u say the same words and differ in who shares a
mediator. Every score is built of one contrast after learning pairing u: of a relation between the names X, X' and Y, Y'

    K_u = 1/2 [M(u -> Y|X) - M(u -> Y'|X) + M(u -> Y'|X') - M(u -> Y|X')],

how much more likely became Y after X than after X', and Y' the other way round. Read as `span_log_prob`, M is of the
last name alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np

from influence.data.chains import item_id
from influence.desiderata.items import World
from influence.desiderata.spec import Condition, Criterion, NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.stats.student import mean_interval

SHARE = 0.25
"""Of a link's strength, that the conclusion is to exceed: composing is to bring more than a trace."""

MIN_WORLDS = 20
"""That are judged: being crossed, each has many conditions. In fewer an interval is wide whatever was learned."""

LEAST_JOINTLY = 0.5
"""Of what a link gains when it is learned alone, that it must gain with the others."""


@dataclass(frozen=True, eq=False)
class Chains:
    """Gains of the crossed chains of a world.

    Attributes:
        world: its items.
        length: links of a chain, k.
    """

    world: World
    length: int

    @classmethod
    def of(cls, matrix: InfluenceMatrix) -> Self:
        """The chains of a matrix.

        Raises:
            NotApplicableError: the samples are no crossed chains.
            UndefinedError: the matrix holds several worlds.
        """
        world = World.of(matrix)
        length = sum(item.startswith("link") and item.endswith("_11") for item in world.column)
        if not length or "conclusion_00" not in world.column:
            raise NotApplicableError("expected the links and conclusions of crossed chains, got none")
        return cls(world, length)

    def contrast(self, kind: str, read: str, links: Sequence[int]) -> float:
        """Mean over the pairings u of (-1)^(sum of u_i over these links) K_u.

        Args:
            kind: of pairings, "joint" or "broken".
            read: the relation, "link1", ... or "conclusion".
            links: numbers of links, from 1.
        """
        pairings = list(product((0, 1), repeat=self.length))
        signs = [(-1) ** sum(bits[link - 1] for link in links) for bits in pairings]
        return float(np.mean([sign * self._k(kind, bits, read) for sign, bits in zip(signs, pairings, strict=True)]))

    def transitivity(self, kind: str) -> float:
        """T of a kind of pairings."""
        return self.contrast(kind, "conclusion", range(1, self.length + 1))

    def strength(self, link: int) -> float:
        """D_i of link i."""
        return self.contrast("joint", self._link(link), [link])

    def gains(self, link: int) -> Ratio:
        """Mean gain of the two statements of a link over the pairings that hold them, and that of its first alone."""
        read = self._link(link)
        jointly = [
            self.world.gain(item_id("joint", bits), item_id(read, (side, side ^ bits[link - 1])))
            for bits in product((0, 1), repeat=self.length)
            for side in (0, 1)
        ]
        first = item_id(read, (0, 0))
        return Ratio(float(np.mean(jointly)), self.world.gain(first, first))

    def _k(self, kind: str, bits: Sequence[int], read: str) -> float:
        gains = [
            self.world.gain(item_id(kind, bits), item_id(read, names)) for names in ((0, 0), (0, 1), (1, 1), (1, 0))
        ]
        return (gains[0] - gains[1] + gains[2] - gains[3]) / 2

    def _link(self, link: int) -> str:
        if link > self.length:
            raise UndefinedError(f"expected chains of at least {link} links, got {self.length}")
        return f"link{link}"


def transitivity(matrix: InfluenceMatrix) -> Ratio:
    """T = mean over the pairings u of (-1)^(u_1 + ... + u_k) K_u, K_u of the conclusions.

    How much the name at the end that follows gains on the one that does not. 0 in every world where the links act one
    by one, as their gains cancel, and 0 on average over names for a learner blind to who shares a mediator.

    Args:
        matrix: of one world of crossed chains.

    Returns:
        T, in the unit of the readout.

    Raises:
        NotApplicableError: the samples are no crossed chains.
        UndefinedError: a pairing is missing.
    """
    return Ratio(Chains.of(matrix).transitivity("joint"))


def transitivity_of_broken(matrix: InfluenceMatrix) -> Ratio:
    """T of chains whose links share no mediator: a placebo, 0 on average over names for every learner.

    Args and errors are those of `transitivity`; NotApplicableError also where no chains are broken.
    """
    chains = Chains.of(matrix)
    if not chains.world.of_role("broken"):
        raise NotApplicableError("expected broken chains among the probes, got none")
    return Ratio(chains.transitivity("broken"))


def link_strength(matrix: InfluenceMatrix, *, link: int) -> Ratio:
    """D_i = mean over the pairings u of (-1)^(u_i) K_u, K_u of the statements of link i.

    How much the learned one of two names gains on the other: what there is to compose of.

    Args:
        matrix: of one world of crossed chains.
        link: i, from 1.

    Returns:
        D_i, in the unit of the readout.

    Raises:
        NotApplicableError: the samples are no crossed chains.
        UndefinedError: there is no such link, or a pairing is missing.
    """
    return Ratio(Chains.of(matrix).strength(link))


def transitivity_margin(matrix: InfluenceMatrix, *, link: int) -> Ratio:
    """L_i = T - 1/4 D_i: T alone is above 0 by a trace where nothing is composed. Above 0 is good, for every link.

    Args and errors are those of `link_strength`.
    """
    chains = Chains.of(matrix)
    return Ratio(chains.transitivity("joint") - SHARE * chains.strength(link))


def link_gate(matrix: InfluenceMatrix, *, link: int) -> Ratio:
    """Mean gain of a link's statements where they are learned with all others, over that of one learned alone.

    Over worlds this is a ratio of means. Below 1/2 the link is not learned, and nothing is concluded from T. Args and
    errors are those of `link_strength`.
    """
    return Chains.of(matrix).gains(link)


def gate(units: Sequence[InfluenceMatrix]) -> str:
    """Why nothing can be concluded from these worlds, one clause, or "".

    On means over all of them, since leaving out worlds that fail would select by what is measured: each link gains with
    the others at least half of what it gains alone, and each D_i is above 0: in worlds enough to be judged, its whole
    95 % interval.
    """
    try:
        chains = [Chains.of(unit) for unit in units]
        for link in range(1, chains[0].length + 1):
            gains = [chain.gains(link) for chain in chains]
            jointly = float(np.mean([gain.numerator for gain in gains]))
            alone = float(np.mean([gain.denominator for gain in gains]))
            if not jointly >= LEAST_JOINTLY * alone:
                return f"link {link} gains {jointly:.2g} with the others, less than half of {alone:.2g} alone"
            strength = mean_interval(np.array([chain.strength(link) for chain in chains]))
            if not (strength.low if len(units) >= MIN_WORLDS else strength.value) > 0:
                return f"the strength of link {link} is not above 0 ({strength.low:.2g} to {strength.high:.2g})"
    except UndefinedError as reason:
        return str(reason)
    return ""


def links(units: Sequence[InfluenceMatrix]) -> list[Condition]:
    """The links that the units have; of the first alone where there are no chains, which the score then says."""
    try:
        length = Chains.of(units[0]).length
    except UndefinedError:
        length = 1
    return [{"link": link} for link in range(1, length + 1)]


SCORES = (
    Score(
        name="transitivity",
        desideratum="transitivity and causality",
        unit="{readout}",
        better="higher",
        measure=transitivity,
        null=0.0,
        smooth=False,
    ),
    Score(
        name="transitivity_margin",
        desideratum="transitivity and causality",
        unit="{readout}",
        better="higher",
        measure=transitivity_margin,
        null=0.0,
        conditions=links,
        criterion=Criterion(threshold=0.0, self_gain=1.0, num_steps=8, units={"worlds": MIN_WORLDS}, gate=gate),
        smooth=False,
    ),
    Score(
        name="link_strength",
        desideratum="transitivity and causality",
        unit="{readout}",
        better="higher",
        measure=link_strength,
        null=0.0,
        conditions=links,
        smooth=False,
    ),
    Score(
        name="link_gate",
        desideratum="transitivity and causality",
        better="higher",
        measure=link_gate,
        conditions=links,
        smooth=False,
    ),
    Score(
        name="transitivity_broken",
        desideratum="transitivity and causality",
        unit="{readout}",
        measure=transitivity_of_broken,
        null=0.0,
        smooth=False,
    ),
)
