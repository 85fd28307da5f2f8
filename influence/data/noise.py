"""Pixel noise: the lower qualities of the paper's images."""

import math

import numpy as np
from jaxtyping import Float32, UInt8

from influence.arrays import Array
from influence.seeds import generator


def add_gaussian(image: Float32[Array, "..."], *, sigma: float, seed: int, clip: bool = False) -> Float32[Array, "..."]:
    r"""Add independent Gaussian noise to every pixel.

    .. math:: \tilde x = x + \sigma \epsilon, \qquad \epsilon \sim N(0, I)

    The paper (Matelsky et al. 2024, section 2) writes N(0, 0.5) and N(0, 1); here the second number is taken as the
    standard deviation. It names no clipping, and clipped noise is neither Gaussian nor of mean zero.

    Args:
        image: grey values in [0, 1].
        sigma: standard deviation in units of the full grey range; 0 returns an equal image.
        seed: decides the noise, alone.
        clip: cut the result to [0, 1].

    Returns:
        An array of the image's shape.

    >>> add_gaussian(np.zeros((1, 2, 2), np.float32), sigma=0.5, seed=0).shape
    (1, 2, 2)
    """
    noisy = image + sigma * generator(seed, "gaussian").standard_normal(image.shape)
    return (noisy.clip(0, 1) if clip else noisy).astype(np.float32)


def render(pixels_HW: UInt8[Array, "H W"], *, sigma: float, seed: int, clip: bool) -> Float32[Array, "1 H W"]:
    """What a model is given: one channel in [0, 1], pixels / 255, and the noise of `add_gaussian`.

    An infinite sigma leaves nothing of the image: the noise alone, of standard deviation 1, as the noise of sigma 1 is.
    """
    if math.isinf(sigma):
        pixels_HW, sigma = np.zeros_like(pixels_HW), 1.0
    return add_gaussian(pixels_HW[None].astype(np.float32) / 255, sigma=sigma, seed=seed, clip=clip)
