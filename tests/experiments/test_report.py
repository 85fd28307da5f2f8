"""The report as files: what is embedded, what is kept, and that nothing of it leaves or names this machine."""

import base64
import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from PIL import Image

from experiments.plan import PLAN
from experiments.report.__main__ import main
from experiments.report.embed import SPRITES_PER_ROW, arguments, script
from experiments.report.site import ASSETS, write_site
from experiments.score import save_scores
from influence.data.stored import load_images
from influence.desiderata.scoring import score
from influence.files import read_json, write_json
from influence.matrix import InfluenceMatrix
from tests.experiments import fabricated
from tests.experiments.commands import contents, written
from tests.experiments.saved_report import HOSTILE, failed_run, image_run, text_run


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images by two estimators, sentences, and a run that failed; to read only."""
    outputs = tmp_path_factory.mktemp("outputs")
    image_run(outputs / "shapes" / "aaa")
    image_run(outputs / "shapes" / "bbb", optimizer="adam")
    text_run(outputs / "sentences" / "ccc")
    failed_run(outputs / "broken" / "ddd")
    return outputs


@pytest.fixture(scope="module")
def site(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their report, to read only."""
    return write_site([outputs], tmp_path_factory.mktemp("report")).parent


def index(site: Path) -> dict[str, Any]:
    found: dict[str, Any] = arguments((site / "data" / "index.js").read_bytes())[0]
    return found


def entry(site: Path, hash: str) -> dict[str, Any]:
    (found,) = [run for run in index(site)["runs"] if run["hash"] == hash]
    return dict(found)


def loaded(site: Path, name: str) -> dict[str, Any]:
    """What a script hands over under its own name."""
    called, data = arguments((site / "data" / f"{name}.js").read_bytes())
    assert called == name
    return dict(data)


def numbers(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.mark.parametrize("run", ["shapes/aaa", "shapes/bbb", "sentences/ccc"])
def test_what_is_embedded_is_the_matrix(outputs: Path, site: Path, run: str) -> None:
    matrix = InfluenceMatrix.load(outputs / run)
    told = entry(site, run.split("/")[1])
    data = loaded(site, told["key"])
    assert data["shape"] == list(matrix.gain.shape)
    assert data["shape"][0] < data["shape"][1]
    np.testing.assert_array_equal(numbers(data["gain"]).reshape(data["shape"]), matrix.gain.astype(np.float32))
    np.testing.assert_array_equal(numbers(data["before"]), matrix.before.astype(np.float32))
    np.testing.assert_array_equal(numbers(data["self_gain"]), matrix.self_gain.astype(np.float32))
    assert data["failures"] == told["failures"] == matrix.failures
    for role, table in (("probes", matrix.probes), ("targets", matrix.targets)):
        assert data[role] == told[role]
        assert loaded(site, data[role])["columns"]["id"] == list(table["id"])
        assert told[f"{role}_count"] == len(table)


def test_each_image_is_in_its_place_on_the_sheet(outputs: Path, site: Path) -> None:
    matrix = InfluenceMatrix.load(outputs / "shapes" / "aaa")
    sprite = loaded(site, entry(site, "aaa")["targets"])["sprite"]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite["uri"].split(",")[1]))))
    height, width = sprite["height"], sprite["width"]
    assert sheet.shape == (height, SPRITES_PER_ROW * width)
    images = load_images(outputs / "shapes" / "aaa" / "samples.npz", matrix.targets)["image"]
    for number, image in enumerate(images):
        shown = sheet[:, number * width : (number + 1) * width]
        np.testing.assert_allclose(shown, 255 * np.clip(image[0], 0, 1), atol=0.51)


def test_names_are_where_their_spans_say(outputs: Path, site: Path) -> None:
    probes = InfluenceMatrix.load(outputs / "sentences" / "ccc").probes
    columns = loaded(site, entry(site, "ccc")["probes"])["columns"]
    for text, spans, names in zip(columns["text"], columns["spans"], columns["names"], strict=True):
        assert spans
        assert all(text[start:end] in names for _, start, end in spans)
    assert columns["text"] == list(probes["text"])


def test_runs_of_the_same_samples_share_them(site: Path) -> None:
    sgd, adam, text = (entry(site, hash) for hash in ("aaa", "bbb", "ccc"))
    assert (sgd["probes"], sgd["targets"]) == (adam["probes"], adam["targets"])
    assert len({sgd["probes"], sgd["targets"], text["probes"], text["targets"]}) == 4
    named = {name for run in index(site)["runs"] for name in run["files"]}
    assert {path.name for path in (site / "data").iterdir()} == {"index.js", *named}


def test_settings_tell_runs_apart(site: Path) -> None:
    shown = {
        hash: {key: entry(site, hash)[key] for key in ("experiment", "model", "estimator", "step", "status")}
        for hash in ("aaa", "bbb")
    }
    assert shown["aaa"] == {
        "experiment": "shapes",
        "model": "CNN",
        "estimator": "SGD",
        "step": "lr 0.1",
        "status": "done",
    }
    assert shown["bbb"]["estimator"] == "Adam"


def test_text_is_data_whatever_it_says(site: Path) -> None:
    text = f"{HOSTILE}\u2028*/ ); alert(1) // \N{GRINNING FACE}"
    content = script("addSamples", "name", {"text": text})
    assert arguments(content) == ["name", {"text": text}]
    assert content.isascii()
    assert content.count(b"\n") == 1
    assert loaded(site, entry(site, "ccc")["targets"])["columns"]["text"][-1] == HOSTILE


def test_nothing_names_this_machine_or_another_place(outputs: Path, site: Path) -> None:
    for name, content in contents(site).items():
        if name != "plotly.min.js":
            text = content.decode().replace("http://www.w3.org/2000/svg", "")  # the name of a language, no place
            assert not re.findall(r"""\b(?:https?|wss?|file):|["'(=]//""", text), name
            assert str(outputs) not in text
            assert "/somewhere" not in text
    failed = entry(site, "ddd")
    assert (failed["status"], failed["place"]) == ("failed", "broken/ddd")
    assert failed["error"] == f"ValueError: expected {HOSTILE}, got …/run.py"
    assert '"…/run.py", line 3' in failed["traceback"]


def test_the_page_has_all_that_it_asks_for(site: Path) -> None:
    asked = re.findall(r'(?:src|href)="([^"#]+)"', (site / "index.html").read_text())
    asked.remove("data:,")
    assert len(asked) > 8
    assert [name for name in asked if not (site / name).is_file()] == []
    there = {path.name for path in site.iterdir()}
    assert there == {*(path.name for path in ASSETS.iterdir()), "plotly.min.js", "data"}


def test_the_same_runs_give_the_same_bytes_and_are_not_made_again(outputs: Path, site: Path, tmp_path: Path) -> None:
    again = write_site([outputs], tmp_path / "again").parent
    assert contents(again) == contents(site)
    before = written(again)
    write_site([outputs], again)
    assert written(again) == before


def test_what_is_new_is_made_and_what_is_gone_is_removed(outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs, tmp_path / "outputs")
    site = write_site([tmp_path / "outputs"], tmp_path / "report").parent
    before, first = written(site), entry(site, "aaa")
    shutil.rmtree(tmp_path / "outputs" / "sentences")
    image_run(tmp_path / "outputs" / "shapes" / "eee", lr=0.5)
    write_site([tmp_path / "outputs"], site)
    assert {run["hash"] for run in index(site)["runs"]} == {"aaa", "bbb", "ddd", "eee"}
    after = written(site)
    assert all(after[f"data/{name}"] == before[f"data/{name}"] for name in first["files"])
    assert len(after) == len(before) - 3 + 1  # a matrix with two tables went, a matrix of known samples came


def test_a_torn_run_does_not_hide_the_others(outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs, tmp_path / "outputs")
    (block,) = (tmp_path / "outputs" / "shapes" / "aaa" / "blocks").iterdir()
    block.write_bytes(block.read_bytes()[:100])
    site = write_site([tmp_path / "outputs"], tmp_path / "report").parent
    torn = entry(site, "aaa")
    assert torn["status"] == "unreadable"
    assert torn["files"] == []
    assert "expected a whole block of gains in" in torn["error"]
    assert str(tmp_path) not in torn["error"]
    assert entry(site, "bbb")["status"] == "done"


def test_a_run_whose_process_died_is_told_from_one_that_runs(tmp_path: Path) -> None:
    run = failed_run(tmp_path / "outputs" / "shapes" / "aaa")
    write_json(run / "run.json", {"status": "running", "started": "2026-01-02T03:04:05+00:00"})
    with FileLock(run / ".lock"):
        site = write_site([tmp_path / "outputs"], tmp_path / "report").parent
        assert entry(site, "aaa")["status"] == "running"
    write_site([tmp_path / "outputs"], site)
    assert entry(site, "aaa")["status"] == "interrupted"


def test_a_sweep_tells_what_it_has_not_begun(outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs / "shapes", tmp_path / "shapes")
    write_json(tmp_path / "shapes" / PLAN, {"zzz": {"overrides": []}, "aaa": {"overrides": []}})
    site = write_site([tmp_path], tmp_path / "report").parent
    assert index(site)["planned"] == {"shapes": ["aaa", "zzz"]}


def test_cards_are_made_of_saved_scores_and_over_seeds(tmp_path: Path) -> None:
    leak = {("p1", "not_p1"): 0.9, ("entailed", "contradicted"): 0.9}
    one = fabricated.text_run(tmp_path / "outputs" / "texts" / "aaa", leak, domain="transitivity")
    save_scores(one, score(InfluenceMatrix.load(one), ["negation_leak", "gini"]))
    for seed in range(8):
        fabricated.image_run(tmp_path / "outputs" / "images" / f"{seed}", seed=seed, noisy=0.1)
    for folder in (tmp_path / "outputs").glob("*/*"):
        write_json(folder / "run.json", {"status": "done"})
    site = write_site([tmp_path / "outputs"], tmp_path / "report").parent
    cards = {card["title"]: card for card in index(site)["cards"]}
    assert cards.keys() == {"Gemma", "CNN"}
    assert {row["score"] for row in cards["Gemma"]["scores"]} == {"negation_leak"}
    (discount,) = [row for row in cards["CNN"]["scores"] if row["score"] == "noise_discount"]
    assert (discount["n"], discount["unit_of_n"], discount["verdict"]) == (8, "seeds", "satisfied")
    assert discount["value"] == pytest.approx(0.1, abs=0.02)
    assert index(site)["ledger"] == []
    before = written(site)
    write_site([tmp_path / "outputs"], site)
    assert written(site) == before


def test_published_findings_are_shown_as_the_figures_have_them(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "outputs" / "published"
    shutil.copytree(outputs / "shapes", published / "shapes")
    monkeypatch.setattr("experiments.report.site.PUBLISHED", published)
    (published / "figures").mkdir()
    claim = {"claim": "matrices are symmetric", "where": "2.1", "statistic": "", "experiment": "", "SGD": "holds"}
    pd.DataFrame([claim]).to_csv(published / "figures" / "ledger.csv", index=False)
    row = {"row": "noise", "overall": "violated", "score": "noise_discount", "condition": "sigma=1", "estimator": "SGD"}
    row |= {"experiment": "shapes", "run": "shapes/aaa", "value": 1.5, "low": None, "high": None, "threshold": 0.8}
    row |= {"better": "lower", "verdict": "violated", "n": 5, "unit_of_n": "seeds", "note": None}
    pd.DataFrame([row]).to_csv(published / "figures" / "card_cnn.csv", index=False)
    found = index(write_site([tmp_path / "outputs"], tmp_path / "report").parent)
    assert found["ledger"] == [claim]
    (card,) = found["cards"]
    assert (card["title"], card["origin"], card["estimators"]) == ("CNN", "published", ["SGD"])
    assert card["scores"] == [row | {"note": ""}]


def test_the_command_ends_with_the_path_of_the_page(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(outputs / "shapes"), "--to", str(tmp_path / "report")])
    assert capsys.readouterr().out.splitlines()[-1] == f"report  {tmp_path / 'report' / 'index.html'}"
    assert {run["experiment"] for run in index(tmp_path / "report")["runs"]} == {"shapes"}


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("missing", "report: expected a folder of runs, got no folder"),
        (".", "expected runs in .*, got none; measure one: python -m experiments.run experiment=digits"),
    ],
)
def test_the_command_says_what_it_lacks(tmp_path: Path, folder: str, sentence: str) -> None:
    with pytest.raises(SystemExit, match=sentence):
        main([str(tmp_path / folder), "--to", str(tmp_path / "report")])


def test_a_finished_run_stands_there_once(outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs / "shapes", tmp_path / "published" / "shapes")
    shutil.copytree(outputs / "shapes", tmp_path / "shapes")
    site = write_site([tmp_path], tmp_path / "report").parent
    assert [run["hash"] for run in index(site)["runs"]] == ["aaa", "bbb"]
    assert read_json(tmp_path / "shapes" / "aaa" / "run.json")["status"] == "done"
