import errno
import json
import os

import pytest

from influence.files import read_json, sha256, write_atomically, write_json


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "scores.json"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half of the n")
        raise failure

    with pytest.raises(type(failure)):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_a_sentence(tmp_path):
    def write(temporary):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "block.npz"
    with pytest.raises(OSError, match=f"^expected room for {path}, got a full disk; make some and run again$"):
        write_atomically(path, write)


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    seen = []

    def write(temporary):
        temporary.write_text("new")
        seen.append((path.read_text(), temporary.parent, temporary.suffix))

    write_atomically(path, write)
    assert seen == [("old", tmp_path, ".json")]  # in the same folder, so that renaming is atomic
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made(tmp_path):
    write_json(tmp_path / "a" / "b" / "run.json", {"status": "done"})
    assert read_json(tmp_path / "a" / "b" / "run.json") == {"status": "done"}


def test_json_keeps_every_bit_and_the_order(tmp_path):
    content = {"z": 1 / 3, "a": [1e-300, 2**53 + 1, None, True, "é"]}
    write_json(tmp_path / "run.json", content)
    assert json.dumps(read_json(tmp_path / "run.json")) == json.dumps(content)


def test_nan_is_refused_before_anything_is_written(tmp_path):
    write_json(tmp_path / "run.json", {"value": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "run.json", {"value": float("nan")})
    assert read_json(tmp_path / "run.json") == {"value": 1.0}


@pytest.mark.parametrize("content", [b"", b'{"value": 1', b"\xff\xfe"])
def test_what_is_no_json_is_named(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"expected JSON in {path}, got something that does not parse .*; delete it"):
        read_json(path)


def test_checksum(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
