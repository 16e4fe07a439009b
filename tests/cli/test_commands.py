"""Help with examples, machine-readable results, suggestions, completion, doctor, and lines of their own."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from tqdm import tqdm

from multidir.cli import main
from multidir.cli.commands import COMMANDS
from multidir.cli.completion import script
from multidir.cli.messages import say_error, set_up
from multidir.config import Compute, PaidCompute
from multidir.progress import each, progress
from multidir.recipes.find import load_recipe, recipe_files

PROMPTS = ["run", "data/prompts", "--derive", "1", "--search", "1", "--confirm", "1"]


@pytest.fixture(autouse=True)
def bars_as_before() -> Iterator[None]:
    """A command is a process of its own, and may tell tqdm by its environment; tests share one."""
    before = {name: os.environ.get(name) for name in ("TQDM_DISABLE",)}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert f"multidir {command}" in out.split("examples:")[1]


def test_a_misspelled_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["vew"])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert "did you mean 'view'?" in err
    assert "doctor" in err


def test_a_misspelled_setting_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "data/prompts", "--deriv", "1"])
    assert end.value.code == 2
    assert "--derive" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["before", "behind"])
def test_results_come_as_json(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*PROMPTS, "--runs", str(tmp_path)]
    assert main(["--json", *command] if place == "before" else [*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["recipe"] == "data/prompts"
    assert said["status"] == "complete"
    for shown in (["show", said["path"]], ["verify", said["path"]], ["ls"]):
        assert main([*shown, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)
    (Path(said["path"]) / "derive.jsonl").write_text("changed")
    assert main(["verify", said["path"], "--json"]) == 1
    assert "derive.jsonl" in json.loads(capsys.readouterr().out)["problems"][0]


def test_quiet_says_nothing_but_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PROMPTS, "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().err
    assert main([*PROMPTS, "--runs", str(tmp_path / "b"), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert Path(captured.out.strip()).is_dir()


def said_on_stderr(quiet: bool, terminal: bool) -> str:
    code = f"from multidir.cli.messages import set_up; set_up({quiet}); from tqdm import tqdm; list(tqdm([1], delay=0))"
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(theirs, (24, 80))
    env = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}  # another test may have set it
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=env, check=True)
    os.write(theirs, b"end")
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    return said.removesuffix("end")


def test_bars_are_shown_where_somebody_looks_and_wants_them() -> None:
    assert "1/1" in said_on_stderr(quiet=False, terminal=True)
    assert said_on_stderr(quiet=True, terminal=True) == ""
    assert said_on_stderr(quiet=False, terminal=False) == ""


def test_a_bar_says_how_fast_and_how_long_still_and_not_before_two_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, "writing", "text", done=4) as bar:
        bar.update(1)
        assert capsys.readouterr().err == ""
        for name in ("start_t", "last_print_t"):
            setattr(bar, name, getattr(bar, name) - 4)
        bar.update(1)
        assert re.search(r"writing:  60%.* 6/10 \[00:0\d<00:0\d, .*text", capsys.readouterr().err)
    assert list(each([1, 2], "work", "thing")) == [1, 2]


def test_errors_and_messages_stand_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(quiet=False)
    bar = tqdm(total=3, desc="work", file=sys.stderr, delay=0)
    bar.update(1)
    logging.getLogger("multidir").info("a message")
    say_error("it broke")
    assert bar.disable
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert "a message" in lines
    assert "multidir: it broke" in lines
    assert any(line.startswith("work:") for line in lines)


def test_only_recipes_that_can_call_a_judge_show_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {name: load_recipe(name).config.__dataclass_fields__ for name in recipe_files()}
    kinds = {name: found["compute"].default_factory for name, found in fields.items() if "compute" in found}
    paid = {name for name, kind in kinds.items() if kind is PaidCompute}
    assert {"data/annotate", "data/more-prompts", "data/traces", "analysis/study"} <= paid
    assert all(kind in (Compute, PaidCompute) for kind in kinds.values())
    for name, shown in (("data/annotate", True), ("data/activations", False)):
        with pytest.raises(SystemExit):
            main(["run", name, "--help"])
        assert ("--max-usd" in capsys.readouterr().out) == shown


def complete(*words: str) -> set[str]:
    """What bash would offer for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    code = f'{script("bash")}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _multidir; echo "${{COMPREPLY[@]}}"'
    out = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_bash_completes_commands_recipes_settings_and_choices() -> None:
    assert complete("multidir", "v") == {"verify", "view"}
    assert "data/traces" in complete("multidir", "run", "data/")
    assert complete("multidir", "run", "data/traces", "--max-n") == {"--max-new-tokens"}
    assert complete("multidir", "run", "study", "--preset", "ti") == {
        "tiny",
        "tiny-additive",
        "tiny-either",
        "tiny-full",
    }
    assert complete("multidir", "run", "data/traces", "--dtype", "b") == {"bfloat16"}
    assert complete("multidir", "--quiet", "completion", "") == {"bash", "zsh", "fish"}
    assert complete("multidir", "run", "data/prompts", "--max-n") == set()


def test_other_shells_know_the_same_words() -> None:
    assert "bashcompinit" in script("zsh")
    assert "-l max-new-tokens" in script("fish")
    assert "-l preset -x -a" in script("fish")


def test_doctor_says_what_is_here_and_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert main(["doctor", "--preset", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "secret" not in out
    assert "OPENAI_API_KEY is set, not shown" in out
    assert "shipped:tiny/base, on this machine" in out


def test_doctor_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    preset = tmp_path / "mine.toml"
    stages = '[[stage]]\nrecipe = "data/prompts"\n[[stage]]\nrecipe = "data/traces"\ninputs = { prompts = "prompts" }\n'
    judged = '[[stage]]\nrecipe = "data/annotate"\ninputs = { traces = "traces" }\nscience = { annotator = "judge" }\n'
    preset.write_text(f'[pair]\nbase = "{tmp_path}/nowhere"\n{stages}{judged}')
    assert main(["doctor", "--preset", str(preset), "--json"]) == 1
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert found["base model"]["state"] == "missing"
    assert found["judge"]["state"] == "missing"
    assert "set OPENAI_API_KEY" in found["judge"]["text"]
    assert "not known" in found["room"]["text"]
    assert main(["doctor", "--preset", "tyny"]) == 1
    assert "did you mean 'tiny'" in capsys.readouterr().err
