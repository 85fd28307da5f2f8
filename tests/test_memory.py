"""Memory is bounded by a block, whatever the size of the matrix: each measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from influence.blocks import Block
from influence.matrix_folder import write_header, write_tables

ROOT = Path(__file__).parents[1]
SIDE, ROWS = 100_000, 32
FIRST = 1600
"""Of the one block that is there."""

READ = """
import sys
from influence.matrix import InfluenceMatrix
matrix = InfluenceMatrix.load(sys.argv[1], probes=sys.argv[2:], partial=True)
print(*matrix.gain.shape, matrix.gain.sum())
"""

PEAK = """
import pathlib, re
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024)
"""
"""Of this process alone: what `getrusage` says begins with that of the process that started it."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The header and tables of 100,000 x 100,000 gains, and one of their 3125 blocks."""
    folder = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0)
    numbers = np.arange(SIDE)
    table = pd.DataFrame(
        {
            "id": [f"mnist-train-{number}" for number in numbers],
            "label": numbers % 10,
            "group": "clean",
            "sigma": 0.0,
            "source": [f"mnist-train-{number}" for number in numbers],
            **{f"prob_{label}": random.random(SIDE) for label in range(10)},
        }
    )
    write_tables(folder, table, table)
    write_header(
        folder,
        blocks={f"{start:06d}": (start, start + ROWS) for start in range(0, SIDE, ROWS)},
        readout={"name": "log_prob"},
        estimator={"lr": 0.1},
        provenance={},
    )
    block = Block(
        id=f"{FIRST:06d}",
        first_probe=FIRST,
        first_target=0,
        gain_PT=random.random((ROWS, SIDE)),
        self_gain_P=random.random(ROWS),
        before_T=random.random(SIDE),
        failure_P=np.array([""] * ROWS),
    )
    block.save(folder / "blocks")
    return folder


def test_a_row_block_of_ten_thousand_million_gains_is_read_within_200_megabytes(large):
    ids = [f"mnist-train-{number}" for number in range(FIRST, FIRST + ROWS)]
    command = [sys.executable, "-c", READ + PEAK, str(large), *ids]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows, columns, total, peak = map(float, printed.split())
    assert (rows, columns) == (ROWS, SIDE)
    assert total == pytest.approx(Block.load(large / "blocks", f"{FIRST:06d}").gain_PT.sum())
    assert peak < 200e6
