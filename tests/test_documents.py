"""What the documents name exists: paths, make targets, commands and the YAML files that overrides choose.

Read are code spans, fenced blocks of the shell or of no language, and links. A path is what starts with a folder of
the root or ends like a source file, written from the root or from any folder below. Left alone are run folders
(`outputs/`, but not `outputs/published/`) and what the reader writes (`my_...`); `<name>` and `*` stand for anything.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)")
ADDRESS = re.compile(r"\w+://\S+")
SOURCE = re.compile(r"[\w./<>*-]+\.(py|ya?ml|md|toml|sh)")
MODULE = re.compile(r"-m (experiments(?:\.\w+)*)(?![.<\w])")
OVERRIDE = re.compile(r"[+~]*([a-z_]+)=([\w,/-]+)")
VARIABLE = re.compile(r"[A-Z_]+=\S*")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def code_lines(document: str) -> list[str]:
    """Lines of a document's shell blocks, and its code spans."""
    blocks = [body for language, body in FENCE.findall(document) if language in {"", "sh", "bash", "console", "text"}]
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.split(" #")[0].strip().removeprefix("$ ") for line in lines] + SPAN.findall(FENCE.sub("", document))


def missing_paths(line: str, files: list[str]) -> list[str]:
    """Paths of a line that are no file and no folder of the repository."""
    folders = {str(folder) for file in files for folder in Path(file).parents}
    roots = {file.split("/")[0] for file in files if "/" in file}
    missing = []
    for word in re.split(r"[\s=,;:()\"']+", ADDRESS.sub("", line)):
        path = word.removeprefix("./").rstrip("/.")
        in_run_folder = path.startswith("outputs") and not path.startswith("outputs/published")
        if in_run_folder or path.startswith("my_"):
            continue
        if SOURCE.fullmatch(path) or ("/" in word and path.split("/")[0] in roots):
            pattern = re.sub(r"<[^>]*>", "*", path)
            if not any(fnmatchcase(f"/{known}", f"*/{pattern}") for known in folders.union(files)):
                missing.append(path)
    return missing


def missing_commands(line: str, files: list[str]) -> list[str]:
    """Make targets, modules and configurations that a line names in vain."""
    targets = TARGET.findall((ROOT / "Makefile").read_text())
    groups = {file.split("/")[1] for file in files if file.startswith("conf/")}
    missing = []
    for command in re.split(r"&&|[;|]", line):
        words = [word for word in command.split() if not VARIABLE.fullmatch(word)]
        if words[:1] == ["make"]:
            missing += [f"make {word}" for word in words[1:] if word not in targets and word[0] not in '-<"']
        for module in MODULE.findall(command):
            path = module.replace(".", "/")
            if not {f"{path}.py", f"{path}/__main__.py"} & set(files):
                missing.append(f"python -m {module}")
        for override in filter(None, map(OVERRIDE.fullmatch, words)):
            if override[1] in groups:
                chosen = [f"conf/{override[1]}/{name}.yaml" for name in override[2].split(",")]
                missing += [path for path in chosen if path not in files]
    return missing


def missing_things(document: str, files: list[str]) -> list[str]:
    """Everything that a document names and the repository lacks."""
    missing = [link for link in LINK.findall(document) if not ADDRESS.match(link) and link not in files]
    for line in code_lines(document):
        missing += missing_paths(line, files) + missing_commands(line, files)
    return missing


@pytest.mark.parametrize("document", ["README.md", "DESIGN.md", "CONTRIBUTING.md"])
def test_what_a_document_names_exists(document: str, tracked_files: list[str]) -> None:
    assert missing_things((ROOT / document).read_text(), tracked_files) == []


def test_commands_of_makefile_and_lab_notes_exist(tracked_files: list[str]) -> None:
    missing = {}
    for path in tracked_files:
        if path in {"Makefile", ".ci/run"} or path.startswith("conf/"):
            lines = [line.strip("# \t@") for line in (ROOT / path).read_text().splitlines()]
            if faults := [fault for line in lines for fault in missing_commands(line, tracked_files)]:
                missing[path] = faults
    assert missing == {}


FILES = ["README.md", "Makefile", "conf/experiment/digits.yaml", "experiments/run.py", "influence/data/words.py"]


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("[figure](outputs/published/fig1.png)", "outputs/published/fig1.png"),
        ("`influence/data/wrods.py`", "influence/data/wrods.py"),
        ("`data/wrods.py`, `data/words.py`", "data/wrods.py"),
        ("`influence/date/`", "influence/date"),
        ("`conf/sweep/<name>.yaml`", "conf/sweep/<name>.yaml"),
        ("see `NOTES.md`", "NOTES.md"),
        ("```sh\n$ cd here && make dmeo  # two minutes\n```\n", "make dmeo"),
        ("`CI=true make PYTHON=python3.12 test tset`", "make tset"),
        ("`python -m experiments.rnu experiment=digits`", "python -m experiments.rnu"),
        ("```bash\npython -m experiments.run \\\n  experiment=digits,dogits\n```\n", "conf/experiment/dogits.yaml"),
    ],
)
def test_what_is_missing_is_found(document: str, fault: str) -> None:
    assert missing_things(document, FILES) == [fault]


@pytest.mark.parametrize(
    "document",
    [
        "[paper](https://arxiv.org/abs/2406.00509), [readme](README.md#words) and `https://example.com/a.py`",
        "`words.py`, `data/words.py`, `influence/data/`, `conf/experiment/<name>.yaml`, `conf/*/digits.yaml`",
        "`outputs/digits/<hash>/run.json`, `scores.parquet`, `my_model.py`, `gain_PT`, and/or",
        "`make`, `make demo`, `python -m experiments.<name>`, `python -m experiments.run -m experiment=digits seed=1`",
        '```python\nmeasure(model, estimator="finetune.py", experiment=nothing)\n```\n',
    ],
)
def test_what_exists_is_not_missing(document: str) -> None:
    assert missing_things(document, FILES) == []
