import numpy as np
import pytest

from influence.seeds import derive, generator


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        ((), 8203414616412130826),
        ((0,), 3456079177858693020),
        ((0, "noise", 17), 1017573579642475945),
        ((1, "noise", 17), 6307534504179817796),
        (("finetune", "probe0"), 6056768709314307250),
    ],
)
def test_seeds_stay_what_they_are(parts, seed):
    """`printf "0\\x1f'noise'\\x1f17" | sha256sum`: the first 8 bytes, shifted right by one bit."""
    assert derive(*parts) == seed


def test_every_part_and_the_order_matter():
    parts = [(0, "a"), ("a", 0), (0, "b"), (1, "a"), (0, "a", ""), ("0", "a"), (0.0, "a"), (0, "a", 0), ("0a",)]
    assert len({derive(*each) for each in parts}) == len(parts)


def test_seeds_have_63_bits():
    seeds = [derive(number) for number in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) >= 2**62


def test_generators_draw_alike_by_name_alone():
    first = generator(0, "noise").normal(size=5)
    generator(0, "order").normal(size=3)
    np.testing.assert_array_equal(generator(0, "noise").normal(size=5), first)
    assert not np.isin(generator(0, "order").normal(size=5), first).any()
