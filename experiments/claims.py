"""The claims of Matelsky et al. 2024 as data: what speaks to each here, and where it holds.

A claim is data: the statistics that are read, and the values of those that decide at which it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.findings import (
    COLUMNS,
    LEARNED,
    PROMPTED,
    Difference,
    Plateau,
    Statistic,
    Value,
    Values,
    above,
    below,
    beyond,
)

ALIKE = 0.95
"""Correlation from which on a matrix and its transpose count as alike, as matrices of neighbouring steps do."""

SLIGHT = 0.1
"""Share of a self-gain within which a contrast counts as none."""

DOMAINS = ("fig2_transitivity", "fig3_chain", "fig4_belongs_to", "squares")
"""Experiments in the paper's own domains, of more than one world."""


def prompted_minus_learned(score: str, holds: Values) -> list[Difference]:
    """How much higher a score is prompted than learned, in each of the paper's domains."""
    return [
        Difference(domain, score, "prompted minus learned", left={"column": "prompted"}, right={}, holds=holds)
        for domain in DOMAINS
    ]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        text: in our words.
        where: section, equation or figure.
        statistics: that speak to it.
        columns: estimators that it is about; by the others its statistics stand there for comparison.
    """

    text: str
    where: str
    statistics: Sequence[Statistic]
    columns: Sequence[str] = tuple(COLUMNS)


CLAIMS = (
    Claim(
        "the CNN's matrix is roughly symmetric",
        "2.1",
        [
            Value("fig1_claims", "reciprocity", holds=above(ALIKE)),
            *(Value("fig1_cnn", "reciprocity", settings={"self_gain": self_gain}) for self_gain in (0.03, 1.0)),
            Value("fig1_claims", "asymmetry_index"),
            Value("fig1_claims", "gauge_share"),
        ],
        LEARNED,
    ),
    Claim(
        "digits inform their own class most",
        "2.1",
        [
            Value("fig1_claims", "class_block", holds=above(0)),
            Value("fig1_claims", "class_block_beyond_softmax"),
        ],
        LEARNED,
    ),
    Claim(
        "learning 2 influences 9: the pair is in the first tenth of the 90",
        "2.1",
        [Value("fig1_claims", "class_pair_rank", "learned=2, read=9", below(10))],
        LEARNED,
    ),
    Claim(
        "noise is not discounted",
        "2.1, Eqs. 5, 6",
        [
            Value("noise_images", "noise_discount", "sigma=0.5"),
            Value("noise_images", "noise_discount", "sigma=1", above(0.8)),
            Value("noise_images", "noise_discount", "sigma=2"),
            Value("noise_images", "selectivity", "sigma=1"),
            Value("noise_images", "selectivity_per_headroom", "sigma=1"),
            Value("noise_images", "invariance", "sigma=1"),
            Value("noise_images", "pure_noise"),
        ],
        LEARNED,
    ),
    Claim(
        "the language model's influence is asymmetric, but not as logic asks",
        "3.2",
        [
            Value("fig2_transitivity", "reciprocity", holds=below(ALIKE)),
            Value("ontology", "reversal_gap", holds=below(0.25)),
            Value("fig2_transitivity", "asymmetry_index"),
            Value("fig2_transitivity", "gauge_share"),
            Value("fig2_transitivity", "self_gain_median"),
        ],
    ),
    Claim(
        '"dogs are mammals" influences "my dog is a mammal" no more than the reverse',
        "3.2",
        [Value("natural_isa", "converse_contrast", holds=below(SLIGHT))],
        LEARNED,
    ),
    Claim(
        "learned influence follows words, not meaning",
        "3.2",
        [
            Value("fig2_transitivity", "paraphrase_transfer", holds=below(0.5)),
            Value("fig4_belongs_to", "paraphrase_transfer", holds=below(0.5)),
            Value("semantics_text", "semantic_slope"),
        ],
        LEARNED,
    ),
    Claim(
        "no transitivity, no causality by fine-tuning",
        "3.2",
        [
            *(Value("transitive_causality", "transitivity_margin", f"link={link}", below(0)) for link in (1, 2)),
            Value("transitive_causality", "transitivity"),
            *(Value("transitive_causality", "link_strength", f"link={link}") for link in (1, 2)),
            Value("logic", "direction", holds=below(SLIGHT)),
            Value("logic", "synergy"),
            *(Value("fig2_transitivity", "premise_gate", f"premise={premise}") for premise in (1, 2)),
        ],
        LEARNED,
    ),
    Claim(
        "no ontology by fine-tuning",
        "3.2",
        [
            Value("ontology", "reversal_gap", holds=below(0.25)),
            Value("ontology", "direction", holds=below(SLIGHT)),
        ],
        LEARNED,
    ),
    Claim(
        "no compositionality by fine-tuning",
        "3.2",
        [Value("compositionality", "transitivity_margin", f"link={link}", below(0)) for link in (1, 2)],
        LEARNED,
    ),
    Claim(
        "one joined sample partly rescues transitivity",
        "3.2",
        [
            Difference(
                "transitive_causality",
                "transitivity",
                "joined minus together",
                left={"statements": "joined"},
                right={},
                gated_by="transitivity_margin",
                holds=above(0),
            )
        ],
        LEARNED,
    ),
    Claim(
        "prompting rescues transitivity, ontology and logic",
        "3.2, Figs. 2 to 4",
        [
            *(Value("transitive_causality_prompted", "transitivity_margin", f"link={n}", above(0)) for n in (1, 2)),
            Value("transitive_causality_prompted", "transitivity"),
            Value("transitive_causality_prompted", "transitivity_broken"),
            *(Value("transitive_causality_prompted", "link_strength", f"link={n}") for n in (1, 2)),
            Value("ontology", "reversal_gap", holds=above(0.25)),
            Value("logic", "logical_consistency", holds=above(0.5)),
        ],
        PROMPTED,
    ),
    Claim(
        "the order of a prompt's statements matters",
        "3.2, Figs. 2 to 4",
        [
            Difference(
                "transitive_causality",
                "transitivity",
                "given minus reversed order",
                left={},
                right={"order": "reversed"},
                gated_by="transitivity_margin",
                holds=beyond(SLIGHT),
                columns=PROMPTED,
            )
        ],
        PROMPTED,
    ),
    Claim(
        "prompting is more asymmetric in every domain",
        "Fig. 5B",
        prompted_minus_learned("asymmetry_index", above(0)),
        LEARNED,
    ),
    Claim(
        "learned influence is more diffuse, less sparse, than prompted",
        "Fig. 5A",
        prompted_minus_learned("gini", above(0)),
        LEARNED,
    ),
    Claim(
        "negation is ignored",
        "3.2",
        [
            Value(experiment, "negation_leak", f"learned={learned}", above(0.5))
            for experiment in ("fig2_transitivity", "fig4_belongs_to", "logic")
            for learned in ("statement", "negation")
        ],
    ),
    Claim(
        "even the same stimulus is not always learned most (images)",
        "4",
        [Value("fig1_claims", "self_gain_is_largest", holds=below(1))],
        LEARNED,
    ),
    Claim(
        "even the same stimulus is not always learned most (language)",
        "4",
        [Value("fig2_transitivity", "self_gain_is_largest", holds=below(1))],
    ),
    Claim(
        "massive variance from the specific new words: more than half of a cell's",
        "4",
        [Value("fig2_transitivity", "word_variance", holds=above(0.5))],
    ),
    Claim("there is a plateau of learning rates (images)", "3.4", [Plateau("lr_plateau")], LEARNED),
    Claim("there is a plateau of learning rates (language)", "3.4", [Plateau("lr_plateau_text")], LEARNED),
)
