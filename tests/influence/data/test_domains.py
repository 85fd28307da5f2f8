import re
from pathlib import Path

import pytest

from influence.data.domains import EXPECTED, ROLES, Domain, load

SHIPPED = Path(__file__).parents[3] / "conf" / "domain"
FROGS = "Frogs and toads often hibernate in winter."

# The items of Matelsky et al. 2024, section 3, in their order; a tuple holds the statements of one sample.
PAPER = {
    "transitivity": [
        ("a A is a B", "all Bs have a C"),
        "a A is a B",
        "all Bs have a C",
        "one example of a B is a A",
        "a A is not a B",
        "a A has a C",
        "As have Cs",
        "a A does not have a C",
        "A",
        "C",
        "B",
        "a D is a E",
    ],
    "chain_induces": [
        "Whenever A happens, it causes Z to happen.",
        "Whenever A happens, it causes B to happen.",
        ("Whenever A happens, it causes B to happen.", "Whenever B happens, it causes Z to happen."),
        (
            "Whenever A happens, it causes B to happen.",
            "Whenever B happens, it causes C to happen.",
            "Whenever C happens, it causes D to happen.",
            "Whenever D happens, it causes Z to happen.",
        ),
        "Whenever Z happens, it causes A to happen.",
    ],
    "belongs_to": [
        "A belongs to the set of C.",
        "A belongs to the set of B.",
        "B is a set that contains A.",
        "B belongs to the set of A.",
        "A does not belong to the set of C.",
        "A might belong to the set of C.",
        "B belongs to the set of C.",
        "A belongs to the set of B and B belongs to the set of C.",
        "A belongs to the set of B. B belongs to the set of C.",
        FROGS,
    ],
    "squares": [
        "SQUARE belongs to the set of B.",
        "B belongs to the set of RECTANGLE.",
        "SQUARE belongs to the set of B and B belongs to the set of RECTANGLE.",
        "SQUARE belongs to the set of B. B belongs to the set of RECTANGLE.",
        ("B belongs to the set of SQUARE.", "B belongs to the set of RECTANGLE."),
        "RECTANGLE belongs to the set of SQUARE.",
    ],
    "bigger_than": [
        ("A is bigger than B", "B is bigger than C"),
        "A is bigger than B",
        "B is bigger than C",
        "A is bigger than C",
        "C is bigger than A",
    ],
}

# p1, p2, entailed, contradicted, not entailed (converse or control), and a valid rewording of what.
RELATIONS = {
    "taxonomy": (
        "every A is a B",
        "every B is a C",
        "every A is a C",
        "no A is a C",
        "every C is a A",
        ("p1", "one kind of B is the A"),
    ),
    "property": (
        "a A is a B",
        "all Bs have a C",
        "a A has a C",
        "a A does not have a C",
        "all Cs have a A",
        ("entailed", "As have Cs"),
    ),
    "subset": (
        "A is a subset of B",
        "B is a subset of C",
        "A is a subset of C",
        "A is not a subset of C",
        "C is a subset of A",
        ("p1", "B contains all of A"),
    ),
    "causal": (
        "Whenever A happens, it causes B to happen.",
        "Whenever B happens, it causes C to happen.",
        "Whenever A happens, it causes C to happen.",
        "Whenever A happens, it prevents C from happening.",
        "Whenever C happens, it causes A to happen.",
        ("p1", "B is caused by A."),
    ),
    "containment": (
        "the A is inside the B",
        "the B is inside the C",
        "the A is inside the C",
        "the A is outside the C",
        "the C is inside the A",
        ("p1", "the B contains the A"),
    ),
    "ordering": (
        "A is bigger than B",
        "B is bigger than C",
        "A is bigger than C",
        "C is bigger than A",
        None,
        ("p1", "B is smaller than A"),
    ),
    "kinship": (
        "A is the parent of B",
        "B is the parent of C",
        "A is the grandparent of C",
        "C is the grandparent of A",
        "A is the parent of C",
        ("p1", "B is the child of A"),
    ),
    "symmetric": (
        "A is married to B",
        None,
        "B is married to A",
        "A is not married to B",
        "A is married to C",
        ("p1", "A and B are married"),
    ),
    "natural_anchor": (
        "a A is a bird",
        None,
        "a A has feathers",
        "a A has fins",
        None,
        ("p1", "one kind of bird is the A"),
    ),
    "natural_isa": (
        "dogs are mammals",
        None,
        "my dog A is a mammal",
        "my dog A is not a mammal",
        "a mammal is my dog A",
        ("p1", "every dog is a mammal"),
    ),
}


def shipped(name: str) -> Domain:
    return load(SHIPPED / f"{name}.yaml")


def said(domain: Domain) -> dict[str, str | tuple[str, ...]]:
    """The statements of every item, with each slot's letter for its name."""
    texts = {item.id: tuple(re.sub("[{}]", "", statement) for statement in item.statements) for item in domain.items}
    return {id: statements if len(statements) > 1 else statements[0] for id, statements in texts.items()}


def test_the_shipped_domains_are_known() -> None:
    assert {path.stem for path in SHIPPED.iterdir()} == PAPER.keys() | RELATIONS.keys() | {"unrelated"}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_items_come_in_its_order(name: str) -> None:
    assert list(said(shipped(name)).values()) == PAPER[name]


def test_the_papers_expectation_of_transitivity() -> None:
    domain = shipped("transitivity")
    assert domain.premises == domain.items[0].id
    assert [(item.desideratum, item.expected) for item in domain.items] == [
        *[("memorisation", "strongly up")] * 3,
        ("syntax invariance", "strongly up"),
        ("logic", "strongly down"),
        *[("compositionality", "up")] * 2,
        ("logic", "down"),
        *[("concept introduction", "slightly up")] * 3,
        ("orthogonal concept", "none"),
    ]


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_say_the_same_of_other_things(name: str) -> None:
    domain = shipped(name)
    items, texts = {item.id: item for item in domain.items}, said(domain)
    p1, p2, entailed, contradicted, not_entailed, (reworded, rewording) = RELATIONS[name]
    assert (texts["p1"], texts.get("p2"), texts["entailed"]) == (p1, p2, entailed)
    assert texts["contradicted"] == contradicted
    assert texts.get("converse", texts.get("control")) == not_entailed
    assert texts[f"{reworded}_reworded"] == rewording
    assert items[f"{reworded}_reworded"].of == reworded
    assert domain.premises == ("both" if p2 else "p1")
    if p2:
        assert texts["both"] == (p1, p2)
        first, second = texts["broken"]
        assert (first, second.replace("D", "B")) == (p1, p2)
        assert [texts[id].replace("'", "") for id in ("p1_parallel", "p2_parallel")] == [p1, p2]
    roles = {item.role for item in domain.items}
    assert roles >= {"neutral", "paraphrase", "unrelated_nonce", "unrelated_natural", "name"}


@pytest.mark.parametrize("name", ["subset", "symmetric", "natural_isa"])
def test_a_neutral_word_as_long_as_not_stands_in_its_place(name: str) -> None:
    domain = shipped(name)
    items, texts = {item.id: item for item in domain.items}, said(domain)
    assert texts["padded"] == texts["contradicted"].replace(" not ", " now ")
    assert items["padded"].of == items["contradicted"].of


def test_an_inverse_negates_both_sides() -> None:
    assert said(shipped("taxonomy"))["inverse"] == "what is not a A is not a C"
    assert said(shipped("subset"))["inverse"] == "what is not in A is not in C"


def test_unrelated_sentences_share_no_statement() -> None:
    texts = list(said(shipped("unrelated")).values())
    assert len(texts) == len(set(texts)) == 16


@pytest.mark.parametrize("name", sorted(PAPER.keys() | RELATIONS.keys() | {"unrelated"}))
def test_what_is_unrelated_has_nothing_in_common_but_words(name: str) -> None:
    domain = shipped(name)
    overlap = {item.id: (item.role, domain.overlap(item)) for item in domain.items if item.id != domain.premises}
    assert {shared for role, shared in overlap.values() if role in ("unrelated_nonce", "parallel")} <= {"words", "none"}
    if name != "unrelated":
        assert {shared for role, shared in overlap.values() if role == "unrelated_natural"} <= {"none"}


GOOD = """\
about: is every A a C?
slots: [A, B, C, A']
premises: both
items:
  both: ["every {A} is a {B}", "every {B} is a {C}"]
  p1: every {A} is a {B}
  entailed: {text: "every {A} is a {C}", desideratum: "no", expected: slightly up}
  back:
    role: converse
    of: entailed
    text:
      - "every {C} is a {A}"
      - "some {A'}s sleep"
  name: "{A}"
  unrelated_natural: Rain fell.
  unrelated_nonce: every {A'} is a {A'}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "kinds.yaml"
    path.write_text(text)
    return path


def test_a_domain_is_one_file(tmp_path: Path) -> None:
    domain = load(written(tmp_path, GOOD))
    assert (domain.name, domain.about, domain.premises) == ("kinds", "is every A a C?", "both")
    assert domain.slots == ("A", "B", "C", "A'")
    assert [(item.id, item.role, item.desideratum, item.expected, item.of) for item in domain.items] == [
        ("both", "both", "memorisation", "strongly up", ""),
        ("p1", "p1", "memorisation", "strongly up", ""),
        ("entailed", "entailed", "no", "slightly up", ""),
        ("back", "converse", "ontology", "none", "entailed"),
        ("name", "name", "concept introduction", "slightly up", ""),
        ("unrelated_natural", "unrelated_natural", "orthogonal concept", "none", ""),
        ("unrelated_nonce", "unrelated_nonce", "orthogonal concept", "none", ""),
    ]
    assert domain.items[3].statements == ("every {C} is a {A}", "some {A'}s sleep")
    assert [domain.overlap(item) for item in domain.items] == [
        "same",
        "same",
        "names and words",
        "names and words",
        "names",
        "none",
        "words",
    ]


def test_the_s_of_a_plural_is_no_shared_word(tmp_path: Path) -> None:
    text = (
        "about: plurals\nslots: [A, B]\npremises: p1\nitems:\n  p1: all {A}s sleep\n  unrelated_nonce: some {B}s run\n"
    )
    domain = load(written(tmp_path, text))
    assert domain.overlap(domain.items[1]) == "none"


def test_roles_expect_what_is_known() -> None:
    assert {role.expected for role in ROLES.values()} <= EXPECTED.keys()
    assert list(EXPECTED.values()) == sorted(EXPECTED.values(), reverse=True)
    assert EXPECTED["none"] == 0


ROLE_LIST = ", ".join(ROLES)
ITEMS = "both, p1, entailed, back, name, unrelated_natural, unrelated_nonce"
ITEM_FIELDS = "text, role, of, desideratum, expected"


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("{B}\n", "{X}\n", 6, "expected a slot (A, B, C, A'), got {X}; correct it, or name it in slots"),
        ("back:\n    role: converse", "back:\n    role: reverse", 9, f"expected a role ({ROLE_LIST}), got 'reverse'; "
         "correct it, or add `role:` where the id is none"),
        ("name:", "label:", 14, f"expected a role ({ROLE_LIST}), got 'label'; "
         "correct it, or add `role:` where the id is none"),
        ("slightly up", "upwards", 7, f"expected a sign ({', '.join(EXPECTED)}), got 'upwards'; correct it"),
        ("of: entailed", "of: entail", 10, f"expected an item ({ITEMS}), got 'entail'; correct it"),
        ("premises: both", "premises: all", 3, f"expected an item ({ITEMS}), got 'all'; correct it"),
        ("premises: both\n", "", 1, "expected premises of a domain, got none; add `premises:`"),
        ('text: "every {A} is a {C}", ', "", 7, "expected text of item 'entailed', got none; add `text:`"),
        ("about:", "question:", 1, "expected a field of a domain (about, slots, premises, items), got 'question'; "
         "correct it"),
        ("    of:", "    off:", 10, f"expected a field of item 'back' ({ITEM_FIELDS}), got 'off'; "
         "correct it, or put a statement that begins with a brace in quotes"),
        ('"{A}"', "{A}", 14, f"expected a field of item 'name' ({ITEM_FIELDS}), got 'A'; "
         "correct it, or put a statement that begins with a brace in quotes"),
        ("unrelated_natural:", "p1:", 15, "expected each of items by their ids once, got 'p1' again; "
         "rename or remove it"),
        ("    of: entailed", "    role: p1", 10, "expected each of the fields of item 'back' once, got 'role' again; "
         "rename or remove it"),
        ("Rain fell.", "[]", 15, "expected text, got nothing; write some, in quotes if it begins with a brace"),
        ("Rain fell.", "", 15, "expected text, got nothing; write some, in quotes if it begins with a brace"),
        ("Rain fell.", "[[Rain], fell]", 15, "expected text, got a list; "
         "write some, in quotes if it begins with a brace"),
        ("Rain fell.", "Rain {fell.", 15, "expected one line with slots in closed braces, got 'Rain {fell.'; "
         "mend it, or make it a list"),
        ("Rain fell.", "Rain fell}", 15, "expected one line with slots in closed braces, got 'Rain fell}'; "
         "mend it, or make it a list"),
        ("Rain fell.", "|\n    Rain\n    fell.", 15, r"expected one line with slots in closed braces, "
         r"got 'Rain\nfell.\n'; mend it, or make it a list"),
        ("Rain fell.", "{A} fell.", 15, "expected YAML, got expected <block end>, but found '<scalar>'; "
         "quote a statement that begins with a brace"),
        ("[A, B, C, A']", "A", 2, "expected a list, got 'A'; write it in [brackets]"),
        ("[A, B, C, A']", "{A: B}", 2, "expected a list, got a mapping; write it in [brackets]"),
        ("[A, B, C, A']", "[A, B, C, A', A]", 2, "expected each slot once, got 'A' again; remove it"),
        (GOOD[GOOD.index("  both"):], "", 4, "expected items by their ids, got nothing; write `name: value` pairs"),
        (GOOD, "", 1, "expected a domain, got an empty file; write its about, slots, premises and items"),
        (GOOD, "- every A", 1, "expected the fields of a domain, got a list; write `name: value` pairs"),
    ],
)  # fmt: skip
def test_a_bad_domain_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, sentence: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}, line {line}: {sentence}')}$"):
        load(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kinds.yaml"
    path.write_bytes(b"about: \xff\xfe\x00")
    with pytest.raises(ValueError, match=f"^{path}: expected YAML, got .*; write it as text$"):
        load(path)
