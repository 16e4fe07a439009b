"""Files are whole or absent, hashes are canonical, and a failed write leaves the old file."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from multidir.errors import ConfigError
from multidir.store.atomic import (
    PARTIAL,
    atomic_path,
    sha256_file,
    sha256_json,
    write_bytes_atomic,
    write_json_atomic,
)


def test_write_makes_folders_and_leaves_no_partial(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.bin"
    write_bytes_atomic(target, b"one")
    write_bytes_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert [file.name for file in target.parent.iterdir()] == ["b.bin"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    write_bytes_atomic(target, b"old")
    with pytest.raises(RuntimeError, match="stop"), atomic_path(target) as partial:  # noqa: PT012 - the block is the test
        partial.write_bytes(b"half")
        raise RuntimeError("stop")
    assert target.read_bytes() == b"old"
    assert not target.with_name("kept" + PARTIAL).exists()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "disk full while writing"),
        (errno.EROFS, "read-only for this user"),
        (errno.EFBIG, "use smaller shards"),
        (errno.EIO, "check the folder"),
    ],
)
def test_each_disk_error_has_its_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ConfigError, match=sentence):
        write_bytes_atomic(tmp_path / "x", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="cannot write"):
        write_bytes_atomic(tmp_path / "file" / "x", b"data")


def test_hashes_agree_with_hashlib_and_ignore_key_order(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()
    assert sha256_json({"b": 1, "a": (2.0, None)}) == sha256_json({"a": [2.0, None], "b": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})
    assert sha256_json({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


def test_json_has_no_nan_and_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "x.json", {"value": float("nan"), "n": np.int64(3)})
    assert (tmp_path / "x.json").read_text() == '{\n "value": null,\n "n": 3\n}\n'
    with pytest.raises(ConfigError, match="object cannot be written as JSON"):
        write_json_atomic(tmp_path / "y.json", {"value": object()})
