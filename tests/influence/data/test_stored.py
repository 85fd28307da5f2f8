import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from influence.data.selection import Selection, select
from influence.data.stored import load_images, save_images
from influence.data.vision import ImageSet
from influence.samples import without_inputs


@pytest.fixture
def samples(image_set: ImageSet) -> pd.DataFrame:
    """Free and clipped noise on the same images, and alone."""
    first = Selection(per_class=2, seed=3, sigmas=[0.0, 0.5, 1.0], pure_noise=2)
    second = replace(first, draws=[1], clip=True, sigmas=[1.0])
    return pd.concat([select(image_set, first), select(image_set, second)], ignore_index=True)


def test_images_come_back_bit_for_bit(samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path) -> None:
    save_images(tmp_path / "samples.npz", samples, image_set)
    without_inputs(samples).to_parquet(tmp_path / "probes.parquet", index=False)
    loaded = load_images(tmp_path / "samples.npz", pd.read_parquet(tmp_path / "probes.parquet"))
    pd.testing.assert_frame_equal(without_inputs(loaded), without_inputs(samples))
    for after, before in zip(loaded["image"], samples["image"], strict=True):
        np.testing.assert_array_equal(after, before, strict=True)


def test_each_source_is_stored_once(samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path) -> None:
    save_images(tmp_path / "samples.npz", samples, image_set)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]
    with np.load(tmp_path / "samples.npz") as arrays:
        assert arrays["pixels"].dtype == np.uint8
        assert sorted(arrays["source"]) == sorted(set(samples["source"][samples["group"] != "pure noise"]))
        assert len(arrays["pixels"]) == 8 < len(samples)


def test_part_of_the_table_can_be_loaded_in_any_order(
    samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path
) -> None:
    save_images(tmp_path / "samples.npz", samples, image_set)
    part = samples.iloc[[9, 2, 30]]
    loaded = load_images(tmp_path / "samples.npz", part.drop(columns="image"))
    np.testing.assert_array_equal(np.stack(list(loaded["image"])), np.stack(list(part["image"])))


def test_pure_noise_alone_comes_back(samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path) -> None:
    noise = samples[samples["group"] == "pure noise"]
    save_images(tmp_path / "samples.npz", noise, image_set)
    loaded = load_images(tmp_path / "samples.npz", noise.drop(columns="image"))
    np.testing.assert_array_equal(np.stack(list(loaded["image"])), np.stack(list(noise["image"])), strict=True)


def test_a_torn_file_is_named(samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    save_images(path, samples, image_set)
    whole = path.read_bytes()
    for part in b"", whole[:20], whole[: len(whole) // 2], whole[:-1], whole.replace(b"pixels", b"pixelz"):
        path.write_bytes(part)
        message = f"^expected whole images in {path}, got a torn file .*; delete it and run the same command again$"
        with pytest.raises(ValueError, match=message):
            load_images(path, samples)


def test_a_missing_file_is_named(samples: pd.DataFrame, tmp_path: Path) -> None:
    message = f"^expected the images of a run in {tmp_path}/none.npz, got no such file; run the same command again$"
    with pytest.raises(FileNotFoundError, match=message):
        load_images(tmp_path / "none.npz", samples)


def test_a_table_of_other_images_is_refused(samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    save_images(path, samples[samples["label"] > 0], image_set)
    message = f"expected {min(samples['source'][samples['label'] == 0])} in {path}, got other images; "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}load the table that was saved with it$"):
        load_images(path, samples)


def test_samples_of_another_set_are_refused(samples: pd.DataFrame, image_set: ImageSet, tmp_path: Path) -> None:
    other = replace(image_set, split="train")
    message = (
        f"^expected samples of planted train, got one of {samples['source'][0]}; "
        "save them with the set they were selected from$"
    )
    with pytest.raises(ValueError, match=message):
        save_images(tmp_path / "samples.npz", samples, other)
    assert not list(tmp_path.iterdir())
