"""The documentation is true: every snippet runs, every command ends well, every verdict has its part."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from multidir import resources
from multidir.cli import main
from multidir.recipes.find import full_name
from multidir.records.combination import Combination

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of every fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_and_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = [kind for kind, _ in blocks(page)]
    assert set(kinds) <= {"python", "console", "toml"}
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
            assert main(words) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_recipes_files_and_pages_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:data|train|analysis)/[a-z][a-z-]+\b(?![./])", text):
        if name not in ("data/presets",):
            assert full_name(name) == name
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / target).exists()
    for file in re.findall(r"`((?:methods|annotate|experiments|records|operators)/\w+\.py)`", text):
        assert list((resources.ROOT / "multidir").rglob(file)), file


def test_every_verdict_on_a_pair_has_its_part_and_says_what_it_means() -> None:
    text = re.sub(r"\s+", " ", (DOCS / "verdicts.md").read_text(encoding="utf-8"))
    titles = re.findall(r"^### (.+)$", (DOCS / "verdicts.md").read_text(encoding="utf-8"), re.M)
    assert titles == [verdict.value for verdict in Combination]
    for verdict in Combination:
        assert verdict.sentence in text, verdict
