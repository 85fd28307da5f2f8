"""Image sets: MNIST and FashionMNIST, whole, and scikit-learn's embedded digits."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from influence.arrays import Array
from influence.data.sources import CHECKSUMS, whole_file

DIGITS_TRAIN = 1297
"""Of scikit-learn's 1,797 digits the first 1,297 are for training, the last 500 for testing."""

NAMES = (*CHECKSUMS, "digits", "digits_rotated")


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSet:
    """Grey images and their labels.

    Attributes:
        name, split: as they were asked for, e.g. "mnist" and "test".
        images_NHW: pixels from 0 (black) to 255.
        labels_N: class of each image.
        checksums: SHA-256 of each file that was read; of the pixels and labels where there is no file.
    """

    name: str
    split: str
    images_NHW: UInt8[Array, "N H W"]
    labels_N: Int64[Array, " N"]
    checksums: Mapping[str, str]


def load(name: str, split: str, folder: Path) -> ImageSet:
    """Read one split of an image set.

    "mnist" and "fashion_mnist" are the published 60,000 train and 10,000 test images of 28 x 28; "digits" are the
    1,797 images of 8 x 8 that scikit-learn holds (1,297 train, 500 test), and "digits_rotated" the same images turned
    by 90 degrees counter-clockwise: the domain a base model learns before the digits, as FashionMNIST is for MNIST.

    Args:
        name: one of `NAMES`.
        split: "train" or "test".
        folder: holds `MNIST/raw` and `FashionMNIST/raw`; not looked at for the digits.

    Raises:
        ValueError: another name or split, or a file that is not the published one.
        FileNotFoundError: a file is missing; the error names the ways to get it.
    """
    if name not in NAMES or split not in ("train", "test"):
        raise ValueError(f"expected one of {', '.join(NAMES)} and the split train or test, got {name!r} and {split!r}")
    return _published(name, split, folder) if name in CHECKSUMS else _embedded(name, split)


def _published(name: str, split: str, folder: Path) -> ImageSet:
    # The readers and not the dataset classes: those prefer a legacy `processed` folder, which no checksum covers.
    from torchvision.datasets.mnist import read_image_file, read_label_file  # type: ignore[import-untyped]

    prefix = {"train": "train", "test": "t10k"}[split]
    images, labels = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    return ImageSet(
        name=name,
        split=split,
        images_NHW=read_image_file(whole_file(name, images, folder)).numpy(),
        labels_N=read_label_file(whole_file(name, labels, folder)).numpy(),
        checksums={file: CHECKSUMS[name][file] for file in (images, labels)},
    )


def _embedded(name: str, split: str) -> ImageSet:
    from sklearn.datasets import load_digits

    part = slice(None, DIGITS_TRAIN) if split == "train" else slice(DIGITS_TRAIN, None)
    digits = load_digits()
    images_NHW = np.round(digits.images[part] * (255 / 16)).astype(np.uint8)  # scikit-learn's grey goes from 0 to 16
    if name == "digits_rotated":
        images_NHW = np.ascontiguousarray(np.rot90(images_NHW, axes=(1, 2)))
    labels_N = digits.target[part].astype(np.int64)
    arrays = {"images": images_NHW, "labels": labels_N}
    return ImageSet(
        name=name,
        split=split,
        images_NHW=images_NHW,
        labels_N=labels_N,
        checksums={key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in arrays.items()},
    )
