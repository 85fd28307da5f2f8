"""What of a probe is learned in which step: the statements of a text."""

from collections.abc import Callable

import pandas as pd

STATEMENTS: dict[str, Callable[[list[str]], list[list[str]]]] = {
    "together": lambda statements: [statements],
    "sequence": lambda statements: [[statement] for statement in statements],
    "sequence_reversed": lambda statements: [[statement] for statement in reversed(statements)],
    "joined": lambda statements: [["\n".join(statements)]],
    "last_only": lambda statements: [statements[-1:]],
}
"""Texts of every step by how a probe of several statements is learned: all in one step on the sum of their losses, one
after the other in either order, as the one text that is read, or only the last of them, as the published rows of
Matelsky et al. 2024, Fig. 2, look."""


def lessons(probe: pd.DataFrame, how: str) -> list[pd.DataFrame]:
    r"""The samples of each step, whose losses are summed.

    Args:
        probe: a table of one sample. Its `text` holds one statement a line; without that column the probe is learned
            whole.
        how: a key of `STATEMENTS`.

    >>> probe = pd.DataFrame({"id": ["both"], "text": ["a klarbu is a tem\nall tems have a mol"]})
    >>> [list(lesson["text"]) for lesson in lessons(probe, "sequence")]
    [['a klarbu is a tem'], ['all tems have a mol']]
    """
    if "text" not in probe:
        return [probe]
    # Spans and foils speak about the whole text, and learning needs neither.
    sample, text = probe[["id"]], str(probe["text"].iloc[0])
    return [
        pd.concat([sample] * len(statements), ignore_index=True).assign(text=statements)
        for statements in STATEMENTS[how](text.split("\n"))
    ]


def check_statements(how: str) -> None:
    """Refuse an unknown way to learn statements.

    Raises:
        ValueError: it is no key of `STATEMENTS`.
    """
    if how not in STATEMENTS:
        raise ValueError(f"expected statements learned {', '.join(STATEMENTS)}, got {how!r}; choose one")
