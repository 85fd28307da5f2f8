"""Nonce words: pronounceable names, in which a model has learned nothing yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from influence.seeds import generator

SYLLABLES = """
    bam bel bim bor bu da del dol dri fa fen flo fum ga gil gor gre jal ji jon kel klar ko krom la lem lo lur mo mul na
    nim nor nu pa pel pim plo rem ril ro sel som su ta tem til tro va vem vo vul wa wen zan zem zil zor
"""
"""Any may follow any: they begin with a consonant, or with two that go together, and end in a vowel, l, m, n or r."""

FIRST, VOWELS, LAST = "bdfgjklmnprstvz", "aeiou", "bfghjkmpv"
"""Letters of a consonant-vowel-consonant syllable; with d, l, n, r or t at its end two would spell a thousand words."""

ENGLISH = """
    bella bordello dada dakota dana data della delta flotilla gala gilda grenada greta jivaro kokomo label labor lakota
    lana lapel lava lola model mona moro mozilla napa papa rosella sumo suva tabu taro vulva zorro
    gehrig laptop logjam magnum mukluk neglig pablum pavlov pogrom pompom ragtag septum sikkim tiptop zagreb zigzag
"""
"""The words of English that the syllables, and then the letters, can spell."""

MAX_DRAWS = 100_000
"""Strings tried before the filter is taken to be too narrow."""

TokenIds = Callable[[str], Sequence[int]]
"""Ids of a text's tokens, without special ones."""


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of a matched name, alone and after a space; the default suits Gemma 3.

    The plural is the same tokens and one more, so that it needs no count of its own.
    """

    bare: int = 3
    spaced: int = 3


def draw_names(
    *,
    worlds: int,
    size: int,
    seed: int,
    style: str = "paper",
    token_ids: TokenIds | None = None,
    counts: TokenCounts | None = None,
) -> list[list[str]]:
    """Fresh names for each world, in the order of their draw.

    No name is English or drawn twice, and all begin with a consonant, so that "a" is right before each. The names of
    the first worlds do not depend on how many follow.

    Args:
        worlds: how many worlds to name.
        size: names a world.
        seed: decides the names, together with the style and `size`.
        style: "paper", two to five syllables, blind to the tokenizer (Matelsky et al. 2024, section 3); or "matched",
            two consonant-vowel-consonant syllables of equally many tokens, none of them in two names of a world.
        token_ids: the tokenizer, for matched names.
        counts: tokens of a matched name; `TokenCounts()` where None.

    Returns:
        A list of `size` names for each world.

    Raises:
        ValueError: an unknown style, matched names without a tokenizer, or too few strings that pass the filter.
    """
    if style not in SPELLINGS:
        raise ValueError(f"expected names in style {' or '.join(SPELLINGS)}, got {style!r}; correct the style")
    if style == "matched" and token_ids is None:
        raise ValueError("expected token_ids for matched names, got None; pass the tokenizer's, or take style paper")
    counts = counts or TokenCounts()
    rng = generator(seed, "names", style)
    tried = set(ENGLISH.split())
    drawn: list[list[str]] = []
    for _ in range(worlds):
        names: list[str] = []
        taken: set[int] = set()
        while len(names) < size:
            if len(tried) == MAX_DRAWS:
                raise ValueError(
                    f"expected {worlds * size} names of {counts.bare} tokens, {counts.spaced} after a space, one more "
                    f"in the plural and none shared in a world, got {len(drawn) * size + len(names)} among {MAX_DRAWS} "
                    "strings; give other counts, ask for fewer worlds, or take style paper"
                )
            name = SPELLINGS[style](rng)
            if name in tried:
                continue
            tried.add(name)
            if style == "matched":
                assert token_ids is not None
                tokens = _matched_tokens(name, token_ids, counts)
                if not tokens or tokens & taken:
                    continue
                taken |= tokens
            names.append(name)
        drawn.append(names)
    return drawn


def _syllables(rng: np.random.Generator) -> str:
    return "".join(rng.choice(SYLLABLES.split(), size=rng.integers(2, 6)))


def _closed_syllables(rng: np.random.Generator) -> str:
    return "".join(letters[rng.integers(len(letters))] for letters in (FIRST, VOWELS, LAST) * 2)


SPELLINGS = {"paper": _syllables, "matched": _closed_syllables}
"""How a name of each style is spelled."""


def _matched_tokens(name: str, token_ids: TokenIds, counts: TokenCounts) -> set[int]:
    """Tokens of a name, bare and after a space, without the space's own; none where it does not match."""
    tokens: set[int] = set()
    for form, count in ((name, counts.bare), (f" {name}", counts.spaced)):
        ids, plural = list(token_ids(form)), list(token_ids(f"{form}s"))
        if len(ids) != count or plural[:-1] != ids:
            return set()
        tokens.update(ids)
    return tokens.difference(token_ids(" "))
