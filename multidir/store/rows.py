"""Tables as JSON lines: one record per line, appended safely and read back as the same records.

A line counts when its newline is there. An append that was interrupted leaves a torn last line, which
`repair_tail` drops; nothing else in the file can be affected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from multidir.errors import FormatError
from multidir.store.atomic import explain, write_bytes_atomic
from multidir.store.plain import build, plain

T = TypeVar("T")

_STEP = 1 << 16


def _line(row: Any) -> bytes:
    return json.dumps(plain(row), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write records (dataclasses or dicts) to `path`, replacing it whole or not at all.

    Raises:
        ConfigError: the disk is full, the folder cannot be written, or a row has no JSON form.
    """
    write_bytes_atomic(path, b"".join(map(_line, rows)))


def append_rows(path: Path, rows: Iterable[Any]) -> None:
    """Add records at the end of `path` and force them to disk before returning.

    Raises:
        FormatError: the file ends in a torn line; call `repair_tail` first.
        ConfigError: the disk is full, the folder cannot be written, or a row has no JSON form.
    """
    path = Path(path)
    data = b"".join(map(_line, rows))
    if _torn_bytes(path):
        raise FormatError(
            f"{path} ends in a line without newline, left by an interrupted append: call repair_tail first"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise explain(error, path) from error


def iterate_rows(path: Path, cls: type[T]) -> Iterator[T]:
    """Records of `path` one by one, in bounded memory.

    Args:
        path: a file of JSON lines.
        cls: the record type; `dict` gives the raw JSON objects.

    Raises:
        FormatError: a line is broken or is not such a record; the message names file and line.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist: expected JSON lines of {cls.__name__}") from None
    with file:
        for number, line in enumerate(file, start=1):
            yield _parse(line, f"{path}:{number}", cls)


def _parse(line: bytes, where: str, cls: type[T]) -> T:
    if not line.endswith(b"\n"):
        raise FormatError(f"{where}: torn last line, left by an interrupted append; call repair_tail to drop it")
    try:
        return build(cls, json.loads(line))
    except json.JSONDecodeError as error:
        raise FormatError(f"{where}: not JSON, {error.msg} at column {error.colno}; mend or delete the line") from None
    except UnicodeDecodeError:
        raise FormatError(f"{where}: not UTF-8 text; mend or delete the line") from None
    except (FormatError, ValueError) as error:
        raise FormatError(f"{where}: {error}") from error


def read_rows(path: Path, cls: type[T]) -> list[T]:
    """All records of `path`; see `iterate_rows`.

    Raises:
        FormatError: a line is broken or is not such a record; the message names file and line.
    """
    return list(iterate_rows(path, cls))


def repair_tail(path: Path) -> int:
    """Drop the torn last line that an interrupted append leaves.

    Returns:
        Bytes dropped; 0 when the file is whole or does not exist.
    """
    path = Path(path)
    torn = _torn_bytes(path)
    if torn:
        with path.open("rb+") as file:
            file.truncate(path.stat().st_size - torn)
            os.fsync(file.fileno())
    return torn


def _torn_bytes(path: Path) -> int:
    """Bytes after the last newline, found from the end."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - _STEP, 0)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return size - (start + at + 1)
            end = start
    return size
