import re
from itertools import chain

import numpy as np
import pytest

from influence.data import words
from influence.data.words import ENGLISH, FIRST, LAST, SYLLABLES, VOWELS, TokenCounts, draw_names
from tests.influence.data.toy_tokenizer import ToyTokenizer

PAPER = re.compile(f"(?:{'|'.join(SYLLABLES.split())}){{2,5}}")
MATCHED = re.compile(f"(?:[{FIRST}][{VOWELS}][{LAST}]){{2}}")
TOY_COUNTS = TokenCounts(bare=2, spaced=3)


def matched(**settings) -> list[list[str]]:
    settings = {"worlds": 40, "size": 5, "seed": 0, "token_ids": ToyTokenizer(), "counts": TOY_COUNTS} | settings
    return draw_names(style="matched", **settings)


def test_a_seed_names_its_worlds() -> None:
    assert draw_names(worlds=2, size=3, seed=0) == [
        ["pelpabam", "pakeldritro", "lemvemnazorvul"],
        ["bimnupelgamo", "temdripimnakel", "bamdolbamsu"],
    ]
    assert matched(worlds=1) == [["kogjam", "duflip", "pimdoh", "sugkuj", "vihfej"]]


@pytest.mark.parametrize("settings", [{"seed": 1}, {"style": "matched", "token_ids": ToyTokenizer()}])
def test_another_seed_or_style_gives_other_names(settings) -> None:
    settings = {"worlds": 5, "size": 8, "seed": 0, "counts": TOY_COUNTS} | settings
    assert draw_names(**settings) != draw_names(worlds=5, size=8, seed=0)


def test_more_worlds_keep_the_names_of_fewer() -> None:
    assert draw_names(worlds=40, size=8, seed=3)[:10] == draw_names(worlds=10, size=8, seed=3)
    assert matched(worlds=40)[:10] == matched(worlds=10)


def test_global_randomness_is_left_alone() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = draw_names(worlds=1, size=8, seed=0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert draw_names(worlds=1, size=8, seed=0) == first


def test_no_name_comes_twice() -> None:
    for drawn in (draw_names(worlds=140, size=8, seed=0), matched(worlds=140)):
        names = list(chain.from_iterable(drawn))
        assert len(names) == len(set(names)) == 140 * len(drawn[0])


def test_paper_names_have_two_to_five_syllables() -> None:
    names = list(chain.from_iterable(draw_names(worlds=40, size=8, seed=0)))
    assert [name for name in names if not PAPER.fullmatch(name)] == []
    # each number of syllables, 2 to 5, is a quarter of the names: 3.5 on average
    mean_length = np.mean([len(syllable) for syllable in SYLLABLES.split()]) * 3.5
    lengths = [len(name) for name in names]
    assert abs(np.mean(lengths) - mean_length) < 4 * np.std(lengths) / len(names) ** 0.5
    assert min(lengths) <= 5
    assert max(lengths) >= 13


def test_syllables_go_together() -> None:
    for syllable in SYLLABLES.split():
        assert re.fullmatch("(?:[bdfgjklmnprstvwz]|[bdfgkpt][lr])[aeiou][lmnr]?", syllable)
    assert len(set(SYLLABLES.split())) == len(SYLLABLES.split())


def test_every_listed_word_could_be_spelled_and_none_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ENGLISH.split():
        assert PAPER.fullmatch(word) or MATCHED.fullmatch(word), word
    drawn = draw_names(worlds=1, size=3, seed=0)[0], matched(worlds=1, size=3)[0]
    monkeypatch.setattr(words, "ENGLISH", f"{drawn[0][0]} {drawn[1][0]}")
    assert draw_names(worlds=1, size=3, seed=0)[0][:2] == drawn[0][1:]
    assert matched(worlds=1, size=3)[0][:2] == drawn[1][1:]


def test_matched_names_have_the_tokens_wanted() -> None:
    for name in chain.from_iterable(matched(worlds=140)):
        assert MATCHED.fullmatch(name)
        assert "z" not in (name[0], name[3])  # ` dek` alone would be `z|ek`: a token more
        assert name[-1] != "k"  # its plural is not its own tokens and one more


def test_matched_names_of_a_world_share_no_token() -> None:
    for names in matched(worlds=140):
        tokens = [{f" {name[0]}", name[1:3], name[:3], name[3:]} for name in names]  # ` z|up|dek` and `zup|dek`
        assert len(set.union(*tokens)) == sum(map(len, tokens))


def test_a_space_of_its_own_is_not_shared_by_names() -> None:
    tokenizer = ToyTokenizer(lone_space=True)
    assert tokenizer(" tapdef") == tokenizer(" ") + tokenizer("tap") + tokenizer("def")
    assert len(matched(worlds=2, token_ids=tokenizer)[1]) == 5


def test_a_filter_that_passes_too_few_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MAX_DRAWS", 500)
    sentence = (
        "expected 200 names of 7 tokens, 3 after a space, one more in the plural and none shared in a world, "
        "got 0 among 500 strings; give other counts, ask for fewer worlds, or take style paper"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        matched(counts=TokenCounts(bare=7, spaced=3))
    with pytest.raises(ValueError, match=r"expected 100000 names .* got [1-9]\d* among 500 strings"):
        matched(worlds=20000)


@pytest.mark.parametrize(
    ("style", "sentence"),
    [
        ("latin", "expected names in style paper or matched, got 'latin'; correct the style"),
        ("matched", "expected token_ids for matched names, got None; pass the tokenizer's, or take style paper"),
    ],
)
def test_an_impossible_style_is_refused(style: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        draw_names(worlds=1, size=1, seed=0, style=style)
