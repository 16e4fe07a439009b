"""Many questions as batch jobs: half the price, answers within a day, in any order, kept like all others.

A job is written down before it is made, so that a restart waits for it instead of paying twice. Of a job that
expired, what was finished is used and the rest is sent again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from multidir.chat.client import Accept, Chat
from multidir.chat.failures import failure
from multidir.chat.prices import batch_discount
from multidir.chat.reply import Reply, read_completion
from multidir.chat.request import Request
from multidir.errors import JudgeError

if TYPE_CHECKING:
    from openai.types import Batch

log = logging.getLogger(__name__)

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""Limits of OpenAI for one job."""

_ENDED = ("completed", "expired", "cancelled")

Question = tuple[Request, Accept]


@dataclass(frozen=True)
class _Job:
    """A job as it stands in the database."""

    file: str
    id: str | None
    keys: tuple[str, ...]
    worst: float


def answer_in_batches(chat: Chat, questions: Iterable[Question]) -> None:
    """Have all questions answered and kept that can be; what a job gets wrong is left for `Chat.ask`.

    Raises:
        JudgeError: the cap leaves no room, or a job is refused or brings nothing.
    """
    import openai

    wanted = {request.key: (request, accept) for request, accept in questions}
    try:
        for job in _open_jobs(chat):
            _finish(chat, job, wanted)
        tried: set[str] = set()
        while todo := [q for key, q in wanted.items() if key not in tried and chat.cache.get(key) is None]:
            tried |= _finish(chat, _submit(chat, todo), wanted)
    except openai.OpenAIError as error:
        raise failure(error, chat.chat, chat.calls, chat.key) from None


def _open_jobs(chat: Chat) -> list[_Job]:
    """Jobs of this account whose answers have not been fetched."""
    rows = chat.database.read(
        "SELECT file, id, keys, worst_usd FROM batches WHERE account = ? AND base_url = ?",
        chat.ledger.account,
        chat.chat.base_url,
    )
    return [_Job(file, job, tuple(json.loads(keys)), worst) for file, job, keys, worst in rows]


def _submit(chat: Chat, todo: list[Question]) -> _Job:
    """Send as many questions as the limits and the cap allow."""
    lines: list[bytes] = []
    keys: list[str] = []
    worst = size = 0.0
    for request, _ in todo[:MOST_REQUESTS]:
        line = json.dumps(_line(request, chat), ensure_ascii=False).encode() + b"\n"
        cost = chat.price.worst(request) * batch_discount()
        if lines and (worst + cost > chat.ledger.room or size + len(line) > MOST_BYTES):
            break
        lines.append(line)
        keys.append(request.key)
        worst, size = worst + cost, size + len(line)
    chat.ledger.release(chat.ledger.reserve(worst))  # stops here when even one question is too many
    file = chat.client.files.create(file=("questions.jsonl", b"".join(lines)), purpose="batch").id
    at = datetime.now(UTC).isoformat(timespec="seconds")
    row = (file, chat.ledger.account, chat.chat.base_url, None, json.dumps(keys), worst, at)
    chat.database.write("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)", [row])
    return _Job(file, None, tuple(keys), worst)


def _line(request: Request, chat: Chat) -> dict[str, Any]:
    body = request.body(chat.chat.forms[0])
    return {"custom_id": request.key, "method": "POST", "url": "/v1/chat/completions", "body": body}


def _finish(chat: Chat, job: _Job, wanted: Mapping[str, Question]) -> set[str]:
    """Wait for a job and keep what it brings.

    Returns:
        Keys that it answered, well or not; those it did not get to are not among them.
    """
    hold = chat.ledger.reserve(job.worst)
    try:
        batch = _wait(chat, job)
        answered = _keep(chat, batch, wanted)
    finally:
        chat.ledger.release(hold)
    chat.database.write("DELETE FROM batches WHERE file = ?", [(job.file,)])
    if batch.status == "cancelled" or not answered:
        raise JudgeError(
            f"batch job {batch.id} is {batch.status} and answered {len(answered)} of {len(job.keys)} questions; "
            "start again to send the others"
        )
    return answered


def _wait(chat: Chat, job: _Job) -> Batch:
    """Make the job, unless it was made before, and wait for its end."""
    batches = chat.client.batches
    batch = batches.retrieve(job.id) if job.id else _made_before(chat, job) or _make(chat, job)
    chat.database.write("UPDATE batches SET id = ? WHERE file = ?", [(batch.id, job.file)])
    shown = ""
    while batch.status not in (*_ENDED, "failed"):
        counts = batch.request_counts
        now = f"{batch.status}, {counts.completed if counts else 0} of {len(job.keys)} answers"
        if now != shown:
            log.info("batch job %s: %s", batch.id, now)
            shown = now
        time.sleep(chat.calls.poll_seconds)
        batch = batches.retrieve(batch.id)
    if batch.status == "failed":
        chat.database.write("DELETE FROM batches WHERE file = ?", [(job.file,)])
        said = "; ".join(str(e.message) for e in (batch.errors.data or [])) if batch.errors else "no reason given"
        raise JudgeError(f"batch job {batch.id} was refused: {chat.key.scrub(said)}")
    return batch


def _make(chat: Chat, job: _Job) -> Batch:
    return chat.client.batches.create(input_file_id=job.file, endpoint="/v1/chat/completions", completion_window="24h")


def _made_before(chat: Chat, job: _Job) -> Batch | None:
    """The job of this file, should we have been killed between making it and writing its id down."""
    recent = chat.client.batches.list(limit=100)
    return next((batch for batch in recent.data if batch.input_file_id == job.file), None)


def _keep(chat: Chat, batch: Batch, wanted: Mapping[str, Question]) -> set[str]:
    """Keep the answers of a job that ended, and write down what they cost."""
    paid = {key for (key,) in chat.database.read("SELECT key FROM usage WHERE batch = ?", batch.id)}
    answered: set[str] = set()
    for line in (*_lines(chat, batch.output_file_id), *_lines(chat, batch.error_file_id)):
        key, error, response = str(line.get("custom_id")), line.get("error") or {}, line.get("response") or {}
        if error.get("code") == "batch_expired" or key in answered:
            continue
        answered.add(key)
        try:
            reply = read_completion(response.get("body"), chat.chat.forms[0])
        except JudgeError:
            log.warning("batch job %s did not answer one question: %s", batch.id, json.dumps(error or response)[:300])
            continue
        if key not in paid:  # else a restart while these lines were being read
            _pay(chat, batch.id, key, reply, wanted)
        if key in wanted and wanted[key][1](reply):
            chat.cache.put(key, reply)
    return answered


def _pay(chat: Chat, batch: str, key: str, reply: Reply, wanted: Mapping[str, Question]) -> None:
    price = chat.price.times(batch_discount())
    if reply.usage is not None:
        chat.ledger.settle(0, key, reply.model, reply.usage, price.of(reply.usage), batch=batch)
    elif key in wanted:
        chat.ledger.settle(0, key, reply.model, unseen=price.worst(wanted[key][0]), batch=batch)


def _lines(chat: Chat, file: str | None) -> Iterator[dict[str, Any]]:
    """Objects of a JSON-lines file at the endpoint; none when there is no file."""
    if file is None:
        return
    for line in chat.client.files.content(file).text.split("\n"):
        if line.strip():
            try:
                yield json.loads(chat.key.scrub(line))
            except ValueError:
                log.warning("file %s of the endpoint holds a line that is no JSON: %s", file, line[:80])
