"""One writer per folder: a lock that the operating system releases when its process ends.

The file holds the process id for the message only. The lock itself is the kernel's, so a killed process
leaves a file but no lock, and the next writer simply takes it over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import IO

from multidir.errors import ConfigError
from multidir.store.atomic import explain

log = logging.getLogger(__name__)

NAME = "lock"


class FolderLock:
    """Exclusive right to write in a folder, from construction to `release`."""

    def __init__(self, folder: Path, what: str) -> None:
        """Take the lock.

        Args:
            folder: must exist.
            what: the thing in the folder, for the message: `run`, `activation store`.

        Raises:
            ConfigError: another process, or another writer of this one, has it.
        """
        self.path = Path(folder) / NAME
        self._file: IO[str] | None = None
        while self._file is None:
            self._file = self._attempt(what)

    def _attempt(self, what: str) -> IO[str] | None:
        try:
            file = self.path.open("a+")
        except OSError as error:
            raise explain(error, self.path) from error
        if not _try_lock(file):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise ConfigError(
                f"the {what} {self.path.parent} is being written by process {owner}; wait for it to end, or end it"
            )
        if not self._is_current(file):
            file.close()
            return None
        file.seek(0)
        if stale := file.read().strip():
            log.info("process %s left %s behind; taking it over", stale, self.path)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def _is_current(self, file: IO[str]) -> bool:
        """Whether the locked file still is the one on disk; its last owner may have removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back and remove its file; harmless when done twice."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._file.close()
        self._file = None


if sys.platform == "win32":

    def _try_lock(file: IO[str]) -> bool:
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(file: IO[str]) -> bool:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
