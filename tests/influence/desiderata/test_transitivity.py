from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from influence.data.chains import chains
from influence.data.domains import load
from influence.desiderata import score
from influence.desiderata.spec import NotApplicableError, UndefinedError
from influence.desiderata.transitivity import (
    SCORES,
    gate,
    link_gate,
    link_strength,
    transitivity,
    transitivity_margin,
    transitivity_of_broken,
)
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import DOMAINS, language, matrix_of, scaled, shuffled

Cell = Callable[[dict[str, Any], dict[str, Any]], float]
"""Gain of a probe on a target, rows of their tables; `place` is that in the world."""
NAMES = [score.name for score in SCORES]
AT_CRITERION = {"name": "finetune", "num_steps": 8, "lr": 1e-6, "step_size": {"median": 1.1}}


def crossed(cell: Cell, *, length: int = 2, count: int = 1, broken: bool = True) -> InfluenceMatrix:
    """Worlds of crossed chains of causes in which learning a probe gives a target the gain that `cell` says."""
    probes, targets = chains(
        load(DOMAINS / "causal.yaml"), length=length, count=count, seed=0, style="paper", broken=broken
    )
    gain_PT, self_gain_P = np.full((len(probes), len(targets)), np.nan), np.ones(len(probes))
    rows_P, rows_T = (
        table.assign(place=table.groupby("world").cumcount()).to_dict("records") for table in (probes, targets)
    )
    for (i, probe), (j, target) in product(enumerate(rows_P), enumerate(rows_T)):
        if probe["world"] == target["world"]:
            gain_PT[i, j] = cell(probe, target)
            if probe["id"] == target["id"]:
                self_gain_P[i] = gain_PT[i, j]
    return matrix_of(gain_PT, probes, targets, self_gain=self_gain_P, readout="span_log_prob")


def additive(seed: int) -> Cell:
    """Every statement gives every target a gain of its own, whatever else is learned."""
    random = np.random.default_rng(seed)
    gains: dict[tuple[str, str], float] = {}

    def cell(probe: dict[str, Any], target: dict[str, Any]) -> float:
        return sum(
            gains.setdefault((statement, target["text"]), random.normal()) for statement in probe["text"].split("\n")
        )

    return cell


def composing(gain: float, strengths: tuple[float, ...] = (1.0, 1.0)) -> Cell:
    """What follows gains so much, and every learned statement of a link its strength."""

    def cell(probe: dict[str, Any], target: dict[str, Any]) -> float:
        lines = probe["text"].split("\n")
        kind = target["item"].split("_")[0]
        if kind.startswith("link"):
            return strengths[int(kind[4:]) - 1] * (target["text"] in lines)
        first = target["text"].split()[1]
        leads = {line.split()[1]: line.split()[5] for line in lines}
        while first in leads:
            first = leads[first]
        return gain * (first == target["text"].split()[5])

    return cell


@pytest.mark.parametrize("length", [2, 3, 4])
def test_an_additive_update_gives_0_in_every_world(length: int) -> None:
    matrix = crossed(additive(0), length=length, count=3)
    for world in matrix.worlds():
        assert abs(transitivity(world).value) < 1e-14
        assert abs(transitivity_of_broken(world).value) < 1e-14
        assert abs(link_strength(world, link=1).value) > 1e-3  # the links themselves do not cancel


def test_a_planted_composition_is_found() -> None:
    # K of every pairing is +-.5, of the sign of its parity: (.5 - 0 + .5 - 0) / 2. A broken chain leads nowhere.
    matrix = crossed(composing(0.5, (2.0, 3.0)))
    for same in (matrix, shuffled(matrix)):
        assert transitivity(same).value == pytest.approx(0.5)
        assert transitivity_of_broken(same).value == 0
        assert [link_strength(same, link=link).value for link in (1, 2)] == pytest.approx([2.0, 3.0])
        # .5 - 2/4 and .5 - 3/4
        assert [transitivity_margin(same, link=link).value for link in (1, 2)] == pytest.approx([0.0, -0.25])
    assert transitivity(scaled(matrix, -3.0)).value == pytest.approx(-1.5)


@pytest.mark.parametrize("length", [3, 4])
def test_a_composition_over_more_links_is_found(length: int) -> None:
    strengths = (1.0, 2.0, 3.0, 4.0)[:length]
    matrix = crossed(composing(0.5, strengths), length=length)
    assert transitivity(matrix).value == pytest.approx(0.5)
    assert [link_strength(matrix, link=link + 1).value for link in range(length)] == pytest.approx(list(strengths))


def test_the_contrasts_by_hand() -> None:
    """Gains are numbers of the cell, K = 1/2 [M00 - M01 + M11 - M10], with the signs written out."""
    matrix = crossed(lambda probe, target: float(probe["place"] ** 2 * target["place"] ** 2))
    # K of the conclusions, columns 8 to 11: 1/2 (8^2 - 9^2 + 11^2 - 10^2) = 2 a unit of the row's p^2, and
    # joint_00, 01, 10, 11 are rows 0 to 3: T = 1/4 (0 - 1 - 4 + 9) 2 = 2.
    assert transitivity(matrix).value == pytest.approx(2.0)
    # 1/2 (0 - 1 + 9 - 4) = 2 for link 1 and 1/2 (16 - 25 + 49 - 36) = 2 for link 2.
    assert link_strength(matrix, link=1).value == pytest.approx(2 / 4 * (0 + 1 - 4 - 9))
    assert link_strength(matrix, link=2).value == pytest.approx(2 / 4 * (0 - 1 + 4 - 9))
    assert transitivity_margin(matrix, link=1).value == pytest.approx(2 + 6 / 4)
    # broken_00, 01, 10, 11 are rows 6 to 9: 1/4 (36 - 49 - 64 + 81) 2 = 2.
    assert transitivity_of_broken(matrix).value == pytest.approx(2.0)
    # Link 1 holds M00, M11 (columns 0, 3) in rows 0, 1 and M01, M10 (1, 2) in rows 2, 3; alone it is row 4.
    jointly = (0 * (0 + 9) + 1 * (0 + 9) + 4 * (1 + 4) + 9 * (1 + 4)) / 8
    assert link_gate(matrix, link=1).numerator == pytest.approx(jointly)
    assert link_gate(matrix, link=1).denominator == pytest.approx(4**2 * 0**2)
    # Link 2 holds columns 4, 7 in rows 0, 2 and columns 5, 6 in rows 1, 3; alone it is row 5.
    jointly = (0 + 1 * (25 + 36) + 4 * (16 + 49) + 9 * (25 + 36)) / 8
    assert link_gate(matrix, link=2).numerator == pytest.approx(jointly)
    assert link_gate(matrix, link=2).denominator == pytest.approx(5**2 * 4**2)


def test_the_gate_over_worlds() -> None:
    assert gate(list(crossed(composing(0.0), count=5).worlds())) == ""

    def jointly(share: float) -> Cell:
        learned = composing(0.0)
        return lambda probe, target: learned(probe, target) * (share if probe["num_statements"] > 1 else 1.0)

    assert gate(list(crossed(jointly(0.5), count=5).worlds())) == ""
    reason = gate(list(crossed(jointly(0.4), count=5).worlds()))
    assert reason == "link 1 gains 0.4 with the others, less than half of 1 alone"
    reason = gate(list(crossed(composing(0.0, (1.0, 0.0)), count=5).worlds()))
    assert reason == "the strength of link 2 is not above 0 (0 to 0)"

    # A learner that raises all names alike learns no link.
    reason = gate(list(crossed(lambda probe, target: 1.0, count=5).worlds()))
    assert reason == "the strength of link 1 is not above 0 (0 to 0)"


def test_no_world_is_dropped_by_the_gate() -> None:
    """In the last of five worlds link 1 is not learned jointly: the mean is .8, and the gate lets all pass."""

    def cell(probe: dict[str, Any], target: dict[str, Any]) -> float:
        share = 0.0 if probe["world"] == 4 and probe["num_statements"] > 1 else 1.0
        return share * composing(0.5)(probe, target)

    matrix = crossed(cell, count=5)
    assert gate(list(matrix.worlds())) == ""
    frame = score(matrix, ["transitivity"])
    assert frame["n"].tolist() == [5]
    assert frame["value"].tolist() == pytest.approx([0.4])


def noisy(cell: Cell, seed: int = 1, size: float = 0.05) -> Cell:
    random = np.random.default_rng(seed)
    return lambda probe, target: cell(probe, target) + size * random.normal()


@pytest.mark.parametrize(("composed", "verdict"), [(0.5, "satisfied"), (0.0, "violated"), (0.25, "undecided")])
def test_the_verdict_is_about_a_quarter_of_a_link(composed: float, verdict: str) -> None:
    matrix = replace(crossed(noisy(composing(composed)), count=20), estimator=AT_CRITERION)
    frame = score(matrix, ["transitivity_margin"])
    assert frame["condition"].tolist() == ["link=1", "link=2"]
    assert frame["verdict"].tolist() == [verdict] * 2
    assert frame["value"].tolist() == pytest.approx([composed - 0.25] * 2, abs=0.02)


def test_the_others_are_diagnostics() -> None:
    frame = score(crossed(noisy(composing(0.5, (2.0, 3.0))), count=10), NAMES).set_index(["score", "condition"])
    values = {("transitivity", ""): 0.5, ("link_strength", "link=2"): 3, ("link_gate", "link=1"): 1}
    for row, value in values.items():
        assert frame.loc[row, "verdict"] == "diagnostic"
        assert frame.loc[row, "value"] == pytest.approx(value, abs=0.1)
    placebo = frame.loc[("transitivity_broken", "")]
    assert placebo["low"] < 0 < placebo["high"]
    assert frame.loc[("transitivity", ""), "unit"] == "nats"
    assert frame.loc[("link_gate", "link=1"), "unit"] == "1"


@pytest.mark.parametrize(
    ("estimator", "count", "verdict", "note"),
    [
        ({"num_steps": 1}, 20, "descriptive", "num_steps 1, judged at 8"),
        ({"step_size": {"median": 0.3}}, 20, "descriptive", "median self-gain 0.3, judged at 1"),
        ({}, 19, "descriptive", "19 worlds, judged from 20 on"),
        ({"statements": "joined"}, 20, "descriptive", "statements joined, judged where learned together"),
        ({"name": "prompt"}, 20, "satisfied", ""),
    ],
)
def test_it_is_judged_at_8_steps_and_1_nat(estimator: dict[str, object], count: int, verdict: str, note: str) -> None:
    matrix = replace(crossed(noisy(composing(0.5)), count=count), estimator=AT_CRITERION | estimator)
    frame = score(matrix, ["transitivity_margin"])
    assert frame["verdict"].tolist() == [verdict] * 2
    assert all(note in row for row in frame["note"])


@pytest.mark.parametrize("count", [20, 5])
def test_what_fails_the_gate_is_void(count: int) -> None:
    """However few the worlds."""
    unlearned = noisy(composing(0.5, (1.0, 0.0)))
    frame = score(replace(crossed(unlearned, count=count), estimator=AT_CRITERION), ["transitivity_margin"])
    assert frame["verdict"].tolist() == ["void"] * 2
    assert frame["note"].str.match("void: (the strength of )?link 2 ").all()


def test_what_is_no_chain_has_no_score() -> None:
    frame = score(language("taxonomy", {}, count=3))
    assert not set(NAMES) & set(frame["score"])
    with pytest.raises(NotApplicableError, match="expected the links and conclusions of crossed chains, got none"):
        transitivity(language("taxonomy", {}))
    without = crossed(composing(0.5), broken=False, count=3)
    assert set(score(without)["score"]) >= set(NAMES) - {"transitivity_broken"}
    assert "transitivity_broken" not in set(score(without)["score"])
    with pytest.raises(NotApplicableError, match="expected broken chains among the probes, got none"):
        transitivity_of_broken(next(without.worlds()))


def test_a_missing_pairing_or_link_is_named() -> None:
    matrix = crossed(composing(0.5))
    part = matrix.select(probes=(matrix.probes["item"] != "joint_10").to_numpy())
    with pytest.raises(UndefinedError, match="expected conclusion_00 to be read after joint_10, got no such cell"):
        transitivity(part)
    assert gate([part, part]).startswith("expected link1_01 to be read after joint_10")
    with pytest.raises(UndefinedError, match="expected chains of at least 3 links, got 2"):
        link_strength(matrix, link=3)


def test_every_link_has_its_row() -> None:
    frame = score(crossed(composing(0.5, (1.0,) * 3), length=3, count=2, broken=False), ["link_strength", "link_gate"])
    rows = list(product(["link_strength", "link_gate"], ["link=1", "link=2", "link=3"]))
    assert list(zip(frame["score"], frame["condition"], strict=True)) == rows
