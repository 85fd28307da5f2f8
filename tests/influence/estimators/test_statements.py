import pandas as pd
import pytest

from influence import FineTune, FirstOrder
from influence.estimators.statements import lessons

PROBE = pd.DataFrame({"id": ["both"], "text": ["first\nsecond\nthird"], "spans": ["[]"], "foil": ["other"]})


@pytest.mark.parametrize(
    ("how", "steps"),
    {
        "together": [["first", "second", "third"]],
        "sequence": [["first"], ["second"], ["third"]],
        "sequence_reversed": [["third"], ["second"], ["first"]],
        "joined": [["first\nsecond\nthird"]],
        "last_only": [["third"]],
    }.items(),
)
def test_statements_of_every_step(how, steps):
    learned = lessons(PROBE, how)
    assert [list(lesson["text"]) for lesson in learned] == steps
    assert all(set(lesson) == {"id", "text"} and set(lesson["id"]) == {"both"} for lesson in learned)


def test_what_is_no_text_is_learned_whole():
    probe = pd.DataFrame({"id": ["image"], "label": [3]})
    assert lessons(probe, "sequence")[0] is probe


@pytest.mark.parametrize("estimator", [FineTune, FirstOrder])
def test_an_unknown_way_is_refused(estimator):
    with pytest.raises(ValueError, match=r"expected statements learned together, .*, got 'first'; choose one"):
        estimator(lr=0.1, statements="first")
