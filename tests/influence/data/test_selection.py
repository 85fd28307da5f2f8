import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from influence.data.noise import add_gaussian
from influence.data.selection import Selection, select
from influence.data.vision import ImageSet
from influence.samples import check

SELECTION = Selection(classes=[3, 1], per_class=2, seed=7, sigmas=[1.0, 0.0, 0.5])


def images(table: pd.DataFrame) -> dict[str, bytes]:
    return {id: image.tobytes() for id, image in zip(table["id"], table["image"], strict=True)}


def test_rows_go_by_sigma_draw_label_and_position(image_set: ImageSet) -> None:
    table = select(image_set, replace(SELECTION, draws=[1, 0]))
    keys = list(zip(table["sigma"], table["draw"], table["label"], table["source_index"], strict=True))
    assert keys == sorted(keys)
    assert table["label"].tolist() == [1, 1, 3, 3] * 5  # clean once, two noise levels twice
    assert table["group"].tolist() == ["clean"] * 4 + ["noise 0.5"] * 8 + ["noise 1"] * 8


def test_every_row_says_what_it_is(image_set: ImageSet) -> None:
    table = select(image_set, replace(SELECTION, draws=[2]))
    check(table, "probe")
    for row in table.itertuples():
        assert row.source == f"planted-test-{row.source_index}"
        assert row.id == (row.source if row.sigma == 0 else f"{row.source}-noise{row.sigma:g}-seed7-draw2")
        assert row.label == image_set.labels_N[row.source_index]
        clean = (image_set.images_NHW[row.source_index] / 255).astype(np.float32)[None]
        np.testing.assert_array_equal(row.image, add_gaussian(clean, sigma=row.sigma, seed=row.noise_seed), strict=True)
    assert table["noise_seed"][table["sigma"] > 0].is_unique
    assert np.stack(list(table["image"])).shape == (12, 1, 4, 3)


def test_the_draw_is_uniform_and_without_repetition(image_set: ImageSet) -> None:
    counts = np.zeros(40)
    for seed in range(400):
        table = select(image_set, Selection(per_class=3, seed=seed))
        assert table["source_index"].is_unique
        counts[table["source_index"]] += 1
    # each image is drawn with probability 3/10: 120 of 400, standard error sqrt(400 * .3 * .7) = 9.2
    assert np.abs(counts - 120).max() < 4 * 9.2


def test_each_label_has_a_draw_of_its_own(image_set: ImageSet) -> None:
    table = select(image_set, Selection(per_class=5))
    positions = {
        tuple(np.searchsorted(np.flatnonzero(image_set.labels_N == label), rows["source_index"]))
        for label, rows in table.groupby("label")
    }
    assert len(positions) == 4


@pytest.mark.parametrize(
    "more",
    [
        {"classes": [0, 3, 1]},
        {"classes": None},
        {"per_class": 5},
        {"sigmas": [2.0, 1.0, 0.5, 0.1, 0.0]},
        {"draws": [2, 1, 0]},
        {"sigmas": list(np.array([0.0, 0.5, 1.0]))},
    ],
)
def test_a_wider_selection_keeps_the_images(more: dict[str, object], image_set: ImageSet) -> None:
    assert images(select(image_set, SELECTION)).items() <= images(select(image_set, replace(SELECTION, **more))).items()


def test_another_seed_draws_other_images(image_set: ImageSet) -> None:
    first, second = (select(image_set, replace(SELECTION, seed=seed)) for seed in (7, 8))
    assert set(first["source"]) != set(second["source"])


@pytest.mark.parametrize("other", [{"seed": 8}, {"draws": [1]}, {"clip": True}])
def test_equal_ids_are_equal_images(other: dict[str, object], image_set: ImageSet) -> None:
    selection = Selection(indices=[4, 0, 9], sigmas=[0.0, 1.0])
    first, second = (images(select(image_set, chosen)) for chosen in (selection, replace(selection, **other)))
    clean = {f"planted-test-{index}" for index in (0, 4, 9)}
    assert first.keys() & second.keys() == clean
    assert {id for id in clean if first[id] == second[id]} == clean
    assert not set(first.values()) & {image for id, image in second.items() if id not in clean}


def test_noise_differs_between_images_levels_and_draws(image_set: ImageSet) -> None:
    table = select(image_set, Selection(per_class=10, sigmas=[0.5, 1.0], draws=[0, 1]))
    clean_NHW = image_set.images_NHW[table["source_index"]] / 255
    noise_ND = (np.stack(list(table["image"]))[:, 0] - clean_NHW).reshape(160, -1)
    assert len(np.unique((noise_ND / table["sigma"].to_numpy()[:, None]).round(4), axis=0)) == 160


def test_named_images_come_in_order_of_label(image_set: ImageSet) -> None:
    table = select(image_set, Selection(indices=[31, 2, 17, 5]))
    assert sorted(table["source_index"]) == [2, 5, 17, 31]
    assert table["label"].is_monotonic_increasing


def test_clipped_images_stay_in_the_grey_range(image_set: ImageSet) -> None:
    free, cut = (select(image_set, Selection(per_class=10, sigmas=[1.0], clip=clip)) for clip in (False, True))
    for one, other in zip(free["image"], cut["image"], strict=True):
        np.testing.assert_array_equal(one.clip(0, 1), other)


def test_pure_noise_stands_last_without_an_image(image_set: ImageSet) -> None:
    table = select(image_set, replace(SELECTION, draws=[0, 1], pure_noise=300))
    check(table, "probe")
    pd.testing.assert_frame_equal(table.iloc[:-300], select(image_set, replace(SELECTION, draws=[0, 1])))
    noise = table.iloc[-300:]
    assert set(noise["group"]) == {"pure noise"}
    assert set(noise["sigma"]) == {np.inf}
    assert (noise["source"] == noise["id"]).all()
    assert noise["id"].iloc[7] == "planted-test-pure-noise7-seed7"
    image_ND = np.stack([image.ravel() for image in noise["image"]])
    assert len(np.unique(image_ND, axis=0)) == 300
    for value, expected in ((image_ND.mean(), 0), (image_ND.std(), 1)):
        assert abs(value - expected) < 4 / np.sqrt(image_ND.size)


def test_labels_of_pure_noise_are_random_among_all_of_the_set(image_set: ImageSet) -> None:
    counts = select(image_set, replace(SELECTION, pure_noise=400))["label"].iloc[-400:].value_counts()
    # each of 4 labels has probability 1/4: 100 of 400, standard error sqrt(400 * .25 * .75) = 8.7
    assert np.abs(counts - 100).max() < 4 * 8.7
    assert len(counts) == 4


@pytest.mark.parametrize("other", [{"pure_noise": 9}, {"classes": [0]}, {"sigmas": [0.0]}])
def test_equal_ids_are_equal_pure_noise(other: dict[str, object], image_set: ImageSet) -> None:
    selection = replace(SELECTION, pure_noise=5)
    first, second = (select(image_set, chosen) for chosen in (selection, replace(selection, **other)))
    assert images(first.iloc[-5:]).items() <= images(second).items()
    labels = dict(zip(second["id"], second["label"], strict=True))
    assert [labels[id] for id in first["id"].iloc[-5:]] == first["label"].iloc[-5:].tolist()


@pytest.mark.parametrize("other", [{"seed": 8}, {"clip": True}])
def test_other_pure_noise_has_another_id(other: dict[str, object], image_set: ImageSet) -> None:
    selection = replace(SELECTION, pure_noise=5)
    first, second = (images(select(image_set, chosen).iloc[-5:]) for chosen in (selection, replace(selection, **other)))
    assert not first.keys() & second.keys()
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected either per_class or indices, got neither; give one of them"),
        ({"per_class": 1, "indices": [1]}, "expected either per_class or indices, got both; give one of them"),
        (
            {"classes": [1], "indices": [1]},
            "expected classes only beside per_class, got classes and indices; leave one out",
        ),
        ({"per_class": 0}, "expected at least one image of each class, got per_class=0; raise it"),
        ({"per_class": 1, "classes": []}, "expected a selection of at least one image, got no classes; name some"),
        ({"indices": []}, "expected a selection of at least one image, got no indices; name some"),
        ({"per_class": 1, "sigmas": []}, "expected a selection of at least one image, got no sigmas; name some"),
        ({"per_class": 1, "draws": []}, "expected a selection of at least one image, got no draws; name some"),
        ({"per_class": 1, "classes": [1, 1]}, "expected each of classes once, got [1, 1]; leave out the repeated"),
        ({"indices": [3, 1, 3]}, "expected each of indices once, got [3, 1, 3]; leave out the repeated"),
        (
            {"per_class": 1, "sigmas": [0.5, 0.5]},
            "expected each of sigmas once, got [0.5, 0.5]; leave out the repeated",
        ),
        *[
            (
                {"per_class": 1, "sigmas": [0.0, sigma]},
                f"expected noise levels that are standard deviations, 0 or more, got {sigma}; mend it",
            )
            for sigma in (-0.5, float("nan"), float("inf"))
        ],
        (
            {"per_class": 1, "pure_noise": -1},
            "expected 0 or more samples of pure noise, got pure_noise=-1; raise it",
        ),
    ],
)
def test_an_impossible_selection_is_refused(settings, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Selection(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"per_class": 1, "classes": [2, 4]},
            "expected labels of planted test, 0 to 3, got 4; correct classes",
        ),
        ({"per_class": 1, "classes": [-1]}, "expected labels of planted test, 0 to 3, got -1; correct classes"),
        (
            {"per_class": 11},
            "expected at most the 10 images of label 0 in planted test, got per_class=11; lower it",
        ),
        ({"indices": [0, 40]}, "expected indices of planted test, 0 to 39, got 40; correct it"),
        ({"indices": [-1]}, "expected indices of planted test, 0 to 39, got -1; correct it"),
    ],
)
def test_what_the_set_does_not_have_is_refused(settings, message: str, image_set: ImageSet) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        select(image_set, Selection(**settings))
