import numpy as np
import pytest

from influence.desiderata import SCORES, UndefinedError, score
from influence.desiderata.items import World
from influence.desiderata.negation_leak import negates, negation_leak, negation_leak_beyond_padding
from tests.influence.desiderata.matrices import DOMAINS, language, scaled, shuffled

NEGATIONS = {
    "belongs_to": [("entailed", "contradicted")],
    "natural_isa": [("entailed", "contradicted")],
    "property": [("entailed", "contradicted")],
    "subset": [("entailed", "contradicted")],
    "symmetric": [("p1", "contradicted")],
    "taxonomy": [("entailed", "contradicted")],
    "transitivity": [("p1", "not_p1"), ("entailed", "contradicted")],
}
"""Of the shipped domains; the others contradict by another word ("outside"), by order, or not at all."""

BY_HAND = {
    ("p1", "p1"): 0.5,
    ("entailed", "entailed"): 0.3,
    ("not_p1", "not_p1"): 0.4,
    ("contradicted", "contradicted"): 0.6,
    ("p1", "not_p1"): 0.3,
    ("entailed", "contradicted"): 0.1,
    ("not_p1", "p1"): -0.2,
    ("contradicted", "entailed"): 0.6,
}


def test_by_hand() -> None:
    matrix = language("transitivity", BY_HAND, other=9.0)
    # (.3 + .1) / (.5 + .3) = .5; learned the negations: (-.2 + .6) / (.4 + .6) = .4
    assert negation_leak(matrix, learned="statement").value == pytest.approx(0.5)
    assert negation_leak(matrix, learned="negation").value == pytest.approx(0.4)
    for other in (shuffled(matrix), scaled(matrix, 1e-4)):
        assert negation_leak(other, learned="statement").value == pytest.approx(0.5)
        assert negation_leak(other, learned="negation").value == pytest.approx(0.4)


@pytest.mark.parametrize(("rise", "value"), [(1.0, 1.0), (0.0, 0.0), (-1.0, -1.0)], ids=["words", "none", "logic"])
def test_a_learner_of_words_and_one_of_logic(rise: float, value: float) -> None:
    both_ways = {("entailed", "contradicted"): rise, ("contradicted", "entailed"): rise}
    frame = score(language("property", both_ways, count=3, other=5.0), ["negation_leak"])
    assert frame["value"].tolist() == [value, value]
    assert frame["condition"].tolist() == ["learned=statement", "learned=negation"]


@pytest.mark.parametrize("domain", sorted(path.stem for path in DOMAINS.glob("*.yaml")))
def test_which_items_of_the_shipped_domains_are_negations(domain: str) -> None:
    for pair in NEGATIONS.get(domain, []):
        matrix = language(domain, {pair: 0.25, pair[::-1]: 0.75}, other=7.0)
        others = [other for other in NEGATIONS[domain] if other != pair]
        expected = (0.25 + 7 * len(others)) / (1 + len(others)), (0.75 + 7 * len(others)) / (1 + len(others))
        assert negation_leak(matrix, learned="statement").value == pytest.approx(expected[0])
        assert negation_leak(matrix, learned="negation").value == pytest.approx(expected[1])
    if domain not in NEGATIONS:
        with pytest.raises(UndefinedError, match="expected an item contradicted by never, no, not, got none"):
            negation_leak(language(domain, {}), learned="statement")


def test_a_negator_counts_where_the_other_text_has_none() -> None:
    assert negates("No dax is a wug", "every dax is a wug")
    assert not negates("every dax is a wug", "no dax is a wug")
    assert not negates("no is a dax", "a dax is a no")  # a name
    assert not negates("the knot is a note", "a dax is a wug")


@pytest.mark.parametrize(("domain", "s"), [("subset", "entailed"), ("natural_isa", "entailed"), ("symmetric", "p1")])
def test_a_neutral_word_in_place_of_not(domain: str, s: str) -> None:
    # (.3 - .5) / .8
    gains = {(s, s): 0.8, (s, "contradicted"): 0.3, (s, "padded"): 0.5}
    matrix = language(domain, gains, other=9.0)
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-4)):
        assert negation_leak_beyond_padding(same).value == pytest.approx(-0.25)
    alone = matrix.select(probes=(matrix.probes["item"] == s).to_numpy())
    assert negation_leak_beyond_padding(alone).value == pytest.approx(-0.25)
    with pytest.raises(UndefinedError, match="expected an item, its negation and itself with a neutral word, got none"):
        negation_leak_beyond_padding(matrix.select(targets=(matrix.targets["item"] != "padded").to_numpy()))


def test_not_is_held_back_or_a_word_like_any_other() -> None:
    leak_W = np.random.default_rng(0).uniform(0.4, 0.8, 20)
    for padded_W, is_found in ((leak_W + 0.2, True), (leak_W[::-1], False)):
        gains = {("entailed", "contradicted"): leak_W, ("entailed", "padded"): padded_W}
        found = score(language("subset", gains, count=20), ["negation_leak_beyond_padding"]).iloc[0]
        assert (found["p"] < 0.001) == is_found
        assert found["value"] == pytest.approx((leak_W - padded_W).mean(), abs=1e-12)
        assert found["verdict"] == "diagnostic"


def test_both_directions_are_judged() -> None:
    frame = score(language("property", {}, count=3, other=0.2), ["negation_leak"])
    assert frame["threshold"].tolist() == [0.1, 0.1]
    assert frame["verdict"].tolist() == ["descriptive"] * 2


def test_one_statement_may_be_the_only_probe() -> None:
    matrix = language("transitivity", BY_HAND)
    learned_P = (matrix.probes["item"] == "p1").to_numpy()
    alone = matrix.select(probes=learned_P)
    assert negation_leak(alone, learned="statement").value == pytest.approx(0.3 / 0.5)
    with pytest.raises(UndefinedError, match="got none"):
        negation_leak(alone, learned="negation")


def test_a_negation_of_what_was_dropped_is_passed_over() -> None:
    matrix = language("transitivity", BY_HAND)
    kept = (matrix.probes["item"] != "p1").to_numpy()
    rest = matrix.select(probes=kept, targets=kept)
    assert negation_leak(rest, learned="statement").value == pytest.approx(0.1 / 0.3)
    assert negation_leak(rest, learned="negation").value == pytest.approx(0.6 / 0.6)


def test_a_planted_leak_is_found_and_one_of_either_sign_is_not() -> None:
    leak_W = np.random.default_rng(0).uniform(0.4, 0.8, 20)
    sign_W = np.resize([1, -1], 20)
    planted = score(language("taxonomy", {("entailed", "contradicted"): leak_W}, count=20), ["negation_leak"]).iloc[0]
    assert planted["low"] < leak_W.mean() < planted["high"]
    assert planted["low"] > 0.1
    assert planted["p"] < 0.001
    mixed = language("taxonomy", {("entailed", "contradicted"): sign_W * leak_W}, count=20)
    found = score(mixed, ["negation_leak"]).iloc[0]
    assert found["low"] < 0 < found["high"]
    assert found["p"] > 0.2


def test_several_worlds_at_once_are_refused() -> None:
    with pytest.raises(UndefinedError, match="expected the items of one world, got some more than once"):
        World.of(language("taxonomy", {}, count=2))
    with pytest.raises(UndefinedError, match="expected the items of one world"):
        SCORES["paraphrase_transfer"].measure(language("taxonomy", {}, count=2))
