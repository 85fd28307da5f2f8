"""Worlds: draws of names for a domain, as a table of samples that are texts."""

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from influence.data.domains import SLOT, Domain, Item
from influence.data.words import TokenCounts, TokenIds, draw_names


def worlds(
    domain: Domain,
    *,
    count: int,
    seed: int,
    style: str = "paper",
    token_ids: TokenIds | None = None,
    counts: TokenCounts | None = None,
) -> pd.DataFrame:
    """Every item of a domain in each of `count` worlds with names of their own, world by world.

    The names depend on (seed, style, number of slots) alone, so that domains with equally many slots are compared on
    equal names, and the first worlds are the same however many follow.

    Args:
        domain: the templates.
        count: how many worlds.
        seed: decides the names.
        style: "paper" or "matched": see `influence.data.words.draw_names`.
        token_ids: the tokenizer, for matched names.
        counts: tokens of a matched name; `TokenCounts()` where None.

    Returns:
        A table of text and numbers only, which saving keeps as it is, with the columns

        ==============  =====================================================================================
        id              <domain>-w<world>-<item>
        world           its number, from 0
        item, role      see `influence.data.domains.Item`
        text            the statements, one a line: what a model reads
        num_statements  lines of the text
        desideratum     what the item tests
        expected        what learning the premises should do to it: a key of `influence.data.domains.EXPECTED`
        premises        the item that holds these premises
        overlap         what it has in common with them: see `influence.data.domains.Domain.overlap`
        of              the item that it rewords, contradicts or turns round, or ""
        names           the world's name in each slot, as JSON: {"A": "klarbu", ...}
        spans           where names stand in the text, as JSON: [[slot, start, stop], ...], without a plural's s
        ==============  =====================================================================================

    Raises:
        ValueError: see `name_worlds`.
    """
    named = name_worlds(domain, count=count, seed=seed, style=style, token_ids=token_ids, counts=counts)
    samples = [sample(domain, item, world, names) for world, names in enumerate(named) for item in domain.items]
    return pd.DataFrame(samples)


def name_worlds(
    domain: Domain,
    *,
    count: int,
    seed: int,
    style: str,
    token_ids: TokenIds | None,
    counts: TokenCounts | None,
) -> list[dict[str, str]]:
    """The name in each slot of a domain, for each of `count` worlds; see `worlds`.

    Raises:
        ValueError: no worlds; more than one of a domain without slots; or names that cannot be drawn.
    """
    if count < 1:
        raise ValueError(f"expected at least one world, got count={count}; raise it")
    if not domain.slots and count > 1:
        raise ValueError(
            f"expected one world of {domain.name}, which has no names to draw, got count={count}; set it to 1"
        )
    size = len(domain.slots)
    drawn = draw_names(worlds=count, size=size, seed=seed, style=style, token_ids=token_ids, counts=counts)
    # A matched name drawn late had to avoid more tokens: each role has each place in the draw equally often.
    return [
        {slot: names[(role + world) % size] for role, slot in enumerate(domain.slots)}
        for world, names in enumerate(drawn)
    ]


def sample(domain: Domain, item: Item, world: int, names: Mapping[str, str]) -> dict[str, object]:
    """A row of the table of `worlds`."""
    text, spans = fill("\n".join(item.statements), names)
    return {
        "id": f"{domain.name}-w{world}-{item.id}",
        "world": world,
        "item": item.id,
        "role": item.role,
        "text": text,
        "num_statements": len(item.statements),
        "desideratum": item.desideratum,
        "expected": item.expected,
        "premises": domain.premises,
        "overlap": domain.overlap(item),
        "of": item.of,
        "names": json.dumps(names),
        "spans": json.dumps(spans),
    }


def fill(template: str, names: Mapping[str, str]) -> tuple[str, list[tuple[str, int, int]]]:
    """A template with names in its slots, and where each stands.

    >>> fill("all {B}s have a {C}", {"B": "pimjon", "C": "tem"})
    ('all pimjons have a tem', [('B', 4, 10), ('C', 19, 22)])

    Returns:
        The text, and (slot, start, stop) of each name in it, in order.
    """
    text, spans = "", []
    for position, part in enumerate(SLOT.split(template)):  # text, slot, text, slot, ..., text
        if position % 2 == 1:
            spans.append((part, len(text), len(text) + len(names[part])))
        text += names[part] if position % 2 == 1 else part
    return text, spans


def unfilled(text: str, spans: Sequence[tuple[str, int, int]]) -> str:
    """A text with its slots in place of its names: how figures label it in every world alike.

    >>> unfilled("all pimjons have a tem", [("B", 4, 10), ("C", 19, 22)])
    'all Bs have a C'
    """
    parts, last = [], 0
    for slot, start, stop in spans:
        parts += [text[last:start], slot]
        last = stop
    return "".join([*parts, text[last:]])
