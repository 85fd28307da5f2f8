"""`bench.json`: each case as it was last measured, with where it was; the ratios of all at the top."""

from pathlib import Path
from typing import Any

from experiments.schema import REPOSITORY
from influence import provenance
from influence.files import read_json, write_json

LIBRARIES = ("captum", "kronfluence")


def keep(path: Path, case: str, record: dict[str, Any]) -> None:
    """Put the record of a case in the place of its last one; those of other cases stay."""
    cases = read_json(path)["cases"] if path.exists() else {}
    cases[case] = record
    ratios = {f"{name}_{ratio}": value for name in sorted(cases) for ratio, value in cases[name]["ratios"].items()}
    write_json(path, _rounded({**ratios, "cases": {name: cases[name] for name in sorted(cases)}}))


def where() -> dict[str, Any]:
    """Commit, machine, threads and versions, those of the compared libraries among them."""
    found = provenance.collect(REPOSITORY)
    found["libraries"] |= provenance.versions(LIBRARIES)
    return found


def _rounded(content: Any) -> Any:
    """Six digits of every number."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content
