import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from influence.arrays import Array
from influence.data import embedding
from influence.data.embedding import embed, principal_components
from influence.data.selection import Selection, select
from influence.data.vision import ImageSet, load

SELECTION = Selection(per_class=2, sigmas=[0.0, 0.5], pure_noise=3)


def coordinates(samples: pd.DataFrame) -> Array:
    return samples[[name for name in samples if name.startswith("embed_")]].to_numpy(float)


def distances(points_NK: Array) -> Array:
    return np.sqrt(((points_NK[:, None] - points_NK) ** 2).sum(-1))


def pixels(samples: pd.DataFrame) -> Array:
    return np.stack([image.ravel() for image in samples["image"]]).astype(float)


def test_coordinates_are_projections_on_the_largest_singular_vectors(image_set: ImageSet) -> None:
    samples = select(image_set, SELECTION)
    train_ND = image_set.images_NHW.reshape(40, 12) / 255
    directions_DD = np.linalg.svd(train_ND - train_ND.mean(0))[2]
    found_NK = coordinates(embed(samples, principal_components(image_set, 3)))
    expected_NK = (pixels(samples) - train_ND.mean(0)) @ directions_DD[:3].T
    assert np.abs(found_NK) == pytest.approx(np.abs(expected_NK), abs=6e-5)  # a direction has no sign


def test_all_components_keep_the_distances_between_pixels(image_set: ImageSet) -> None:
    samples = select(image_set, SELECTION)
    embedded = embed(samples, principal_components(image_set, 12))
    assert distances(coordinates(embedded)) == pytest.approx(distances(pixels(samples)), abs=1e-3)


def test_the_table_stays_as_it_is_and_gains_rounded_columns(image_set: ImageSet) -> None:
    samples = select(image_set, SELECTION).iloc[::2]
    embedded = embed(samples, principal_components(image_set, 2))
    pd.testing.assert_frame_equal(embedded[samples.columns], samples)
    assert list(embedded.columns[len(samples.columns) :]) == ["embed_0", "embed_1"]
    assert (embedded.dtypes[["embed_0", "embed_1"]] == np.float32).all()
    np.testing.assert_array_equal(coordinates(embedded).astype(np.float32), coordinates(embedded).round(4).astype("f4"))


def test_a_large_training_set_counts_by_its_first_images(image_set: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MAX_IMAGES", 15)
    first = replace(image_set, images_NHW=image_set.images_NHW[:15], labels_N=image_set.labels_N[:15])
    samples = select(image_set, SELECTION)
    found, expected = (embed(samples, principal_components(some, 3)) for some in (image_set, first))
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("count", [-1, 0, 13])
def test_an_impossible_number_of_components_is_refused(count: int, image_set: ImageSet) -> None:
    message = f"expected 1 to 12 components of planted test, got {count}; correct data.embedding"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        principal_components(image_set, count)


@pytest.mark.slow
@pytest.mark.real_data
def test_distance_tells_kinds_that_no_label_names() -> None:
    """What the docstring says of pairs of digits under one label, and of an image moved by a pixel."""
    folder = Path(__file__).parents[3] / "outputs" / "data"
    components = principal_components(load("mnist", "train", folder), 16)
    test = load("mnist", "test", folder)
    pair_of = np.array([0, 1, 2, 3, 4, 3, 0, 1, 2, 4])
    drawn = np.random.default_rng(0).choice(10_000, 2000, replace=False)
    label_N, images_NHW = test.labels_N[drawn], test.images_NHW[drawn]
    at_NK, moved_NK = (
        components.transform(images.reshape(2000, -1) / 255) for images in (images_NHW, np.roll(images_NHW, 1, axis=2))
    )
    distance_NN = distances(at_NK) + np.where(np.eye(2000), np.inf, 0)
    same_pair_NN = pair_of[label_N][:, None] == pair_of[label_N]
    nearest_N = np.where(same_pair_NN, distance_NN, np.inf).argmin(1)
    assert (label_N[nearest_N] == label_N).mean() == pytest.approx(0.97, abs=0.005)
    within_N = np.nanmedian(np.where(label_N[:, None] == label_N, distance_NN, np.nan), axis=1)
    assert np.median(np.linalg.norm(at_NK - moved_NK, axis=1) / within_N) == pytest.approx(0.4, abs=0.02)
