"""Figures of the paper from a part of the runs, such as those of a download, and from all that are published."""

import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import figures
from experiments.published import PUBLISHED

ROOT = Path(__file__).parents[2]


def test_a_part_of_the_runs_gives_its_figures_with_the_same_bytes_each_time(tmp_path, capsys, caplog, monkeypatch):
    monkeypatch.setattr(figures, "PRODUCTS", figures.PRODUCTS[:3])  # the others score every run again
    shutil.copytree(PUBLISHED / "fig1_cnn", tmp_path / "fig1_cnn")
    figures.main(["--runs", str(tmp_path)])
    drawn = [tmp_path / "figures" / f"fig1d.{kind}" for kind in ("pdf", "png", "npz")]
    assert {str(path) for path in drawn} <= set(capsys.readouterr().out.splitlines())
    assert any(message.startswith("fig2 to fig6 is left out: expected run folders in ") for message in caplog.messages)
    first = tmp_path / "first"
    shutil.copytree(tmp_path / "figures", first)
    figures.main(["--runs", str(tmp_path), "--force"])
    for path in drawn:
        assert filecmp.cmp(path, first / path.name, shallow=False)


@pytest.mark.verify
def test_published_runs_alone_give_every_figure_of_the_readme(tmp_path):
    for path in PUBLISHED.iterdir():
        if path.name not in ("figures", "tables"):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    draw = [sys.executable, "-m", "experiments.figures", "--runs", str(tmp_path)]
    first, again = (subprocess.run(draw, cwd=ROOT, check=True, capture_output=True, text=True) for _ in range(2))
    assert (first.stderr, again.stderr) == ("", "")  # nothing is left out
    shown = re.findall(r"\(outputs/published/(figures/[^)]+\.png)\)", (ROOT / "README.md").read_text())
    assert len(shown) > 5
    pictures = set(shown) - {"figures/report.png"}  # which a browser takes
    assert {name for name in pictures if not (tmp_path / name).exists()} == set()
    assert again.stdout == "All figures and tables are up to date.\n"
