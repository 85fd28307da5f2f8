"""Samples drawn from an image set: which images, at which noise levels, in the order of the paper's Fig. 1D."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from influence.data.noise import render
from influence.data.vision import ImageSet
from influence.seeds import derive, generator


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which images of a set, and how noisy.

    Attributes:
        classes: labels to draw from; None for all of them.
        per_class: how many images of each label to draw.
        indices: positions in the set, in place of a draw.
        seed: decides the draw of images and the noise.
        sigmas: standard deviations of the noise. 0 is the clean image, which is there once.
        draws: numbers of the noise draws; a noisy image is there once for each, with other noise.
        clip: cut noisy images to [0, 1].
        pure_noise: how many samples to add that are noise alone, each with a random label of the set.

    Raises:
        ValueError: nothing is selected, it is selected twice or two ways, or a noise level is no standard deviation.
    """

    classes: Sequence[int] | None = None
    per_class: int | None = None
    indices: Sequence[int] | None = None
    seed: int = 0
    sigmas: Sequence[float] = (0.0,)
    draws: Sequence[int] = (0,)
    clip: bool = False
    pure_noise: int = 0

    def __post_init__(self) -> None:
        if (self.per_class is None) == (self.indices is None):
            got = "neither" if self.indices is None else "both"
            raise ValueError(f"expected either per_class or indices, got {got}; give one of them")
        if self.indices is not None and self.classes is not None:
            raise ValueError("expected classes only beside per_class, got classes and indices; leave one out")
        if self.per_class is not None and self.per_class < 1:
            raise ValueError(f"expected at least one image of each class, got per_class={self.per_class}; raise it")
        for name in "classes", "indices", "sigmas", "draws":
            values = getattr(self, name)
            if values is not None and len(values) == 0:
                raise ValueError(f"expected a selection of at least one image, got no {name}; name some")
            if values is not None and len(set(values)) < len(values):
                raise ValueError(f"expected each of {name} once, got {list(values)}; leave out the repeated")
        for sigma in self.sigmas:
            if not 0 <= sigma < math.inf:
                raise ValueError(f"expected noise levels that are standard deviations, 0 or more, got {sigma}; mend it")
        if self.pure_noise < 0:
            raise ValueError(f"expected 0 or more samples of pure noise, got pure_noise={self.pure_noise}; raise it")


def select(image_set: ImageSet, selection: Selection) -> pd.DataFrame:
    """The selected images as a sample table, ordered by sigma, draw, label and position in the set.

    The images of a label depend on (seed, label) alone, and the first k of n drawn are those of a draw of k; the noise
    of an image depends on (seed, position, sigma, draw), pure noise and its label on (seed, number). So a wider
    selection keeps the images of a narrower one.

    Returns:
        A table with the columns id, label, group ("clean", "noise <sigma>" or "pure noise"), sigma, draw, noise_seed,
        clip, source (id of the clean image), source_index (its position in the set), and image: float32 [1, H, W],
        in [0, 1] plus noise. An id tells all that made its image, so equal ids are equal images in any two tables of
        a set; draw and noise_seed of a clean image are 0. Pure noise stands last, with an infinite sigma (see
        `render`); it is a source of its own, at position -1.

    Raises:
        ValueError: a label or position that the set does not have, or more images than it has.
    """
    indices = _draw(image_set, selection) if selection.indices is None else _given(image_set, selection.indices)
    indices.sort(key=lambda index: (image_set.labels_N[index], index))
    return pd.DataFrame(
        [
            _sample(image_set, selection, index, float(sigma), int(draw))
            for sigma in sorted(selection.sigmas)
            for draw in (sorted(selection.draws) if sigma > 0 else [0])
            for index in indices
        ]
        + [_pure_noise(image_set, selection, number) for number in range(selection.pure_noise)]
    )


def _draw(image_set: ImageSet, selection: Selection) -> list[int]:
    assert selection.per_class is not None
    present = np.unique(image_set.labels_N).tolist()
    indices: list[int] = []
    for label in present if selection.classes is None else selection.classes:
        if label not in present:
            raise ValueError(
                f"expected labels of {image_set.name} {image_set.split}, {present[0]} to {present[-1]}, got {label}; "
                "correct classes"
            )
        candidates = np.flatnonzero(image_set.labels_N == label)
        if selection.per_class > len(candidates):
            raise ValueError(
                f"expected at most the {len(candidates)} images of label {label} in {image_set.name} "
                f"{image_set.split}, got per_class={selection.per_class}; lower it"
            )
        order = generator(selection.seed, "images", int(label)).permutation(candidates)
        indices += order[: selection.per_class].tolist()
    return indices


def _given(image_set: ImageSet, indices: Sequence[int]) -> list[int]:
    count = len(image_set.labels_N)
    for index in indices:
        if not 0 <= index < count:
            raise ValueError(
                f"expected indices of {image_set.name} {image_set.split}, 0 to {count - 1}, got {index}; correct it"
            )
    return [int(index) for index in indices]


def _sample(image_set: ImageSet, selection: Selection, index: int, sigma: float, draw: int) -> dict[str, Any]:
    clean = f"{image_set.name}-{image_set.split}-{index}"
    noisy = sigma > 0
    noise_seed = derive(selection.seed, "noise", index, sigma, draw) if noisy else 0
    noise = f"-noise{sigma:g}-seed{selection.seed}-draw{draw}" + ("-clipped" if selection.clip else "")
    return {
        "id": clean + noise if noisy else clean,
        "label": int(image_set.labels_N[index]),
        "group": f"noise {sigma:g}" if noisy else "clean",
        "sigma": sigma,
        "draw": draw,
        "noise_seed": noise_seed,
        "clip": selection.clip,
        "source": clean,
        "source_index": index,
        "image": render(image_set.images_NHW[index], sigma=sigma, seed=noise_seed, clip=selection.clip),
    }


def _pure_noise(image_set: ImageSet, selection: Selection, number: int) -> dict[str, Any]:
    id = f"{image_set.name}-{image_set.split}-pure-noise{number}-seed{selection.seed}"
    id += "-clipped" if selection.clip else ""
    noise_seed = derive(selection.seed, "pure noise", number)
    return {
        "id": id,
        "label": int(generator(noise_seed, "label").choice(np.unique(image_set.labels_N))),
        "group": "pure noise",
        "sigma": math.inf,
        "draw": 0,
        "noise_seed": noise_seed,
        "clip": selection.clip,
        "source": id,
        "source_index": -1,
        "image": render(image_set.images_NHW[0], sigma=math.inf, seed=noise_seed, clip=selection.clip),
    }
