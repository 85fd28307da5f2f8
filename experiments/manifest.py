"""What figures and tables were made of, and which of them have to be made again.

`figures/manifest.json` beside the runs names the commit and a digest of the code, every run with a digest of its files,
and for each product what it reads and the digests of its files. A product is up to date where all of these agree, as
for make; times of files do not count, since a clone has none.
"""

import hashlib
import logging
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.schema import REPOSITORY
from influence.files import read_json, sha256, write_json

_log = logging.getLogger(__name__)

MANIFEST = "figures/manifest.json"

CODE = ("influence/**/*", "experiments/*.py")
"""Files of the repository that decide what a product is made into."""

RESULTS = ("*/*/matrix.json", "*.csv", "bench/*")
"""Of a folder of runs, what products are made of: run folders, by their header, and single files."""


@dataclass(frozen=True)
class Product:
    """A figure or a table.

    Attributes:
        name: that the manifest gives it.
        reads: experiments whose runs it is made of; everything where none is named.
        make: a folder of runs to the files that it writes there.
    """

    name: str
    reads: tuple[str, ...]
    make: Callable[[Path], Sequence[Path]]

    def of(self, results: Mapping[str, str]) -> dict[str, str]:
        """Those results that it is made of."""
        return {name: digest for name, digest in results.items() if not self.reads or name.split("/")[0] in self.reads}


def rebuild(products: Iterable[Product], folder: Path, *, force: bool = False, partial: bool = False) -> list[Path]:
    """Make the products of a folder of runs that are not up to date, and write the manifest.

    Args:
        products: all that there are.
        folder: of the runs, such as `outputs/published`.
        force: make every one.
        partial: leave out, with a warning, what is made of runs that are not there.

    Returns:
        The files that were made.

    Raises:
        FileNotFoundError: runs are not there, and `partial` is not set.
    """
    path = folder / MANIFEST
    old: dict[str, Any] = read_json(path) if path.exists() else {}
    results, code = digests(folder), code_digest(REPOSITORY)
    commit, made = _commit(REPOSITORY), {}
    written: list[Path] = []
    for product in products:
        earlier = old.get("products", {}).get(product.name)
        same_inputs = old.get("code") == code and product.of(old.get("results", {})) == product.of(results)
        if not force and earlier and same_inputs and earlier["files"] == _present(folder, earlier["files"]):
            made[product.name] = earlier
            continue
        try:
            files = product.make(folder)
        except FileNotFoundError as error:
            if not partial:
                raise
            _log.warning("%s is left out: %s", product.name, error)
            continue
        written += files
        names = sorted(str(file.relative_to(folder)) for file in files)
        made[product.name] = {"reads": list(product.reads), "files": _present(folder, names)}
    new = {"code": code, "results": results, "products": made}
    if new != {key: old.get(key) for key in new} or not old["commit"]:
        write_json(path, {"commit": commit, **new})
    return written


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every run of a folder, by `<name>/<hash>`, and of the single files beside them."""
    found = {}
    for path in sorted(path for pattern in RESULTS for path in folder.glob(pattern) if path.is_file()):
        if path.name != "matrix.json":
            found[str(path.relative_to(folder))] = sha256(path)
            continue
        run = path.parent
        files = [file for pattern in ("*", "blocks/*") for file in run.glob(pattern) if file.is_file()]
        # A run that is drawn or scored again into other files is the same run; so is one whose log grew.
        kept = [file for file in files if file.suffix in {".npz", ".parquet", ".yaml"} or file == path]
        found[str(run.relative_to(folder))] = _digest(f"{file.relative_to(run)} {sha256(file)}" for file in kept)
    return found


def code_digest(repository: Path) -> str:
    """SHA-256 of the code, and of the tables and texts that lie beside it."""
    found = {file for pattern in CODE for file in repository.glob(pattern) if file.is_file()}
    files = [file for file in found if "__pycache__" not in file.parts]
    return _digest(f"{file.relative_to(repository)} {sha256(file)}" for file in files)


def _present(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: sha256(folder / name) for name in names if (folder / name).exists()}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _commit(repository: Path) -> str | None:
    """Commit of the code; None where it is not committed."""
    try:
        changes, commit = (
            subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=True).stdout
            for arguments in (["status", "--porcelain", "--", "influence", "experiments"], ["rev-parse", "HEAD"])
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return None if changes.strip() else commit.strip()
