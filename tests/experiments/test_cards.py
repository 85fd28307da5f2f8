"""Cards of saved runs: which runs stand where, and how they are written."""

from pathlib import Path

import pandas as pd

from experiments import cards as module
from experiments.cards import card_markdown, card_name, card_text, cards, draw_card, published_cards
from experiments.run_folder import find_runs
from experiments.run_sets import run_sets
from influence.desiderata.card import Card, card
from influence.desiderata.scoring import score
from tests.experiments.fabricated import image_run
from tests.influence.desiderata.test_card import DESCRIPTIVE, UNDEFINED, VOID, row

NOISE = ["noise_discount"]


def cards_of(folder: Path) -> dict[str, Card]:
    return cards([(runs, score(runs.matrices(), NOISE)) for runs in run_sets(find_runs([folder]))])


def noise(of: Card) -> dict[str, tuple[str, int, str]]:
    """Verdict, units and experiment of the noise discount by estimator."""
    rows = of.scores[of.scores["score"] == "noise_discount"]
    return {one["estimator"]: (one["overall"], one["n"], one["experiment"]) for one in rows.to_dict("records")}


def test_a_model_has_one_card_with_a_column_for_each_estimator(tmp_path: Path) -> None:
    for seed in range(8):
        image_run(tmp_path / "noise" / f"adam{seed}", seed=seed, noisy=0.5, estimator={"optimizer": "adam"})
        image_run(tmp_path / "noise" / f"sgd{seed}", seed=seed, noisy=1.5)
    image_run(tmp_path / "other" / "a", model={"name": "Net", "channels": [8]})
    found = cards_of(tmp_path)
    assert list(found) == ["CNN", "Net"]
    # Noisy images teach half of what clean ones do by Adam, half more by SGD; a single run is not judged.
    assert noise(found["CNN"]) == {"SGD": ("violated", 8, "noise"), "Adam": ("satisfied", 8, "noise")}
    assert noise(found["Net"]) == {"SGD": ("descriptive", 6, "other")}
    assert found["CNN"].estimators == ("SGD", "Adam")
    assert found["CNN"].scores["row"].unique().tolist() == ["noise (digits)"]
    assert found["CNN"].notes[-1] == "Measured in noise."


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    image_run(tmp_path / "a")
    image_run(tmp_path / "b", model={"name": "CNN", "channels": [8]})
    hashes = [runs.model_hash[:6] for runs in run_sets(find_runs([tmp_path]))]
    assert list(cards_of(tmp_path)) == [f"CNN ({one})" for one in hashes]


def test_that_run_stands_on_the_card_that_is_judged_and_has_the_most_units(tmp_path: Path) -> None:
    data = {"base": "digits_rotated", "domain": "digits"}
    for seed in range(6):
        image_run(tmp_path / "b_six" / str(seed), seed=seed)
    for seed in range(5):
        image_run(tmp_path / "a_five" / str(seed), seed=seed, data={**data, "few": True})
    for seed in range(9):  # at a self-gain that is not judged
        step = {"lr": 0.2, "step_size": {"median": 1.0}}
        image_run(tmp_path / "c_large_step" / str(seed), seed=seed, estimator=step)
    assert noise(cards_of(tmp_path)["CNN"])["SGD"][1:] == (6, "b_six")


def test_step_sizes_of_one_experiment_stand_side_by_side(tmp_path: Path) -> None:
    for self_gain in (1.0, 0.3):
        for seed in range(6):
            step = {"lr": None, "self_gain": self_gain, "step_size": {"median": self_gain}}
            image_run(tmp_path / "noise" / f"{self_gain}-{seed}", seed=seed, estimator=step)
    verdicts = {column: verdict for column, (verdict, *_) in noise(cards_of(tmp_path)["CNN"]).items()}
    assert verdicts == {"SGD, self-gain 0.3": "violated", "SGD, self-gain 1": "descriptive"}
    image_run(tmp_path / "other" / "a")
    assert list(noise(cards_of(tmp_path)["CNN"])) == ["SGD"]


def test_unusual_runs_have_a_column_only_where_there_are_no_others(tmp_path: Path) -> None:
    momentum = {"optimizer_options": {"momentum": 0.9}}
    image_run(tmp_path / "a", estimator=momentum)
    assert cards_of(tmp_path)["CNN"].estimators == ("SGD, optimizer_options {'momentum': 0.9}",)
    image_run(tmp_path / "b")
    image_run(tmp_path / "c", estimator={**momentum, "optimizer": "adam"})
    assert cards_of(tmp_path)["CNN"].estimators == ("SGD", "Adam, optimizer_options {'momentum': 0.9}")


def test_published_cards_read_what_applies_alone(tmp_path: Path) -> None:
    image_run(tmp_path / "a")
    (found,) = published_cards(tmp_path).values()
    assert set(found.scores["score"]) == {"noise_discount", "selectivity", "selectivity_per_headroom"}
    assert not any(note.startswith("Undefined") for note in found.notes)  # scores of chains do not apply


LEAK = {"domain": "subset", "condition": "learned=negation", "better": "lower", "threshold": 0.7}
BY_HAND = card(
    pd.DataFrame(
        [
            row("gap", domain="subset", value=0.8, low=0.7, high=0.9),
            row("leak", **LEAK),
            row("gap", domain="subset", estimator="prompted", **VOID),
            row(
                "leak",
                domain="subset",
                condition="learned=negation",
                better="lower",
                estimator="prompted",
                **DESCRIPTIVE,
            ),
            row("slope", "semantics"),
            row("span", "noise", estimator="prompted"),
            row("span", "noise", **UNDEFINED),
        ]
    )
)


def test_a_card_as_text() -> None:
    lines = card_text("a model", BY_HAND).splitlines()
    assert lines[0] == "Desiderata card of a model"
    assert [line.split() for line in lines[1 : -len(BY_HAND.notes)]] == [
        ["desideratum", "and", "scores", "good", "SGD", "prompted"],
        ["semantics", "satisfied", "✓", "not", "measured"],
        ["slope", ">", "0.25", "0.5", "[0.4,", "0.6]", "✓"],
        ["noise", "undecided", "?", "satisfied", "✓"],
        ["span", ">", "0.25", "undefined", "?", "0.5", "[0.4,", "0.6]", "✓"],
        ["ontology", "(subset)", "satisfied", "✓", "void", "∅"],
        ["gap", ">", "0.25", "0.8", "[0.7,", "0.9]", "✓", "0.5", "[0.4,", "0.6]", "∅"],
        ["leak[learned=negation]", "<", "0.7", "0.5", "[0.4,", "0.6]", "✓", "0.5", "[0.4,", "0.6]", "·"],
    ]
    assert lines[3].startswith("  slope")
    assert lines[-len(BY_HAND.notes) :] == list(BY_HAND.notes)


def test_a_card_in_markdown() -> None:
    lines = card_markdown(BY_HAND).splitlines()
    assert lines[0] == "| desideratum and scores | good | SGD | prompted |"
    assert lines[2] == "| **semantics** |  | **satisfied ✓** | **not measured** |"
    assert lines[3] == "| slope | > 0.25 | 0.5 [0.4, 0.6] ✓ |  |"
    assert lines[-1] == f"- {BY_HAND.notes[-1]}"


def test_a_picture_is_saved_with_its_numbers(tmp_path: Path) -> None:
    paths = draw_card("Gemma 3 270M", BY_HAND, tmp_path)
    assert {path.name for path in paths} == {f"card_gemma_3_270m.{suffix}" for suffix in ("pdf", "png", "csv")}
    assert card_name("Gemma 3 270M") == "card_gemma_3_270m"
    saved = pd.read_csv(tmp_path / "card_gemma_3_270m.csv")
    assert saved["overall"].tolist() == BY_HAND.scores["overall"].tolist()


def test_published_cards_are_made_once(tmp_path: Path, monkeypatch) -> None:
    image_run(tmp_path / "a")
    first = published_cards(tmp_path)
    monkeypatch.setattr(module, "score", None)
    assert published_cards(tmp_path) is first
