"""Which runs in `outputs/published/` the README shows."""

from pathlib import Path

from experiments.run_folder import RunFolder, find_runs
from experiments.schema import REPOSITORY

PUBLISHED = REPOSITORY / "outputs" / "published"

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
"""In the order of rows and columns, as figures and tables name them."""

SELF_GAIN = 0.3
"""The step size at which claims are read, nats."""

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
    wanted = [(optimizer, gain) for optimizer in OPTIMIZERS for gain in SELF_GAINS]
    for key in wanted:
        if key not in found:
            raise FileNotFoundError(
                f"expected a published run of fig1_cnn with {key[0]} at {key[1]:g} nat, got none; "
                "run experiment=fig1_cnn sweep=self_gain and freeze it"
            )
    return {key: found[key] for key in wanted}


def seeds(folder: Path, optimizer: str) -> list[Path]:
    """The runs below a folder with that optimiser at the self-gain of claims, by seed."""
    runs = []
    for run in find_runs([folder]):
        config = RunFolder(run).config
        if config.estimator.optimizer == optimizer and config.estimator.self_gain == SELF_GAIN:
            runs.append((config.seed, run))
    return [run for _, run in sorted(runs)]
