"""Noise on texts: copies that say the same less well."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from influence.seeds import generator

TYPO_RATE, CASE_RATE = 0.1, 0.5
"""Share of the letters that are mistyped, or whose case is changed."""

FILLER_RATE = 0.25
"""Share of the gaps between words that are filled."""

KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Letters as they stand side by side on a keyboard."""

FILLERS = ("um", "uh", "er", "like", "you know", "I mean", "well", "sort of")

HEDGES = (
    "Perhaps",
    "Maybe",
    "Possibly",
    "It seems that",
    "It might be that",
    "It is possible that",
    "I think that",
    "As far as I know,",
)


def typos(text: str, rng: np.random.Generator) -> str:
    """Mistype letters: exchange one with the next, or hit the key beside it, each as likely.

    A letter is hit wherever two may not be exchanged: at the end of a word, or before itself or another typo.
    """
    typed = list(text)
    chosen = _some([place for place, letter in enumerate(text) if _beside(letter)], TYPO_RATE, rng)
    for place in chosen:
        letter, following = text[place], text[place + 1 : place + 2]
        may_exchange = following.isalpha() and following != letter and place + 1 not in chosen
        if may_exchange and rng.random() < 0.5:
            typed[place : place + 2] = following, letter
        else:
            typed[place] = str(rng.choice(_beside(letter)))
    return "".join(typed)


def filler(text: str, rng: np.random.Generator) -> str:
    """Put words that say nothing between words, set off by commas."""
    words = text.split(" ")
    for place in _some(range(len(words) - 1), FILLER_RATE, rng):
        words[place] = f"{words[place].rstrip(',')}, {rng.choice(FILLERS)},"
    return " ".join(words)


def case(text: str, rng: np.random.Generator) -> str:
    """Change the case of letters."""
    changed = list(text)
    for place in _some([place for place, letter in enumerate(text) if letter.swapcase() != letter], CASE_RATE, rng):
        changed[place] = text[place].swapcase()
    return "".join(changed)


def hedge(text: str, rng: np.random.Generator) -> str:
    """Begin the sentence with words that take it half back; its own first letter becomes small."""
    return f"{rng.choice(HEDGES)} {text[:1].lower()}{text[1:]}"


NOISES: dict[str, Callable[[str, np.random.Generator], str]] = {
    "typos": typos,
    "filler": filler,
    "case": case,
    "hedge": hedge,
}
"""What a noise makes of a statement; it may hit any word, those that a sample is about too."""


def with_noise(samples: pd.DataFrame, *, noises: Sequence[str], draws: Sequence[int] = (0,), seed: int) -> pd.DataFrame:
    """The samples, each followed by its noisy copies.

    The noise of a copy depends on (seed, noise, id of the clean sample, draw) alone.

    Args:
        samples: clean texts, a statement a line; without marked spans or foils, which noise would make wrong.
        noises: keys of `NOISES`; none leaves the samples clean.
        draws: numbers of the noise draws; a sample has a copy of each noise for each.
        seed: decides the noise.

    Returns:
        The table with all columns of `samples` and, of noisy copies and of clean samples,

        ======  ======================================  =============
        id      <id of the clean>-<noise>-draw<draw>    as it was
        source  id of the clean sample                  its own id
        group   the noise                               "clean"
        noise   the noise                               ""
        sigma   1                                       0
        draw    the number of the draw                  0
        ======  ======================================  =============

    Raises:
        ValueError: an unknown or repeated noise or draw, no draw, spans or foils, or a text that a noise cannot change.
    """
    for name, values in {"noises": noises, "draws": draws}.items():
        if len(set(values)) < len(values):
            raise ValueError(f"expected each of {name} once, got {list(values)}; leave out the repeated")
    for noise in noises:
        if noise not in NOISES:
            raise ValueError(f"expected noises among {', '.join(NOISES)}, got {noise!r}; correct it")
    if noises and not draws:
        raise ValueError("expected at least one noise draw, got none; name some in draws, or leave out the noises")
    if noises and (marked := {"spans", "foil"} & set(samples)):
        raise ValueError(
            f"expected texts without {' or '.join(sorted(marked))}, which noise makes wrong; drop the column"
        )
    copies: list[dict[str, Any]] = []
    for sample in samples.to_dict("records"):
        clean = {str(name): value for name, value in sample.items()}
        clean |= {"source": clean["id"], "group": "clean", "noise": "", "sigma": 0.0, "draw": 0}
        copies += [clean, *(_copy(clean, noise, draw, seed) for noise in noises for draw in draws)]
    return pd.DataFrame(copies)


def _copy(clean: dict[str, Any], noise: str, draw: int, seed: int) -> dict[str, Any]:
    rng = generator(seed, "text noise", noise, clean["id"], draw)
    return clean | {
        "id": f"{clean['id']}-{noise}-draw{draw}",
        "text": "\n".join(NOISES[noise](statement, rng) for statement in clean["text"].split("\n")),
        "group": noise,
        "noise": noise,
        "sigma": 1.0,
        "draw": draw,
    }


def _beside(letter: str) -> list[str]:
    """The letters left and right of a letter on the keyboard, in its case; none beside anything else."""
    for row in KEYS:
        place = row.find(letter.lower())
        if place >= 0:
            beside = row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
            return list(beside.upper() if letter.isupper() else beside)
    return []


def _some(places: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
    """A share of the places, drawn without repeats, one at least."""
    if not places:
        raise ValueError(
            "expected statements of several words with letters, got one that noise cannot change; leave it out"
        )
    count = max(1, round(share * len(places)))
    return sorted(rng.choice(places, size=count, replace=False).tolist())
