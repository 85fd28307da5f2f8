"""One finished run with a trained base model, to look at and to copy."""

import shutil
from pathlib import Path

import pytest

from experiments.run_folder import RunFolder
from tests.experiments.commands import QUIET, execute


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """`experiment=smoke`, measured in this process; to read only."""
    return execute(tmp_path_factory.mktemp("outputs"), "experiment=smoke", *QUIET)


@pytest.fixture
def smoke_copy(smoke: RunFolder, tmp_path: Path) -> RunFolder:
    """The same in a folder of outputs of the test's own."""
    shutil.copytree(smoke.path.parents[1], tmp_path / "outputs")
    return RunFolder(tmp_path / "outputs" / smoke.path.parent.name / smoke.path.name)
