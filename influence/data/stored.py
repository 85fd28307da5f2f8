"""The images of a run on disk: clean pixels once, and the noise made again from its seed."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from influence.arrays import Array
from influence.data.noise import render
from influence.data.vision import ImageSet
from influence.files import write_atomically


def save_images(path: Path, samples: pd.DataFrame, image_set: ImageSet) -> None:
    """Write the clean pixels of every source in a table of `select`, once each, atomically; pure noise has none.

    Raises:
        ValueError: a sample is not of the image set.
    """
    sources = samples[_has_image(samples)].drop_duplicates("source")
    for source, index in zip(sources["source"], sources["source_index"], strict=True):
        if source != f"{image_set.name}-{image_set.split}-{index}":
            raise ValueError(
                f"expected samples of {image_set.name} {image_set.split}, got one of {source}; "
                "save them with the set they were selected from"
            )
    pixels_SHW = image_set.images_NHW[sources["source_index"].to_numpy()]
    names_S = sources["source"].to_numpy(str)
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, source=names_S, pixels=pixels_SHW))


def load_images(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with its `image` column, bit-identical to what `select` made.

    Args:
        path: where `save_images` wrote the pixels.
        table: rows of `select` without their images, e.g. read from `probes.parquet`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is torn, or lacks a source of the table.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected the images of a run in {path}, got no such file; run the same command again")
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            pixels = dict(zip(arrays["source"].tolist(), arrays["pixels"], strict=True))
            blank = np.zeros(arrays["pixels"].shape[1:], np.uint8)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"expected whole images in {path}, got a torn file ({error}); delete it and run the same command again"
        ) from None
    missing = set(table["source"][_has_image(table)]) - pixels.keys()
    if missing:
        raise ValueError(f"expected {min(missing)} in {path}, got other images; load the table that was saved with it")
    rows = zip(table["source"], table["sigma"], table["noise_seed"], table["clip"], strict=True)
    images = [
        render(pixels.get(source, blank), sigma=sigma, seed=seed, clip=clip) for source, sigma, seed, clip in rows
    ]
    return table.assign(image=pd.Series(images, index=table.index, dtype=object))


def _has_image(samples: pd.DataFrame) -> Array:
    """Samples with something of an image left."""
    return np.asarray(np.isfinite(samples["sigma"]))
