"""One finished run with a trained base model, to look at and to copy; and an environment without W&B."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import wandb

from experiments.run_folder import RunFolder
from tests.experiments.commands import QUIET, execute
from tests.experiments.wandb_server import WandbServer


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """`experiment=smoke`, measured in this process; to read only."""
    return execute(tmp_path_factory.mktemp("outputs"), "experiment=smoke", *QUIET)


@pytest.fixture
def smoke_copy(smoke: RunFolder, tmp_path: Path) -> RunFolder:
    """The same in a folder of outputs of the test's own."""
    shutil.copytree(smoke.path.parents[1], tmp_path / "outputs")
    return RunFolder(tmp_path / "outputs" / smoke.path.parent.name / smoke.path.name)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder without a login, in an environment that says nothing of W&B."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "XDG_", "NETRC"))}
    environment |= {"HOME": str(home), "WANDB_ERROR_REPORTING": "false", "NO_PROXY": "127.0.0.1"}
    with mock.patch.dict(os.environ, environment, clear=True):
        yield home
        wandb.teardown()


@pytest.fixture
def server(home: Path) -> Iterator[WandbServer]:
    """One that is logged in to, with little patience for it."""
    with WandbServer() as server:
        os.environ |= server.environment | {
            "WANDB__GRAPHQL_RETRY_MAX": "1",
            "WANDB__FILE_TRANSFER_RETRY_MAX": "1",
            "WANDB_FINISH_TIMEOUT": "5",
        }
        yield server
        wandb.teardown()
