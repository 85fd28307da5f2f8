import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from influence import FineTune, measure
from influence.models.causal_lm import CausalLM
from influence.models.sources import EMBEDDED, PACKAGE, convert_once, load
from influence.provenance import weights_digest
from tests.tiny_lm import numbers, texts, tiny

ROOT = Path(__file__).parents[3]


def silent(_: str) -> None:
    pass


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a tiny model and its tokenizer."""
    model = tiny("gemma3")
    model.network.float().save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


class TestFolder:
    def test_gives_the_model_that_was_saved(self, saved: Path, tmp_path: Path) -> None:
        samples = texts("a klarbu is a pimjon", "all pimjons have a greev")
        model = tiny("gemma3")
        model.network.float()
        loaded = CausalLM(*load(str(saved), folder=tmp_path))
        assert weights_digest(loaded) == weights_digest(model)
        readings = [numbers(one.log_prob(one.collate(samples))) for one in (model, loaded)]
        np.testing.assert_array_equal(*readings)

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_has_the_wanted_precision(self, saved: Path, tmp_path: Path, dtype: str) -> None:
        network, made = load(str(saved), folder=tmp_path, dtype=dtype)
        assert {parameter.dtype for parameter in network.parameters()} == {getattr(torch, dtype)}
        assert CausalLM(network, made).describe()["dtype"] == dtype

    def test_learning_leaves_the_files_alone(self, saved: Path, tmp_path: Path) -> None:
        before = (saved / "model.safetensors").read_bytes()
        network, _ = load(str(saved), folder=tmp_path)
        with torch.no_grad():
            for parameter in network.parameters():  # they may lie in the mapped file
                parameter.add_(1)
        assert (saved / "model.safetensors").read_bytes() == before

    def test_is_refused_where_weights_are_missing(self, saved: Path, tmp_path: Path) -> None:
        weights = load_file(saved / "model.safetensors")
        del weights["model.norm.weight"]
        save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(OSError, match=r"expected a causal .*, got: no weights of model.norm"):
            load(str(saved), folder=tmp_path)

    def test_is_refused_where_it_holds_no_language_model(self, saved: Path, tmp_path: Path) -> None:
        sentence = "expected a causal language model with tokenizer.json and safetensors in .*, got: .*; choose another"
        (tmp_path / "empty").mkdir()
        with pytest.raises(OSError, match=sentence):
            load(str(tmp_path / "empty"), folder=tmp_path)
        weights = saved / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(OSError, match=sentence):
            load(str(saved), folder=tmp_path)
        weights.unlink()
        torch.save({}, saved / "pytorch_model.bin")  # pickled weights are code
        with pytest.raises(OSError, match=sentence):
            load(str(saved), folder=tmp_path)

    def test_knows_two_precisions(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="expected dtype float32 or bfloat16, got 'float16'; choose one"):
            load(EMBEDDED, folder=tmp_path, dtype="float16")


class TestHub:
    SENTENCE = (
        f"expected 'some/model' to be a folder, {EMBEDDED}, or a model on the hub or in its cache, got: .*{{}}.*;"
    )

    def test_out_of_reach(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
        with pytest.raises(OSError, match=self.SENTENCE.format("Connect")):
            load("some/model", folder=tmp_path)

    def test_offline_by_wish(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(OSError, match=self.SENTENCE.format("HF_HUB_OFFLINE")):
            load("some/model", folder=tmp_path)

    def test_offline_reads_the_cache(self, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cached, commit = tmp_path / "hub" / "models--some--model", "c0ffee" + 34 * "0"
        (cached / "snapshots").mkdir(parents=True)
        (cached / "refs").mkdir()
        saved.rename(cached / "snapshots" / commit)
        (cached / "refs" / "main").write_text(commit)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        for revision in (None, commit):
            network, _ = load("some/model", folder=tmp_path, revision=revision)
            assert weights_digest(network) == weights_digest(tiny("gemma3").network.float())

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"expected '/no/such/folder' to be a folder, .*; correct the name"):
            load("/no/such/folder", folder=tmp_path)

    @pytest.mark.slow
    def test_telemetry_is_off(self, saved: Path, tmp_path: Path) -> None:
        program = (
            "import sys\nfrom pathlib import Path\nfrom influence.models.sources import load\n"
            "load(sys.argv[1], folder=Path(sys.argv[2]))\n"
            "from huggingface_hub import constants\nprint(constants.HF_HUB_DISABLE_TELEMETRY)\n"
        )
        environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
        command = [sys.executable, "-c", program, str(saved), str(tmp_path)]
        said = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        assert said.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize(("package", "source"), [("transformers", "a folder"), (PACKAGE, EMBEDDED)])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, source: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    sentence = rf"expected the package {package} for language models, got none; install it with `pip install -e .\[text"
    with pytest.raises(ModuleNotFoundError, match=sentence):
        load(source, folder=tmp_path, report=silent)


def fill(folder: Path) -> None:
    (folder / "weights").write_text("converted")


class TestConversion:
    def test_happens_once(self, tmp_path: Path) -> None:
        calls, lines = [], []

        def convert(folder: Path) -> None:
            calls.append(folder)
            fill(folder)

        for _ in range(2):
            target = convert_once(tmp_path / "cache" / "model", convert, key="one", report=lines.append)
        assert (target / "weights").read_text() == "converted"
        assert len(calls) == 1
        assert [line.split()[0] for line in lines] == ["Converting", "Converted"]
        convert_once(target, convert, key="other", report=silent)
        assert len(calls) == 2
        assert sorted(path.name for path in target.iterdir()) == ["conversion.json", "weights"]

    def test_leaves_nothing_when_interrupted(self, tmp_path: Path) -> None:
        def interrupted(folder: Path) -> None:
            fill(folder)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            convert_once(tmp_path / "model", interrupted, key="one", report=silent)
        assert [path.name for path in tmp_path.iterdir()] == [".model.lock"]

    def test_clears_what_a_killed_process_left(self, tmp_path: Path) -> None:
        (tmp_path / ".model.partial").mkdir()
        (tmp_path / ".model.partial" / "torn").touch()
        target = convert_once(tmp_path / "model", fill, key="one", report=silent)
        assert sorted(path.name for path in target.iterdir()) == ["conversion.json", "weights"]
        assert not (tmp_path / ".model.partial").exists()

    @pytest.mark.parametrize("change", [lambda path: path.write_text("converteD"), Path.unlink])
    def test_is_refused_once_a_file_has_changed(self, tmp_path: Path, change) -> None:
        target = convert_once(tmp_path / "model", fill, key="one", report=silent)
        change(target / "weights")
        with pytest.raises(ValueError, match=r"expected .*/model/weights as it was converted, got another or none"):
            convert_once(target, fill, key="one", report=silent)

    def test_happens_once_where_two_processes_start_together(self, tmp_path: Path) -> None:
        program = (
            "import os, sys, time\nfrom pathlib import Path\nfrom influence.models.sources import convert_once\n"
            "folder = Path(sys.argv[1])\n"
            "def convert(partial):\n"
            "    with open(folder / 'calls', 'a') as calls:\n"
            "        calls.write('.')\n"
            "    while not (folder / 'both').exists():\n"
            "        time.sleep(0.01)\n"
            "    time.sleep(0.3)\n"
            "    (partial / 'weights').write_text('converted')\n"
            "(folder / f'ready{os.getpid()}').touch()\n"
            "convert_once(folder / 'model', convert, key='one')\n"
        )
        command = [sys.executable, "-c", program, str(tmp_path)]
        both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        while len(list(tmp_path.glob("ready*"))) < 2 and all(one.poll() is None for one in both):
            time.sleep(0.05)
        (tmp_path / "both").touch()
        printed = [one.communicate()[0] for one in both]
        assert [one.returncode for one in both] == [0, 0]
        assert (tmp_path / "calls").read_text() == "."
        assert sorted(len(lines.splitlines()) for lines in printed) == [0, 2]
        assert (tmp_path / "model" / "weights").read_text() == "converted"


@pytest.mark.slow
class TestGemma:
    def test_reads_english_better_than_its_words_shuffled(self, gemma: CausalLM) -> None:
        lines = ["Frogs and toads often hibernate in winter.", "winter. often Frogs in and hibernate toads"]
        english, shuffled = numbers(gemma.log_prob(gemma.collate(texts(*lines))))
        assert -5.0 < english < -4.0  # nats per token
        assert shuffled < english - 1

    def test_reads_names_as_inside_a_sentence(self, gemma: CausalLM) -> None:
        assert gemma.describe()["starts_with"] == "BOS"
        assert gemma.tokenizer.convert_ids_to_tokens(gemma.text_ids("a klarbu\nklarbu")) == [
            *("▁a", "▁klar", "bu", "\n", "klar", "bu")
        ]
        batch = gemma.collate(texts("a klarbu is a pimjon", spans=['[["A", 2, 8], ["B", 14, 20]]']))
        scored = batch["span"].ids_RL[batch["span"].scored_RL]
        assert gemma.tokenizer.convert_ids_to_tokens(scored) == ["▁pim", "jon"]

    def test_agrees_with_an_unbatched_loop(self, gemma: CausalLM) -> None:
        lines = ["a klarbu is a pimjon", "all pimjons have a greev\nthe zentor", "Frogs hibernate."]
        measured = numbers(gemma.log_prob(gemma.collate(texts(*lines))))
        for line, value in zip(lines, measured, strict=True):
            ids = torch.tensor([[2, *gemma.tokenizer(f" {line}", add_special_tokens=False)["input_ids"]]])
            with torch.no_grad():
                log_probs = gemma.network(ids).logits[0, :-1].double().log_softmax(-1)
            assert value == pytest.approx(log_probs.gather(1, ids[0, 1:, None]).mean().item(), abs=1e-4)

    def test_learns_a_probe_and_is_put_back(self, gemma: CausalLM) -> None:
        digest = weights_digest(gemma)
        probe, targets = texts("a klarbu is a pimjon"), texts("a klarbu is a pimjon", "a zentor is inside the walu")
        matrix = measure(gemma, probe, targets, estimator=FineTune(lr=1e-4))
        assert matrix.self_gain[0] > 0.1
        assert matrix.gain[0, 0] > abs(matrix.gain[0, 1])
        assert weights_digest(gemma) == digest
        unchanged = measure(gemma, probe, targets, estimator=FineTune(lr=1e-4, num_steps=0))
        assert (unchanged.gain == 0).all()
        assert weights_digest(gemma) == digest
