"""The tables of the README: made from published runs alone, kept beside them, and written between markers."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import bench, chain_tables, image_tables, text_tables
from experiments.calibration import FILE as CALIBRATION
from experiments.cards import card_markdown, card_name, published_cards
from experiments.ledger import claims, ledger
from experiments.plateau import published_table
from experiments.published import CHAOS, OPTIMIZERS
from experiments.tables import markdown, number, slug
from influence.files import write_atomically


def write_readme(readme: Path, tables: Mapping[str, str]) -> Path:
    """Put tables into the README, each between the markers of its name; the text around them stays.

    Raises:
        ValueError: the README lacks the markers of a table.
    """
    text = readme.read_text()
    for name, table in tables.items():
        text = replace_table(text, name, table)
    if text != readme.read_text():
        write_atomically(readme, lambda path: path.write_text(text))
    return readme


def save_table(published: Path, *, name: str) -> list[Path]:
    """Make a table of the README from published runs, and keep it beside them."""
    path, text = _table_path(published, name), TABLES[name](published)
    write_atomically(path, lambda file: file.write_text(f"{text}\n"))
    return [path]


def stored_tables(published: Path) -> dict[str, str]:
    """What `save_table` kept of every table."""
    return {name: _table_path(published, name).read_text().removesuffix("\n") for name in TABLES}


def _table_path(published: Path, name: str) -> Path:
    return published / "tables" / f"{slug(name)}.md"


def replace_table(text: str, name: str, table: str) -> str:
    """The text with what stands between `<!-- table: name -->` and `<!-- end -->` replaced."""
    pattern = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
    replaced, count = re.subn(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected the markers of the table {name!r} once in the README, got {count}; restore them")
    return replaced


def plateau(published: Path) -> str:
    """Where the plateau of learning rates lies."""
    rows = []
    for (model, optimizer), table in published_table(published).groupby(["model", "optimizer"]):
        on, chosen = table[table["on_plateau"]], table[table["chosen"]]
        rows.append(
            [
                f"{model}, {OPTIMIZERS.get(str(optimizer), optimizer)}",
                f"{on['lr'].min():.3g} to {on['lr'].max():.3g}" if len(on) else "none",
                f"{chosen['lr'].iloc[0]:.3g}" if len(chosen) else "none",
                number(chosen["median_self_gain"].iloc[0]) if len(chosen) else "",
            ]
        )
    return markdown(["model, optimiser", "plateau", "chosen", "median self-gain there (nats)"], rows)


def cards(published: Path) -> str:
    """The desiderata card of every model: its picture, and the table behind a fold."""
    parts = []
    for title, card in published_cards(published).items():
        picture = f"![Desiderata card of {title}](outputs/published/figures/{card_name(title)}.png)"
        parts += [
            picture,
            "",
            f"<details><summary>{title} as a table</summary>",
            "",
            card_markdown(card),
            "</details>",
            "",
        ]
    return "\n".join(parts).rstrip()


def calibration(published: Path) -> str:
    """How often intervals cover and tests reject, and how often they may."""
    rows = [
        [row["what"], row["of"], f"{row['units']}", f"{row['rate']:.3f}", _band(row), f"{row['draws']:,}"]
        for row in pd.read_csv(published / CALIBRATION).to_dict("records")
    ]
    return markdown(["what", "data", "units", "how often", "wanted", "draws"], rows)


def chaos(published: Path) -> str:
    """What became of sweeps that were disturbed."""
    table = pd.read_csv(published / CHAOS)
    return markdown([str(column).replace("_", " ") for column in table], table.astype(str).to_numpy().tolist())


def _band(row: Mapping[Any, Any]) -> str:
    if (row["low"], row["high"]) == (0, 1):
        return "reported alone"
    return f"at least {row['low']:.3g}" if row["high"] == 1 else f"{row['low']:.3g} to {row['high']:.3g}"


TABLES: Mapping[str, Callable[[Path], str]] = {
    "claims": claims,
    "ledger": ledger,
    "cards": cards,
    "calibration": calibration,
    "chaos": chaos,
    "step sizes": image_tables.step_sizes,
    "step sizes of texts": text_tables.step_sizes,
    "plateau": plateau,
    "crossed chains": chain_tables.chains,
    "prompted minus learned": text_tables.prompted_minus_learned,
    "nouns": text_tables.nouns,
    "agreement with the paper": text_tables.agreement_with_paper,
    "speed": bench.speed,
}
