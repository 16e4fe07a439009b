"""Asking for more problems at a real server: new ones only, ids continued, nothing asked twice."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from multidir.cli import main
from multidir.experiments.corpus.more_prompts import categories
from multidir.experiments.corpus.prompts import read_prompts, split_prompts
from multidir.store.manifest_file import read_manifest
from tests.chat.conftest import endpoint
from tests.chat.endpoint import KEY, Body, Endpoint, completion

__all__ = ["endpoint"]

THERE = read_prompts("shipped:prompts/reasoning.jsonl")


@pytest.fixture
def command(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`multidir run data/more-prompts` at a server that never runs out of problems."""
    monkeypatch.setenv("TEST_KEY", KEY)
    numbers = itertools.count()

    def write(body: Body) -> dict:
        fresh = [
            f"Problem {next(numbers)} asks how word{next(numbers)} and word{next(numbers)} fit together" for _ in "ab"
        ]
        items = [{"problem": fresh[0], "answer": "they do"}, {"problem": fresh[1], "answer": None}]
        return completion(json.dumps({"problems": items}))

    endpoint.answer = write
    fixed = ["run", "data/more-prompts", "--per-category", "3", "--per-call", "2", "--runs", str(tmp_path / "runs")]
    fixed += ["--answers", str(tmp_path / "answers"), "--base-url", endpoint.url, "--price", "2", "8"]
    return [*fixed, "--key-variable", "TEST_KEY", "--retries", "0"]


def test_every_category_gets_as_many_and_the_set_can_be_split(
    command: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    run = Path(capsys.readouterr().out.strip())
    prompts = read_prompts(str(run / "prompts.jsonl"))
    assert prompts[:300] == THERE
    assert [p.id for p in prompts[300:303]] == ["math_logic_30", "math_logic_31", "math_logic_32"]
    assert {p.answer for p in prompts[300:]} == {"they do", None}
    assert len(split_prompts(prompts, {"derive": 33}, 0)["derive"]) == 330
    assert read_prompts(str(run / "new.jsonl")) == prompts[300:]
    assert len(endpoint.bodies) == 20
    asked = [body["messages"][1]["content"] for body in endpoint.bodies]
    assert len({body["messages"][0]["content"] for body in endpoint.bodies}) == 1
    spatial = [text for text in asked if text.startswith("Category: Spatial Reasoning")]
    assert len(spatial) == 2
    assert all(sum(f"- {p.text}" in text for p in THERE if p.category == "spatial") >= 10 for text in spatial)
    assert read_manifest(run)["notes"]["spent"].endswith("in 20 calls")


def test_a_restart_asks_nothing_again(
    command: list[str], endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    first = Path(capsys.readouterr().out.strip())
    assert main([*command, "--runs", str(tmp_path / "again")]) == 0
    second = Path(capsys.readouterr().out.strip())
    assert len(endpoint.bodies) == 20
    assert (first / "new.jsonl").read_bytes() == (second / "new.jsonl").read_bytes()


def test_what_is_there_already_is_turned_down(
    command: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = endpoint.answer

    def repeats(body: Body) -> dict:
        items = json.loads(fresh(body)["choices"][0]["message"]["content"])["problems"]
        category = next(key for key, (name, _) in categories().items() if f"Category: {name} " in str(body))
        old = next(p.text for p in THERE if p.category == category)
        return completion(
            json.dumps(
                {"problems": [{"problem": f"{old} Why?", "answer": None}, items[0], {"problem": "Why?", "answer": ""}]}
            )
        )

    endpoint.answer = repeats
    assert main(command) == 0
    run = Path(capsys.readouterr().out.strip())
    assert len(read_prompts(str(run / "new.jsonl"))) == 30
    refused = read_manifest(run)["notes"]["refused"]["spatial"]
    assert refused["there already"] == refused["too short or too long"] == 3


def test_a_model_that_repeats_itself_is_given_up(
    command: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    same = completion(json.dumps({"problems": [{"problem": "Always the same long problem again", "answer": None}]}))
    endpoint.answer = lambda body: same
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "only 1 of math_logic (5 there already)" in said
    assert len(endpoint.bodies) == 60


def test_unreadable_answers_are_counted_and_not_kept(
    command: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.next.extend([lambda body: completion("Sorry, no."), lambda body: completion('{"problems": [1]}')])
    assert main([*command, "--workers", "1"]) == 0
    run = Path(capsys.readouterr().out.strip())
    assert read_manifest(run)["notes"]["refused"]["math_logic"]["unreadable answer"] == 2


def test_the_cost_is_said_first(command: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--dry-run"]) == 0
    assert "gpt-4o: 20 calls (0 answers are there already)" in capsys.readouterr().err
    assert endpoint.bodies == []
