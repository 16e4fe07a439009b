"""The whole path of the paper's preset on a random pair in the true shape of Llama-3.1-8B, at small counts, on a GPU.

    python -m tests.benchmarks.paper [--quick] [--json] [--keep FOLDER]

Proves that nothing but the weights is missing, and measures how long each stage takes and how much GPU memory the path
needs. With --quick, or without a GPU, the pair is 32 narrow blocks instead: the same path in a minute. A small server
here stands in for the judge. The two models take 32 GB of disk.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

import torch
from pytest_httpserver import HTTPServer

from multidir.config import Calls, PaidCompute
from multidir.experiments.budget import Shape
from multidir.recipes.preset import load_preset
from multidir.recipes.study import run_study
from tests.annotate.conftest import answer, asked
from tests.benchmarks.measure import Row, show
from tests.chat.endpoint import Endpoint
from tests.recipes.shaped import by_turns, paper_path, random_pair

NARROW = Shape(32, 32, 64, 4, 2, 8, 700)
MEMORY = 40.0
"""GB of GPU memory that the path may take: two 8B models in half precision, and room for a batch."""


def run(folder: Path, shape: Shape, dtype: str) -> list[Row]:
    """Make the pair, run the study, and read its manifests."""
    what = f"random pair, {shape.layers} blocks of {shape.width}"
    with HTTPServer() as server:
        judge = Endpoint(server)
        judge.answer = lambda body: answer(by_turns(list(asked(body))))
        preset = paper_path(random_pair(folder, shape, dtype), judge.url)
        calls = Calls(price=(0.0, 0.0), answers=folder / "answers")
        run_study(preset, PaidCompute(runs=folder / "runs", batch_rows=64, calls=calls))
        questions = len(judge.bodies)
    rows = [Row("judge calls", questions, "calls", what, 1)]
    for file in sorted((folder / "runs").glob("*/*/*/manifest.json"), key=lambda path: path.stat().st_mtime):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        rows.append(Row(manifest["recipe"], manifest["seconds"], "s", what, 1))
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 1e9
        rows.append(Row("peak GPU memory", peak, "GB", what, 1, at_most=MEMORY))
    return rows


def main() -> int:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="32 narrow blocks")
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--keep", type=Path, help="folder that is kept; otherwise a temporary one")
    options = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    whole = load_preset("llama8b").shape
    assert whole is not None
    big = torch.cuda.is_available() and not options.quick
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        rows = run(folder, whole if big else NARROW, "bfloat16" if big else "float32")
    show("The paper's path", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
