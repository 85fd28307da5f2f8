from dataclasses import replace

import numpy as np
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.logical_consistency import is_minimal, logical_consistency
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import DOMAINS, language, matrix_of, scaled, shuffled

E, X = "entailed", "contradicted"
PREMISES = dict.fromkeys(("taxonomy", "property", "subset", "containment", "ordering", "kinship"), "both")
PREMISES |= {"natural_anchor": "p1", "natural_isa": "p1"}
"""Domains with a minimal pair, and what is learned there."""


def learned(domain: str, *, gains: tuple[float, float], neutral: tuple[float, float] = (0.0, 0.0)) -> InfluenceMatrix:
    """A world whose premises give these gains to what follows and to what is excluded, and neutral those."""
    premises = PREMISES[domain]
    cells = {(premises, E): gains[0], (premises, X): gains[1], ("neutral", E): neutral[0], ("neutral", X): neutral[1]}
    return language(domain, cells, other=9.0)


@pytest.mark.parametrize("domain", PREMISES)
def test_by_hand(domain: str) -> None:
    # [(.6 - -.2) - (.3 - .1)] / (.6 + .2) = .6 / .8
    matrix = learned(domain, gains=(0.6, -0.2), neutral=(0.3, 0.1))
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-4)):
        assert logical_consistency(same).value == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("gains", "value"),
    [((0.5, 0.0), 1), ((0.5, -0.5), 1), ((0.5, 0.5), 0), ((-0.5, -0.5), 0), ((0.0, 0.5), -1)],
    ids=["stays", "logic", "words", "forgets", "contrary"],
)
def test_a_learner_of_logic_of_words_and_of_the_contrary(gains: tuple[float, float], value: float) -> None:
    assert logical_consistency(learned("taxonomy", gains=gains)).value == value
    assert logical_consistency(learned("taxonomy", gains=gains, neutral=(0.7, 0.7))).value == value


def test_what_neutral_does_too_is_no_logic() -> None:
    assert logical_consistency(learned("subset", gains=(0.5, 0.1), neutral=(0.5, 0.1))).value == 0


def test_over_worlds_it_is_a_ratio_of_means() -> None:
    # Differences .4, .2, 0 over sizes .4, .6, .8: .6 / 1.8, not the mean of 1, 1/3 and 0.
    gains = {("both", E): [0.4, 0.4, 0.4], ("both", X): [0.0, 0.2, 0.4]}
    found = score(language("taxonomy", gains, count=3), ["logical_consistency"]).iloc[0]
    assert found["value"] == pytest.approx(0.6 / 1.8)
    assert (found["threshold"], found["verdict"]) == (0.5, "descriptive")


def test_a_planted_preference_is_judged_and_one_of_either_sign_is_not_found() -> None:
    rng = np.random.default_rng(0)
    noise = {("neutral", item): rng.normal(0, 0.02, 40) for item in (E, X)}
    raised = language("natural_anchor", noise | {("p1", E): 0.3 + rng.normal(0, 0.05, 40)}, count=40)
    found = score(replace(raised, estimator={"name": "prompt"}), ["logical_consistency"])
    assert found["verdict"].tolist() == ["satisfied"]
    assert found["low"].iloc[0] > 0.8
    sign_W = np.resize([1.0, -1.0], 40)
    either = language("natural_anchor", noise | {("p1", E): 0.3 * sign_W, ("p1", X): 0.01}, count=40)
    found = score(either, ["logical_consistency"])
    assert found["low"].iloc[0] < 0 < found["high"].iloc[0]
    assert found["p"].iloc[0] > 0.2


def test_shuffled_gains_show_none() -> None:
    rng = np.random.default_rng(1)
    table = language("taxonomy", {}, count=40).probes
    world_N = table["world"].to_numpy()
    gain_NN = np.where(world_N[:, None] == world_N, rng.normal(size=(len(table), len(table))), np.nan)
    found = score(matrix_of(gain_NN, table), ["logical_consistency"]).iloc[0]
    assert found["low"] < 0 < found["high"]


def test_two_texts_are_a_minimal_pair() -> None:
    assert is_minimal("every dax is a wug", "no dax is a wug")
    assert is_minimal("a dax has a wug", "a dax does not have a wug")
    assert is_minimal("the dax is inside the wug", "the dax is outside the wug")
    assert is_minimal("dax is bigger than wug", "wug is bigger than dax")
    assert not is_minimal("a dax is a wug", "a dax is a wug")
    assert not is_minimal("it causes wug to happen", "it prevents wug from happening")


@pytest.mark.parametrize("domain", sorted(path.stem for path in DOMAINS.glob("*.yaml") if path.stem not in PREMISES))
def test_other_domains_have_no_pair_or_no_neutral_item(domain: str) -> None:
    with pytest.raises(UndefinedError, match=r"in a minimal pair, got none$|one neutral item to be learned, got "):
        logical_consistency(language(domain, {}))


@pytest.mark.parametrize(("missing", "left"), [("both", "neutral"), ("neutral", "both")])
def test_the_premises_and_the_neutral_item_are_learned(missing: str, left: str) -> None:
    matrix = learned("taxonomy", gains=(1.0, 0.0))
    rest = matrix.select(probes=(matrix.probes["item"] != missing).to_numpy())
    with pytest.raises(UndefinedError, match=f"the premises and one neutral item to be learned, got '{left}'$"):
        logical_consistency(rest)


def test_they_may_be_all_that_is_learned() -> None:
    matrix = learned("taxonomy", gains=(0.6, -0.2), neutral=(0.3, 0.1))
    kept = matrix.probes["item"].isin(["both", "neutral"]).to_numpy()
    assert logical_consistency(matrix.select(probes=kept)).value == pytest.approx(0.75)
