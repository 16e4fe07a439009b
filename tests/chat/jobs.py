"""The half of the endpoint that runs batch jobs: each ends as the test says, in an order of its own."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.chat.endpoint import Body


def _json(value: Any) -> Response:
    return Response(json.dumps(value), content_type="application/json")


@dataclass
class Jobs:
    """Batch jobs of an endpoint; every job is looked at once while it runs, and has ended at the second look."""

    server: HTTPServer
    answer: Callable[[Body], Any]
    finished: deque[float] = field(default_factory=deque)
    """Share of its questions that each job answers before it expires; all of them when empty."""
    ends: deque[str] = field(default_factory=deque)
    """Status in which each job ends; `completed` (or `expired`, see above) when empty."""
    files: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: int = 0

    def __post_init__(self) -> None:
        expect = self.server.expect_request
        expect("/v1/files", method="POST").respond_with_handler(self._upload)
        expect("/v1/batches", method="POST").respond_with_handler(self._make)
        expect("/v1/batches", method="GET").respond_with_handler(self._list)
        expect(re.compile(r"/v1/batches/\w+"), method="GET").respond_with_handler(self._look)
        expect(re.compile(r"/v1/files/\w+/content"), method="GET").respond_with_handler(self._content)

    def asked(self) -> list[list[dict[str, Any]]]:
        """The lines of every job."""
        return [list(map(json.loads, self.files[job["input_file_id"]].splitlines())) for job in self.jobs.values()]

    def _upload(self, request: Request) -> Response:
        assert request.form["purpose"] == "batch"
        name = self._file(request.files["file"].read().decode())
        return _json({"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "f", "purpose": "batch"})

    def _file(self, text: str) -> str:
        name = f"file{len(self.files)}"
        self.files[name] = text
        return name

    def _make(self, request: Request) -> Response:
        body = request.get_json()
        assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
        name = f"batch{len(self.jobs)}"
        self.jobs[name] = {"id": name, "object": "batch", "created_at": 0, "status": "validating", **body}
        return _json(self.jobs[name])

    def _list(self, request: Request) -> Response:
        return _json({"object": "list", "data": list(self.jobs.values()), "has_more": False})

    def _look(self, request: Request) -> Response:
        self.looks += 1
        job = self.jobs[request.path.rpartition("/")[2]]
        if job["status"] == "validating":
            job["status"] = "in_progress"
        elif job["status"] == "in_progress":
            self._end(job)
        return _json(job)

    def _end(self, job: dict[str, Any]) -> None:
        lines = list(map(json.loads, self.files[job["input_file_id"]].splitlines()))
        share = self.finished.popleft() if self.finished else 1.0
        done = lines[: round(share * len(lines))]
        job["status"] = self.ends.popleft() if self.ends else "completed" if len(done) == len(lines) else "expired"
        good = [
            {
                "id": "r",
                "custom_id": line["custom_id"],
                "response": {"status_code": 200, "request_id": "q", "body": self.answer(line["body"])},
                "error": None,
            }
            for line in reversed(done)
        ]
        late = [
            {
                "id": "r",
                "custom_id": line["custom_id"],
                "response": None,
                "error": {"code": "batch_expired", "message": "too late"},
            }
            for line in lines[len(done) :]
        ]
        if good:
            job["output_file_id"] = self._file("".join(json.dumps(item) + "\n" for item in good))
        if late:
            job["error_file_id"] = self._file("".join(json.dumps(item) + "\n" for item in late))

    def _content(self, request: Request) -> Response:
        return Response(self.files[request.path.split("/")[-2]], content_type="application/octet-stream")
