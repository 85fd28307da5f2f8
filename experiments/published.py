"""Which runs in `outputs/published/` the README shows."""

from collections.abc import Sequence
from pathlib import Path

from experiments.run_folder import RunFolder, find_runs
from experiments.schema import REPOSITORY
from influence.matrix import SELF_GAIN

PUBLISHED = REPOSITORY / "outputs" / "published"

CHAOS = "chaos.csv"
"""What became of sweeps that were disturbed on purpose (`tests/chaos.py`)."""

LEDGER = "figures/ledger.csv"
"""Table of the paper's claims, as the figures are drawn."""

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
"""In the order of rows and columns, as figures and tables name them."""

IMAGE_OPTIMIZERS = ("sgd", "adam")

TEXT_OPTIMIZERS = ("sgd", "adamw")

TEXTS = {
    "fig2_transitivity": "transitivity",
    "fig3_chain": "chain_induces",
    "fig4_belongs_to": "belongs_to",
    "squares": "squares",
    "unrelated": "unrelated",
}
"""Language experiments and their domains, in the order of figures and tables."""

CAUSES = ("transitive_causality", "transitive_causality_prompted")
"""Experiments on crossed chains of causes, which are drawn."""

CHAINS = (*CAUSES, "compositionality")
"""Experiments on crossed chains."""

SELF_GAINS = (0.03, SELF_GAIN, 1.0)

PLATEAUS = ("lr_plateau", "lr_plateau_text")
"""Sweeps of learning rates."""


def place(kind: str) -> int:
    """Place of an estimator among columns and panels: optimisers in the order of tables, then others, prompted last.

    >>> sorted(["prompted", "SGD, first order", "AdamW", "SGD"], key=place)
    ['SGD', 'AdamW', 'SGD, first order', 'prompted']
    """
    order = list(OPTIMIZERS.values())
    if kind in order:
        return order.index(kind)
    return len(order) + (kind == "prompted")


def step_sizes(published: Path, experiments: Sequence[str], optimizers: Sequence[str]) -> dict[tuple[str, float], Path]:
    """Learned runs with seed 0 by optimiser and self-gain, in the order of a figure's panels.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    found = {}
    for folder in find_runs([published / name for name in experiments]):
        estimator, seed = RunFolder(folder).config.estimator, RunFolder(folder).config.seed
        if estimator.name == "finetune" and seed == 0:
            found[estimator.optimizer, estimator.self_gain or SELF_GAIN] = folder
    wanted = [(optimizer, gain) for optimizer in optimizers for gain in SELF_GAINS]
    for key in wanted:
        if key not in found:
            raise FileNotFoundError(
                f"expected a published run of {' or '.join(experiments)} with {key[0]} at {key[1]:g} nat, got none; "
                "run its sweep of self-gains and freeze it"
            )
    return {key: found[key] for key in wanted}


def fig1_step_sizes(published: Path) -> dict[tuple[str, float], Path]:
    """Runs of Fig. 1: see `step_sizes`."""
    return step_sizes(published, ["fig1_cnn"], IMAGE_OPTIMIZERS)


def fig2_step_sizes(published: Path) -> dict[tuple[str, float], Path]:
    """Runs of Fig. 2, at stored learning rates (0.3 nats) and at others: see `step_sizes`."""
    return step_sizes(published, ["fig2_transitivity", "self_gain_text"], TEXT_OPTIMIZERS)


def text_runs(published: Path) -> dict[str, dict[str, Path]]:
    """Runs of the language experiments by domain and by estimator: SGD, AdamW, prompted."""
    found: dict[str, dict[str, Path]] = {}
    for experiment, domain in TEXTS.items():
        runs = {}
        for folder in find_runs([published / experiment]):
            estimator = RunFolder(folder).config.estimator
            learned = estimator.name == "finetune"
            runs[OPTIMIZERS[estimator.optimizer] if learned else "prompted"] = folder
        found[domain] = dict(sorted(runs.items(), key=lambda run: place(run[0])))
    return found
