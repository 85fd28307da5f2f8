import numpy as np
import pytest
from scipy import stats

from influence.data.noise import add_gaussian, render

IMAGE = np.random.default_rng(0).random((1, 300, 200), dtype=np.float32)
N = IMAGE.size


def noise(**settings):
    return (add_gaussian(IMAGE, **settings).astype(float) - IMAGE).ravel()


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_moments_are_those_of_a_gaussian_with_standard_deviation_sigma(sigma: float) -> None:
    epsilon = noise(sigma=sigma, seed=1) / sigma
    # standard errors of the first four moments of N(0, 1): var(x^k) = E[x^2k] - E[x^k]^2 = 1, 2, 15, 96
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(epsilon**power) - moment) < 4 * np.sqrt(variance / N)
    assert stats.kstest(epsilon, "norm").pvalue > 1e-4


def test_pixels_are_independent_of_their_neighbours_and_of_the_image() -> None:
    epsilon_HW = noise(sigma=1.0, seed=1).reshape(300, 200)
    pairs = {
        "right": (epsilon_HW[:, 1:], epsilon_HW[:, :-1]),
        "below": (epsilon_HW[1:], epsilon_HW[:-1]),
        "image": (epsilon_HW, IMAGE[0]),
    }
    for one, other in pairs.values():
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


def test_the_seed_decides_the_noise() -> None:
    first = noise(sigma=0.5, seed=1)
    np.testing.assert_array_equal(first, noise(sigma=0.5, seed=1))
    assert abs(np.corrcoef(first, noise(sigma=0.5, seed=2))[0, 1]) < 4 / np.sqrt(N)


def test_no_global_state_is_read_or_changed() -> None:
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    add_gaussian(IMAGE, sigma=1.0, seed=1)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize("clip", [False, True])
def test_sigma_zero_returns_the_image_bit_for_bit(clip: bool) -> None:
    assert add_gaussian(IMAGE, sigma=0.0, seed=1, clip=clip).tobytes() == IMAGE.tobytes()


def test_clipping_cuts_the_same_noise() -> None:
    free, cut = (add_gaussian(IMAGE, sigma=1.0, seed=1, clip=clip) for clip in (False, True))
    assert free.dtype == cut.dtype == np.float32
    assert free.min() < 0 < 1 < free.max()
    np.testing.assert_array_equal(cut, np.minimum(np.maximum(free, 0), 1))


def test_rendering_scales_the_grey_range_to_one() -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)  # 51 / 255 = 0.2
    np.testing.assert_array_equal(
        render(pixels, sigma=0.0, seed=0, clip=False), np.array([[[0, 0.2, 1]]], np.float32), strict=True
    )


def test_infinite_noise_is_that_of_sigma_1_without_the_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200), dtype=np.uint8)
    alone = render(pixels, sigma=float("inf"), seed=3, clip=False)
    np.testing.assert_array_equal(alone, render(np.zeros_like(pixels), sigma=1.0, seed=3, clip=False))
    assert alone.std() == pytest.approx(1, abs=4 / np.sqrt(2 * N))
    assert abs(np.corrcoef(alone.ravel(), pixels.ravel())[0, 1]) < 4 / np.sqrt(N)
    np.testing.assert_array_equal(render(pixels, sigma=float("inf"), seed=3, clip=True), alone.clip(0, 1))
