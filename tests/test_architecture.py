"""What may import what: conf -> experiments -> influence, and downward only inside influence."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up: a module imports from lower layers and from its own package, never from beside or above.
LAYERS = [
    {"arrays", "files", "seeds", "provenance"},
    {"samples"},
    {"isolation"},
    {"data", "engine"},
    {"models"},
    {"readout"},
    {"estimators"},
    {"blocks"},
    {"matrix_folder"},
    {"matrix"},
    {"step_size"},
    {"measurement"},
    {"stats"},
    {"desiderata", "plateau"},
    {"plots"},
]
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}


def sources(package: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    """`influence/data/__init__.py` is `influence.data`."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, code: str) -> set[str]:
    """Full names that a file imports, wherever the statement stands: `from a import b` imports `a.b`."""
    package = [*path.parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def unit(module: str) -> str:
    """`data` for `influence.data.vision`, and "" for the package's own face."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def faults(path: Path, code: str) -> list[str]:
    """Imports of a file of influence that break the order."""
    own = unit(module_name(path))
    top_level = len(LAYERS)
    found = []
    for name in sorted(imports(path, code)):
        top = name.split(".")[0]
        if (
            top in {"experiments", "tests", "hydra", "omegaconf", "wandb"}
            or (top == "matplotlib" and own != "plots")
            or (
                top == "influence"
                and own
                and own != unit(name)
                and LEVEL.get(unit(name), top_level) >= LEVEL.get(own, top_level)
            )
        ):
            found.append(f"{path} imports {name}")
    return found


def test_every_part_of_influence_has_a_layer() -> None:
    units = {unit(module_name(path)) for path in sources("influence")} - {""}
    assert units == set(LEVEL)


def test_influence_imports_downward_only() -> None:
    assert [fault for path in sources("influence") for fault in faults(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("influence/readout.py", "from influence.estimators.finetune import FineTune"),
        ("influence/readout.py", "def read():\n    from influence import matrix"),
        ("influence/data/vision.py", "import influence.models.cnn"),
        ("influence/engine/tree.py", "from ..models import cnn"),
        ("influence/models/cnn.py", "from influence import measure"),
        ("influence/matrix.py", "if TYPE_CHECKING:\n    import experiments.schema"),
        ("influence/matrix.py", "from omegaconf import DictConfig"),
        ("influence/stats/bootstrap.py", "import matplotlib.pyplot as plt"),
        ("influence/__init__.py", "import wandb"),
    ],
)
def test_an_import_that_breaks_the_order_is_found(path: str, code: str) -> None:
    assert len(faults(Path(path), code)) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("influence/models/cnn.py", "from . import protocol\nfrom ..samples import Batch\nimport torch"),
        ("influence/plots/matrix.py", "from matplotlib.axes import Axes\nfrom influence.plots.style import style"),
        ("influence/__init__.py", "from influence.measurement import measure"),
    ],
)
def test_an_import_that_keeps_the_order_is_allowed(path: str, code: str) -> None:
    assert faults(Path(path), code) == []


def test_names_tell_what_is_inside() -> None:
    paths = [path for package in ["influence", "experiments", "tests"] for path in sources(package)]
    assert [path for path in paths if SAYS_NOTHING & {part.strip("_") for part in path.with_suffix("").parts}] == []


@pytest.mark.parametrize("package", ["influence", "experiments"])
def test_tests_mirror_the_sources(package: str) -> None:
    """`tests/influence/data/test_words.py` tests `influence/data/words.py`, or a package of that name."""
    modules = {module_name(path) for path in sources(package)}
    strays = []
    for path in sources(f"tests/{package}"):
        if path.name.startswith("test_"):
            name = ".".join([*path.parts[1:-1], path.stem.removeprefix("test_")])
            if name not in modules:
                strays.append(path)
    assert strays == []
