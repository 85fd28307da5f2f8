"""Score finished runs: `python -m experiments.score outputs/<name>`, single run folders, or several experiments.

Runs that differ only in their seeds are scored together, with the seeds as units; any other run is scored alone, and
`scores.parquet` and `scores.json` are written into its folder, unless it is frozen. The desiderata card of every model
comes last; of several experiments the cards alone are printed.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from experiments.cards import card_text, cards, draw_card
from experiments.run_folder import find_runs
from experiments.run_sets import run_sets
from experiments.tables import scores_table, slug
from influence.desiderata.scoring import score
from influence.files import write_atomically, write_json
from influence.matrix_folder import PACKED


def main(arguments: Sequence[str] | None = None) -> None:
    """Score the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="scores wanted; all if none is named")
    parser.add_argument("--seed", type=int, default=0, help="of the random signs and permutations (default 0)")
    parser.add_argument("--out", type=Path, help="folder for the pictures of the cards, and for scores over seeds")
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="module that registers scores of your own; it is code that runs",
    )
    options = parser.parse_args(arguments)
    try:
        for module in options.modules:
            _import(module)
        # Of `outputs/published/*` some hold no run: figures, weights, tables.
        folders = [path for path in options.folders if not path.exists() or any(path.glob("**/matrix.json"))]
        score_runs(find_runs(folders or options.folders), names=options.scores, seed=options.seed, out=options.out)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"score: {error}")


def score_runs(
    folders: Sequence[Path], *, names: Sequence[str] | None = None, seed: int = 0, out: Path | None = None
) -> None:
    """Score the runs, write their scores (not into frozen runs), and print tables and cards.

    Args:
        folders: run folders.
        names: the scores wanted, None for all.
        seed: of the random signs and permutations.
        out: folder for the pictures of cards, and of each set of seeds the scores in a folder of its own; None to
            print them only.

    Raises:
        FileNotFoundError: a run has not finished.
        ValueError: a matrix is torn, or a score is unknown.
    """
    sets = run_sets(folders)
    one_experiment = len({runs.name for runs in sets}) == 1
    scored = []
    for runs in sets:
        frame = score(runs.matrices(), names, seed=seed)
        scored.append((runs, frame))
        is_single, first = len(runs.folders) == 1, runs.folders[0]
        if is_single and not (first / PACKED).exists():  # a frozen run keeps the scores that it was frozen with
            save_scores(first, frame)
        elif not is_single and out is not None:
            save_scores(out / runs.name / slug(runs.label), frame)
        where = first if is_single else first.parent
        print(", ".join(filter(None, [str(where), runs.label, f"{frame['n'].iloc[0]} {frame['unit_of_n'].iloc[0]}"])))
        if one_experiment:
            print(f"{scores_table(frame)}\n")
    for title, card in cards(scored).items():
        print(f"\n{card_text(title, card)}")
        for path in draw_card(title, card, out) if out is not None else []:
            print(path)


def save_scores(folder: Path, frame: pd.DataFrame) -> None:
    """Write `scores.parquet` and `scores.json` (a list of rows, null where undefined), each atomically."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    write_atomically(folder / "scores.parquet", lambda path: frame.to_parquet(path, index=False))
    write_json(folder / "scores.json", rows)


def _import(module: str) -> None:
    """Import a module, which registers scores.

    Raises:
        ValueError: there is none, or the name of a score is taken.
    """
    try:
        import_module(module)
    except ImportError as error:
        raise ValueError(f"expected a module for --import, got {module!r}: {error}; correct it or PYTHONPATH") from None


if __name__ == "__main__":
    main()
