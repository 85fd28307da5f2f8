import numpy as np
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.inference_type import inference
from tests.influence.desiderata.matrices import language, matrix_of, scaled, shuffled

BY_HAND = {
    ("both", "both"): 0.8,
    ("both", "entailed"): 0.5,
    ("neutral", "entailed"): 0.1,
    ("both", "converse"): 0.4,
    ("neutral", "converse"): 0.2,
    ("both", "p1_reversed"): 0.3,
    ("neutral", "p1_reversed"): -0.1,
    ("both", "inverse"): 0.1,
    ("neutral", "inverse"): 0.3,
}


@pytest.mark.parametrize("domain", ["taxonomy", "subset"])
def test_by_hand(domain: str) -> None:
    matrix = language(domain, BY_HAND, other=9.0)
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-3)):
        assert inference(same, type="entailed").value == pytest.approx((0.5 - 0.1) / 0.8)
        # of the premise turned round and of the conclusion turned round: ((.4 - .2) + (.3 + .1)) / 2 / .8 = .3 / .8
        assert inference(same, type="converse").value == pytest.approx(0.375)
        assert inference(same, type="inverse").value == pytest.approx((0.1 - 0.3) / 0.8)


def test_a_symmetric_relation_is_told_from_others_by_its_conclusion() -> None:
    gains = {("p1", "entailed"): 0.7, ("neutral", "entailed"): 0.1, ("p1", "control"): 0.3, ("neutral", "control"): 0.1}
    matrix = language("symmetric", gains | {("p1", "p1"): 2.0})
    assert inference(matrix, type="symmetric").value == pytest.approx(0.3)
    assert inference(matrix, type="control").value == pytest.approx(0.1)
    with pytest.raises(UndefinedError, match="expected an item to read of type entailed, got none"):
        inference(matrix, type="entailed")


@pytest.mark.parametrize(
    ("domain", "warranted", "unwarranted"),
    [
        ("taxonomy", ["entailed"], ["converse", "inverse"]),
        ("subset", ["entailed"], ["converse", "inverse"]),
        ("kinship", ["entailed"], ["converse", "control"]),
        ("symmetric", ["symmetric"], ["control"]),
        ("natural_isa", ["entailed"], ["converse"]),
        ("natural_anchor", ["entailed"], ["converse"]),  # of which it says that there is none
    ],
)
def test_conditions_are_the_types_that_a_domain_has(domain: str, warranted: list[str], unwarranted: list[str]) -> None:
    frame = score(language(domain, {}, count=3, other=0.5), ["warranted_inference", "unwarranted_inference"])
    assert frame["condition"].tolist() == [f"type={type}" for type in [*warranted, *unwarranted]]
    assert set(frame["verdict"]) == {"diagnostic"}
    if domain == "natural_anchor":
        assert frame["note"].iloc[1].startswith("undefined: expected an item to read of type converse, got none")


def test_what_is_hedged_follows() -> None:
    frame = score(language("belongs_to", {}, count=3), ["warranted_inference"])
    assert frame["condition"].tolist() == ["type=entailed", "type=hedged"]


def test_samples_that_are_no_items_are_passed_over() -> None:
    table = language("taxonomy", {}).probes[["id"]]
    matrix = matrix_of(np.eye(len(table)), table)
    assert score(matrix, ["unwarranted_inference"])["note"].iloc[0].startswith("undefined: expected a column 'item'")
    assert "unwarranted_inference" not in set(score(matrix)["score"])


def test_a_learner_of_words_treats_all_alike() -> None:
    """Gains are shared words: what has the words of the premises rises, whether it follows or not."""
    table = language("subset", {}).probes
    words = [set(text.split()) for text in table["text"]]
    matrix = matrix_of([[len(one & other) for other in words] for one in words], table)
    assert inference(matrix, type="converse").value == inference(matrix, type="entailed").value > 0


def test_no_effect_within_the_margin_and_an_effect_beyond_it() -> None:
    rng = np.random.default_rng(0)
    noise_W, common_W = rng.normal(0, 0.1, 40), rng.normal(0, 1, 40)
    for effect, is_none in ((0.0, True), (0.3, False)):
        gains = {("both", "inverse"): effect + noise_W + common_W, ("neutral", "inverse"): common_W}
        frame = score(language("taxonomy", gains, count=40), ["unwarranted_inference"]).set_index("condition")
        found = frame.loc["type=inverse"]
        # the standard error is .1 / sqrt(40) = .016: 0 is six of them from the margin of .1
        assert (found["p_no_effect"] < 0.001) == is_none
        assert (found["p"] < 0.001) != is_none
        assert found["low"] < effect < found["high"]
    assert np.isnan(score(language("taxonomy", gains, count=40), ["warranted_inference"])["p_no_effect"].iloc[0])


def test_shuffled_gains_show_none() -> None:
    rng = np.random.default_rng(1)
    table = language("taxonomy", {}, count=40).probes
    world_N = table["world"].to_numpy()
    gain_NN = np.where(world_N[:, None] == world_N, rng.normal(size=(len(table), len(table))), np.nan)
    frame = score(matrix_of(gain_NN, table), ["warranted_inference", "unwarranted_inference"])
    assert (frame["p"] > 0.01).all()


def test_the_neutral_item_is_learned() -> None:
    matrix = language("taxonomy", BY_HAND)
    rest = matrix.select(probes=(matrix.probes["item"] != "neutral").to_numpy())
    with pytest.raises(UndefinedError, match=r"the premises and one neutral item to be learned, got 'both'$"):
        inference(rest, type="converse")
