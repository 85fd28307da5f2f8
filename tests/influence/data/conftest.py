"""Small image sets: one in memory, one as files that pass for the published MNIST."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from influence.arrays import Array
from influence.data import sources
from influence.data.vision import ImageSet


@pytest.fixture
def image_set() -> ImageSet:
    """Forty images of 4 x 3 with 4 labels, in no order."""
    rng = np.random.default_rng(0)
    return ImageSet(
        name="planted",
        split="test",
        images_NHW=rng.integers(0, 256, (40, 4, 3), dtype=np.uint8),
        labels_N=rng.permutation(np.repeat(np.arange(4), 10)),
        checksums={},
    )


def idx(array: Array) -> bytes:
    """The file format of MNIST: magic number with the number of axes, their sizes, the bytes."""
    return struct.pack(f">{1 + array.ndim}i", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def planted() -> dict[str, Array]:
    """Five train and two test images of 4 x 3."""
    rng = np.random.default_rng(1)
    arrays = {}
    for split, count in {"train": 5, "t10k": 2}.items():
        arrays[f"{split}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 4, 3), dtype=np.uint8)
        arrays[f"{split}-labels-idx1-ubyte"] = rng.integers(0, 10, count, dtype=np.uint8)
    return arrays


@pytest.fixture
def published(planted: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flat folder of the planted files, which take the place of MNIST and of FashionMNIST for the test."""
    folder = tmp_path / "published"
    folder.mkdir()
    for file, array in planted.items():
        (folder / file).write_bytes(idx(array))
    checksums = {file: hashlib.sha256(idx(array)).hexdigest() for file, array in planted.items()}
    for name in "mnist", "fashion_mnist":
        monkeypatch.setitem(sources.CHECKSUMS, name, checksums)
    return folder
