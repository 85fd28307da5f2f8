import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from influence.plots.matrix import Panel, matrix_figure
from influence.plots.style import save_figure, style

DRAW = """
import sys
from pathlib import Path
import numpy as np
import pandas as pd
from influence.plots.matrix import Panel, matrix_figure
from influence.plots.style import save_figure

samples = pd.DataFrame({"id": list("abc"), "group": ["clean", "clean", "noise"], "label": [0, 1, 0]})
gain_PT = np.array([[1.0, 0.5, np.nan], [-0.5, 2.0, 0.0], [np.nan, np.nan, np.nan]])
panels = [[Panel(title="SGD", gain_PT=gain_PT, clip=1.0)]]
figure = matrix_figure(panels, samples, samples, thumbnails={"clean": [np.eye(4)]})
save_figure(figure, Path(sys.argv[1]), {"gain": gain_PT})
"""


def line_figure() -> Figure:
    with style():
        figure = Figure(figsize=(2, 1.5), layout="constrained")
        figure.subplots().set(xlabel="learning rate", title="sigma = 0.5")
    return figure


def test_writes_vector_picture_and_numbers_beside_each_other(tmp_path: Path) -> None:
    table = pd.DataFrame({"lr": [1e-3, 0.1 + 0.2], "optimizer": ["sgd", "adam"]})
    paths = save_figure(line_figure(), tmp_path / "new" / "lr_0.03", table)
    assert [path.name for path in paths] == ["lr_0.03.pdf", "lr_0.03.png", "lr_0.03.csv"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    assert paths[0].read_bytes().startswith(b"%PDF")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(paths[2]), table)


def test_the_colours_of_a_bar_survive_the_palette(tmp_path: Path) -> None:
    """The key to a matrix, though each of its colours is a row of pixels among many white ones."""
    gain_PT = np.random.default_rng(0).normal(size=(40, 40))
    samples = pd.DataFrame({"id": map(str, range(40)), "group": "clean", "label": np.arange(40) // 4})
    one, other = (matrix_figure([[Panel(title="SGD", gain_PT=gain_PT, clip=2.0)]], samples, samples) for _ in range(2))
    save_figure(one, tmp_path / "figure", {"gain": gain_PT})
    with style():
        other.savefig(tmp_path / "exact.pdf")  # which settles the layout
        other.savefig(tmp_path / "exact.png", metadata={"Software": None})
    drawn, exact = (
        np.asarray(Image.open(tmp_path / name).convert("RGB"), float) for name in ("figure.png", "exact.png")
    )
    assert np.abs(drawn - exact).max() < 20  # of 255


def test_arrays_are_saved_as_they_are(tmp_path: Path) -> None:
    gain_PT = np.array([[0.1, np.nan, -3.0]])
    *_, numbers = save_figure(line_figure(), tmp_path / "figure", {"gain": gain_PT, "id": np.array(["a", "b"])})
    with np.load(numbers, allow_pickle=False) as saved:
        assert sorted(saved) == ["gain", "id"]
        np.testing.assert_array_equal(saved["gain"], gain_PT)
        np.testing.assert_array_equal(saved["id"], ["a", "b"])


def test_text_stays_text_in_truetype_fonts(tmp_path: Path) -> None:
    pdf, *_ = save_figure(line_figure(), tmp_path / "figure", {})
    content = pdf.read_bytes()
    assert b"/FontFile2" in content  # an embedded TrueType program; outlines would be /Type3, or no font at all
    assert b"/Type3" not in content


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    figure = line_figure()
    first = [path.read_bytes() for path in save_figure(figure, tmp_path / "a", {"x": np.ones(3)})]
    second = [path.read_bytes() for path in save_figure(figure, tmp_path / "b", {"x": np.ones(3)})]
    assert first == second


def test_another_process_and_other_settings_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the order of hashes, nor a display, nor the user's matplotlibrc, nor pyplot has a part in a figure."""
    here, there, script, settings = (tmp_path / name for name in ("here", "there", "draw.py", "matplotlibrc"))
    script.write_text(DRAW)
    monkeypatch.setattr(sys, "argv", [str(script), str(here)])
    runpy.run_path(str(script))
    settings.write_text("font.size: 30\npdf.fonttype: 3\naxes.facecolor: green\nsavefig.dpi: 10\n")
    script.write_text(DRAW + "assert 'matplotlib.pyplot' not in sys.modules\n")
    monkeypatch.delenv("DISPLAY", raising=False)
    for name, value in {"MATPLOTLIBRC": str(settings), "MPLBACKEND": "tkagg", "PYTHONHASHSEED": "1"}.items():
        monkeypatch.setenv(name, value)
    subprocess.run([sys.executable, str(script), str(there)], check=True)
    for suffix in (".pdf", ".png", ".npz"):
        assert here.with_suffix(suffix).read_bytes() == there.with_suffix(suffix).read_bytes()


def test_the_users_settings_come_back() -> None:
    before = matplotlib.rcParams["font.size"]
    with style():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert matplotlib.rcParams["font.size"] == before


def test_data_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        save_figure(line_figure(), tmp_path / "figure", {"id": np.array(["a", None], dtype=object)})
    assert list(tmp_path.iterdir()) == []
