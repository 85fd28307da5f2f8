"""Tables of the language experiments, from published runs."""

from pathlib import Path

import pandas as pd

from experiments.markdown import by_score, cell, interval, markdown
from experiments.published import text_runs
from experiments.score import condition_label
from influence.data import paper
from influence.desiderata.agreement import agreement
from influence.desiderata.scoring import compare, score
from influence.matrix import InfluenceMatrix

CLAIMS: list[tuple[str, str, str, str]] = [
    ("(the size of a step, or of a prompt)", "transitivity", "self_gain_median", ""),
    ("influence is asymmetric (3.2)", "transitivity", "asymmetry_index", ""),
    ("", "transitivity", "gauge_share", ""),
    ("negation is ignored (3.2)", "transitivity", "negation_leak", "learned=statement"),
    ("", "transitivity", "negation_leak", "learned=negation"),
    ("", "belongs_to", "negation_leak", "learned=statement"),
    ("learning follows words, not meaning (3.2)", "transitivity", "paraphrase_transfer", ""),
    ("", "belongs_to", "paraphrase_transfer", ""),
    ("premises learned together are each learned", "transitivity", "premise_gate", "premise=1"),
    ("", "transitivity", "premise_gate", "premise=2"),
    ("even the same stimulus is not always learned most (4)", "transitivity", "self_gain_is_largest", ""),
    ("massive variance from the specific new words (4)", "transitivity", "word_variance", ""),
]
"""A claim of the paper about language models, the domain it is read in, and the score that speaks to it."""

ESTIMATORS = ("SGD", "AdamW", "prompted")


def claims(published: Path) -> str:
    """The paper's claims about language models: scores over worlds, learned beside prompted."""
    tables = {
        domain: {estimator: by_score(score(InfluenceMatrix.load(run))) for estimator, run in runs.items()}
        for domain, runs in text_runs(published).items()
    }
    rows = [
        [claim, domain, condition_label(name, at), *(cell(tables[domain][one], (name, at)) for one in ESTIMATORS)]
        for claim, domain, name, at in CLAIMS
    ]
    return markdown(["the paper's claim", "domain", "score", *ESTIMATORS], rows)


def prompted_minus_learned(published: Path) -> str:
    """How much higher scores are prompted than learned, in the same worlds."""
    rows = []
    for domain, runs in text_runs(published).items():
        matrices = {estimator: InfluenceMatrix.load(run) for estimator, run in runs.items()}
        wanted = dict.fromkeys([("asymmetry_index", ""), *((name, at) for _, one, name, at in CLAIMS if one == domain)])
        wanted.pop(("self_gain_median", ""), None)  # the step was chosen
        if next(iter(matrices.values())).probes["world"].nunique() < 2:
            continue
        tables = [by_score(compare(matrices["prompted"], matrices[one])) for one in ESTIMATORS[:2]]
        rows += [[domain, condition_label(*key), *(cell(table, key) for table in tables)] for key in wanted]
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
