"""Traces through a server: ids that are returned, ids that are made and checked, and every way it can go wrong."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from multidir.chat.request import ChatModel
from multidir.cli import main
from multidir.config import Calls
from multidir.errors import AlignmentError, ModelError
from multidir.experiments.corpus.traces import write_traces
from multidir.models.align import decode_text
from multidir.models.generate import generate
from multidir.models.load import save_model
from multidir.models.prompting import encode
from multidir.models.sampling import Sampling
from multidir.models.served import ServedModel
from multidir.records.text import Prompt, Trace
from multidir.store.rows import read_rows, write_rows
from multidir.store.runs import open_run
from tests.models.tiny import tiny_lm

KEY = "sk-test-5up3r-s3cr3t-k3y"
SAMPLING = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=12)


class Server:
    """Serves the tiny model as vLLM does: prompts as ids, seeds, and ids in the answer when they are asked for."""

    def __init__(self, http: HTTPServer) -> None:
        self.lm, self.url = tiny_lm(), http.url_for("/v1")
        self.bodies: list[dict[str, Any]] = []
        self.next: deque[Callable[[dict[str, Any]], Response]] = deque()
        self.returns_ids = True
        http.expect_request("/v1/completions").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        body = request.get_json()
        self.bodies.append(body)
        if self.next:
            return self.next.popleft()(body)
        sampling = Sampling(body["temperature"] > 0, body["temperature"], body["top_p"], 0, body["max_tokens"])
        (made,) = generate(self.lm, [body["prompt"]], [body["seed"]], sampling)
        ids = {"token_ids": made.new_ids} if self.returns_ids and body.get("return_token_ids") else {}
        return answer(decode_text(self.lm.tokenizer, made.new_ids), "stop" if made.finished else "length", **ids)


def answer(text: str, reason: str = "length", **more: Any) -> Response:
    choice = {"index": 0, "text": text, "finish_reason": reason, **more}
    return Response(json.dumps({"id": "1", "object": "text_completion", "choices": [choice]}), 200)


def refusal(status: int) -> Callable[[Any], Response]:
    headers = {"retry-after-ms": "1"}
    return lambda _: Response(json.dumps({"error": {"message": f"bad {KEY}"}}), status, headers)


@pytest.fixture
def server(httpserver: HTTPServer) -> Server:
    return Server(httpserver)


def served(server: Server, monkeypatch: pytest.MonkeyPatch, **calls: Any) -> ServedModel:
    monkeypatch.setenv("TEST_KEY", KEY)
    settings = Calls(**{"retries": 2, "key_variable": "TEST_KEY", "workers": 3, **calls})
    return ServedModel(ChatModel("tiny", server.url), server.lm.tokenizer, settings)


PROMPTS = [(0, 3, 20 + i, 4) for i in range(5)]


def test_a_server_writes_what_the_model_here_writes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = generate(server.lm, PROMPTS, list(range(5)), SAMPLING)
    assert served(server, monkeypatch).generate(PROMPTS, list(range(5)), SAMPLING) == expected
    assert {tuple(body["prompt"]) for body in server.bodies} == set(PROMPTS)
    assert all(body["return_token_ids"] for body in server.bodies)


def test_a_server_that_knows_no_ids_is_asked_without_and_its_text_is_tokenised(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Wait, that is not right."
    ids = encode(server.lm.tokenizer, text)
    server.next += [refusal(400), lambda _: answer(text), lambda _: answer(text, "stop")]
    model = served(server, monkeypatch, workers=1)
    first, second = model.generate(PROMPTS[:2], [0, 1], SAMPLING)
    assert [("return_token_ids" in body) for body in server.bodies] == [True, False, False]
    assert (first.new_ids, first.finished) == (ids, False)
    assert (second.new_ids, second.finished) == ((*ids, server.lm.tokenizer.eos_token_id), True)


def test_ids_that_do_not_spell_the_text_are_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    model = served(server, monkeypatch)
    server.next.append(lambda _: answer("Wait", token_ids=list(encode(server.lm.tokenizer, "Hmm"))))
    with pytest.raises(ModelError, match=r"spell 'Hmm', its text is 'Wait'"):
        model.generate(PROMPTS[:1], [0], SAMPLING)
    server.next.append(lambda _: answer("<eos>Wait"))
    with pytest.raises(AlignmentError, match="does not survive encoding"):
        model.generate(PROMPTS[:1], [0], SAMPLING)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_troubles_are_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    server.next += [refusal(status), refusal(status)]
    (made,) = served(server, monkeypatch).generate(PROMPTS[:1], [0], SAMPLING)
    assert made == generate(server.lm, PROMPTS[:1], [0], SAMPLING)[0]
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("troubles", "message"),
    [
        ([refusal(500)] * 3, "refuses the call"),
        ([refusal(401)], "refuses the key in TEST_KEY"),
        ([refusal(400)] * 2, "refuses the call"),
        ([lambda _: Response("<html>", 200)], "answered no completion but '<html>'"),
        ([lambda _: answer("x", "content_filter")], "for the reason 'content_filter'"),
    ],
)
def test_lasting_troubles_are_sentences_without_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, troubles: list[Any], message: str
) -> None:
    server.next += troubles
    with pytest.raises(ModelError, match=message) as caught:
        served(server, monkeypatch).generate(PROMPTS[:1], [0], SAMPLING)
    assert KEY not in str(caught.value)


def test_a_server_that_is_not_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.url = "http://127.0.0.1:9/v1"
    with pytest.raises(ModelError, match="cannot be reached in 1 tries"):
        served(server, monkeypatch, retries=0).generate(PROMPTS[:1], [0], SAMPLING)


def test_the_recipe_asks_the_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    save_model(server.lm, tmp_path / "model")
    with open_run(tmp_path, "data/prompts", {}) as run:
        write_rows(run.file("derive.jsonl"), [Prompt("p0", "verbal", "Is it 0?")])
    where = ("--prompts", str(run.path), "--runs", str(tmp_path), "--special-map", "None")
    how = ("--reasoning", str(tmp_path / "model"), "--server", server.url, "--served-model", "tiny")
    assert main(["run", "data/traces", *where, *how, "--max-new-tokens", "12"]) == 0
    (file,) = tmp_path.glob("data/traces/*/traces.jsonl")
    (trace,) = read_rows(file, Trace)
    assert trace.model == "served:tiny"
    assert [body["model"] for body in server.bodies] == ["tiny"]


def test_traces_on_disk_are_not_asked_for_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prompts = [Prompt(f"p{i}", "verbal", f"Is it {i}?") for i in range(4)]
    file, model = tmp_path / "traces.jsonl", served(server, monkeypatch)
    here = write_traces(server.lm, prompts, SAMPLING, 2, 7, 8, tmp_path / "here.jsonl")
    server.next += [lambda body: Response("<html>", 200)] * 8
    with pytest.raises(ModelError):
        write_traces(model, prompts, SAMPLING, 2, 7, 3, file)
    server.next.clear()
    write_traces(model, prompts[:2], SAMPLING, 2, 7, 3, file)
    asked = len(server.bodies)
    there = write_traces(model, prompts, SAMPLING, 2, 7, 3, file)
    assert len(server.bodies) == asked + 4
    assert [t.token_ids for t in there] == [t.token_ids for t in here]
    assert {t.model for t in there} == {"served:tiny"}
