"""House rules that a tool or a few lines can check: lint, format, types, sizes, the map."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted(f for f in (ROOT / "multidir").rglob("*.py") if "_data" not in f.parts)
RECIPES = sorted(f for folder in ("data", "train", "analysis") for f in (ROOT / folder).glob("*.py"))


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_tool_finds_nothing(command: list[str]) -> None:
    found = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("file", LIBRARY, ids=lambda f: str(f.relative_to(ROOT)))
def test_sizes_and_docstring(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 60
    ]
    assert text.count("\n") <= 300
    assert not long
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: str(f.relative_to(ROOT)))
def test_recipe_is_short_and_imports_only_the_library(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    modules |= {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert file.read_text(encoding="utf-8").count("\n") <= 110
    assert modules <= {"multidir", *sys.stdlib_module_names}
    assert (
        f"multidir run {file.parent.name}/{file.stem.replace('_', '-')}" in (ast.get_docstring(tree) or "")
        or file.stem == "study"
    )


def test_map_is_true() -> None:
    """Every line of the map is the first docstring line of an existing module, and no module is missing."""
    listed = dict(
        re.findall(r"^- `([\w/.]+)` (.+)$", (ROOT / "multidir" / "README.md").read_text(encoding="utf-8"), re.M)
    )
    there = {
        str(f.relative_to(ROOT / "multidir")): (
            ast.get_docstring(ast.parse(f.read_text(encoding="utf-8"))) or ""
        ).split("\n")[0]
        for f in LIBRARY
        if f.name != "__init__.py"
    }
    assert listed == there, "run `python -m tests.meta.write_map`"


def test_names_are_imported_from_where_they_are_defined() -> None:
    """No name is handed on by a module that does not define it, but for those whose job that is."""
    trees = {
        ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            f.read_text(encoding="utf-8")
        )
        for f in LIBRARY
    }
    imported = {
        module: {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        for module, tree in trees.items()
        if module not in ("multidir", "multidir.cli", "multidir.report.figures")
    }
    handed_on = [
        f"{module}: {a.name} of {n.module}"
        for module, tree in trees.items()
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.module in imported
        for a in n.names
        if a.name in imported[n.module] and f"{n.module}.{a.name}" not in trees
    ]
    assert not handed_on
