import subprocess
import sys
from pathlib import Path

import pytest

from experiments import fetch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, Path | None]]:
    """What the command asks of the library, which is not called."""
    calls: list[tuple[str, Path, Path | None]] = []

    def record(name, folder, *, given, report):
        calls.append((name, folder, given))
        report(f"{name}: done")

    monkeypatch.setattr(fetch, "fetch", record)
    return calls


def test_both_sets_go_to_the_repositorys_folder_from_wherever_it_is_called(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fetch.main([])
    folder = ROOT / "outputs" / "data"
    assert calls == [("mnist", folder, None), ("fashion_mnist", folder, None)]
    assert capsys.readouterr().out == "mnist: done\nfashion_mnist: done\n"


def test_one_set_and_the_folders_can_be_named(calls, tmp_path):
    given = tmp_path / "mine"
    with pytest.raises(SystemExit, match=f"^expected --from a folder that holds the files, got {given}; correct it$"):
        fetch.main(["--from", str(given)])
    given.mkdir()
    fetch.main(["--folder", str(tmp_path), "--from", str(given), "fashion_mnist"])
    assert calls == [("fashion_mnist", tmp_path, given)]


@pytest.mark.parametrize("error", [FileNotFoundError("no source has it"), ValueError("no source has it")])
def test_a_failure_is_one_sentence_and_a_non_zero_exit(error, monkeypatch):
    def fail(*arguments, **settings):
        raise error

    monkeypatch.setattr(fetch, "fetch", fail)
    with pytest.raises(SystemExit) as caught:
        fetch.main([])
    assert caught.value.code == "no source has it"  # Python prints it to stderr and exits with 1


def test_the_command_ends_with_the_sentence_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "experiments.fetch", "--folder", str(tmp_path), "cifar10"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "expected one of mnist, fashion_mnist, got 'cifar10'; only these are files to fetch\n"


@pytest.mark.real_data
def test_whole_files_are_recognised_without_importing_torch():
    script = "import sys; from experiments.fetch import main; main([]); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert [line.split(" in ")[0] for line in run.stdout.splitlines()] == [
        "mnist: already whole",
        "fashion_mnist: already whole",
    ]
