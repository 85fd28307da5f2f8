"""Which runs are scored together, and what they are called."""

from pathlib import Path
from typing import Any

import pytest

from experiments.run_sets import run_sets
from tests.experiments.fabricated import image_run, text_run


def folders(*runs: Path) -> list[list[Path]]:
    return [list(one.folders) for one in run_sets(runs)]


def test_runs_that_differ_in_their_seeds_are_one_set_in_the_order_of_seeds(tmp_path: Path) -> None:
    third, first, second = (image_run(tmp_path / name, seed=seed) for name, seed in (("a", 2), ("b", 0), ("c", 1)))
    assert folders(third, first, second) == [[first, second, third]]


def test_other_settings_make_another_set(tmp_path: Path) -> None:
    first = image_run(tmp_path / "a")
    same = image_run(tmp_path / "b", seed=1, engine={"threads": 2}, name="renamed")
    other_step = image_run(tmp_path / "c", seed=2, estimator={"lr": 0.2})
    bare = image_run(tmp_path / "d", seed=3)
    (bare / "config.yaml").unlink()
    assert folders(first, same, other_step, bare) == [[first, same], [other_step], [bare]]


@pytest.mark.parametrize(
    ("estimator", "kind", "unusual", "label"),
    [
        ({"name": "finetune", "optimizer": "sgd"}, "SGD", "", "SGD, lr 0.1"),
        ({"name": "finetune", "optimizer": "adam", "lr": None, "self_gain": 0.3}, "Adam", "", "Adam, self-gain 0.3"),
        ({"name": "finetune", "optimizer": "rmsprop"}, "rmsprop", "", "rmsprop, lr 0.1"),
        ({"name": "first_order", "optimizer": "sgd"}, "SGD, first order", "", "SGD, first order, lr 0.1"),
        (
            {"name": "finetune", "optimizer": "adamw", "num_steps": 8, "optimizer_options": {"fused": True}},
            "AdamW",
            "",
            "AdamW, 8 steps, lr 0.1",
        ),
        (
            {"name": "finetune", "optimizer": "sgd", "statements": "joined", "optimizer_options": {"momentum": 0.9}},
            "SGD",
            "optimizer_options {'momentum': 0.9}, statements joined",
            "SGD, optimizer_options {'momentum': 0.9}, statements joined, lr 0.1",
        ),
        ({"name": "prompt", "separator": "\n", "order": "given"}, "prompted", "", "prompted"),
        ({"name": "prompt", "order": "reversed"}, "prompted", "order reversed", "prompted, order reversed"),
    ],
)
def test_an_estimator_has_a_kind_and_what_is_unusual_about_it(
    tmp_path: Path, estimator: Any, kind: str, unusual: str, label: str
) -> None:
    (runs,) = run_sets([text_run(tmp_path / "squares" / "a", {}, domain="squares", worlds=1, estimator=estimator)])
    assert (runs.kind, runs.unusual, runs.label) == (kind, unusual, label)
    assert (runs.name, runs.model, runs.domain) == ("squares", "Gemma", "squares")


def test_a_model_is_what_was_trained_whatever_the_seed(tmp_path: Path) -> None:
    first = image_run(tmp_path / "a")
    same = image_run(tmp_path / "b", seed=1, estimator={"optimizer": "adam"})
    wider = image_run(tmp_path / "c", model={"name": "CNN", "channels": [8, 8]})
    longer = image_run(tmp_path / "d", trainer={"epochs": 2})
    hashes = [runs.model_hash for runs in run_sets([first, same, wider, longer])]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_nouns_are_a_domain_of_their_own(tmp_path: Path) -> None:
    (runs,) = run_sets([image_run(tmp_path / "a", data={"worlds": 40, "per_category": 6})])
    assert runs.domain == "nouns"
