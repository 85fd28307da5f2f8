"""Numbers of the paper to lay beside ours: Matelsky, Ungar, Kording, arXiv 2406.00509."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from influence.arrays import Array
from influence.files import read_json

FIG2 = Path(__file__).with_name("paper_fig2.json")

CLIP = 3.0
"""Where the colours of its Figs. 2 to 4 end, nats per token."""

FIGURES = {"transitivity": "fig2", "chain_induces": "fig3", "belongs_to": "fig4"}
"""Which of its figures shows a domain."""

SYMMETRY = {
    "transitivity": {"learned": 0.52, "prompted": 0.28},
    "belongs_to": {"learned": 0.56, "prompted": 0.20},
    "chain_induces": {"learned": 1.11, "prompted": 0.45},
    "unrelated": {"learned": 0.18, "prompted": 0.03},
}
"""1 / |M - M'| of its Fig. 5B, norm not stated, by our name of the domain: its ontology is `belongs_to`, and its
hundred random claims, which are not ours, are beside `unrelated`."""


def fig2(influence: str) -> Float64[Array, "P T"]:
    """Gains of its Fig. 2B on Phi-3, nats per token, read off the figure to about .03 and clipped at `CLIP`.

    Args:
        influence: "learned" or "prompted".

    Returns:
        Rows and columns in the order of `conf/domain/transitivity.yaml`, mean over ten draws of words.
    """
    return np.array(read_json(FIG2)[influence], dtype=np.float64)
