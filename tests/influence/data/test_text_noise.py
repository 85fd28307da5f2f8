import re

import numpy as np
import pandas as pd
import pytest

from influence.data.nouns import noun_worlds
from influence.data.text_noise import FILLERS, HEDGES, NOISES, case, filler, hedge, typos, with_noise
from influence.samples import check, sets_step_size

KINDS = ["typos", "filler", "case", "hedge"]
SENTENCE = "Nobody here had noticed the violin until now."  # 37 letters, 8 words
LONG = " ".join([SENTENCE] * 50)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mistakes(text: str, typed: str) -> tuple[int, int]:
    """How many letters were exchanged with the next, and how many replaced by the key beside them."""
    beside = {"qw", "we", "er", "rt", "ty", "yu", "ui", "io", "op", "as", "sd", "df", "fg", "gh", "hj", "jk", "kl"}
    beside |= {"zx", "xc", "cv", "vb", "bn", "nm"}
    exchanged = replaced = place = 0
    while place < len(text):
        if text[place] == typed[place]:
            place += 1
            continue
        pair = (text[place] + typed[place]).lower()
        if {pair, pair[::-1]} & beside and text[place : place + 2] != typed[place : place + 2][::-1]:
            assert text[place].isupper() == typed[place].isupper()
            replaced += 1
            place += 1
        else:
            assert text[place : place + 2] == typed[place : place + 2][::-1]
            assert text[place : place + 2].isalpha()
            exchanged += 1
            place += 2
    return exchanged, replaced


def test_a_tenth_of_the_letters_is_mistyped() -> None:
    typed = typos(LONG, rng())
    assert len(typed) == len(LONG)
    exchanged, replaced = mistakes(LONG, typed)
    assert exchanged + replaced == 185  # of 50 x 37
    # Half of those that may be exchanged, which are three in four: 8 of 37 letters end a word.
    assert 45 < exchanged < 95


def test_equal_letters_are_not_exchanged() -> None:
    assert sorted(typos("a" * 200, rng())) == ["a"] * 180 + ["s"] * 20


def test_a_short_word_is_mistyped_once() -> None:
    assert {typos("Pam", rng(seed)) for seed in range(100)} == {"Oam", "aPm", "Psm", "Pma", "Pan"}


def test_a_quarter_of_the_gaps_is_filled() -> None:
    filled = filler(LONG, rng())
    used = re.findall(rf", ({'|'.join(FILLERS)}),", filled)
    assert len(used) == 100  # of 399
    assert set(used) == set(FILLERS)
    assert re.sub(rf", ({'|'.join(FILLERS)}),", "", filled) == LONG
    assert filler("Well, yes", rng()).count(",") == 2  # its own comma is not doubled


def test_half_of_the_letters_change_their_case() -> None:
    changed = case(LONG, rng())
    assert changed.lower() == LONG.lower()
    assert sum(one != other for one, other in zip(LONG, changed, strict=True)) == 925
    assert case("1 x 2", rng()) == "1 X 2"


def test_a_hedge_stands_before_the_sentence() -> None:
    hedged = {hedge(SENTENCE, rng(seed)) for seed in range(100)}
    assert hedged == {f"{words} nobody here had noticed the violin until now." for words in HEDGES}


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return noun_worlds(count=3, seed=0, categories=1, per_category=2)


@pytest.fixture(scope="module")
def noisy(clean: pd.DataFrame) -> pd.DataFrame:
    return with_noise(clean, noises=KINDS, draws=[0, 1], seed=0)


def test_every_copy_has_its_source(clean: pd.DataFrame, noisy: pd.DataFrame) -> None:
    check(noisy, "probe")
    assert len(noisy) == 6 * (1 + 4 * 2)
    assert noisy["world"].tolist() == [world for world in range(3) for _ in range(18)]
    texts = clean.set_index("id")["text"]
    is_noisy = noisy["noise"] != ""
    for copy in noisy[is_noisy].to_dict("records"):
        assert copy["id"] == f"{copy['source']}-{copy['noise']}-draw{copy['draw']}"
        assert copy["text"] != texts[copy["source"]]
        assert copy["group"] == copy["noise"]
        assert copy["sigma"] == 1
    counts = noisy[is_noisy].groupby(["source", "noise", "draw"]).size()
    assert len(counts) == 6 * 4 * 2
    same = ["world", "label", "noun", "frame", "num_statements", *clean.filter(like="embed_")]
    pd.testing.assert_frame_equal(noisy[same], clean.set_index("id").loc[noisy["source"], same].reset_index(drop=True))


def test_the_clean_samples_stay_as_they_are(clean: pd.DataFrame, noisy: pd.DataFrame) -> None:
    kept = noisy[noisy["noise"] == ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[list(clean)], clean)
    assert kept["source"].tolist() == kept["id"].tolist()
    assert kept[["group", "sigma", "draw"]].drop_duplicates().to_numpy().tolist() == [["clean", 0.0, 0]]
    np.testing.assert_array_equal(sets_step_size(noisy), noisy["noise"] == "")
    pd.testing.assert_frame_equal(with_noise(clean, noises=[], seed=0), kept)


def test_the_noise_of_a_copy_is_its_own(clean: pd.DataFrame, noisy: pd.DataFrame) -> None:
    texts = noisy.set_index("id")["text"]
    fewer = with_noise(clean[2:4], noises=["case", "typos"], draws=[1], seed=0)
    assert fewer["text"].tolist() == texts[fewer["id"]].tolist()
    copies = noisy[noisy["noise"].isin(["typos", "case"])]
    assert copies["text"].is_unique  # the two draws too
    other = with_noise(clean, noises=["typos", "case"], draws=[0, 1], seed=1)
    assert not set(other["text"][other["noise"] != ""]) & set(copies["text"])
    twins = pd.DataFrame({"id": ["one", "other"], "text": [SENTENCE, SENTENCE]})
    assert with_noise(twins, noises=["case"], seed=0)["text"].nunique() == 3


def test_a_typo_may_hit_the_noun(noisy: pd.DataFrame) -> None:
    typed = noisy[noisy["noise"] == "typos"]
    spared = [noun in text for noun, text in zip(typed["noun"], typed["text"], strict=True)]
    assert 0 < sum(spared) < len(spared)


def test_every_statement_has_its_own_noise() -> None:
    two = pd.DataFrame({"id": ["two"], "text": ["Nobody came.\nHe drew it."]})
    texts = with_noise(two, noises=["hedge", "filler"], draws=[0], seed=0)["text"]
    first, second = texts[1].split("\n")
    assert first.removesuffix(" nobody came.") in HEDGES
    assert second.removesuffix(" he drew it.") in HEDGES
    assert [line.count(",") for line in texts[2].split("\n")] == [2, 2]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"noises": ["typo"]}, "expected noises among typos, filler, case, hedge, got 'typo'; correct it"),
        ({"noises": ["case", "case"]}, "expected each of noises once, got ['case', 'case']; leave out the repeated"),
        ({"draws": [1, 1]}, "expected each of draws once, got [1, 1]; leave out the repeated"),
        ({"draws": []}, "expected at least one noise draw, got none; name some in draws, or leave out the noises"),
    ],
)
def test_impossible_noise_is_refused(clean: pd.DataFrame, wrong: dict[str, list[object]], sentence: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        with_noise(clean, **{"noises": ["typos"], "seed": 0, **wrong})
    assert str(caught.value) == sentence


def test_marked_texts_are_refused(clean: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"^expected texts without foil or spans, which noise makes wrong; drop the "):
        with_noise(clean.assign(spans="[]", foil="x"), noises=["typos"], seed=0)
    assert "spans" in with_noise(clean.assign(spans="[]"), noises=[], seed=0)


@pytest.mark.parametrize(("noise", "text"), [("typos", "1 2"), ("filler", "Rain."), ("case", "1 2")])
def test_a_text_that_cannot_change_is_refused(noise: str, text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^expected statements of several words with letters, got one that noise cannot"
    ):
        NOISES[noise](text, rng())
