"""Files that are whole or absent: atomic writes, locks, JSON and checksums."""

import errno
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk and rename it to `path`.

    A reader sees the old file or the new one, never a part; an exception leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A process number is that of a machine, and several may share the folder.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        write(temporary)
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(f"expected room for {path}, got a full disk; make some and run again") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock of the kernel, which dies with its process; where another process has it, say so and wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        held = lock.acquire(timeout=1)  # who only asks whether it is held, holds it for a moment
    except Timeout:
        log.info("Another process %s; waiting for it to end.", busy)
        held = lock.acquire()
    with held:
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock `path` now."""
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN is refused: use None for a missing number."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text))


def read_json(path: Path) -> Any:
    """Read a JSON file; ValueError names a file that does not parse."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:  # no JSON, or not even text
        raise ValueError(
            f"expected JSON in {path}, got something that does not parse ({error}); delete it and run again"
        ) from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
