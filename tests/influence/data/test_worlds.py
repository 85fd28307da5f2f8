import json
import re
from pathlib import Path

import pandas as pd
import pytest

from influence.data.domains import Domain, load
from influence.data.words import TokenCounts, draw_names
from influence.data.worlds import fill, worlds
from influence.samples import check, digest, without_inputs
from tests.influence.data.toy_tokenizer import ToyTokenizer

SHIPPED = sorted((Path(__file__).parents[3] / "conf" / "domain").glob("*.yaml"))
TEXT = """\
about: what of parallel chains?
slots: [A, B, A', B', C]
premises: both
items:
  both: ["a {A} is a {B}", "{A'}s are {B'}s"]
  entailed: "{A}s, every {A} and the {C}: {C}s"
  contradicted: {of: entailed, text: "no {B'}"}
"""


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    path = tmp_path / "chains.yaml"
    path.write_text(TEXT)
    return load(path)


def shipped(name: str) -> Domain:
    return load(next(path for path in SHIPPED if path.stem == name))


def names_of(table: pd.DataFrame) -> list[dict[str, str]]:
    """The names of each world."""
    return [json.loads(names) for names in table.groupby("world")["names"].first()]


def test_the_first_world_of_a_seed() -> None:
    table = worlds(shipped("bigger_than"), count=1, seed=3)
    assert table["id"].tolist() == [
        f"bigger_than-w0-{item}" for item in ("both", "p1", "p2", "entailed", "contradicted")
    ]
    p1, p2 = "bamdolnorko is bigger than jonmozor", "jonmozor is bigger than vemdri"
    assert table["text"].tolist() == [
        f"{p1}\n{p2}",
        p1,
        p2,
        "bamdolnorko is bigger than vemdri",
        "vemdri is bigger than bamdolnorko",
    ]
    assert table.iloc[0].to_dict() == {
        "id": "bigger_than-w0-both",
        "world": 0,
        "item": "both",
        "role": "both",
        "text": f"{p1}\n{p2}",
        "num_statements": 2,
        "desideratum": "memorisation",
        "expected": "strongly up",
        "premises": "both",
        "overlap": "same",
        "of": "",
        "names": '{"A": "bamdolnorko", "B": "jonmozor", "C": "vemdri"}',
        "spans": '[["A", 0, 11], ["B", 27, 35], ["B", 36, 44], ["C", 60, 66]]',
    }


def test_worlds_follow_each_other_whole(domain: Domain) -> None:
    table = worlds(domain, count=12, seed=0)
    check(table, "probe")
    assert table["world"].tolist() == [world for world in range(12) for _ in range(3)]
    assert table["item"].tolist() == ["both", "entailed", "contradicted"] * 12
    assert table["num_statements"].tolist() == [2, 1, 1] * 12
    assert table["of"].tolist() == ["", "", "entailed"] * 12
    assert set(table["premises"]) == {"both"}


def test_saving_keeps_the_table(domain: Domain, tmp_path: Path) -> None:
    table = worlds(domain, count=2, seed=0)
    pd.testing.assert_frame_equal(without_inputs(table), table)
    table.to_parquet(tmp_path / "probes.parquet", index=False)
    read = pd.read_parquet(tmp_path / "probes.parquet")
    pd.testing.assert_frame_equal(read, table)
    assert digest(read) == digest(table)
    assert read["text"][0].split("\n") == [
        fill(statement, names_of(table)[0])[0] for statement in domain.items[0].statements
    ]


def test_statements_are_filled_and_spans_mark_the_names() -> None:
    names = {"A": "dal", "B": "mo", "A'": "dalmo", "B'": "kromzorplovemtro"}
    assert fill("a {A} is a {B}\n{A'}s are {B'}s, {A}", names) == (
        "a dal is a mo\ndalmos are kromzorplovemtros, dal",
        [("A", 2, 5), ("B", 11, 13), ("A'", 14, 19), ("B'", 25, 41), ("A", 44, 47)],
    )
    assert fill("Rain fell.", names) == ("Rain fell.", [])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_world_reads_well(path: Path) -> None:
    domain = load(path)
    table = worlds(domain, count=40 if domain.slots else 1, seed=0)
    check(table, "probe")
    for row in table.to_dict("records"):
        assert not re.search(r"[{}]|  |^ | $|\ba [aeiou]|\ban\b", row["text"], re.MULTILINE), row["text"]
        names, item = json.loads(row["names"]), next(item for item in domain.items if item.id == row["item"])
        marked = [(slot, row["text"][start:stop]) for slot, start, stop in json.loads(row["spans"])]
        in_order = [slot for statement in item.statements for slot in re.findall(r"\{(.*?)\}", statement)]
        assert marked == [(slot, names[slot]) for slot in in_order]
        for _, start, stop in json.loads(row["spans"]):  # whole words, or the singular in a plural
            assert re.fullmatch(r"\W?", row["text"][max(start - 1, 0) : start])
            assert re.match(r"s?(\W|$)", row["text"][stop:])
        assert row["text"].count("\n") + 1 == row["num_statements"] == len(item.statements)


def test_no_name_is_in_two_worlds() -> None:
    names = [name for world in names_of(worlds(shipped("taxonomy"), count=40, seed=0)) for name in world.values()]
    assert len(set(names)) == 40 * 8


def test_names_rotate_over_roles(domain: Domain) -> None:
    drawn = draw_names(worlds=10, size=5, seed=0)
    worn = names_of(worlds(domain, count=10, seed=0))
    places = [[names.index(name) for name in world.values()] for names, world in zip(drawn, worn, strict=True)]
    square = places[:5]
    assert places[5:] == square
    assert all(sorted(row) == [0, 1, 2, 3, 4] for row in square)
    assert all(sorted(column) == [0, 1, 2, 3, 4] for column in zip(*square, strict=True))


def test_more_worlds_keep_the_first(domain: Domain) -> None:
    pd.testing.assert_frame_equal(worlds(domain, count=40, seed=1)[: 3 * 10], worlds(domain, count=10, seed=1))


def test_another_seed_gives_other_worlds(domain: Domain) -> None:
    first, second = (set(worlds(domain, count=10, seed=seed)["text"]) for seed in (0, 1))
    assert not first & second


def test_relations_are_compared_on_equal_names() -> None:
    relations = ["taxonomy", "property", "subset", "causal", "containment", "ordering", "kinship", "symmetric"]
    assert len({json.dumps(names_of(worlds(shipped(name), count=3, seed=0))) for name in relations}) == 1


def test_matched_worlds_take_their_names_from_the_tokenizer(domain: Domain) -> None:
    settings = {"seed": 0, "style": "matched", "token_ids": ToyTokenizer(), "counts": TokenCounts(bare=2, spaced=3)}
    table = worlds(domain, count=3, **settings)
    drawn = draw_names(worlds=3, size=5, **settings)
    assert [sorted(world.values()) for world in names_of(table)] == [sorted(names) for names in drawn]


@pytest.mark.parametrize(
    ("name", "count", "sentence"),
    [
        ("taxonomy", 0, "expected at least one world, got count=0; raise it"),
        ("unrelated", 2, "expected one world of unrelated, which has no names to draw, got count=2; set it to 1"),
    ],
)
def test_an_impossible_count_is_refused(name: str, count: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        worlds(shipped(name), count=count, seed=0)
