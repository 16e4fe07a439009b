"""data/annotate with a judge at a real server: restarts, costs said first, batch jobs, and a key that nobody sees."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from multidir.cli import main
from multidir.records.text import Sentence
from multidir.store.manifest_file import read_manifest
from multidir.store.rows import read_rows
from tests.annotate.conftest import answer, endpoint, labelled
from tests.chat.endpoint import KEY, Endpoint, completion, refuse
from tests.chat.jobs import Jobs
from tests.experiments.labelled import traces_run

__all__ = ["endpoint"]


@pytest.fixture
def command(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`multidir run data/annotate` with the judge at the test server."""
    monkeypatch.setenv("TEST_KEY", KEY)
    endpoint.answer = lambda body: answer(labelled(body))
    fixed = ["run", "data/annotate", "--annotator", "judge", "--traces", str(traces_run(tmp_path / "runs"))]
    fixed += ["--runs", str(tmp_path / "runs"), "--answers", str(tmp_path / "answers"), "--retries", "1"]
    return [*fixed, "--base-url", endpoint.url, "--price", "2", "8", "--key-variable", "TEST_KEY", "--workers", "3"]


def made(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "runs" / "data" / "annotate").iterdir()
    return found


def test_every_sentence_of_every_trace_in_order(command: list[str], tmp_path: Path, endpoint: Endpoint) -> None:
    assert main(command) == 0
    sentences = read_rows(made(tmp_path) / "sentences.jsonl", Sentence)
    assert [(s.trace_id, s.index) for s in sentences] == [
        (f"p{t}.0", i) for t, n in enumerate((4, 3, 4)) for i in range(n)
    ]
    assert [s.index for s in sentences if s.label == "backtracking"] == [2, 2, 1]
    assert {s.annotator for s in sentences} == {"judge/gpt-4o/six/1"}
    notes = read_manifest(made(tmp_path))["notes"]
    assert len(notes["rubric"]) == len(notes["taxonomy"]) == 64
    assert notes["endpoint"] == endpoint.url
    assert notes["spent"] == "0.0008 USD spent in 3 calls"
    assert "3 of them backtracking" in notes["headline"]


def test_after_an_interruption_no_call_is_made_twice(command: list[str], tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.next.extend([endpoint.answer, endpoint.answer, lambda body: refuse(401)])
    assert main(command) == 1
    assert read_manifest(made(tmp_path))["status"] == "failed"
    assert main(command) == 0
    assert len(endpoint.bodies) == 4
    assert main(command) == 0
    assert len(endpoint.bodies) == 4
    assert read_manifest(made(tmp_path))["notes"]["spent"] == "0.0008 USD spent in 3 calls"


def test_a_dry_run_says_the_cost_and_makes_nothing(
    command: list[str], tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "judge/gpt-4o/six/1: 3 calls (0 answers are there already), about 4k tokens read" in said.err
    assert endpoint.bodies == []
    assert not (tmp_path / "runs" / "data" / "annotate").exists()
    assert main(command) == 0
    assert main([*command, "--taxonomy", "six", "--dry-run", "--runs", str(tmp_path / "elsewhere")]) == 0
    assert "0 calls (3 answers are there already)" in capsys.readouterr().err


def test_the_cap_stops_the_run(command: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--max-usd", "0.01"]) == 1
    assert "stopped before the spend cap" in capsys.readouterr().err
    assert endpoint.bodies == []


def test_batch_jobs_give_the_same_labels(command: list[str], tmp_path: Path, endpoint: Endpoint) -> None:
    jobs = Jobs(endpoint.server, lambda body: answer(labelled(body)))
    assert main([*command, "--batch-api", "--poll-seconds", "0"]) == 0
    assert (len(jobs.jobs), endpoint.bodies) == (1, [])
    notes = read_manifest(made(tmp_path))["notes"]
    assert notes["spent"] == "0.0004 USD spent in 3 calls"
    assert "3 of them backtracking" in notes["headline"]


def test_unlabelled_sentences_are_counted_with_their_reason(
    command: list[str], tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda body: completion("", refusal="no")
    assert main(command) == 0
    notes = read_manifest(made(tmp_path))["notes"]
    assert notes["unlabelled"] == {"refused": 11}
    assert "11 not labelled (11 refused)" in notes["headline"]


def test_another_taxonomy_another_run(command: list[str], tmp_path: Path, endpoint: Endpoint) -> None:
    assert main([*command, "--taxonomy", "six-approach"]) == 0
    assert read_manifest(made(tmp_path))["notes"]["annotator"] == "judge/gpt-4o/six-approach/1"
    assert main(command) == 0
    assert len(list((tmp_path / "runs" / "data" / "annotate").iterdir())) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_the_key_is_written_nowhere(
    command: list[str],
    tmp_path: Path,
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    fails: bool,
) -> None:
    """The server even says it back: in an answer, in the name of the model, in its complaints."""

    def indiscreet(body):
        if fails:
            return refuse(401, f"the key {KEY} is wrong")
        return {**answer(labelled(body), refusal=None), "model": f"gpt {KEY}", "note": f"Authorization: Bearer {KEY}"}

    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "multidir"):
        caplog.set_level(logging.DEBUG, name)
    endpoint.answer = indiscreet
    assert main(command) == int(fails)
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"config.json", "manifest.json", "answers.sqlite"} <= {file.name for file in written}
    assert fails or "sentences.jsonl" in {file.name for file in written}
    for file in written:
        assert KEY.encode() not in file.read_bytes(), file
    said = capsys.readouterr()
    assert KEY not in caplog.text + said.out + said.err
    assert "HTTP" in caplog.text  # the log was on
    assert json.loads((made(tmp_path) / "config.json").read_text())["compute"]["calls"]["key_variable"] == "TEST_KEY"


def test_the_key_is_in_no_repr(endpoint: Endpoint, command: list[str], tmp_path: Path) -> None:
    from multidir.annotate.judge import Judge
    from multidir.chat.client import Chat
    from multidir.config import Calls

    chat = Chat(Judge(base_url=endpoint.url), Calls(price=(0, 0), key_variable="TEST_KEY", answers=tmp_path), "run")
    assert KEY not in "".join(map(repr, (chat, chat.key, chat.chat, chat.calls, chat.client, chat.ledger)))
    assert repr(chat.key) == "Key($TEST_KEY)"
    assert chat.key.reveal() == KEY
