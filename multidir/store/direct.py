"""Writing large arrays past the page cache, where the system can: half the work, and nothing is pushed out of memory.

Captured activations are larger than what else is in use; sent through the cache they would push out the
weights of the model that makes them.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_PAGE = 4_096
_LARGE = 1 << 20
_PIECE = 16 << 20


def aligned(shape: tuple[int, int], kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array that begins at a page, as direct writing needs it, in huge pages where there are any."""
    size = shape[0] * shape[1] * kind.itemsize
    memory = mmap.mmap(-1, max(1, size))
    if size >= _LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, kind, shape[0] * shape[1]).reshape(shape)


@contextlib.contextmanager
def direct_handle(path: Path) -> Iterator[int | None]:
    """A second handle on a file that goes past the page cache; none where the file system has no such thing."""
    handle: int | None = None
    if hasattr(os, "O_DIRECT"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def write_at(handle: int, direct: int | None, offset: int, values: np.ndarray[Any, Any]) -> None:
    """Write the bytes of an array at a file offset, whole pages directly where that is possible.

    Args:
        handle: of the file.
        direct: of the same file, from `direct_handle`, or none.
        offset: in bytes.
        values: any array.
    """
    view = bytes_of(values)
    done = 0 if direct is None else _write_pages(direct, offset, view, values)
    while done < len(view):  # one system call may write less than it is given
        done += os.pwrite(handle, view[done : done + _PIECE], offset + done)


def _write_pages(direct: int, offset: int, view: memoryview, values: np.ndarray[Any, Any]) -> int:
    """Bytes written: all whole pages, or fewer where the system refuses."""
    if len(view) < _LARGE or offset % _PAGE or values.ctypes.data % _PAGE:
        return 0
    end, done = len(view) // _PAGE * _PAGE, 0
    try:
        while done < end and done % _PAGE == 0:
            done += os.pwrite(direct, view[done : min(end, done + _PIECE)], offset + done)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a disk of larger sectors, say: the other handle does the rest
            raise
    return done


def bytes_of(values: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of an array, without a copy where it is contiguous."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
