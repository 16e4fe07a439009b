"""The documentation is true: every snippet runs, every command ends well, every verdict has its part."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from multidir import resources
from multidir.cli import main
from multidir.cli.commands import COMMANDS
from multidir.cli.completion import options_known
from multidir.cli.parser import GLOBAL
from multidir.experiments.combination import pair_reading
from multidir.recipes.find import full_name, recipe_files
from multidir.recipes.preset import preset_names
from multidir.records.combination import Combination

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of every fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_snippets_and_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = [kind for kind, _ in blocks(page)]
    assert set(kinds) <= {"python", "console", "toml", "text", "" if page.stem == "README" else "text"}
    for kind, text in blocks(page):
        if kind == "toml":
            (tmp_path / "mine.toml").write_text(text)
        elif kind == "python":
            module = ModuleType(f"docs_{page.stem}")
            monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look it up
            exec(compile(text, str(page), "exec"), module.__dict__)
        for line in text.splitlines() if kind == "console" else ():
            program, *words = shlex.split(line.removeprefix("$ "))
            assert program == "multidir"
            assert ended([_globbed(word) for word in words]) == 0, line


def ended(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as end:  # --help
        return int(end.code or 0)


def _globbed(word: str) -> str:
    """What a shell makes of it where one file fits."""
    return str(*Path().glob(word)) if "*" in word else word


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of multidir in a page, in a recipe and in the library's own help."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *PAGES, *(ROOT / "multidir" / "cli").glob("*.py")]
    for file in [*found, *recipe_files().values()]:
        for line in re.findall(
            r"(?:^ *(?:\$ )?|`|\")(multidir [a-z][^`\"\n]*)", file.read_text(encoding="utf-8"), re.M
        ):
            yield file.name, shlex.split(re.split(r"  +|, then:", line)[0], comments=True)[1:]


def test_every_command_that_is_shown_can_be_typed() -> None:
    known, seen = options_known(), 0
    for where, (command, *words) in commands():
        assert command in COMMANDS, where
        own = command == "run" and not re.fullmatch(r"[a-z/-]+", words[0])  # a file of the reader's, or RECIPE
        about = f"run {full_name(words[0])}" if command == "run" and not own else command
        for word in (word for word in words if word.startswith("--") and not own):
            assert word in known[about] or word[2:] in GLOBAL, f"{where}: {about} {word}"
        if "--preset" in words and not (preset := words[words.index("--preset") + 1]).endswith((".toml", "|...")):
            assert preset in preset_names(), where
        seen += 1
    assert seen > 50


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_recipes_files_and_pages_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:data|train|analysis)/[a-z][a-z-]+\b(?![./])", text):
        if not (ROOT / name).is_dir():
            assert full_name(name) == name
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", text):
        assert (page.parent / target).exists()
    for file in re.findall(r"`((?:methods|annotate|experiments|records|operators)/\w+\.py)`", text):
        assert list((resources.ROOT / "multidir").rglob(file)), file


def test_every_verdict_on_a_pair_has_its_part_and_says_what_it_means() -> None:
    text = re.sub(r"\s+", " ", (DOCS / "verdicts.md").read_text(encoding="utf-8"))
    titles = re.findall(r"^### (.+)$", (DOCS / "verdicts.md").read_text(encoding="utf-8"), re.M)
    assert titles == [verdict.value for verdict in Combination]
    for verdict in Combination:
        assert verdict.sentence in text, verdict


def test_the_page_on_the_protocol_has_the_rule_as_it_is() -> None:
    table = [line for line in (pair_reading.__doc__ or "").splitlines() if line.startswith("|")]
    assert len(table) == 6
    assert "\n".join(table) in (DOCS / "protocol.md").read_text(encoding="utf-8")
