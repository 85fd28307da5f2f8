"""The ledger: every claim of the paper with its verdicts, from whatever is published."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.claims import CLAIMS, Claim
from experiments.findings import Finding, Plateau, Value, above
from experiments.ledger import claims, ledger, verdict
from experiments.schema import REPOSITORY
from influence.desiderata.registry import SCORES
from tests.experiments.fabricated import text_run

HOLDS, FAILS, UNDECIDED = (Finding("1", outcome) for outcome in ("holds", "does not hold", "undecided"))
PROMPT = {"name": "prompt", "separator": "\n", "order": "given"}


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ([HOLDS, HOLDS], "holds"),
        ([HOLDS, FAILS, None], "does not hold"),
        ([HOLDS, UNDECIDED], "undecided"),
        ([HOLDS, None], "undecided"),  # a part of it alone
        ([None, None], "not measured"),
    ],
)
def test_a_claim_holds_by_all_that_decides(findings: list[Finding | None], said: str) -> None:
    assert verdict(findings) == said
    assert verdict(findings[::-1]) == said


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_nothing_is_measured_where_nothing_is_published(tmp_path: Path) -> None:
    lines = [cells(line) for line in ledger(tmp_path).splitlines()[2:]]
    heads = [line for line in lines if line[0].startswith("**")]
    assert len(heads) == len(CLAIMS)
    for claim, head in zip(CLAIMS, heads, strict=True):
        expected = [
            "**not measured**" if column in claim.columns else "" for column in ("SGD", "Adam, AdamW", "prompted")
        ]
        assert head == [f"**{claim.text}** ({claim.where})", "", "", *expected]
    assert {cell for line in lines for cell in line[3:]} == {"", "not measured", "**not measured**"}


def test_claims_are_read_from_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement leaks .9 to its negation by SGD, .1 by AdamW and about .5 prompted."""
    noise = np.random.default_rng(0).normal(size=12)
    noise -= noise.mean()
    for name, leak, estimator in (
        ("a", 0.9 + 0.05 * noise, {"name": "finetune", "optimizer": "sgd", "statements": "together"}),
        ("b", 0.1 + 0.05 * noise, {"name": "finetune", "optimizer": "adamw", "statements": "together"}),
        ("c", 0.5 + 0.05 * noise, PROMPT),
    ):
        gains = dict.fromkeys([("p1", "not_p1"), ("entailed", "contradicted")], leak)
        text_run(tmp_path / "fig2_transitivity" / name, gains, domain="transitivity", estimator=estimator)
    leak = Value("fig2_transitivity", "negation_leak", "learned=statement", above(0.5))
    other = Value("fig2_transitivity", "self_gain_median")
    learned = Claim("negation is ignored", "3.2", [leak, other], ("SGD", "Adam, AdamW"))
    images = Claim("noise is not discounted", "2.1", [Value("noise_images", "noise_discount", "sigma=1", above(0.8))])
    monkeypatch.setattr("experiments.ledger.CLAIMS", (learned, Claim("the same", "4", [leak]), images))
    lines = [cells(line) for line in ledger(tmp_path).splitlines()]
    assert lines[0] == ["claim, and what speaks to it", "experiment", "holds where", "SGD", "Adam, AdamW", "prompted"]
    assert lines[2] == ["**negation is ignored** (3.2)", "", "", "**holds**", "**does not hold**", ""]
    assert lines[3][:3] == ["negation_leak[learned=statement]", "fig2_transitivity", "> 0.5"]
    value = r"0\.\d+ \[0\.\d+, 0\.\d+\]"
    for cell, mark in zip(lines[3][3:], [" ✓", " ✗", ""], strict=True):  # of the prompt nothing is claimed
        assert re.fullmatch(value + mark, cell)
    assert lines[4] == ["self_gain_median", "fig2_transitivity", "", *["1 [1, 1]"] * 3]
    assert lines[5][3:] == ["**holds**", "**does not hold**", "**undecided**"]
    assert lines[6][5].endswith("?")
    assert lines[7][3:] == ["**not measured**"] * 3
    short = [cells(line) for line in claims(tmp_path).splitlines()]
    assert short[0] == ["claim", "where", "SGD", "Adam, AdamW", "prompted"]
    assert short[2] == ["negation is ignored", "3.2", "holds", "does not hold", ""]
    assert [line[0] for line in short[3:]] == ["the same", "noise is not discounted"]


def test_every_claim_can_be_read_and_decided() -> None:
    for claim in CLAIMS:
        for statistic in claim.statistics:
            assert isinstance(statistic, Plateau) or statistic.score in SCORES
        for column in claim.columns:
            assert any(one.holds and column in one.columns for one in claim.statistics)


def test_experiments_are_those_of_the_lab_notes() -> None:
    notes = {path.stem for path in (REPOSITORY / "conf").glob("*/*.yaml")}
    assert {one.experiment for claim in CLAIMS for one in claim.statistics} <= notes


def test_bounds_are_those_of_the_criteria() -> None:
    """Of primary scores; that a negation is ignored says more than that something leaks."""
    bounds = {
        (one.score, float(one.holds.text.split()[1]))
        for claim in CLAIMS
        for one in claim.statistics
        if isinstance(one, Value) and one.holds and one.score != "negation_leak"
    }
    thresholds = {(name, one.criterion.threshold) for name, one in SCORES.items() if one.criterion}
    primary = {name for name, _ in thresholds}
    checked = {(name, bound) for name, bound in bounds if name in primary}
    assert checked <= thresholds
    assert {"noise_discount", "transitivity_margin"} <= {name for name, _ in checked}


def test_every_part_of_the_paper_with_findings_is_there() -> None:
    where = set(re.findall(r"[\w.]+", " ".join(claim.where for claim in CLAIMS)))
    assert {"2.1", "3.2", "3.4", "4", "5A", "5B"} <= where
