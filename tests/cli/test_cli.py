from __future__ import annotations

from pathlib import Path

import pytest

from multidir.cli import main


def test_ls_lists_recipes_with_their_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    out = capsys.readouterr().out
    assert "train/directions" in out
    assert "Which directions separate" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "stduy"], "did you mean 'study'"),
        (["run", "study", "--preset", "tyny"], "did you mean 'tiny'"),
        (["show", "nowhere"], "does not exist"),
        (["run", "data/traces", "--prompts", "nowhere"], "does not exist"),
    ],
)
def test_our_own_errors_are_one_sentence_and_exit_1(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not list(tmp_path.rglob("manifest.json"))


def test_wrong_usage_exits_2() -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "data/prompts", "--no-such-flag"])
    assert end.value.code == 2


def test_cp_copies_a_recipe_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    assert main(["cp", "data/prompts", str(mine)]) == 0
    assert (
        main(["run", str(mine), "--runs", str(tmp_path / "runs"), "--derive", "1", "--search", "1", "--confirm", "1"])
        == 0
    )
    run = Path(capsys.readouterr().out.splitlines()[-1])
    assert (run / "derive.jsonl").read_text(encoding="utf-8").count("\n") == 10
    assert main(["cp", "data/prompts", str(mine)]) == 1


def test_a_complete_run_is_shown_verified_and_not_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "data/prompts", "--runs", str(tmp_path), "--derive", "1", "--search", "1", "--confirm", "1"]
    assert main(command) == 0
    run = Path(capsys.readouterr().out.strip())
    before = (run / "manifest.json").stat().st_mtime_ns
    assert main(command) == 0
    assert Path(capsys.readouterr().out.strip()) == run
    assert (run / "manifest.json").stat().st_mtime_ns == before
    assert main(["show", str(run)]) == 0
    assert "run of data/prompts, complete" in capsys.readouterr().out
    assert main(["verify", str(run)]) == 0
    capsys.readouterr()
    (run / "derive.jsonl").write_text("changed")
    assert main(["verify", str(run)]) == 1
    assert "derive.jsonl" in capsys.readouterr().out


def test_an_unwritable_folder_is_our_own_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["run", "data/prompts", "--runs", str(tmp_path / "file" / "runs")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_bare_command_shows_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "multidir run study --preset tiny" in capsys.readouterr().err
