"""The file that remembers calls: answers, money spent and batch jobs under way, in one sqlite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from multidir.errors import ConfigError, FormatError
from multidir.store.atomic import make_folder

VERSION = 1

_TABLES = f"""
CREATE TABLE answers (key TEXT PRIMARY KEY, at TEXT, reply TEXT);
CREATE TABLE usage (account TEXT, at TEXT, key TEXT, model TEXT, prompt INTEGER, cached INTEGER, completion INTEGER,
                    usd REAL, unseen_usd REAL, batch TEXT);
CREATE TABLE batches (file TEXT PRIMARY KEY, account TEXT, base_url TEXT, id TEXT, keys TEXT, worst_usd REAL, at TEXT);
PRAGMA user_version = {VERSION};
"""


class Database:
    """Reads and writes from any thread and any process: every access has its own short connection."""

    def __init__(self, file: Path) -> None:
        """Open the file, making it when it is not there.

        Raises:
            FormatError: it is something else, or of a newer multidir.
            ConfigError: it cannot be made.
        """
        self.file = file
        make_folder(file.parent)
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")  # of two processes that find no tables, one makes them
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    connection.execute(statement)
        if found > VERSION:
            raise FormatError(f"{file} is of version {found}, this multidir reads {VERSION}; give another --answers")

    def write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once per row, all of them or none."""
        with self._connection() as connection:
            connection.executemany(statement, rows)

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.file, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"cannot use {self.file} ({error}); give another folder as --answers, or free space"
            ) from error
        except sqlite3.DatabaseError as error:
            raise FormatError(f"{self.file} is no database of answers ({error}); move it away") from error
