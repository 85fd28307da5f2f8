import numpy as np
import pytest
import torch

from influence.engine.texts import Texts
from influence.engine.tree import Trees, pack
from tests.influence.engine.networks import ROWS

#      0 --> 1 --> 2 --> (3)
#              --> 4 --> (5)
#        --> 6 --> (1)
SMALL = [[0, 1, 4, 5], [0, 6, 1], [0, 1, 2, 3]]
PLACES = [0, 1, 2, 4, 6]
DEPTHS = [0, 1, 2, 2, 1]
PARENTS = [-1, 0, 1, 1, 0]


def scored(trees: Trees) -> list[list[tuple[int, int]]]:
    """Of each text, the place and the word of all that is scored, in order of depth."""
    num_scored = trees.place_BS.shape[1]
    found: list[list[tuple[int, int]]] = [[] for _ in range(trees.num_texts)]
    for text, edge in zip(trees.text_N.tolist(), trees.edge_N.tolist(), strict=True):
        tree, source = divmod(int(trees.source_E[edge]), num_scored)
        found[text].append((int(trees.place_BS[tree, source]), int(trees.word_E[edge])))
    return [sorted(pairs) for pairs in found]


class TestTree:
    def test_holds_what_predicts_something_once(self) -> None:
        (trees,) = pack(Texts.padded(SMALL))
        assert trees.ids_BL.tolist() == [PLACES]
        assert trees.depth_BL.tolist() == [DEPTHS]
        assert scored(trees) == [[(0, 1), (1, 4), (3, 5)], [(0, 6), (4, 1)], [(0, 1), (1, 2), (2, 3)]]
        assert trees.word_E.tolist() == [1, 1, 2, 3, 4, 5, 6]  # (0, 1) is scored once for two texts

    def test_places_see_their_ancestors_alone(self) -> None:
        (trees,) = pack(Texts.padded(SMALL))
        expected = np.eye(len(PLACES), dtype=bool)
        for place in range(len(PLACES)):
            ancestor = PARENTS[place]
            while ancestor >= 0:
                expected[place, ancestor] = True
                ancestor = PARENTS[ancestor]
        np.testing.assert_array_equal(trees.visible_BLL[0].numpy(), expected)

    def test_ends_where_nothing_more_is_scored(self) -> None:
        (trees,) = pack(Texts.padded(SMALL, [[2], [1], [2]]))
        assert trees.ids_BL.tolist() == [[0, 1]]
        assert scored(trees) == [[(1, 4)], [(0, 6)], [(1, 2)]]

    def test_stores_a_context_once(self) -> None:
        (trees,) = pack(Texts.padded(SMALL).after([8, 9]))
        assert trees.ids_BL.tolist() == [[0, 8, 9, *PLACES[1:]]]
        assert trees.depth_BL.tolist() == [[0, 1, 2, *(depth + 2 for depth in DEPTHS[1:])]]
        assert scored(trees)[1] == [(2, 6), (6, 1)]

    def test_of_equal_texts_counts_each(self) -> None:
        (trees,) = pack(Texts.padded([SMALL[0], SMALL[0]]))
        assert trees.totals(torch.tensor([1.0, 2.0, 4.0]).double()).tolist() == [7, 7]


class TestPack:
    @pytest.mark.parametrize("places", [1, 4, 8, 9, 100])
    def test_keeps_within_the_places_and_scores_every_text_once(self, places: int) -> None:
        packed = pack(Texts.padded(ROWS), places=places)
        counts = torch.stack([trees.totals(torch.ones(len(trees.word_E)).double()) for trees in packed]).sum(0)
        assert counts.tolist() == [len(row) - 1 for row in ROWS]
        longest = max(map(len, ROWS))
        assert all(trees.ids_BL.shape[1] <= max(places, longest) + 1 for trees in packed)
        assert (len(packed) == 1) == (places >= 24)

    def test_does_not_count_the_context_that_all_share(self) -> None:
        context = list(range(100, 150))
        assert len(pack(Texts.padded(ROWS).after(context), places=24)) == 1


class TestOf:
    def test_grows_one_tree_of_each(self) -> None:
        trees = Trees.of([Texts.padded(SMALL[:2]), Texts.padded(SMALL[2:])])
        assert trees.ids_BL.tolist() == [[0, 1, 4, 6], [0, 1, 2, 0]]
        assert trees.visible_BLL[1, 3].tolist() == [False, False, False, True]
        assert scored(trees) == [[(0, 1), (1, 4), (2, 5)], [(0, 6), (3, 1)], [(0, 1), (1, 2), (2, 3)]]

    def test_weighs_the_mean_of_each_text(self) -> None:
        trees = Trees.of([Texts.padded(SMALL)])
        pairs = zip(trees.source_E.tolist(), trees.word_E.tolist(), strict=True)
        weights = dict(zip(pairs, trees.mean_weights(), strict=True))
        assert weights[0, 1].item() == pytest.approx(2 / 3)  # 1/3 of two texts
        assert weights[0, 6].item() == weights[4, 1].item() == pytest.approx(1 / 2)
        assert trees.mean_weights().sum().item() == pytest.approx(3)


class TestRepeat:
    def test_gives_each_tree_its_own_texts(self) -> None:
        (trees,) = pack(Texts.padded(SMALL))
        twice = trees.repeat(2)
        assert twice.ids_BL.tolist() == [PLACES, PLACES]
        assert scored(twice) == scored(trees) * 2
        assert twice.word_E.tolist() == sorted(twice.word_E.tolist())

    def test_takes_one_tree(self) -> None:
        trees = Trees.of([Texts.padded(SMALL)] * 2)
        with pytest.raises(ValueError, match="expected one tree to repeat, got 2; repeat them one by one"):
            trees.repeat(2)
