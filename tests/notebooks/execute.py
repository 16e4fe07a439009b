"""Executes the notebooks and writes down what their cells show: `python -m tests.notebooks.execute [NAME ...]`.

A cell shows the value of its last expression, as in Jupyter. Cells run in this process, on one
thread, so that no kernel has to be installed and numbers come again; no time and no place is written down.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "analysis" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

KINDS = {"text/html": "_repr_html_", "image/svg+xml": "_repr_svg_"}


def read(file: Path) -> dict[str, Any]:
    """A notebook as JSON."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of this machine; files go to the working directory."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell = {**cell, "execution_count": count, "outputs": _outputs("".join(cell["source"]), names, count)}
        cells.append(cell)
    return {**notebook, "cells": cells, "metadata": {**notebook["metadata"], "multidir": {"numbers": arithmetic()}}}


def _outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    value = None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    return [] if value is None else [_shown(value, count)]


def _shown(value: Any, count: int) -> dict[str, Any]:
    shown = {kind: getattr(value, how)() for kind, how in KINDS.items() if hasattr(value, how)}
    data = {kind: text.splitlines(keepends=True) for kind, text in {"text/plain": repr(value), **shown}.items()}
    return {"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"}


def arithmetic() -> str:
    """What last bits depend on: where this is the same, numbers are the same."""
    import numpy as np
    import torch

    return f"torch {torch.__version__}, numpy {np.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread"


@contextmanager
def alone() -> Iterator[None]:
    """A working directory of its own, and one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, chdir(folder), threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def texts(notebook: dict[str, Any]) -> list[str]:
    """What every code cell shows: whole tables, and reprs. Figures say in theirs what they show."""
    return ["".join(data.get("text/html") or data["text/plain"]) for data in _shows(notebook)]


def kinds(notebook: dict[str, Any]) -> list[list[str]]:
    """In which forms every code cell shows it."""
    return [sorted(data) for data in _shows(notebook)]


def _shows(notebook: dict[str, Any]) -> list[dict[str, list[str]]]:
    return [out["data"] for cell in notebook["cells"] for out in cell.get("outputs", ())]


def main() -> None:
    """Execute the notebooks of these names, or all."""
    os.environ["TQDM_DISABLE"] = "1"
    for file in NOTEBOOKS:
        if len(sys.argv) > 1 and file.stem not in sys.argv[1:]:
            continue
        with alone():
            start = time.process_time()
            text = json.dumps(executed(read(file)), indent=1, ensure_ascii=False)
            sys.stderr.write(f"{file.name}: {time.process_time() - start:.0f} CPU seconds\n")
        file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
