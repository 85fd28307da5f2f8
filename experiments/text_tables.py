"""Tables of the language experiments, from published runs."""

from pathlib import Path

import pandas as pd

from experiments.published import text_runs
from experiments.tables import by_score, cell, condition_label, interval, markdown
from influence.data import paper
from influence.desiderata.agreement import agreement
from influence.desiderata.scoring import compare
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


def prompted_minus_learned(published: Path) -> str:
    """How much higher scores are prompted than learned, in the same worlds."""
    runs, rows = text_runs(published), []
    for domain, keys in COMPARED.items():
        matrices = {estimator: InfluenceMatrix.load(run) for estimator, run in runs[domain].items()}
        names = list(dict.fromkeys(name for name, _ in keys))
        tables = [by_score(compare(matrices["prompted"], matrices[one], names)) for one in ("SGD", "AdamW")]
        rows += [[domain, condition_label(*key), *(cell(table, key) for table in tables)] for key in keys]
    return markdown(["domain", "score", "prompted minus SGD", "prompted minus AdamW"], rows)


def agreement_with_paper(published: Path) -> str:
    """Our Fig. 2 and the paper's: correlation over the cells off the diagonal, of means over ten worlds each."""
    rows = []
    for estimator, run in text_runs(published)["transitivity"].items():
        how = "prompted" if estimator == "prompted" else "learned"
        table: pd.DataFrame = agreement(InfluenceMatrix.load(run), paper.fig2(how), clip=paper.CLIP)
        values = table.set_index("statistic")
        rows.append([estimator, how, *(interval(values.loc[name]) for name in ("pearson", "spearman", "slope"))])
    return markdown(["ours (Gemma 3 270M)", "the paper's (Phi-3)", "Pearson", "Spearman", "theirs over ours"], rows)
