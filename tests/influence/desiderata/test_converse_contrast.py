import numpy as np
import pytest

from influence.desiderata import NotApplicableError, UndefinedError, score
from influence.desiderata.converse_contrast import converse_contrast
from tests.influence.desiderata.matrices import language, matrix_of, scaled, shuffled

BY_HAND = {
    ("p1", "p1"): 0.5,
    ("p1", "entailed"): 0.4,
    ("p1", "converse"): 0.2,
    ("neutral", "entailed"): 0.2,
    ("neutral", "converse"): 0.1,
}


def test_by_hand() -> None:
    # [(.4 - .2) - (.2 - .1)] / .5 = .1 / .5
    matrix = language("natural_isa", BY_HAND, other=9.0)
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-3)):
        assert converse_contrast(same).value == pytest.approx(0.2)


@pytest.mark.parametrize(("entailed", "converse", "value"), [(1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.0, 1.0, -1.0)])
def test_a_learner_of_direction_of_words_and_of_the_reverse(entailed: float, converse: float, value: float) -> None:
    gains = {("p1", "entailed"): entailed, ("p1", "converse"): converse}
    assert converse_contrast(language("natural_isa", gains)).value == value


def test_a_learner_of_words_has_no_contrast() -> None:
    table = language("natural_isa", {}).probes
    words = [set(text.split()) for text in table["text"]]
    assert converse_contrast(matrix_of([[len(one & other) for other in words] for one in words], table)).value == 0


def test_a_planted_contrast_is_found_and_one_of_neutral_too_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = {("p1", "converse"): rng.normal(0, 0.1, 20), ("neutral", "converse"): rng.normal(0, 0.1, 20)}
    found = score(language("natural_isa", noise | {("p1", "entailed"): 0.4}, count=20), ["converse_contrast"]).iloc[0]
    assert found["low"] > 0.2
    assert found["p"] < 0.001
    assert found["verdict"] == "diagnostic"
    both = {("p1", "entailed"): 0.4, ("neutral", "entailed"): 0.4}
    found = score(language("natural_isa", noise | both, count=20), ["converse_contrast"]).iloc[0]
    assert found["low"] < 0 < found["high"]
    assert found["p"] > 0.05


def test_premises_of_several_statements_have_a_score_of_their_own() -> None:
    with pytest.raises(NotApplicableError, match="expected premises of one statement, got 'both'"):
        converse_contrast(language("taxonomy", {}))
    assert "converse_contrast" not in set(score(language("taxonomy", {}, count=3))["score"])


@pytest.mark.parametrize("domain", ["natural_anchor", "symmetric"])
def test_a_domain_without_a_converse_says_so(domain: str) -> None:
    with pytest.raises(UndefinedError, match="expected what follows and its converse, got none"):
        converse_contrast(language(domain, {}))


def test_the_premise_and_the_neutral_item_are_learned() -> None:
    matrix = language("natural_isa", BY_HAND)
    kept = matrix.probes["item"].isin(["p1", "neutral"]).to_numpy()
    assert converse_contrast(matrix.select(probes=kept)).value == pytest.approx(0.2)
    with pytest.raises(UndefinedError, match="the premises and one neutral item to be learned, got none of them"):
        converse_contrast(matrix.select(probes=~kept))
