import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.premise_gate import premise_gate
from tests.influence.desiderata.matrices import language, scaled, shuffled

GAINS = {("p1", "p1"): 0.4, ("p2", "p2"): 0.5, ("both", "p1"): 0.3, ("both", "p2"): 0.6}


@pytest.mark.parametrize("domain", ["taxonomy", "transitivity", "property", "bigger_than", "kinship"])
def test_by_hand(domain: str) -> None:
    matrix = language(domain, GAINS, other=9.0)
    for same in (matrix, shuffled(matrix), scaled(matrix, 1e-4)):
        assert premise_gate(same, premise=1).value == pytest.approx(0.3 / 0.4)
        assert premise_gate(same, premise=2).value == pytest.approx(0.6 / 0.5)


def test_the_premises_need_be_no_target_and_others_no_probe() -> None:
    matrix = language("taxonomy", GAINS)
    learned_P = matrix.probes["item"].isin(["p1", "both"]).to_numpy()
    read_T = (matrix.targets["item"] == "p1").to_numpy()
    part = matrix.select(probes=learned_P, targets=read_T)
    assert premise_gate(part, premise=1).value == pytest.approx(0.75)
    with pytest.raises(UndefinedError, match="expected one item of role p2, learned alone and with others, got 0"):
        premise_gate(part, premise=2)


def test_premises_over_worlds_are_a_ratio_of_means_without_p() -> None:
    # (.3 + .9) / (.4 + .6) = 1.2, where the mean of ratios is (.75 + 1.5) / 2 = 1.125
    gains = {("p1", "p1"): [0.4, 0.6, 0.5], ("both", "p1"): [0.3, 0.9, 0.6]}
    frame = score(language("taxonomy", gains, count=3), ["premise_gate"])
    assert frame["condition"].tolist() == ["premise=1", "premise=2"]
    assert frame["value"].tolist() == pytest.approx([1.2, 0.0])
    assert frame["p"].isna().all()


@pytest.mark.parametrize(
    ("domain", "premise", "reason"),
    [
        ("belongs_to", 1, "expected premises of several statements, p1 among them, got 'two_sentences'"),
        ("natural_anchor", 1, "expected premises of several statements, p1 among them, got 'p1'"),
        ("natural_anchor", 2, "expected one item of role p2, learned alone and with others, got 0"),
        ("chain_induces", 2, "expected one item of role p2"),
        ("unrelated", 1, "expected one item of role p1"),
    ],
)
def test_what_has_no_gate_says_so(domain: str, premise: int, reason: str) -> None:
    with pytest.raises(UndefinedError, match=reason):
        premise_gate(language(domain, {}), premise=premise)
