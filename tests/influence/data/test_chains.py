import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from influence.data.chains import chains, crossed
from influence.data.domains import Domain, load
from influence.data.words import TokenCounts
from influence.data.worlds import unfilled
from influence.samples import check
from tests.influence.data.toy_tokenizer import ToyTokenizer

DOMAINS = Path(__file__).parents[3] / "conf" / "domain"
TRANSITIVE = ["taxonomy", "property", "subset", "causal", "containment", "ordering", "transitivity", "belongs_to"]
PAPER = {"seed": 0, "style": "paper"}


def shipped(name: str) -> Domain:
    return load(DOMAINS / f"{name}.yaml")


def said(table: pd.DataFrame, world: int = 0) -> dict[str, list[str]]:
    """Statements of the items of a world, slots in place of names."""
    rows = table[table["world"] == world].to_dict("records")
    return {
        row["item"]: unfilled(row["text"], [tuple(span) for span in json.loads(row["spans"])]).split("\n")
        for row in rows
    }


def test_a_world_of_two_links() -> None:
    probes, targets = chains(shipped("property"), count=1, broken=True, **PAPER)
    statements = {item: sorted(lines) for item, lines in said(probes).items()}
    # R_1 is "a A is a B", R_2 "all Bs have a C"; a bit crosses its link.
    straight, across = ["a A is a B", "a A' is a B'"], ["a A is a B'", "a A' is a B"]
    assert statements == {
        "joint_00": sorted([*straight, "all Bs have a C", "all B's have a C'"]),
        "joint_01": sorted([*straight, "all Bs have a C'", "all B's have a C"]),
        "joint_10": sorted([*across, "all Bs have a C", "all B's have a C'"]),
        "joint_11": sorted([*across, "all Bs have a C'", "all B's have a C"]),
        "link1_00": ["a A is a B"],
        "link2_00": ["all Bs have a C"],
        "broken_00": sorted([*straight, "all Ds have a C", "all D's have a C'"]),
        "broken_01": sorted([*straight, "all Ds have a C'", "all D's have a C"]),
        "broken_10": sorted([*across, "all Ds have a C", "all D's have a C'"]),
        "broken_11": sorted([*across, "all Ds have a C'", "all D's have a C"]),
    }
    assert said(targets) == {
        "link1_00": ["a A is a B"],
        "link1_01": ["a A is a B'"],
        "link1_10": ["a A' is a B"],
        "link1_11": ["a A' is a B'"],
        "link2_00": ["all Bs have a C"],
        "link2_01": ["all Bs have a C'"],
        "link2_10": ["all B's have a C"],
        "link2_11": ["all B's have a C'"],
        "conclusion_00": ["a A has a C"],
        "conclusion_01": ["a A has a C'"],
        "conclusion_10": ["a A' has a C"],
        "conclusion_11": ["a A' has a C'"],
    }
    assert probes["role"].tolist() == ["both"] * 4 + ["p1", "p2"] + ["broken"] * 4
    assert probes["num_statements"].tolist() == [4] * 4 + [1, 1] + [4] * 4
    assert targets["role"].tolist() == ["p1"] * 4 + ["p2"] * 4 + ["entailed"] * 4
    assert targets["expected"].tolist() == ["strongly up", "none", "none", "strongly up"] * 2 + [
        "up",
        "none",
        "none",
        "up",
    ]
    assert probes["id"].tolist()[:2] == ["property-w0-joint_00", "property-w0-joint_01"]
    assert set(probes["premises"]) == {"joint_00"}


def follows(statements: list[str], start: str) -> str:
    """Where the links lead from a name."""
    leads = dict(line.split(" is bigger than ") for line in statements)
    while start in leads:
        start = leads[start]
    return start


@pytest.mark.parametrize("length", [2, 3, 4])
def test_the_parity_of_the_bits_tells_what_follows(length: int) -> None:
    probes, targets = chains(shipped("ordering"), length=length, count=2, broken=True, **PAPER)
    last, apart = "ABCDE"[length], "ABCDEFGH"[1 : 2 * length]
    for world in (0, 1):
        items = said(probes, world)
        for bits in product("01", repeat=length):
            pairing = "".join(bits)
            ends = (last, f"{last}'") if pairing.count("1") % 2 == 0 else (f"{last}'", last)
            assert tuple(follows(items[f"joint_{pairing}"], start) for start in ("A", "A'")) == ends
            assert len(items[f"joint_{pairing}"]) == len(set(items[f"joint_{pairing}"])) == 2 * length
            broken = items[f"broken_{pairing}"]
            assert {follows(broken, start) for start in ("A", "A'")} == {"B", "B'"}
            names = [name for line in broken for name in line.split(" is bigger than ")]
            assert len(set(names)) == len(names) == 4 * length  # nothing is shared
            assert {name for name in names if len(name) == 1} == {"A", *apart}
        assert len(said(targets, world)) == 4 * (length + 1)


def test_each_name_keeps_its_places_and_no_pairing_its_own_words() -> None:
    probes, _ = chains(shipped("causal"), length=3, count=5, **PAPER)
    for world in range(5):
        pairings = [lines for item, lines in said(probes, world).items() if item.startswith("joint")]
        for number in (1, 4):  # the second and the fifth word: who causes, and who is caused
            assert len({tuple(sorted(line.split()[number] for line in lines)) for lines in pairings}) == 1
        first = [[line.split()[1] for line in lines] for lines in pairings]
        assert all(order == first[0] for order in first)  # in one order, whatever crosses


def test_the_order_of_statements_is_drawn_in_every_world() -> None:
    probes, _ = chains(shipped("causal"), count=40, **PAPER)
    orders = [tuple(said(probes, world)["joint_00"]) for world in range(40)]
    assert len(set(orders)) > 15  # of 24
    first = [order[0] for order in orders]
    assert all(4 <= first.count(statement) <= 18 for statement in set(first))  # each of four leads about 10 times
    other, _ = chains(shipped("causal"), count=40, seed=1, style="paper")
    assert [tuple(said(other, world)["joint_00"]) for world in range(40)] != orders


def test_names_are_those_of_worlds_and_do_not_depend_on_the_placebo() -> None:
    with_broken, targets = chains(shipped("taxonomy"), count=3, broken=True, **PAPER)
    without, same = chains(shipped("taxonomy"), count=3, **PAPER)
    pd.testing.assert_frame_equal(targets, same)
    kept = with_broken[with_broken["role"] != "broken"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, without)
    more, _ = chains(shipped("taxonomy"), count=9, **PAPER)
    pd.testing.assert_frame_equal(more[more["world"] < 3], without)
    names = [json.loads(names) for names in more.groupby("world")["names"].first()]
    assert [list(world) for world in names] == [["A", "B", "C", "D", "A'", "B'", "C'", "D'"]] * 9
    assert len({name for world in names for name in world.values()}) == 9 * 8


def test_matched_names_make_pairings_of_equal_length() -> None:
    tokenizer, counts = ToyTokenizer(), TokenCounts(bare=2, spaced=3)
    probes, targets = chains(shipped("ordering"), count=4, seed=0, token_ids=tokenizer, counts=counts)
    for table in (probes[probes["role"] == "both"], targets):
        lengths = [len(tokenizer(" " + text.replace("\n", " "))) for text in table["text"]]
        assert len(set(lengths)) == 1


@pytest.mark.parametrize("name", TRANSITIVE)
def test_the_last_marked_name_is_that_of_the_last_slot(name: str) -> None:
    probes, targets = chains(shipped(name), length=3, count=2, broken=True, **PAPER)
    check(probes, "probe")
    check(targets, "target")
    ends = {"link1": "B", "link2": "C", "link3": "D", "conclusion": "D"}
    for row in targets.to_dict("records"):
        kind, bits = row["item"].split("_")
        assert json.loads(row["spans"])[-1][0] == ends[kind] + "'" * int(bits[1])
        assert json.loads(row["spans"])[0][0] == {"link2": "B", "link3": "C"}.get(kind, "A") + "'" * int(bits[0])


@pytest.mark.parametrize(
    ("name", "length", "sentence"),
    [
        ("taxonomy", 1, "expected chains of 2 to 13 links, got length=1; correct it"),
        ("taxonomy", 14, "expected chains of 2 to 13 links, got length=14; correct it"),
        (
            "symmetric",
            2,
            r"expected one item of role p2 in symmetric that leads from {B} to {C} at its end, got none; ",
        ),
        ("squares", 2, r"expected one item of role p1 in squares .* got 'SQUARE belongs to the set of {B}.'; choose"),
    ],
)
def test_what_makes_no_chains_is_refused(name: str, length: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        crossed(shipped(name), length=length)


@pytest.mark.parametrize(
    ("entailed", "got"),
    [
        ("{C} is smaller than {A}", "'{C} is smaller than {A}'"),
        ('["{A} is bigger than {C}", "{A} is bigger than {C} still"]', "'{A} is bigger than {C}; {A} is bigger"),
    ],
)
def test_a_conclusion_that_does_not_end_in_its_last_name_is_refused(entailed: str, got: str, tmp_path: Path) -> None:
    text = (DOMAINS / "bigger_than.yaml").read_text()
    entailed = entailed if entailed.startswith("[") else f'"{entailed}"'
    (tmp_path / "mine.yaml").write_text(text.replace('entailed: "{A} is bigger than {C}"', f"entailed: {entailed}"))
    with pytest.raises(ValueError, match=f"one item of role entailed in mine that leads from {{A}} to {{C}} .*{got}"):
        crossed(load(tmp_path / "mine.yaml"), length=2)
