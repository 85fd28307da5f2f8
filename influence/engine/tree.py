"""Texts as prefix trees: a beginning that several texts share is stored, and read, once.

A node of a tree is a token after all tokens before it, and its parent predicts it. Only nodes that predict something
are places of the packed sequence: the last token of a text is predicted and never read. A place sees its ancestors
and itself, and its position is its depth, so that the network reads each path as it reads the text alone. A prompt
that stands before every text is a shared beginning like any other.

                    klarbu --> is --> a --> (pimjon)           texts  <s> a klarbu is a pimjon
    <s> --> a -->                                                     <s> a mol is bigger
                    mol --> is --> (bigger)                    places <s> a klarbu is a mol is

Suffixes: B trees, L places, S places whose prediction is scored, E scored tokens (edges), N pairs of a text and an
edge on its path, T texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise, takewhile
from typing import Self

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from influence.engine.texts import Texts

PLACES = 512
"""Places of one tree beyond what all its texts share: attention takes their square, and a further tree little."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Packed texts, one tree a row; rows are padded with places that see only themselves and are not read.

    Attributes:
        ids_BL: token of each place.
        depth_BL: position of the token in its texts.
        visible_BLL: whether a place (row) sees another (column); one for all trees where these are alike.
        place_BS: places whose prediction is scored.
        source_E: of each scored token, the place that predicts it, as an index into the flattened `place_BS`.
        word_E: its id; in ascending order.
        text_N, edge_N: which text has which scored token.
        num_texts: texts may be fewer in a tree than are counted here.
    """

    ids_BL: Int[Tensor, "B L"]
    depth_BL: Int[Tensor, "B L"]
    visible_BLL: Bool[Tensor, "#B L L"]
    place_BS: Int[Tensor, "B S"]
    source_E: Int[Tensor, " E"]
    word_E: Int[Tensor, " E"]
    text_N: Int[Tensor, " N"]
    edge_N: Int[Tensor, " N"]
    num_texts: int

    @classmethod
    def of(cls, texts: Sequence[Texts]) -> Self:
        """One tree of each of these; the texts of all are numbered in order."""
        rows, scored = _rows(texts)
        stops = list(accumulate(len(one.ids_RL) for one in texts))
        members = [range(start, stop) for start, stop in pairwise([0, *stops])]
        return cls._join([_grow(rows, scored, own) for own in members], len(rows), texts[0].ids_RL.device)

    @classmethod
    def _join(cls, grown: Sequence["_Grown"], num_texts: int, device: torch.device) -> Self:
        num_places = max(len(tree.ids) for tree in grown)
        num_scored = max(len(tree.scored) for tree in grown)
        ids_BL, depth_BL = torch.zeros(2, len(grown), num_places, dtype=torch.long)
        visible_BLL = torch.eye(num_places, dtype=torch.bool).repeat(len(grown), 1, 1)
        place_BS = torch.zeros(len(grown), num_scored, dtype=torch.long)
        edges: list[tuple[int, int]] = []
        pairs: list[tuple[int, int]] = []
        for row, tree in enumerate(grown):
            length = len(tree.ids)
            ids_BL[row, :length] = torch.tensor(tree.ids)
            depth_BL[row, :length] = torch.tensor(tree.depth)
            for place, parent in enumerate(tree.parent):
                if parent >= 0:
                    visible_BLL[row, place] |= visible_BLL[row, parent]
            place_BS[row, : len(tree.scored)] = torch.tensor(tree.scored)
            pairs += [(text, len(edges) + edge) for text, edge in tree.pairs]
            edges += [(row * num_scored + source, word) for source, word in tree.edges]
        source_E, word_E = torch.tensor(edges).reshape(-1, 2).unbind(1)
        text_N, edge_N = torch.tensor(pairs).reshape(-1, 2).unbind(1)
        order = word_E.argsort(stable=True)
        return cls(
            ids_BL=ids_BL.to(device),
            depth_BL=depth_BL.to(device),
            visible_BLL=visible_BLL.to(device),
            place_BS=place_BS.to(device),
            source_E=source_E[order].to(device),
            word_E=word_E[order].to(device),
            text_N=text_N.to(device),
            edge_N=order.argsort()[edge_N].to(device),
            num_texts=num_texts,
        )

    def repeat(self, times: int) -> Self:
        """A single tree `times` times, each with texts of its own."""
        if len(self.ids_BL) != 1:
            raise ValueError(f"expected one tree to repeat, got {len(self.ids_BL)}; repeat them one by one")
        num_sources = self.place_BS.shape[1]
        shift = torch.arange(times, device=self.ids_BL.device)
        word_E = self.word_E.repeat_interleave(times)
        return replace(
            self,
            ids_BL=self.ids_BL.expand(times, -1),
            depth_BL=self.depth_BL.expand(times, -1),
            place_BS=self.place_BS.expand(times, -1),
            source_E=(self.source_E[:, None] + shift * num_sources).flatten(),
            word_E=word_E,
            text_N=(self.text_N[:, None] + shift * self.num_texts).flatten(),
            edge_N=(self.edge_N[:, None] * times + shift).flatten(),
            num_texts=self.num_texts * times,
        )

    def totals(self, log_prob_E: Float64[Tensor, " E"]) -> Float64[Tensor, " T"]:
        """Sum over the scored tokens of each text."""
        return log_prob_E.new_zeros(self.num_texts).index_add(0, self.text_N, log_prob_E[self.edge_N])

    def mean_weights(self) -> Float64[Tensor, " E"]:
        """Weights of the scored tokens in the sum over texts of the mean over their tokens."""
        share_T = 1 / self.text_N.bincount(minlength=self.num_texts).double()
        weight_E = share_T.new_zeros(len(self.word_E))
        return weight_E.index_add(0, self.edge_N, share_T[self.text_N])


def pack(texts: Texts, *, places: int = PLACES) -> list[Trees]:
    """The texts in as few trees as stay within `places`; sums of all trees add up to those of the texts."""
    rows, scored = _rows([texts])
    order = sorted(range(len(rows)), key=rows.__getitem__)
    common = _shared(rows[order[0]], rows[order[-1]])
    members: list[list[int]] = [[]]
    used, previous = 0, rows[order[0]][:common]
    for row in order:
        used += len(rows[row]) - _shared(previous, rows[row])
        if used > places and members[-1]:
            members.append([])
            used = len(rows[row]) - common
        members[-1].append(row)
        previous = rows[row]
    return [Trees._join([_grow(rows, scored, own)], len(rows), texts.ids_RL.device) for own in members]


@dataclass(frozen=True)
class _Grown:
    """One tree in lists: of each place its token, depth and parent, and what is scored."""

    ids: list[int]
    depth: list[int]
    parent: list[int]
    scored: list[int]
    edges: list[tuple[int, int]]
    pairs: list[tuple[int, int]]


def _grow(rows: Sequence[list[int]], scored: Sequence[list[int]], members: Sequence[int]) -> _Grown:
    """Sorted texts walk the tree depth first: each shares a path with the one before, and the rest is new nodes."""
    word, parent, depth = [], [], []
    path: list[int] = []
    previous: list[int] = []
    edge_of: dict[int, int] = {}
    pairs = []
    for row in sorted(members, key=rows.__getitem__):
        path = path[: _shared(previous, rows[row])]
        for token in rows[row][len(path) :]:
            word.append(token)
            parent.append(path[-1] if path else -1)
            depth.append(len(path))
            path.append(len(word) - 1)
        pairs += [(row, edge_of.setdefault(path[position], len(edge_of))) for position in scored[row]]
        previous = rows[row]
    place = {node: place for place, node in enumerate(sorted(set(parent) - {-1}))}
    source = {node: source for source, node in enumerate(sorted({parent[node] for node in edge_of}))}
    return _Grown(
        ids=[word[node] for node in place],
        depth=[depth[node] for node in place],
        parent=[place.get(parent[node], -1) for node in place],
        scored=[place[node] for node in source],
        edges=[(source[parent[node]], word[node]) for node in edge_of],
        pairs=pairs,
    )


def _rows(texts: Sequence[Texts]) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of each text up to the last that is scored, and its scored positions."""
    ids = [row for one in texts for row in one.ids_RL.tolist()]
    scored = [row.nonzero().flatten().tolist() for one in texts for row in one.scored_RL.cpu()]
    return [row[: own[-1] + 1] if own else [] for row, own in zip(ids, scored, strict=True)], scored


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the beginning that two texts share."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
