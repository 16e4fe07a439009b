"""Writing files so that a reader sees the old one or the new one, never half of it; and their hashes.

    write NAME.partial -> fsync -> rename to NAME -> fsync the folder

A process killed in between leaves at most a `.partial` file, which the next write replaces.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from multidir.errors import ConfigError
from multidir.progress import progress
from multidir.store.plain import plain

PARTIAL = ".partial"
"""Suffix of a file that is not finished; whoever finds one may delete it."""

_CHUNK = 1 << 20


def explain(error: OSError, path: Path) -> ConfigError:
    """The sentence for an operating-system error met while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfigError(
            f"disk full while writing {path}: free space there or choose another folder, then start again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ConfigError(f"cannot write {path}: the folder is read-only for this user; choose another folder")
    if error.errno == errno.EFBIG:
        return ConfigError(
            f"cannot write {path}: the file is larger than this disk or user may have; use smaller shards"
        )
    return ConfigError(f"cannot write {path}: {error}; check the folder")


def make_folder(path: Path) -> None:
    """Make a folder and the ones above it.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, path) from error


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power failure, where the system can do that."""
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_file(path: Path) -> None:
    """Force the bytes of `path` to disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def publish(partial: Path, path: Path) -> None:
    """Give a finished partial file its name, durably."""
    fsync_file(partial)
    partial.replace(path)
    fsync_folder(path.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends without an exception.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        publish(partial, path)
    except OSError as error:
        _forget(partial)
        raise explain(error, path) from error
    except BaseException:
        _forget(partial)
        raise


def _forget(partial: Path) -> None:
    with suppress(OSError):  # the folder is gone or read-only: there is nothing to tidy up
        partial.unlink(missing_ok=True)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def write_json_atomic(path: Path, obj: Any) -> None:
    """Write `obj` (see `plain`) as readable JSON, whole or not at all; keys keep their order.

    Raises:
        ConfigError: the disk is full, the folder cannot be written, or `obj` has no JSON form.
    """
    text = json.dumps(plain(obj), ensure_ascii=False, indent=1, allow_nan=False)
    write_bytes_atomic(path, (text + "\n").encode())


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in pieces of 1 MiB."""
    digest, path = hashlib.sha256(), Path(path)
    with path.open("rb") as file, progress(path.stat().st_size, f"hashing {path.name}", "B") as bar:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()


def sha256_json(obj: Any) -> str:
    """Hexadecimal sha256 of the canonical JSON of `obj`: sorted keys, no spaces, see `plain`."""
    text = json.dumps(plain(obj), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_bytes(text.encode())
