import numpy as np
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.conjunction import direction, synergy
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import language, matrix_of, scaled, shuffled

BY_HAND = {
    ("both", "entailed"): 0.9,
    ("both", "converse"): 0.4,
    ("broken", "entailed"): 0.5,
    ("broken", "converse"): 0.3,
    ("p1", "entailed"): 0.2,
    ("p2", "entailed"): 0.1,
    ("broken_p2", "entailed"): 0.15,
    ("p1", "p1"): 0.8,
    ("p2", "p2"): 0.4,
}
DOMAINS = ["taxonomy", "property", "causal", "containment", "subset"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_by_hand(domain: str) -> None:
    matrix = language(domain, BY_HAND, other=9.0)
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-3)):
        # ((.9 - .4) - (.5 - .3)) / ((.8 + .4) / 2) = .3 / .6
        assert direction(same).value == pytest.approx(0.5)
        # ((.9 - .2 - .1) - (.5 - .2 - .15)) / .6 = .45 / .6
        assert synergy(same).value == pytest.approx(0.75)


@pytest.mark.parametrize("domain", ["ordering", "kinship"])
def test_a_converse_may_be_the_contradiction_in_the_same_words(domain: str) -> None:
    gains = {(learned, read.replace("converse", "contradicted")): gain for (learned, read), gain in BY_HAND.items()}
    assert direction(language(domain, gains, other=9.0)).value == pytest.approx(0.5)


@pytest.mark.parametrize("domain", [*DOMAINS, "ordering", "kinship"])
def test_an_additive_learner_has_no_synergy(domain: str) -> None:
    """Each statement gives each target a gain of its own; a pair gives the sum."""
    table = language(domain, {}).probes
    random, gains = np.random.default_rng(0), {}
    gain = [
        [
            sum(gains.setdefault((line, target), random.normal()) for line in probe.split("\n"))
            for target in table["text"]
        ]
        for probe in table["text"]
    ]
    assert abs(synergy(matrix_of(gain, table)).value) < 1e-14


def learner_of_words(domain: str) -> InfluenceMatrix:
    """Gains are shared words, whatever their order."""
    table = language(domain, {}).probes
    words = [set(text.split()) for text in table["text"]]
    return matrix_of([[len(one & other) for other in words] for one in words], table)


@pytest.mark.parametrize("domain", ["taxonomy", "causal", "containment", "subset", "ordering"])
def test_a_learner_of_words_has_no_direction(domain: str) -> None:
    assert direction(learner_of_words(domain)).value == 0


def test_over_worlds_both_are_ratios_of_means() -> None:
    # .3 and .45 in every world over self-gains of .6, .8 and 1: .3 / .8, not (.5 + .375 + .3) / 3
    gains = BY_HAND | {("p1", "p1"): [0.8, 1.0, 1.2], ("p2", "p2"): [0.4, 0.6, 0.8]}
    frame = score(language("taxonomy", gains, count=3), ["direction", "synergy"])
    assert frame["value"].tolist() == pytest.approx([0.3 / 0.8, 0.45 / 0.8])
    assert frame["verdict"].tolist() == ["diagnostic"] * 2


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("transitivity", "expected one broken pair of premises, got 0"),
        ("natural_anchor", "expected one broken pair of premises, got 0"),
        ("symmetric", "expected one broken pair of premises, got 0"),
        ("squares", "expected one entailed item, got none"),
    ],
)
def test_what_lacks_an_item_says_so(domain: str, reason: str) -> None:
    for measure in (direction, synergy):
        with pytest.raises(UndefinedError, match=f"^{reason}$"):
            measure(language(domain, {}))


def test_a_missing_converse_statement_or_cell_is_named() -> None:
    matrix = language("taxonomy", BY_HAND)

    def without(item: str, *, learned: bool, read: bool) -> InfluenceMatrix:
        kept = (matrix.probes["item"] != item).to_numpy()
        return matrix.select(probes=kept if learned else None, targets=kept if read else None)

    with pytest.raises(UndefinedError, match="expected one converse of entailed, got none"):
        direction(without("converse", learned=True, read=True))
    with pytest.raises(UndefinedError, match="expected entailed to be read after both, got no such cell"):
        direction(without("both", learned=True, read=False))
    with pytest.raises(UndefinedError, match="expected several statements in broken, each learned alone too, got "):
        synergy(without("broken_p2", learned=True, read=False))
