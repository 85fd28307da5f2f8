"""Tables of the language experiments, from published runs."""

from pathlib import Path

import pandas as pd

from experiments.published import OPTIMIZERS, fig2_step_sizes, place, text_runs
from experiments.run_folder import find_runs
from experiments.run_sets import run_sets
from experiments.tables import by_score, cell, condition_label, interval, markdown
from influence.data import paper
from influence.desiderata.agreement import agreement
from influence.desiderata.scoring import compare, score
from influence.desiderata.units import in_worlds
from influence.matrix import InfluenceMatrix

COMPARED: dict[str, list[tuple[str, str]]] = {
    "transitivity": [
        ("asymmetry_index", ""),
        ("gauge_share", ""),
        ("negation_leak", "learned=statement"),
        ("negation_leak", "learned=negation"),
        ("paraphrase_transfer", ""),
        ("premise_gate", "premise=1"),
        ("premise_gate", "premise=2"),
        ("self_gain_is_largest", ""),
        ("word_variance", ""),
    ],
    "chain_induces": [("asymmetry_index", "")],
    "belongs_to": [("asymmetry_index", ""), ("negation_leak", "learned=statement"), ("paraphrase_transfer", "")],
    "squares": [("asymmetry_index", "")],
}
"""Scores that are compared, prompted and learned, by domain."""

STEP_SIZE_SCORES = [
    ("reciprocity", ""),
    ("paraphrase_transfer", ""),
    ("negation_leak", "learned=statement"),
    ("premise_gate", "premise=1"),
    ("self_gain_is_largest", ""),
]

OF_NOUNS = {
    "semantics_text": [
        "semantic_slope",
        "semantic_slope_uncontrolled",
        "semantic_slope_within_categories",
        "semantic_rank",
    ],
    "noise_text": ["noise_discount", "selectivity"],
}
"""Scores of sentences about nouns, by experiment."""


def step_sizes(published: Path) -> str:
    """The main scores of transitivity at three self-gains, in the worlds that all runs have."""
    matrices = {key: InfluenceMatrix.load(folder) for key, folder in fig2_step_sizes(published).items()}
    worlds = set.intersection(*(set(matrix.probes["world"]) for matrix in matrices.values()))
    names = list(dict.fromkeys(name for name, _ in STEP_SIZE_SCORES))
    tables = [by_score(score(in_worlds(matrix, worlds), names)) for matrix in matrices.values()]
    header = ["score", *(f"{OPTIMIZERS[optimizer]}, {gain:g} nat" for optimizer, gain in matrices)]
    rows = [[condition_label(*key), *(cell(table, key) for table in tables)] for key in STEP_SIZE_SCORES]
    return markdown(header, rows)


def prompted_minus_learned(published: Path) -> str:
    """How much higher scores are prompted than learned, in the same worlds."""
    runs, rows = text_runs(published), []
    for domain, keys in COMPARED.items():
        matrices = {estimator: InfluenceMatrix.load(run) for estimator, run in runs[domain].items()}
        names = list(dict.fromkeys(name for name, _ in keys))
        tables = [by_score(compare(matrices["prompted"], matrices[one], names)) for one in ("SGD", "AdamW")]
        rows += [[domain, condition_label(*key), *(cell(table, key) for table in tables)] for key in keys]
    return markdown(["domain", "score", "prompted minus SGD", "prompted minus AdamW"], rows)


def nouns(published: Path) -> str:
    """What meaning and noise of sentences about nouns do, by every estimator that was measured."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for experiment, names in OF_NOUNS.items():
        for runs in run_sets(find_runs([published / experiment])):
            tables.setdefault(runs.kind, []).append(by_score(score(runs.matrices(), names)))
    columns = {kind: pd.concat(tables[kind]) for kind in sorted(tables, key=place)}
    keys = dict.fromkeys(key for table in columns.values() for key in table.index)
    rows = [
        [condition_label(*key), *(cell(table, key) if key in table.index else "" for table in columns.values())]
        for key in keys
    ]
    return markdown(["score", *columns], rows)


def agreement_with_paper(published: Path) -> str:
    """Our Fig. 2 and the paper's: correlation over the cells off the diagonal, of means over ten worlds each."""
    rows = []
    for estimator, run in text_runs(published)["transitivity"].items():
        how = "prompted" if estimator == "prompted" else "learned"
        table: pd.DataFrame = agreement(InfluenceMatrix.load(run), paper.fig2(how), clip=paper.CLIP)
        values = table.set_index("statistic")
        rows.append([estimator, how, *(interval(values.loc[name]) for name in ("pearson", "spearman", "slope"))])
    return markdown(["ours (Gemma 3 270M)", "the paper's (Phi-3)", "Pearson", "Spearman", "theirs over ours"], rows)
