"""Scores as text."""

import math

import numpy as np
import pytest

from experiments.tables import aligned, interval, markdown, number, scores_table, slug
from influence.desiderata import score
from tests.influence.desiderata.matrices import images, matrix_of


def test_numbers_have_three_digits_and_intervals_where_they_are_known() -> None:
    assert [number(value) for value in (0.12345, 12345.0, -1.0, math.nan)] == ["0.123", "1.23e+04", "-1", "-"]
    row = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert interval(row) == "0.5 [0.25, 0.75]"
    assert interval({**row, "low": math.nan, "high": math.nan}) == "0.5"
    assert interval({**row, "value": math.nan}) == "undefined"


@pytest.mark.parametrize(("name", "part"), [("Gemma 3 270M", "gemma_3_270m"), ("SGD, lr 0.1", "sgd_lr_0_1")])
def test_names_of_files_are_plain(name: str, part: str) -> None:
    assert slug(name) == part


def test_tables() -> None:
    header, rows = ["a", "bb"], [["long", "1"], ["x", ""]]
    assert aligned(header, rows) == "a     bb\nlong  1\nx"
    assert markdown(header, rows) == "| a | bb |\n| --- | --- |\n| long | 1 |\n| x |  |"


def test_the_table_of_scores_is_aligned_and_says_once_why_something_is_undefined() -> None:
    frame = score(
        matrix_of(np.random.default_rng(0).normal(size=(5, 5)), images(range(5))),
        ["asymmetry_index", "class_pair_rank", "reciprocity", "noise_discount", "selectivity"],
    )
    lines = scores_table(frame).splitlines()
    assert [line[: lines[0].index("value")].strip() for line in lines[:3]] == [
        "score",
        "asymmetry_index",
        "reciprocity",
    ]
    assert {line.index("diagnostic") for line in lines[1:3]} == {lines[0].index("verdict")}
    assert lines[3].startswith("class_pair_rank[learned=2, read=9]: undefined: expected")
    assert lines[3].endswith("got no cell")
    noisy = "noise_discount[sigma=1], selectivity[sigma=1], selectivity_per_headroom[sigma=1]"
    assert lines[4].startswith(f"{noisy}: undefined: expected one copy a source with sigma 1")
    assert len(lines) == 5
