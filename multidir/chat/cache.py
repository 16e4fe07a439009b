"""Answers that are kept: whole ones only, found again by the content of the question."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from multidir.chat.database import Database
from multidir.chat.reply import Reply
from multidir.store.plain import build, plain


class AnswerCache:
    """Answers by the key of their request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Reply | None:
        """The answer to this request, if it was ever given."""
        found = self._database.read("SELECT reply FROM answers WHERE key = ?", key)
        return build(Reply, json.loads(found[0][0])) if found else None

    def put(self, key: str, reply: Reply) -> None:
        """Keep an answer. The caller has checked that it is whole: a failure that is kept would stay one for ever."""
        row = (key, datetime.now(UTC).isoformat(timespec="seconds"), json.dumps(plain(reply), ensure_ascii=False))
        self._database.write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", [row])
