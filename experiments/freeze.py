"""Keep a finished run for the README: `python -m experiments.freeze outputs/<name>/<hash>`.

Copies the matrix, its samples, scores and trained weights to `outputs/published/`, which is committed. Only what was
measured by committed code is frozen.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from experiments.identity import DECISIVE
from experiments.published import PUBLISHED
from experiments.run_folder import IMAGES, RunFolder, find_runs, images_of
from influence.files import write_atomically
from influence.matrix_folder import pack, read_header

FILES = ("run.json", "matrix.json", "scores.parquet")


def main(arguments: Sequence[str] | None = None) -> None:
    """Freeze the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of runs")
    options = parser.parse_args(arguments)
    try:
        for folder in find_runs(options.folders):
            print(freeze(folder, PUBLISHED))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"freeze: {error}")


def freeze(folder: Path, published: Path) -> Path:
    """Copy a run to `published/<name>/<hash>/` and its base weights to `published/models/<hash>/`.

    Of base models that differ in their seed only the first is kept: the others' weights are known by their digest,
    and trained again in minutes. Of runs on the same data only one keeps the images. Gains are kept to a part in
    65,000. Of the configuration only what decides the numbers is kept: paths of a machine are not, and given
    weights are named by their checksum.

    Raises:
        ValueError: the run has not finished, or its code was not committed.
    """
    run = RunFolder(folder)
    if not run.is_done:
        raise ValueError(f"expected a finished run in {folder}, got {run.status.get('status', 'none')}; run it again")
    provenance = read_header(folder)["provenance"]
    if provenance.get("dirty") is not False:
        raise ValueError(
            f"expected {folder} to be measured by committed code, got dirty={provenance.get('dirty')}; "
            "commit, delete the run and measure it again"
        )
    config = run.config
    target = published / str(config.name) / folder.resolve().name
    for name in FILES:
        if (folder / name).exists():
            _copy(folder / name, target / name)
    pack(folder, target)
    kept = OmegaConf.masked_copy(config, ["name", *DECISIVE])
    kept.data.pop("folder", None)
    base = provenance["base_model"]
    trained = folder.resolve().parents[1] / "models" / base["folder"]
    given = kept.model.get("weights")
    weights = trained / "weights.safetensors" if given is None else Path(given)
    for source, name in ((weights, "weights.safetensors"), (trained / "training.json", "training.json")):
        if source.exists() and (given is not None or config.trainer.seed == 0):
            _copy(source, published / "models" / base["folder"] / name)
    if given is not None:
        kept.model.weights = base["sha256"]
    write_atomically(target / "config.yaml", lambda path: path.write_text(OmegaConf.to_yaml(kept)))
    if (folder / IMAGES).exists() and not images_of(target).exists():
        _copy(folder / IMAGES, target / IMAGES)
    return target


def _copy(source: Path, target: Path) -> None:
    write_atomically(target, lambda path: shutil.copyfile(source, path))


if __name__ == "__main__":
    main()
