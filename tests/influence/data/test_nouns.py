import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from influence.arrays import Array
from influence.data.nouns import FRAMES, LEXICON, lexicon, noun_worlds
from influence.samples import check, without_inputs

EMBEDDING = [f"embed_{number}" for number in range(48)]


@pytest.fixture(scope="module")
def nouns() -> pd.DataFrame:
    return lexicon()


@pytest.fixture(scope="module")
def distances(nouns: pd.DataFrame) -> Array:
    """Euclidean, noun by noun."""
    points = nouns[EMBEDDING].to_numpy()
    return np.stack([np.sqrt(((points - point) ** 2).sum(1)) for point in points])


@pytest.fixture(scope="module")
def forty() -> pd.DataFrame:
    return noun_worlds(count=40, seed=0)


def test_the_lexicon_is_whole(nouns: pd.DataFrame) -> None:
    assert list(nouns) == ["category", "noun", *EMBEDDING]
    assert nouns["category"].value_counts().to_dict() == dict.fromkeys(nouns["category"].unique(), 42)
    assert nouns["category"].nunique() == 12
    assert nouns["noun"].is_unique
    assert all(re.fullmatch("[a-z]+", noun) for noun in nouns["noun"])
    assert nouns[["category", "noun"]].equals(nouns[["category", "noun"]].sort_values(["category", "noun"]))
    assert LEXICON.stat().st_size < 150_000


def test_embeddings_are_principal_components(nouns: pd.DataFrame) -> None:
    """About the mean and uncorrelated, the widest first, to the two decimals that are kept."""
    points = nouns[EMBEDDING].to_numpy()
    np.testing.assert_allclose(points.mean(0), 0, atol=0.002)
    covariance = np.cov(points.T)
    variance = np.diag(covariance)
    np.testing.assert_allclose(covariance, np.diag(variance), atol=2e-4)
    assert (np.diff(variance) < 1e-4).all()
    np.testing.assert_array_equal(points, points.round(2))


def test_nouns_of_a_category_lie_together(nouns: pd.DataFrame, distances: Array) -> None:
    category = nouns["category"].to_numpy()
    same, other = category[:, None] == category, ~np.eye(len(category), dtype=bool)
    assert distances[same & other].mean() == pytest.approx(0.967, abs=0.005)
    assert distances[~same].mean() == pytest.approx(1.219, abs=0.005)
    for name in set(category):
        assert distances[np.ix_(category == name, category == name)].mean() < 1.1
    nearest = np.where(other, distances, np.inf).argmin(1)
    assert (category[nearest] == category).mean() > 0.85  # by chance .08


@pytest.mark.parametrize(
    ("noun", "nearest"),
    [("violin", "cello"), ("salmon", "trout"), ("tiger", "leopard"), ("church", "chapel"), ("canoe", "kayak")],
)
def test_neighbours_are_alike(nouns: pd.DataFrame, distances: Array, noun: str, nearest: str) -> None:
    row = nouns["noun"].tolist().index(noun)
    assert nouns["noun"][distances[row].argsort()[1]] == nearest


def test_the_first_sentences_of_a_seed() -> None:
    table = noun_worlds(count=2, seed=3, categories=1, per_category=2)
    texts = [
        "We took a picture of the dulcimer yesterday.",
        "My brother still remembers the tabla very well.",
        "She wrote two poems about the bathrobe last winter.",
        "Most visitors liked the sandal best.",
    ]
    assert table["text"].tolist() == texts
    assert table["id"].tolist() == ["nouns-w0-dulcimer", "nouns-w0-tabla", "nouns-w1-bathrobe", "nouns-w1-sandal"]
    assert table["frame"].tolist() == [0, 1, 2, 3]
    assert table["num_statements"].tolist() == [1, 1, 1, 1]
    assert table["world"].tolist() == [0, 0, 1, 1]


def test_a_sentence_carries_its_noun_as_the_file_has_it(forty: pd.DataFrame) -> None:
    lines = [line for line in LEXICON.read_text().splitlines() if not line.startswith("#")]
    of_file = {row["noun"]: row for row in csv.DictReader(lines)}
    for sample in (forty.iloc[7], forty.iloc[-1]):
        row = of_file[sample["noun"]]
        assert sample["label"] == row["category"]
        assert [sample[name] for name in EMBEDDING] == [float(row[name]) for name in EMBEDDING]
    for sample in forty.to_dict("records"):
        assert sample["text"].replace(f"the {sample['noun']} ", "the {noun} ") == FRAMES[sample["frame"]]
        assert sample["noun"] in of_file


def test_no_noun_is_in_two_worlds(forty: pd.DataFrame) -> None:
    check(forty, "probe")
    assert forty["noun"].is_unique
    assert forty.groupby("world").size().tolist() == [12] * 40
    assert forty.groupby("world")["label"].nunique().tolist() == [2] * 40
    worlds_of = forty.drop_duplicates(["world", "label"])["label"].value_counts()
    assert sorted(worlds_of) == [6] * 4 + [7] * 8  # 80 places of 12 categories


def test_a_noun_comes_again_once_its_category_has_been_gone_through() -> None:
    table = noun_worlds(count=3, seed=0, categories=12, per_category=20, frames=1)
    times = table["noun"].value_counts()
    assert times.max() == 2
    assert (table[table["world"] < 2]["noun"].value_counts() == 1).all()
    assert table["id"].is_unique
    whole = noun_worlds(count=2, seed=0, categories=12, per_category=42)
    birds = whole[whole["label"] == "birds"]
    one, other = (group["noun"].tolist() for _, group in birds.groupby("world"))
    assert sorted(one) == sorted(other)
    assert sum(noun == same for noun, same in zip(one, other, strict=True)) < 10  # of 42; by chance 1


def test_frames_say_nothing_about_the_category(forty: pd.DataFrame) -> None:
    counts = forty.groupby(["world", "label"])["frame"].value_counts()
    assert (counts == 3).all()
    assert len(counts) == 40 * 2 * 2
    pairs = forty.groupby("world")["frame"].unique()
    assert Counter(map(tuple, pairs)) == {(0, 1): 14, (2, 3): 13, (4, 5): 13}


def test_frames_share_no_word_but_the() -> None:
    words = [set(re.findall("[a-z]+", frame.lower().replace("{noun}", ""))) for frame in FRAMES]
    for number, some in enumerate(words):
        for others in words[number + 1 :]:
            assert some & others == {"the"}


def test_more_worlds_keep_the_first(forty: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(noun_worlds(count=5, seed=0), forty[:60])
    pd.testing.assert_frame_equal(noun_worlds(count=40, seed=0), forty)


def test_another_seed_gives_other_sentences(forty: pd.DataFrame) -> None:
    other = noun_worlds(count=40, seed=1)
    assert len(set(other["text"]) & set(forty["text"])) < 120  # of 480; by chance about 80
    assert list(other["label"]) != list(forty["label"])


def test_saving_keeps_the_table(forty: pd.DataFrame, tmp_path: Path) -> None:
    forty.to_parquet(tmp_path / "probes.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "probes.parquet"), without_inputs(forty))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"count": 0}, "expected count of at least 1, got 0; correct it"),
        ({"categories": 0}, "expected categories of 1 to 12, got 0; correct it"),
        ({"categories": 13}, "expected categories of 1 to 12, got 13; correct it"),
        ({"per_category": 43}, "expected per_category of 1 to 42, got 43; correct it"),
        ({"frames": 7}, "expected frames of 1 to 6, got 7; correct it"),
        (
            {"frames": 4},
            "expected per_category to be a multiple of frames, got 6 and 4; a category has each frame equally often",
        ),
    ],
)
def test_impossible_worlds_are_refused(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        noun_worlds(**{"count": 1, "seed": 0, **wrong})
    assert str(caught.value) == sentence
