import numpy as np
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.paraphrase_transfer import paraphrase_transfer
from tests.influence.desiderata.matrices import language, scaled, shuffled


def test_by_hand() -> None:
    # taxonomy rewords p1 and its reversal: (.2 + .4) / (.5 + .7) = .5
    matrix = language(
        "taxonomy",
        {
            ("p1", "p1"): 0.5,
            ("p1_reversed", "p1_reversed"): 0.7,
            ("p1", "p1_reworded"): 0.2,
            ("p1_reversed", "p1_reversed_reworded"): 0.4,
        },
        other=9.0,
    )
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-4)):
        assert paraphrase_transfer(same).value == pytest.approx(0.5)


def test_one_paraphrase_may_be_the_only_target() -> None:
    matrix = language("taxonomy", {("p1", "p1_reworded"): 0.2, ("p1", "p1"): 0.5}, other=9.0)
    read_T = (matrix.targets["item"] == "p1_reworded").to_numpy()
    assert paraphrase_transfer(matrix.select(targets=read_T)).value == pytest.approx(0.4)


def test_a_domain_without_paraphrases_says_so() -> None:
    with pytest.raises(UndefinedError, match="expected an item with a paraphrase, got none"):
        paraphrase_transfer(language("bigger_than", {}))


def test_a_planted_transfer_is_found_and_gains_of_other_items_are_not() -> None:
    rng = np.random.default_rng(0)
    gain_W = rng.normal(0.5, 0.2, 15)
    planted = language("natural_anchor", {("p1", "p1_reworded"): gain_W}, count=15)
    found = score(planted, ["paraphrase_transfer"]).iloc[0]
    assert found["value"] == pytest.approx(gain_W.mean())
    assert found["p"] < 0.001
    elsewhere = {("p1_reworded", "p1"): gain_W, ("p1", "entailed"): gain_W, ("p1", "p1_reworded"): gain_W - 0.5}
    found = score(language("natural_anchor", elsewhere, count=15), ["paraphrase_transfer"]).iloc[0]
    assert found["low"] < 0 < found["high"]
    assert found["p"] > 0.05
