"""Cells of a language world by its items: what `p1` teaches its paraphrase, what a statement teaches its negation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from influence.desiderata.cells import column
from influence.desiderata.spec import Ratio, UndefinedError
from influence.matrix import InfluenceMatrix


@dataclass(frozen=True, eq=False, kw_only=True)
class World:
    """Gains of a world by item.

    Attributes:
        matrix: of the world alone.
        items: the samples by item, with the columns of `influence.data.worlds.worlds`.
        row, column: position of each item as probe and as target.
    """

    matrix: InfluenceMatrix
    items: pd.DataFrame
    row: Mapping[str, int]
    column: Mapping[str, int]

    @classmethod
    def of(cls, matrix: InfluenceMatrix) -> Self:
        """The items of a matrix.

        Raises:
            NotApplicableError: the samples are no items of a domain.
            UndefinedError: the matrix holds several worlds.
        """
        row, place = (
            {item: position for position, item in enumerate(column(table, "item"))}
            for table in (matrix.probes, matrix.targets)
        )
        if (len(row), len(place)) != matrix.gain.shape:
            raise UndefinedError("expected the items of one world, got some more than once")
        items = pd.concat([matrix.probes, matrix.targets]).drop_duplicates("item").set_index("item")
        return cls(matrix=matrix, items=items, row=row, column=place)

    @property
    def premises(self) -> str:
        """The item that holds the premises, "" in an empty world."""
        return str(next(iter(self.items["premises"]), ""))

    def of_role(self, role: str) -> list[str]:
        """The items of a role."""
        return self.items.index[self.items["role"] == role].tolist()

    def pairs(self, role: str) -> list[tuple[str, str]]:
        """(X, item) for every item of a role that is `of` an item X of this world."""
        of = self.items["of"].to_dict()
        return [(of[item], item) for item in self.of_role(role) if of[item] in of]

    def text(self, item: str) -> str:
        """What an item says, a statement a line."""
        return str(self.items.at[item, "text"])

    def has(self, learned: str, read: str) -> bool:
        """Whether the cell was measured."""
        return learned in self.row and read in self.column

    def gain(self, learned: str, read: str) -> float:
        """Gain of one item after another was learned, in the unit of the readout.

        Raises:
            UndefinedError: the cell was not measured.
        """
        if not self.has(learned, read):
            raise UndefinedError(f"expected {read} to be read after {learned}, got no such cell")
        return float(self.matrix.gain[self.row[learned], self.column[read]])

    def self_gain(self, item: str) -> float:
        """Gain of an item after it was learned itself, in the unit of the readout."""
        return float(self.matrix.self_gain[self.row[item]])

    def effect(self, item: str) -> float:
        """M(premises -> item) - M(neutral -> item), in the unit of the readout.

        The neutral item puts the names of the premises into a relation from which nothing follows: what it does too
        is no inference from the premises.

        Raises:
            UndefinedError: the premises, or one neutral item, were not learned.
        """
        premises = [self.premises] if self.premises in self.row else []
        neutral = [other for other in self.of_role("neutral") if other in self.row]
        if not premises or len(neutral) != 1:
            learned = ", ".join(map(repr, [*premises, *neutral])) or "none of them"
            raise UndefinedError(f"expected the premises and one neutral item to be learned, got {learned}")
        return self.gain(premises[0], item) - self.gain(neutral[0], item)

    def transfer(self, pairs: Sequence[tuple[str, str]], what: str) -> Ratio:
        """Mean M(learned -> read) / mean M(learned -> learned) over the pairs (learned, read) that were measured.

        Args:
            pairs: of items.
            what: they are, for the reason.

        Raises:
            UndefinedError: there is none.
        """
        measured = [pair for pair in pairs if self.has(*pair)]
        if not measured:
            raise UndefinedError(f"expected {what}, got none")
        return Ratio(
            float(np.mean([self.gain(*pair) for pair in measured])),
            float(np.mean([self.self_gain(learned) for learned, _ in measured])),
        )
