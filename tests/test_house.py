"""The house around the code: what is committed, what `make` does, what the tests' own setting promises."""

import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from influence.blocks import Block

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
MEGABYTE = 2**20

# Joined here, so that this file does not name them itself.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "download.py" + "torch.org",
    "npm" + "js.",
    "deb.deb" + "ian",
    "archive.ub" + "untu",
    "ana" + "conda.org",
]
MACHINE_FOLDER = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work)/\w+")


def foreign_addresses(text: str) -> list[str]:
    """Package registries and folders of one machine that a text names."""
    return [host for host in REGISTRIES if host in text.lower()] + MACHINE_FOLDER.findall(text)


def test_committed_files_are_small(tracked_files: list[str]) -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in tracked_files}
    assert [path for path, size in sizes.items() if size >= MEGABYTE] == []
    assert sum(size for path, size in sizes.items() if path.startswith("outputs/published/")) < 10 * MEGABYTE


def test_no_file_names_a_registry_or_a_folder_of_one_machine(tracked_files: list[str]) -> None:
    found = {}
    for path in tracked_files:
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:  # figures and arrays
            continue
        if addresses := foreign_addresses(text):
            found[path] = addresses
    assert found == {}


def test_foreign_addresses_are_found() -> None:
    assert foreign_addresses("see https://PyPI" + ".org/simple") == [REGISTRIES[0]]
    assert foreign_addresses("data: /ho" + "me/ada/data") == ["/ho" + "me/ada"]
    assert foreign_addresses("~/work/data, home/work/data and outputs/root/run") == []


def installed_with(name: str, extras: frozenset[str], found: dict[tuple[str, frozenset[str]], str]) -> None:
    """Add to `found` the installed version of a package with its extras, and of all that it requires in turn."""
    key = canonicalize_name(name), extras
    if key in found:
        return
    found[key] = metadata.version(name)
    for needed in map(Requirement, metadata.requires(name) or []):
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            installed_with(needed.name, frozenset(needed.extras), found)


def test_constraints_pin_all_that_is_installed() -> None:
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins: dict[str, str] = {canonicalize_name(name): version for name, version in lines}
    found: dict[tuple[str, frozenset[str]], str] = {}
    installed_with("influence", frozenset({"dev"}), found)
    installed = {name: version for (name, _), version in found.items() if name != "influence"}
    assert {name: version for name, version in installed.items() if pins.get(name) != version} == {}
    assert {"torch", "ruff"} <= installed.keys()


@pytest.fixture
def bare_house(tmp_path: Path) -> Path:
    """A folder with what `make` reads and no environment."""
    for name in ["Makefile", "pyproject.toml", "constraints.txt"]:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on its own, also where make runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            'case "$*" in --version) echo Python 3.10.12;; *version_info*) exit 1;; esac',
            "expected Python 3.11 or newer, got Python 3.10.12; name one: make PYTHON=python3.12",
        ),
        ('case "$*" in *venv*) exit 1;; esac', "expected Python's venv module, got none in ./python; install it"),
    ],
)
def test_make_says_which_python_it_needs(bare_house: Path, script: str, sentence: str) -> None:
    (bare_house / "python").write_text(f"#!/bin/sh\n{script}\n")
    (bare_house / "python").chmod(0o755)
    done = make(bare_house, "demo", "PYTHON=./python")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert not (bare_house / ".venv").exists()


@pytest.fixture
def house(bare_house: Path) -> Path:
    """A bare house beside a Python that writes down what it is asked, makes environments and cannot fetch data."""
    (bare_house / "python").write_text(
        "#!/bin/sh\n"
        'echo "$*" >> asked.log\n'
        'case "$*" in\n'
        '"-m venv .venv") mkdir -p .venv/bin && cp -p "$0" .venv/bin/python && touch .venv/bin/pip;;\n'
        '"-m experiments.fetch") exit 1;;\n'
        "esac\n"
    )
    (bare_house / "python").chmod(0o755)
    return bare_house


def asked(house: Path, target: str, word: str, *variables: str) -> list[str]:
    """Run a target; what its Python has been asked so far, as far as it holds the word."""
    make(house, target, "PYTHON=./python", *variables)
    return [line for line in (house / "asked.log").read_text().splitlines() if word in line]


INSTALL = "-m pip install -q -c constraints.txt -e .[dev,text]"


def test_make_installs_once(house: Path) -> None:
    assert asked(house, "install", "-m pip") == [INSTALL]
    assert asked(house, "install", "-m pip") == [INSTALL]


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_make_installs_again_after_a_change(house: Path, changed: str) -> None:
    assert asked(house, "install", "-m pip") == [INSTALL]
    installed = (house / ".venv" / "installed").stat().st_mtime
    os.utime(house / changed, (installed + 1, installed + 1))
    assert asked(house, "install", "-m pip") == [INSTALL, INSTALL]


def test_make_completes_an_interrupted_environment(house: Path) -> None:
    (house / ".venv" / "bin").mkdir(parents=True)
    (house / ".venv" / "bin" / "python").touch()
    assert asked(house, "install", "-m pip") == [INSTALL]


def test_make_goes_on_without_data_only_where_it_may(house: Path) -> None:
    assert asked(house, "demo", "experiments.run") == []
    assert asked(house, "test", "pytest", "CI=true") == []
    assert asked(house, "test", "pytest", "CI=") == ["-m pytest -n 2 --dist loadfile -m not verify"]


def test_make_clean_keeps_outputs(house: Path) -> None:
    assert make(house, "install", "PYTHON=./python").returncode == 0
    run = house / "outputs" / "fig1_cnn" / "run.json"
    run.parent.mkdir(parents=True)
    run.touch()
    assert make(house, "clean").returncode == 0
    assert run.exists()
    assert not (house / ".venv").exists()


def test_shapes_are_checked_in_tests() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        Block(
            id="0",
            first_probe=0,
            first_target=0,
            gain_PT=np.zeros((3, 5)),
            self_gain_P=np.zeros(5),  # as long as the targets instead of the probes
            before_T=np.zeros(5),
            failure_P=np.full(3, ""),
        )


@pytest.mark.parametrize(
    ("files", "ci", "outcome"),
    [(7, "", {"skipped": 1}), (7, "true", {"errors": 1}), (8, "true", {"passed": 1})],
)
def test_real_data_is_skipped_with_a_reason_but_not_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, files: int, ci: str, outcome: dict[str, int]
) -> None:
    tests = pytester.mkdir("tests")
    shutil.copy(ROOT / "tests" / "conftest.py", tests)
    (tests / "test_digits.py").write_text("import pytest\n\n@pytest.mark.real_data\ndef test_digits():\n    pass\n")
    for number in range(files):
        folder = pytester.path / "outputs" / "data" / ["MNIST", "FashionMNIST"][number % 2] / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}-ubyte").touch()
    monkeypatch.setenv("CI", ci)
    result = pytester.runpytest_inprocess("-rsE")
    result.assert_outcomes(**outcome)
    if files < 8:
        result.stdout.fnmatch_lines("*expected MNIST and FashionMNIST in outputs/data, got less than*run `make data`*")


def test_tracking_of_the_user_is_out_of_reach(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", pytester.path)
    pytester.makepyfile(
        "import os\n\n"
        "def test_environment():\n"
        "    assert 'WANDB_API_KEY' not in os.environ and os.environ['WANDB_MODE'] == 'offline'\n"
    )
    monkeypatch.setenv("WANDB_API_KEY", "a key of the user")
    monkeypatch.setenv("WANDB_MODE", "online")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
