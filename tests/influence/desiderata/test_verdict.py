"""Verdicts: by interval and corrected p together, at the right units and step size."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from influence.desiderata import Ratio, Score, score
from influence.desiderata.spec import Criterion
from influence.desiderata.verdict import judge
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import matrix_of, samples


def row(**changes: Any) -> dict[str, Any]:
    usual = {"score": "s", "value": 0.5, "low": 0.4, "high": 0.6, "threshold": 0.25, "better": "higher"}
    return {**usual, "p_good": 0.01, "p_bad": 0.99, "p_holm": math.nan, "verdict": "undecided", **changes}


def verdicts(*rows: dict[str, Any]) -> list[str]:
    return judge(pd.DataFrame(rows))["verdict"].tolist()


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "satisfied"),
        ({"threshold": 0.45}, "undecided"),  # the interval straddles the threshold, however small the p
        ({"p_good": 0.06}, "undecided"),  # the interval is on the good side, p is not small
        ({"threshold": 0.7, "p_good": 0.99, "p_bad": 0.01}, "violated"),
        ({"threshold": 0.7, "p_good": 0.99, "p_bad": 0.06}, "undecided"),
        ({"threshold": 0.7, "better": "lower"}, "satisfied"),
        ({"better": "lower", "p_good": 0.99, "p_bad": 0.01}, "violated"),
        ({"p_good": math.nan, "p_bad": math.nan, "verdict": "void"}, "void"),
        ({"p_good": math.nan, "p_bad": math.nan, "verdict": "descriptive"}, "descriptive"),
    ],
)
def test_one_score(changes: dict[str, Any], verdict: str) -> None:
    assert verdicts(row(**changes)) == [verdict]


def test_p_values_of_a_card_are_corrected_together() -> None:
    """Holm: the smallest of three times 3, the next times 2, the last as it is, never below the one before."""
    table = judge(pd.DataFrame([row(p_good=0.02), row(p_good=0.015), row(p_good=0.03)]))
    assert table["p_holm"].tolist() == pytest.approx([0.045, 0.045, 0.045])
    table = judge(pd.DataFrame([row(p_good=0.03), row(p_good=0.02), row(p_good=0.04)]))
    assert table["p_holm"].tolist() == pytest.approx([0.06, 0.06, 0.06])
    assert set(table["verdict"]) == {"undecided"}
    # A diagnostic takes no part.
    others = [row(p_good=math.nan, p_bad=math.nan, verdict="diagnostic")] * 5
    assert judge(pd.DataFrame([row(p_good=0.04), *others]))["p_holm"].iloc[0] == pytest.approx(0.04)


def test_each_side_is_corrected_by_itself() -> None:
    good, bad = row(p_good=0.02, p_bad=0.98), row(threshold=0.7, p_good=0.98, p_bad=0.02)
    assert judge(pd.DataFrame([good, bad]))["p_holm"].tolist() == pytest.approx([0.04, 0.04])
    assert verdicts(good, bad) == ["satisfied", "violated"]


def planted(effect: float, *, worlds: int = 40, seed: int = 0, **estimator: Any) -> InfluenceMatrix:
    """Worlds of two samples whose gain on each other is `effect`, give or take .2, in self-gains of .3 nats."""
    rng = np.random.default_rng(seed)
    world_N = np.repeat(np.arange(worlds), 2)
    gain_NN = np.where(world_N[:, None] == world_N, 0.3 * rng.normal(effect, 0.2, (2 * worlds, 2 * worlds)), np.nan)
    np.fill_diagonal(gain_NN, 0.3)
    matrix = matrix_of(gain_NN, samples(2 * worlds, world=world_N), self_gain=0.3)
    return InfluenceMatrix(**{**vars(matrix), "estimator": {"name": "finetune", **estimator}})


def transfer(matrix: InfluenceMatrix) -> Ratio:
    return Ratio(float(matrix.gain[0, 1] + matrix.gain[1, 0]), float(2 * matrix.self_gain.mean()))


def judged(matrix: InfluenceMatrix, *, margin: float | None = None, **criterion: Any) -> Any:
    wanted = Score(
        name="transfer",
        desideratum="mine",
        better="higher",
        measure=transfer,
        null=0.0,
        margin=margin,
        criterion=Criterion(**{"threshold": 0.5, **criterion}),
    )
    return score(matrix, [wanted]).iloc[0]


@pytest.mark.parametrize(("effect", "verdict"), [(1.0, "satisfied"), (0.0, "violated"), (0.5, "undecided")])
def test_a_planted_effect_is_judged_against_the_threshold(effect: float, verdict: str) -> None:
    found = judged(planted(effect))
    assert found["verdict"] == verdict
    assert found["threshold"] == 0.5
    assert (found["p_good"] < 0.05) == (verdict == "satisfied")
    assert (found["p_bad"] < 0.05) == (verdict == "violated")
    assert found["low_bca"] < found["value"] < found["high_bca"]


@pytest.mark.parametrize(
    ("matrix", "criterion", "note"),
    [
        (planted(1.0, worlds=39), {}, "39 worlds, judged from 40 on"),
        (planted(1.0, worlds=39), {"units": {"seeds": 5}}, "judged over 5 seeds"),
        (planted(1.0, num_steps=8), {}, "num_steps 8, judged at 1"),
        (planted(1.0), {"self_gain": 1.0}, "median self-gain 0.3, judged at 1"),
        (planted(1.0, step_size={"median": 0.1}), {}, "median self-gain 0.1, judged at 0.3"),
    ],
)
def test_other_units_and_step_sizes_describe(matrix: InfluenceMatrix, criterion: Any, note: str) -> None:
    found = judged(matrix, **criterion)
    assert (found["verdict"], found["note"]) == ("descriptive", f"descriptive: {note}")
    assert math.isnan(found["p_good"])


def test_a_prompt_has_no_step_size() -> None:
    prompted = planted(1.0)
    prompted = InfluenceMatrix(**{**vars(prompted), "estimator": {"name": "prompt"}})
    assert judged(prompted, self_gain=1.0, num_steps=8)["verdict"] == "satisfied"


def test_a_gate_that_fails_voids() -> None:
    found = judged(planted(1.0), gate=lambda units: f"only {len(units)} worlds were learned")
    assert (found["verdict"], found["note"]) == ("void", "void: only 40 worlds were learned")
    assert judged(planted(1.0), gate=lambda _: "")["verdict"] == "satisfied"


@pytest.mark.parametrize(("effect", "is_none"), [(0.0, True), (0.1, False), (1.0, False)])
def test_no_effect_is_tested_not_taken_from_a_large_p(effect: float, is_none: bool) -> None:
    assert (judged(planted(effect), margin=0.1)["p_no_effect"] < 0.05) == is_none
