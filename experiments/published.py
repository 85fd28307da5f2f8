"""Which runs in `outputs/published/` the README shows."""

from pathlib import Path

from experiments.run_folder import RunFolder, find_runs
from experiments.schema import REPOSITORY
from influence.matrix import SELF_GAIN

PUBLISHED = REPOSITORY / "outputs" / "published"

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
"""In the order of rows and columns, as figures and tables name them."""

IMAGE_OPTIMIZERS = ("sgd", "adam")

TEXTS = {
    "fig2_transitivity": "transitivity",
    "fig3_chain": "chain_induces",
    "fig4_belongs_to": "belongs_to",
    "squares": "squares",
    "unrelated": "unrelated",
}
"""Language experiments and their domains, in the order of figures and tables."""

SELF_GAINS = (0.03, SELF_GAIN, 1.0)


def fig1_step_sizes(published: Path) -> dict[tuple[str, float], Path]:
    """Runs of Fig. 1 with seed 0 by optimiser and self-gain, in the order of the figure's panels.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    found = {}
    for folder in find_runs([published / "fig1_cnn"]):
        config = RunFolder(folder).config
        if config.seed == 0:
            found[config.estimator.optimizer, config.estimator.self_gain] = folder
    wanted = [(optimizer, gain) for optimizer in IMAGE_OPTIMIZERS for gain in SELF_GAINS]
    for key in wanted:
        if key not in found:
            raise FileNotFoundError(
                f"expected a published run of fig1_cnn with {key[0]} at {key[1]:g} nat, got none; "
                "run experiment=fig1_cnn sweep=self_gain and freeze it"
            )
    return {key: found[key] for key in wanted}


def text_runs(published: Path) -> dict[str, dict[str, Path]]:
    """Runs of the language experiments by domain and by estimator: SGD, AdamW, prompted."""
    found: dict[str, dict[str, Path]] = {}
    for experiment, domain in TEXTS.items():
        runs = {}
        for folder in find_runs([published / experiment]):
            estimator = RunFolder(folder).config.estimator
            learned = estimator.name == "finetune"
            runs[OPTIMIZERS[estimator.optimizer] if learned else "prompted"] = folder
        found[domain] = dict(sorted(runs.items(), key=lambda run: [*OPTIMIZERS.values(), "prompted"].index(run[0])))
    return found
