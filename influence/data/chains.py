"""Crossed chains: two chains whose links cross or not, so that only who shares a mediator tells what follows.

A world has the names X_0, ..., X_k and X'_0, ..., X'_k, in the slots A, B, C, ... and A', B', C', .... A pairing is a
bit u_i for each link i = 1, ..., k: its statements are R_i(X_(i-1), X_i) and R_i(X'_(i-1), X'_i) where the bit is 0,
and R_i(X_(i-1), X'_i) and R_i(X'_(i-1), X_i) where it is 1. All pairings say the same words, each name in the same
places; X_0 leads to X_k where the sum of the bits is even, else to X'_k.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from string import ascii_uppercase

import pandas as pd

from influence.data.domains import ROLES, SLOT, Domain, Item
from influence.data.words import TokenCounts, TokenIds
from influence.data.worlds import name_worlds, sample
from influence.seeds import generator

MAX_LENGTH = len(ascii_uppercase) // 2
"""Links that there are letters for, the mediators of broken chains among them."""


def chains(
    domain: Domain,
    *,
    length: int = 2,
    count: int,
    seed: int,
    style: str = "matched",
    token_ids: TokenIds | None = None,
    counts: TokenCounts | None = None,
    broken: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probes and targets of crossed chains in each of `count` worlds with names of their own.

    Args:
        domain: has the relations of the links and of the conclusion, see `crossed`.
        length: links of a chain, k.
        count: how many worlds.
        seed: decides the names and the order of statements.
        style: of the names, see `influence.data.words.draw_names`; where they are matched, contrasts compare names of
            equally many tokens.
        token_ids: the tokenizer, for matched names.
        counts: tokens of a matched name; `TokenCounts()` where None.
        broken: add the pairings of chains that share no mediator, from which nothing follows. The names are the same
            with and without them.

    Returns:
        Two tables with the columns of `influence.data.worlds.worlds`. Names of the items end in bits, of the links in
        order or of the two names, where 1 is X':

        ===============  =========================================================================  ======
        joint_01         a pairing, its 2 k statements in an order that the pairings of a world share  probe
        broken_01        the same where every link has mediators of its own                         probe
        link1_00         R_1(X_0, X_1), learned alone                                               both
        link1_01         R_1(X_0, X'_1); and link1_10, link1_11                                     target
        conclusion_01    the conclusion from X_0 to X'_k; and the other three                       target
        ===============  =========================================================================  ======

        What is `expected` is said of joint_00.

    Raises:
        ValueError: see `crossed` and `influence.data.worlds.name_worlds`.
    """
    crossing = crossed(domain, length=length, broken=broken)
    named = name_worlds(crossing, count=count, seed=seed, style=style, token_ids=token_ids, counts=counts)
    samples = []
    for world, names in enumerate(named):
        order = generator(seed, "order of statements", world).permutation(2 * length).tolist()
        samples += [sample(crossing, _ordered(item, order), world, names) for item in crossing.items]
    table = pd.DataFrame(samples)
    is_pairing = table["role"].isin(["both", "broken"])
    is_alone = table["item"].isin([item_id(f"link{link}", (0, 0)) for link in range(1, length + 1)])
    probes, targets = table[is_pairing | is_alone], table[~is_pairing]
    return probes.reset_index(drop=True), targets.reset_index(drop=True)


def crossed(domain: Domain, *, length: int, broken: bool = False) -> Domain:
    """The items of crossed chains as a domain.

    Link i < k says what the domain's item of role p1 says of A and B, link k what that of role p2 says of B and C, the
    conclusion what that of role entailed says of A and C.

    Raises:
        ValueError: the domain lacks one of these items, or it does not end in its last name, which is what
            `span_log_prob` reads; or a length for which there are no chains or no letters.
    """
    if not 2 <= length <= MAX_LENGTH:
        raise ValueError(f"expected chains of 2 to {MAX_LENGTH} links, got length={length}; correct it")
    p1, p2, entailed = (
        _relation(domain, role, *slots) for role, slots in (("p1", "AB"), ("p2", "BC"), ("entailed", "AC"))
    )
    node = [(letter, f"{letter}'") for letter in ascii_uppercase[: 2 * length]]
    links = [*([p1] * (length - 1)), p2]
    right = node[1 : length + 1]
    sharing, apart = node[:length], [node[0], *node[length + 1 :]]

    def pairing(role: str, left: Sequence[tuple[str, str]], bits: Sequence[int]) -> Item:
        statements = tuple(
            _said(link, start[side], end[side ^ bit])
            for link, start, end, bit in zip(links, left, right, bits, strict=True)
            for side in (0, 1)
        )
        kind = ROLES[role]
        return Item(
            id=item_id("joint" if role == "both" else role, bits),
            role=role,
            statements=statements,
            desideratum=kind.desideratum,
            expected=kind.expected,
            of="",
        )

    def relations(kind: str, item: Item, start: tuple[str, str], end: tuple[str, str]) -> list[Item]:
        return [
            replace(
                item,
                id=item_id(kind, (one, other)),
                statements=(_said(item, start[one], end[other]),),
                expected=item.expected if one == other else "none",
            )
            for one, other in product((0, 1), repeat=2)
        ]

    pairings = list(product((0, 1), repeat=length))
    items = [pairing("both", sharing, bits) for bits in pairings]
    for number, (link, start, end) in enumerate(zip(links, sharing, right, strict=True), start=1):
        items += relations(f"link{number}", link, start, end)
    items += relations("conclusion", entailed, node[0], node[length])
    if broken:
        items += [pairing("broken", apart, bits) for bits in pairings]
    slots = (*(plain for plain, _ in node), *(primed for _, primed in node))
    return replace(domain, slots=slots, premises=items[0].id, items=tuple(items))


def item_id(kind: str, bits: Sequence[int]) -> str:
    """Name of an item: "joint", "broken", "link1", ... or "conclusion", and its bits.

    >>> item_id("joint", (0, 1))
    'joint_01'
    """
    return f"{kind}_{''.join(map(str, bits))}"


def _relation(domain: Domain, role: str, first: str, last: str) -> Item:
    """The one item of a role, about these two names, of which the last is its last."""
    items = [item for item in domain.items if item.role == role]
    if len(items) == 1 and len(items[0].statements) == 1:
        slots = SLOT.findall(items[0].statements[0])
        if set(slots) == {first, last} and slots[-1] == last:
            return items[0]
    got = ", ".join(repr("; ".join(item.statements)) for item in items) or "none"
    raise ValueError(
        f"expected one item of role {role} in {domain.name} that leads from {{{first}}} to {{{last}}} at its end, got "
        f"{got}; choose another domain to make chains of"
    )


def _said(item: Item, start: str, end: str) -> str:
    """The item's statement about two other names."""
    slots = sorted(item.slots)
    name = {slots[0]: start, slots[1]: end}
    return SLOT.sub(lambda slot: f"{{{name[slot[1]]}}}", item.statements[0])


def _ordered(item: Item, order: Sequence[int]) -> Item:
    """A pairing with its statements in that order; a single statement as it is."""
    if len(item.statements) == 1:
        return item
    return replace(item, statements=tuple(item.statements[place] for place in order))
