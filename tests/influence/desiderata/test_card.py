"""The card of a model: one verdict a desideratum, corrected over all that is judged of an estimator."""

import math
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from influence.desiderata import SCORES, score
from influence.desiderata.card import DESIDERATA, card, overall
from influence.desiderata.spec import Criterion, Score
from tests.influence.desiderata.matrices import matrix_of, samples

NAN = math.nan


def row(name: str, desideratum: str = "ontology", **changes: Any) -> dict[str, Any]:
    """A judged score on the good side, .4 to .6 above .25."""
    usual = {"desideratum": desideratum, "score": name, "condition": "", "value": 0.5, "low": 0.4, "high": 0.6}
    judged = {"threshold": 0.25, "better": "higher", "p_good": 1e-4, "p_bad": 1.0, "verdict": "undecided", "n": 40}
    return {**usual, **judged, "note": "", "estimator": "SGD", "domain": "", **changes}


BAD = {"threshold": 0.7, "p_good": 1.0, "p_bad": 1e-4}
UNJUDGED = {"p_good": NAN, "p_bad": NAN}
VOID = {**UNJUDGED, "verdict": "void", "note": "void: link 1 is not learned"}
DESCRIPTIVE = {**UNJUDGED, "verdict": "descriptive", "note": "failed probes dropped; descriptive: 10 worlds"}
UNDEFINED = {**UNJUDGED, "value": NAN, "low": NAN, "high": NAN, "note": "undefined: none"}


def rows_of(*rows: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Verdicts of a card by row and estimator."""
    table = card(pd.DataFrame(rows)).scores
    return {(one["row"], one["estimator"]): one["overall"] for one in table.to_dict("records")}


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (["satisfied", "satisfied"], "satisfied"),
        (["satisfied", "violated"], "violated"),
        (["void", "violated"], "violated"),
        (["satisfied", "void", "descriptive"], "void"),
        (["satisfied", "descriptive", "undecided"], "descriptive"),
        (["satisfied", "undecided"], "undecided"),
        (["undecided"], "undecided"),
    ],
)
def test_a_desideratum_is_all_of_its_scores(verdicts: list[str], together: str) -> None:
    assert {overall(order) for order in permutations(verdicts)} == {together}


def test_scores_of_a_desideratum_are_taken_together_by_domain_and_estimator() -> None:
    assert rows_of(
        row("gap", domain="subset"),
        row("gap", domain="taxonomy"),
        row("leak", domain="subset", **BAD),
        row("gap", domain="subset", estimator="prompted"),
        row("gap", domain="taxonomy", estimator="prompted", **VOID),
        row("leak", domain="subset", estimator="prompted"),
    ) == {
        ("ontology (subset)", "SGD"): "violated",
        ("ontology (taxonomy)", "SGD"): "satisfied",
        ("ontology (subset)", "prompted"): "satisfied",
        ("ontology (taxonomy)", "prompted"): "void",
    }


def test_holm_is_over_all_that_is_judged_of_an_estimator() -> None:
    """Two scores of SGD with p = .02 and .03: .04 and .04; the same beside a third of .03: .06, .06, .06."""
    two = [row("a", "semantics", p_good=0.02), row("b", "noise", p_good=0.03)]
    assert set(rows_of(*two).values()) == {"satisfied"}
    assert set(rows_of(*two, row("c", "selectivity", p_good=0.03)).values()) == {"undecided"}
    # Another estimator is corrected by itself, and what is not judged counts for nobody.
    others = [row("c", "selectivity", p_good=0.03, estimator="prompted"), row("d", "sparsity", **VOID)]
    assert rows_of(*two, *others) == {
        ("semantics", "SGD"): "satisfied",
        ("noise", "SGD"): "satisfied",
        ("selectivity", "prompted"): "satisfied",
        ("sparsity", "SGD"): "void",
    }
    table = card(pd.DataFrame([*two, *others])).scores.set_index("score")
    # .02 doubled is .04, and .03 is not below it.
    assert table.loc[["a", "b", "c"], "p_holm"].tolist() == pytest.approx([0.04, 0.04, 0.03])


def test_verdicts_of_single_runs_are_given_anew() -> None:
    alone = [row(name, name, p_good=0.03, verdict="satisfied") for name in ("semantics", "noise")]
    assert set(rows_of(*alone).values()) == {"undecided"}  # .06 together


def test_rows_stand_in_the_order_of_desiderata_and_columns_in_that_of_the_estimators() -> None:
    table = [
        row("mine", "beauty"),
        row("leak", "logical consistency", domain="subset"),
        row("margin", "transitivity and causality", domain="containment"),
        row("margin", "transitivity and causality", condition="link=2", domain="causal"),
        row("margin", "transitivity and causality", condition="link=1", domain="causal"),
        row("slope", "semantics"),
    ]
    made = card(pd.DataFrame([{**one, "estimator": name} for name in ("SGD", "AdamW", "Adam") for one in table]))
    assert made.estimators == ("SGD", "AdamW", "Adam")
    shown = made.scores[["row", "condition", "estimator"]]
    assert list(dict.fromkeys(shown["row"])) == [
        "semantics",
        "transitivity (causal)",
        "compositionality (containment)",
        "logical consistency (subset)",
        "beauty",
    ]
    assert shown[shown["row"] == "transitivity (causal)"].to_numpy().tolist() == [
        ["transitivity (causal)", condition, name]
        for condition in ("link=2", "link=1")  # as they came
        for name in ("SGD", "AdamW", "Adam")
    ]


def test_what_no_estimator_defines_is_left_out_and_named() -> None:
    table = [
        row("gap", domain="subset", **UNDEFINED),
        row("gap", domain="subset", estimator="prompted", **UNDEFINED),
        row("leak", domain="subset", **UNDEFINED),
        row("leak", domain="subset", estimator="prompted"),
        row("gap", domain="taxonomy"),
        row("auc", domain="subset", **UNDEFINED),
    ]
    made = card(pd.DataFrame(table))
    assert made.scores[["score", "domain", "estimator"]].to_numpy().tolist() == [
        ["leak", "subset", "SGD"],
        ["leak", "subset", "prompted"],
        ["gap", "taxonomy", "SGD"],
    ]
    assert [note for note in made.notes if "Undefined" in note] == ["Undefined: auc (subset)."]  # gap: elsewhere it is
    # Undefined by one estimator alone is not satisfied, and does not stand in the way of the other.
    assert made.scores["overall"].tolist() == ["undecided", "satisfied", "satisfied"]


def test_a_domain_that_only_describes_gives_way_to_one_that_is_judged() -> None:
    described = [row("gap", domain="fig2", estimator=name, **DESCRIPTIVE) for name in ("SGD", "prompted")]
    judged = [row("gap", domain="subset"), row("gap", domain="subset", estimator="prompted", **DESCRIPTIVE)]
    made = card(pd.DataFrame([*described, *judged]))
    assert set(made.scores["domain"]) == {"subset"}
    assert "Judged in another domain, here only described: gap (fig2)." in made.notes
    assert "Descriptive, ontology (subset) by prompted: 10 worlds." in made.notes
    # Where no domain is judged, what there is stands there; so does another desideratum.
    assert set(card(pd.DataFrame(described)).scores["domain"]) == {"fig2"}
    other = row("slope", "semantics", domain="nouns", **DESCRIPTIVE)
    assert set(card(pd.DataFrame([*judged, other])).scores["domain"]) == {"nouns", "subset"}


def test_verdicts_and_failed_gates_are_counted_and_named() -> None:
    made = card(
        pd.DataFrame(
            [
                row("margin", condition="link=1", domain="causal", **VOID),
                row("margin", condition="link=2", domain="causal", **VOID),
                row("gap", "noise"),
                row("slope", "semantics"),
                row("margin", condition="link=1", domain="causal", estimator="AdamW", **VOID),
                row("gap", "noise", estimator="prompted", **DESCRIPTIVE),
                row("gap", "noise", estimator="AdamW", **DESCRIPTIVE),
            ]
        )
    )
    assert made.notes == (
        "SGD: 2 satisfied, 1 void; 2 scores are judged together.",
        "AdamW: 1 void, 1 descriptive.",
        "prompted: 1 descriptive.",
        "Void, ontology (causal) by SGD and AdamW: link 1 is not learned.",
        "Descriptive, noise by AdamW and prompted: 10 worlds.",
    )
    alike = card(pd.DataFrame([row("gap", estimator=name, **VOID) for name in ("SGD", "prompted")]))
    assert alike.notes[-1] == "Void, ontology: link 1 is not learned."


def test_diagnostics_have_no_place_on_a_card() -> None:
    made = card(pd.DataFrame([row("gap"), row("other", threshold=NAN, **UNJUDGED)]))
    assert made.scores["score"].tolist() == ["gap"]
    with pytest.raises(ValueError, match="expected scores with a threshold, got none; add some that have a criterion"):
        card(pd.DataFrame([row("other", threshold=NAN)]))


def test_a_score_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="expected each score once, got gap twice by SGD; choose one of its runs"):
        card(pd.DataFrame([row("gap"), row("leak"), row("gap")]))


def test_a_card_of_the_librarys_own_tables() -> None:
    """Eight seeds whose score is far above its threshold by one estimator, and below it by the other."""
    mine = Score(
        name="mine",
        desideratum="beauty",
        better="higher",
        measure=lambda matrix: matrix.gain.mean(),
        criterion=Criterion(threshold=1.0, self_gain=1.0),
    )
    noise = 0.1 * np.random.default_rng(0).normal(size=(8, 3, 3))
    tables = [
        score([matrix_of(level + one, samples(3)) for one in noise], [mine]).assign(estimator=estimator)
        for estimator, level in (("AdamW", 2.0), ("SGD", 0.5))
    ]
    made = card(pd.concat(tables))
    assert dict(zip(made.scores["estimator"], made.scores["overall"], strict=True)) == {
        "AdamW": "satisfied",
        "SGD": "violated",
    }


def test_every_primary_score_has_a_place() -> None:
    assert {one.desideratum for one in SCORES.values() if one.criterion} <= set(DESIDERATA)
