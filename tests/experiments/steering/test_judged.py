"""analysis/judged at a real server: the judge's rates beside the keywords', and Table C.1 from its labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from multidir.cli import main
from multidir.records.outcome import Condition, Outcome
from multidir.store.rows import write_rows
from multidir.store.runs import open_run
from tests.annotate.conftest import answer, endpoint, labelled
from tests.chat.endpoint import KEY, Endpoint, completion

__all__ = ["endpoint"]

# The test judge calls a sentence with "no" in it backtracking, see `labelled`.
TEXTS = {0.0: "We add two. It is four.", 1.0: "We add two. Wait, that is not so. Wait for it. It is four."}


def outcomes() -> list[Outcome]:
    return [
        Outcome(
            Condition("reasoning", "none" if dose == 0 else "base/x", dose), f"p{i}", 0, 0, text, 9, True, 9,
            text.count("Wait"), 4, 0, 1, 1.0, None, True, 0, n_substrings=text.count("Wait"), n_split=9,
        )
        for i in range(3)
        for dose, text in TEXTS.items()
    ]  # fmt: skip


@pytest.fixture
def command(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TEST_KEY", KEY)
    endpoint.answer = lambda body: answer(labelled(body))
    run = open_run(tmp_path / "runs", "analysis/steering", {"x": 1})
    with run:
        write_rows(run.file("outcomes.jsonl"), outcomes())
        facts = {"direction": ["none", "base/x"], "direction_role": ["none", "base"], "site": ["", "L1"]}
        pd.DataFrame(facts).to_csv(run.file("cells.csv"), index=False)
    fixed = ["run", "analysis/judged", "--outcomes", str(run.path), "--runs", str(tmp_path / "runs"), "--draws", "50"]
    fixed += ["--answers", str(tmp_path / "answers"), "--base-url", endpoint.url, "--key-variable", "TEST_KEY"]
    return [*fixed, "--price", "2", "8", "--workers", "1", "--retries", "0"]


def test_cells_carry_the_judges_rate_and_keywords_are_scored_against_it(
    command: list[str], tmp_path: Path, endpoint: Endpoint
) -> None:
    assert main(command) == 0
    (run,) = (tmp_path / "runs" / "analysis" / "judged").iterdir()
    cells = pd.read_csv(run / "cells.csv").set_index("dose")
    keywords = pd.read_csv(run / "keywords.csv").set_index("dose")
    assert cells.loc[1.0, "direction_role"] == "base"
    assert (cells["n_sentences"] == [6, 12]).all()
    assert list(cells["n_backtracks"]) == [0, 3]
    assert list(keywords.loc[1.0, ["tp", "fp", "fn", "tn"]]) == [3, 3, 0, 6]
    assert list(keywords.loc[1.0, ["precision", "recall"]]) == [0.5, 1.0]
    assert pd.isna(keywords.loc[0.0, "precision"]), "without a keyword there is no precision"
    assert (run / "figures" / "dose_curves.svg").is_file()
    assert len(endpoint.bodies) == 2, "equal texts are asked about once"
    assert main(["verify", str(run)]) == 0


def test_texts_the_judge_cannot_label_are_unscored_and_a_dry_run_asks_nothing(
    command: list[str], tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--dry-run"]) == 0
    assert "calls" in capsys.readouterr().err
    assert not endpoint.bodies
    endpoint.answer = lambda body: completion("no JSON at all")
    assert main(command) == 0
    (run,) = (tmp_path / "runs" / "analysis" / "judged").iterdir()
    cells = pd.read_csv(run / "cells.csv")
    assert (cells["n_unscored"] == 3).all()
    assert cells["backtrack_share"].isna().all()


def test_a_run_without_texts_is_refused(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = open_run(tmp_path / "runs", "data/prompts", {"x": 1})
    with run:
        run.file("a.txt").write_text("a")
    command[command.index("--outcomes") + 1] = str(run.path)
    assert main(command) == 1
    assert "holds no outcomes.jsonl" in capsys.readouterr().err
