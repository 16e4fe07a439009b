"""Rewrites the list of modules in multidir/README.md from their docstrings: `python -m tests.meta.write_map`."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "multidir"
BEGIN = "<!-- map: written by tests/meta/write_map.py -->"


def first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]


def write_map() -> None:
    from tests.meta.test_layers import FILES, floor, part_of, rank

    readme = PACKAGE / "README.md"
    head = readme.read_text(encoding="utf-8").partition(BEGIN)[0]
    lines = [BEGIN]
    order = sorted(FILES, key=lambda f: (rank(part_of(f)), floor(f), f.parent, f))
    for (part, folder), files in groupby(order, key=lambda f: (part_of(f), f.parent)):
        package = folder / "__init__.py"
        inside = folder != PACKAGE
        title = f"### {folder.relative_to(PACKAGE)}/" if inside else f"### {part}"
        lines += ["", title, "", *([first_line(package), ""] if inside else [])]
        lines += [f"- `{file.relative_to(PACKAGE)}` {first_line(file)}" for file in files]
    readme.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_map()
