import numpy as np
import pandas as pd
import pytest

from influence.samples import check, digest, input_columns, without_inputs


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "label": [0, 1, 2],
            "sigma": [0.0, 0.1, 0.2],
            "image": list(np.arange(12.0).reshape(3, 1, 2, 2)),
            "mask": list(np.eye(3, dtype=np.int64)),
        }
    )


def with_pixel(value: float) -> pd.DataFrame:
    changed = table()
    changed["image"][1][0, 1, 0] = value
    return changed


def test_good_samples_pass_and_are_left_as_they_are():
    samples = table()
    check(samples, "probe")
    pd.testing.assert_frame_equal(samples, table())


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (table()[:0], "expected at least one probe, got an empty table; widen the selection"),
        (table().drop(columns="id"), r"expected an `id` column in the probe table, got \['label', .*\]; add one"),
        (table().iloc[[0, 1, 0]], "expected unique ids in the probe table, got 'a' more than once"),
        (with_pixel(np.nan), "expected finite numbers in 'image' of probe 'b', got NaN or infinity; remove or repair"),
        (with_pixel(-np.inf), "expected finite numbers in 'image' of probe 'b'"),
    ],
)
def test_bad_samples_are_refused_in_a_sentence(samples, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(samples, "probe")


def test_arrays_are_inputs_and_stay_out_of_saved_tables():
    assert input_columns(table()) == ["image", "mask"]
    part = without_inputs(table().iloc[[2, 0]])
    expected = pd.DataFrame({"id": ["c", "a"], "label": [2, 0], "sigma": [0.2, 0.0]})
    pd.testing.assert_frame_equal(part, expected)


def test_the_digest_depends_on_the_content_alone():
    moved = table().set_index(pd.Index([7, 8, 9]))
    transposed = table().assign(image=[np.asfortranarray(image) for image in table()["image"]])
    assert digest(moved) == digest(transposed) == digest(table())


@pytest.mark.parametrize(
    "changed",
    [
        table().iloc[[1, 0, 2]],
        table()[:2],
        table().assign(label=[0, 1, 3]),
        table().assign(sigma=[0.0, 0.1, np.nextafter(0.2, 1)]),
        table().rename(columns={"label": "class"}),
        table().rename(columns={"image": "picture"}),
        with_pixel(np.nextafter(6.0, 7)),
        table().assign(mask=list(np.eye(3, dtype=np.int64)[::-1])),
    ],
)
def test_the_digest_sees_every_change(changed):
    assert digest(changed) != digest(table())
