"""Desiderata cards of runs, one a model: as text, in Markdown and as a picture."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from experiments.published import place
from experiments.run_folder import find_runs
from experiments.run_sets import RunSet, run_sets
from experiments.tables import aligned, condition_label, interval, markdown, slug
from influence.desiderata.card import Card, card
from influence.desiderata.evaluation import questions
from influence.desiderata.registry import SCORES
from influence.desiderata.scoring import score
from influence.desiderata.spec import NotApplicableError, Score
from influence.desiderata.verdict import DESCRIPTIVE, SATISFIED, UNDECIDED, VIOLATED, VOID
from influence.matrix import InfluenceMatrix
from influence.plots.card import card_figure
from influence.plots.style import save_figure

MARKS = {SATISFIED: "✓", VIOLATED: "✗", UNDECIDED: "?", VOID: "∅", DESCRIPTIVE: "·"}
"""Of a score's own verdict, behind its interval."""


def cards(scored: Iterable[tuple[RunSet, pd.DataFrame]]) -> dict[str, Card]:
    """The card of every model that the runs are of, by its name and in the order of names.

    An estimator is a column of the card. Runs of it whose settings are unusual, such as statements that are joined,
    stand there only where it has no others. Of runs of one experiment at several step sizes each has its column. Where
    several runs measure a desideratum in one domain, that one stands there that can be judged, and of these the one
    with the most units.

    Args:
        scored: runs, and their table of `influence.desiderata.scoring.score`.
    """
    of_model: dict[str, list[tuple[RunSet, pd.DataFrame]]] = {}
    for runs, frame in scored:
        if runs.config and frame["threshold"].notna().any():
            of_model.setdefault(runs.model_hash, []).append((runs, frame))
    titles = {model: sets[0][0].model for model, sets in of_model.items()}
    return {
        title if list(titles.values()).count(title) == 1 else f"{title} ({model[:6]})": _card(of_model[model])
        for model, title in sorted(titles.items(), key=lambda one: one[1])
    }


@cache
def published_cards(published: Path) -> dict[str, Card]:
    """The cards of all published runs."""
    scored = []
    for runs in run_sets(find_runs([published])):
        matrices = runs.matrices()
        if primary := primary_scores(matrices):
            scored.append((runs, score(matrices, primary)))
    return cards(scored)


def card_name(title: str) -> str:
    """Name of the files of a card, by that of its model: `card_gemma_3_270m`."""
    return f"card_{slug(title)}"


def draw_card(title: str, of: Card, folder: Path) -> list[Path]:
    """The picture of a card in a folder, with its numbers."""
    return save_figure(card_figure(of, title=title), folder / card_name(title), of.scores)


def card_text(title: str, of: Card) -> str:
    """A card as aligned text, its notes below."""
    header, rows = _rows(of)
    indented = [[f"  {label}" if good else label, good, *cells] for label, good, *cells in rows]
    return "\n".join([f"Desiderata card of {title}", aligned(header, indented), *of.notes])


def card_markdown(of: Card) -> str:
    """A card in Markdown, the notes below it."""
    header, rows = _rows(of)
    bold = [[f"**{cell}**" if cell and not row[1] else cell for cell in row] for row in rows]
    return "\n".join([markdown(header, bold), "", *(f"- {note}" for note in of.notes)])


def _card(scored: Sequence[tuple[RunSet, pd.DataFrame]]) -> Card:
    sets = [runs for runs, _ in scored]
    usual = {runs.kind for runs in sets if not runs.unusual}
    tables = [
        frame.assign(
            estimator=_column(runs, sets),
            domain=runs.domain,
            experiment=runs.name,
            run="/".join(runs.folders[0].parts[-2:]),
        )
        for runs, frame in sorted(scored, key=lambda one: _order(one[0], sets))
        if not (runs.unusual and runs.kind in usual)
    ]
    table = pd.concat(tables, ignore_index=True)
    cells = table[table["threshold"].notna()].groupby(["estimator", "domain", "desideratum"], sort=False)
    best = [max((rows for _, rows in cell.groupby("run", sort=False)), key=_standing) for _, cell in cells]
    made = card(pd.concat(best))
    experiments = ", ".join(made.scores["experiment"].unique())
    return replace(made, notes=(*made.notes, f"Measured in {experiments}."))


def _column(runs: RunSet, sets: Sequence[RunSet]) -> str:
    """Name of the column of a card that these runs stand in, among all that it is made of."""
    alike = [other for other in sets if (other.kind, other.unusual) == (runs.kind, runs.unusual)]
    if _of_one_experiment(sets) and len({other.label for other in alike}) > 1:
        return runs.label
    return ", ".join(filter(None, [runs.kind, runs.unusual]))


def _order(runs: RunSet, sets: Sequence[RunSet]) -> tuple[int, float]:
    """Order of columns: by estimator, and in one experiment by the self-gain that the step size came to."""
    step = runs.matrices()[0].median_self_gain if _of_one_experiment(sets) else 0.0
    return place(runs.kind), step


def _of_one_experiment(sets: Sequence[RunSet]) -> bool:
    return len({runs.name for runs in sets}) == 1


def _standing(rows: pd.DataFrame) -> tuple[bool, bool, int]:
    """Of a run that measures a desideratum: defined, then judged, then with many units."""
    return bool(rows["value"].notna().any()), bool((rows["verdict"] != DESCRIPTIVE).any()), int(rows["n"].max())


def primary_scores(matrices: Sequence[InfluenceMatrix]) -> list[Score]:
    """The primary scores that apply to the samples of a matrix."""
    world = next(matrices[0].worlds())
    return [
        one
        for one in SCORES.values()
        if one.criterion
        and not all(isinstance(asked.measure(world), NotApplicableError) for asked in questions([one], [world], 0))
    ]


def _rows(of: Card) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a desideratum with its verdicts, and below it each of its scores and what is good."""
    rows = []
    for name, part in of.scores.groupby("row", sort=False):
        verdicts = part.drop_duplicates("estimator").set_index("estimator")["overall"]
        rows.append([str(name), "", *(_marked(verdicts.get(one)) for one in of.estimators)])
        for (named, condition), cells in part.groupby(["score", "condition"], sort=False):
            first = cells.iloc[0]
            good = f"{'>' if first['better'] == 'higher' else '<'} {first['threshold']:g}"
            values = {cell["estimator"]: f"{interval(cell)} {MARKS[cell['verdict']]}" for _, cell in cells.iterrows()}
            label = condition_label(str(named), str(condition))
            rows.append([label, good, *(values.get(one, "") for one in of.estimators)])
    return ["desideratum and scores", "good", *of.estimators], rows


def _marked(verdict: str | None) -> str:
    return "not measured" if verdict is None else f"{verdict} {MARKS[verdict]}"
