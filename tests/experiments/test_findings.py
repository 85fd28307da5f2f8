"""What published runs say: statistics by hand-made runs, and the rule by which a claim holds."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.findings import Difference, Finding, Plateau, Published, Value, above, below, beyond
from experiments.published import TEXTS
from influence.desiderata.scoring import compare, score
from influence.matrix import InfluenceMatrix
from tests.experiments import test_plateau
from tests.experiments.fabricated import image_run, text_run

SGD = {"name": "finetune", "optimizer": "sgd", "statements": "together"}
PROMPT = {"name": "prompt", "separator": "\n", "order": "given"}
NEGATED = ("p1", "not_p1")


@pytest.mark.parametrize(
    ("values", "outcomes"),
    [
        (above(0.5), {(0.6, 0.9): "holds", (0.4, 0.9): "undecided", (0.1, 0.4): "does not hold"}),
        (below(0.5), {(0.6, 0.9): "does not hold", (0.4, 0.9): "undecided", (0.1, 0.4): "holds"}),
        (
            beyond(0.5),
            {
                (0.6, 0.9): "holds",
                (-2.0, -0.6): "holds",
                (-0.6, 0.6): "undecided",
                (0.4, 0.9): "undecided",
                (-0.5, 0.5): "does not hold",
            },
        ),
        (below(1), {(1.0, 1.0): "does not hold", (math.nan, math.nan): "undecided"}),
    ],
)
def test_a_claim_holds_where_the_whole_interval_is(values: Any, outcomes: dict[tuple[float, float], str]) -> None:
    assert {ends: values.outcome(*ends) for ends in outcomes} == outcomes


def spread(mean: float, count: int, seed: int = 0) -> Any:
    """One number a world, with this mean."""
    noise = 0.05 * np.random.default_rng(seed).normal(size=count)
    return mean + noise - noise.mean()


def test_a_value_is_that_of_the_score_with_its_interval(tmp_path: Path) -> None:
    run = text_run(tmp_path / "fig2_transitivity" / "a", {NEGATED: spread(0.8, 12)}, domain="transitivity")
    leak = Value("fig2_transitivity", "negation_leak", "learned=statement", above(0.1))
    row = score(InfluenceMatrix.load(run), ["negation_leak"]).iloc[0]
    assert row["value"] == pytest.approx(0.4)  # of two negations the other does not leak
    published = Published(tmp_path)
    text = f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
    assert leak.read(published, "SGD") == Finding(text, "holds")
    assert leak.read(published, "prompted") is None
    assert Value("logic", "negation_leak", "learned=statement").read(published, "SGD") is None
    assert Value("fig2_transitivity", "negation_leak", "learned=statement").read(published, "SGD") == Finding(text)
    # What the samples do not have is undefined, and decides nothing.
    gap = Value("fig2_transitivity", "reversal_gap", holds=below(0.25))
    assert gap.read(published, "SGD") == Finding("undefined", "undecided")
    assert leak.label == "negation_leak[learned=statement]"


def test_the_runs_of_a_column_are_the_usual_ones_with_the_most_units(tmp_path: Path) -> None:
    def run(folder: str, leak: float, worlds: int, estimator: Any) -> None:
        gains = {pair: spread(leak, worlds) for pair in (NEGATED, ("entailed", "contradicted"))}
        text_run(tmp_path / "fig" / folder, gains, domain="transitivity", worlds=worlds, estimator=estimator)

    run("a", 0.1, 3, SGD)
    run("b", 0.2, 12, SGD)
    run("c", 0.3, 14, SGD | {"statements": "joined"})
    run("d", 0.4, 12, SGD | {"optimizer": "adamw"})
    run("e", 0.5, 12, PROMPT)
    run("f", 0.6, 14, PROMPT | {"order": "reversed"})
    published = Published(tmp_path)

    def value(column: str, **settings: Any) -> float:
        finding = Value("fig", "negation_leak", "learned=statement", settings=settings).read(published, column)
        assert finding is not None
        return float(finding.text.split()[0])

    assert [value(column) for column in ("SGD", "Adam, AdamW", "prompted")] == [0.2, 0.4, 0.5]
    assert value("SGD", statements="joined") == 0.3
    assert value("prompted", order="reversed") == 0.6


def test_images_are_found_by_their_self_gain_and_seeds_are_units(tmp_path: Path) -> None:
    for seed in range(5):
        for self_gain, noisy in ((0.3, 0.5), (1.0, 2.0)):
            estimator = {"lr": None, "self_gain": self_gain}
            image_run(tmp_path / "fig" / f"{self_gain}{seed}", seed=seed, noisy=noisy, estimator=estimator)
    published = Published(tmp_path)
    for self_gain, noisy in ((0.3, 0.5), (1.0, 2.0)):
        value = Value("fig", "noise_discount", "sigma=1", settings={"self_gain": self_gain})
        finding = value.read(published, "SGD")
        assert finding is not None
        assert float(finding.text.split()[0]) == pytest.approx(noisy, rel=0.05)
        assert value.label == f"noise_discount[sigma=1], self-gain {self_gain}"


def test_a_failed_gate_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text_run(tmp_path / "fig" / "a", {NEGATED: spread(0.8, 12)}, domain="transitivity")
    published = Published(tmp_path)
    leak = Value("fig", "negation_leak", "learned=statement", above(0.1))
    finding = leak.read(published, "SGD")
    assert finding is not None
    assert finding.outcome == "holds"
    for table in published._tables.values():
        table["verdict"] = "void"
    assert leak.read(published, "SGD") == Finding(f"{finding.text}, void", "undecided")


def test_a_difference_is_that_of_the_worlds_that_both_have(tmp_path: Path) -> None:
    """Prompted .8, learned .5, of 12 worlds; joined .65 on the first six of them."""
    runs = {}
    for name, leak, worlds, estimator in (
        ("a", 0.5, 12, SGD),
        ("b", 0.8, 12, PROMPT),
        ("c", 0.65, 6, SGD | {"statements": "joined"}),
    ):
        gains = {pair: leak + 0.01 * np.arange(worlds) for pair in (NEGATED, ("entailed", "contradicted"))}
        folder = tmp_path / "fig" / name
        runs[name] = text_run(folder, gains, domain="transitivity", worlds=worlds, estimator=estimator)
    published = Published(tmp_path)
    at = {"experiment": "fig", "score": "negation_leak", "condition": "learned=statement", "holds": above(0.2)}
    prompted = Difference(**at, what="prompted minus learned", left={"column": "prompted"}, right={})
    matrices = [InfluenceMatrix.load(runs[name]) for name in ("b", "a")]
    row = compare(*matrices, ["negation_leak"]).iloc[0]
    assert row["value"] == pytest.approx(0.3)
    assert prompted.read(published, "SGD") == Finding(f"0.3 [{row['low']:.3g}, {row['high']:.3g}]", "holds")
    assert prompted.read(published, "Adam, AdamW") is None
    assert prompted.label == "negation_leak[learned=statement], prompted minus learned"
    joined = Difference(**at, what="joined minus together", left={"statements": "joined"}, right={})
    # On the six worlds that both have .65 - .5, the same in each.
    assert joined.read(published, "SGD") == Finding("0.15 [0.15, 0.15]", "does not hold")
    gated = replace(joined, gated_by="self_gain_median")
    assert gated.read(published, "SGD") == joined.read(published, "SGD")
    for (runs, _), table in published._tables.items():
        if runs.unusual:
            table["verdict"] = "void"
    assert gated.read(published, "SGD") == Finding("0.15 [0.15, 0.15], void", "undecided")


def test_a_plateau_is_the_range_of_rates_on_it(tmp_path: Path) -> None:
    for optimizer, noise in (("sgd", 0.0), ("adam", 100.0)):
        for lr in test_plateau.RATES:
            test_plateau.run_folder(
                tmp_path / "lr_plateau" / f"{optimizer}{lr}", lr=lr, optimizer=optimizer, noise=noise
            )
    published = Published(tmp_path)
    assert Plateau("lr_plateau").read(published, "SGD") == Finding("0.0001 to 0.01", "holds")
    assert Plateau("lr_plateau").read(published, "Adam, AdamW") == Finding("none", "does not hold")
    assert Plateau("lr_plateau_text").read(published, "SGD") is None


def test_experiments_are_the_folders_with_runs(tmp_path: Path) -> None:
    image_run(tmp_path / "fig" / "a")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "numbers.json").write_text(json.dumps({}))
    assert list(Published(tmp_path).sets) == ["fig"]
    assert TEXTS.keys() > {"squares"}
