"""The whole path of the paper's preset on a pair that is here: only the weights and the counts are not the paper's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from multidir.config import Compute
from multidir.recipes.preset import Preset, Stage, load_preset
from multidir.recipes.study import run_study

pytestmark = pytest.mark.slow

SMALLER = {
    "data/prompts": {"prompts": "shipped:prompts/tiny.jsonl", "derive": 8, "search": 1, "confirm": 1},
    "data/traces": {"max_new_tokens": 280},
    "data/annotate": {"annotator": "grammar"},
    "analysis/offsets": {"doses": [0.3, 0.45], "max_new_tokens": 60, "draws": 100},
    "analysis/steering": {"doses": [0.3, 0.45], "max_new_tokens": 60, "draws": 100, "n_random": 3},
    "analysis/baselines": {"doses": [0.3], "max_new_tokens": 60, "draws": 100, "n_null": 1},
    "analysis/layers": {"doses": [0.45], "max_new_tokens": 60, "draws": 100},
}


def shrunk(stage: Stage) -> Stage:
    """The stage at the tiny pair's blocks and at small counts; all else as the preset states it."""
    science = {**stage.science, **SMALLER.get(stage.recipe, {})}
    if "site" in science:
        science["site"] = "L2"
    if "sites" in science:
        science["sites"] = ["L2"] if science["sites"] == ["L10"] else [f"L{i}" for i in range(6)]
    if stage.recipe in ("analysis/offsets", "analysis/steering", "analysis/baselines", "analysis/layers"):
        science["scoring"] = {"annotator": "grammar", "min_coherent": 0.3}
    return replace(stage, science=science)


@pytest.mark.parametrize("rules", ["paper", "paper-code"])
def test_the_papers_preset_ends_in_a_report(tmp_path: Path, rules: str) -> None:
    paper, tiny = load_preset("llama8b"), load_preset("tiny")
    preset: Preset = replace(paper, pair=tiny.pair, rules=rules, stages=tuple(map(shrunk, paper.stages)))
    run_study(preset, Compute(runs=tmp_path, batch_rows=64))
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/*/manifest.json")]
    assert len(manifests) == len(paper.stages)
    assert {item["status"] for item in manifests} == {"complete"}
    found = [pd.read_csv(path) for path in tmp_path.glob("train/directions/*/directions.csv")]
    most = max(found, key=lambda table: table["offset_lo"].nunique())
    widths = set(most["offset_hi"] - most["offset_lo"] + 1)
    assert widths == ({6} if rules == "paper" else {5, 6})
    assert most["label"].nunique() == 6
    (page,) = tmp_path.glob("analysis/report/*/report.html")
    assert "(as published)" in page.read_text(encoding="utf-8")
