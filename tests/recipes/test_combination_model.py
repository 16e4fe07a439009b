"""A combination study on the tiny pair from the command line: known answers first, everything on disk, no lost work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from multidir import resources
from multidir.cli import main
from multidir.config import Compute
from multidir.experiments.protocol import study as combination_study
from multidir.recipes.preset import load_preset
from multidir.recipes.study import run_study
from multidir.records.combination import Combination
from multidir.store.directions import load_directions

PRESET = load_preset(str(Path(__file__).parents[1] / "data" / "combination.toml"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small study: its folder of runs."""
    folder = tmp_path_factory.mktemp("combination") / "runs"
    run_study(PRESET, Compute(runs=folder, batch_rows=128))
    return folder


def only(runs: Path, recipe: str) -> Path:
    (found,) = (runs / recipe).iterdir()
    return found


def test_the_causes_are_found_near_where_they_were_planted(runs: Path) -> None:
    found = load_directions(only(runs, "train/cause-directions") / "directions.safetensors")
    planted = load_file(resources.path("tiny/base/planted.safetensors"))
    cosines = np.array([[item.unit @ planted[name] for name in found.names] for item in found])
    assert found.names == ("hesitation", "mistake")
    assert (np.diag(cosines) > 0.3).all()
    assert (np.diag(cosines) > np.abs(cosines[::-1]).diagonal()).all()


def test_known_answers_are_read_and_the_design_is_called_reduced(runs: Path) -> None:
    run = only(runs, "analysis/combination")
    controls = pd.read_csv(run / "controls.csv").set_index("control")["state"]
    plants = controls[[name for name in controls.index if name.startswith("plant:")]]
    assert len(plants) == 4
    note = json.loads((run / "manifest.json").read_text())["notes"]["headline"]
    if (plants == "passed").all():
        (verdict,) = json.loads((run / "verdicts.json").read_text())
        assert "Reduced design: 30 prompts instead of 100" in verdict["because"]
        assert verdict["label"] in [label.value for label in Combination]
        assert controls[["orthogonal set", "beside:hesitation", "token"]].notna().all()
    else:
        assert note.startswith("No verdict on the directions")
        assert not (run / "verdicts.json").exists()


def test_the_table_that_it_keeps_can_be_brought_again(runs: Path, tmp_path: Path) -> None:
    table = only(runs, "analysis/combination") / "outcomes.parquet"
    assert {"reasoning", "base"} == set(pd.read_parquet(table)["model"])
    command = ["run", "analysis/combination", "--outcomes", str(table), "--runs", str(tmp_path), "--draws", "50"]
    assert main([*command, "--shuffles", "2", "--min-random", "2"]) in (0, 3), "a table this small may fail a control"
    manifest = json.loads((only(tmp_path, "analysis/combination") / "manifest.json").read_text())
    assert "base" not in manifest["inputs"]


def test_what_was_measured_is_not_measured_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted study goes on: with its files there, no model is asked anything."""
    run = only(runs, "analysis/combination")
    files = {name: (run / name).stat().st_size for name in ("calibration-outcomes.jsonl", "next-reasoning.jsonl")}
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    monkeypatch.setattr("multidir.experiments.protocol.next_sentences.teacher_forced", None)
    before = (run / "cells.csv").read_bytes()
    run_study(PRESET, Compute(runs=runs, batch_rows=128))
    assert {name: (run / name).stat().st_size for name in files} == files
    assert (run / "cells.csv").read_bytes() == before


def test_a_known_answer_that_is_read_wrong_ends_the_study(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the labels of two plants exchanged, nothing is said on the directions."""
    plants = {**combination_study.PLANTS, "plant:and": Combination.ANTAGONISM}
    monkeypatch.setattr("multidir.experiments.combination.verdicts.PLANTS", plants)
    last = PRESET.stages[-1]
    command = ["run", last.recipe, "--prompts", str(only(runs, "data/prompts")), "--runs", str(tmp_path)]
    command += ["--directions", str(only(runs, "train/cause-directions")), "--grid", "0.3", "--standing", "cause"]
    command += ["--words", "wait", "hmm", "but", "no", "--max-new-tokens", "40", "--annotator", "grammar"]
    assert main([*command, "--outcome", "next", "--problems", "20", "--draws", "50"]) == 0
    run = only(tmp_path, "analysis/combination")
    assert not (run / "verdicts.json").exists()
    note = json.loads((run / "manifest.json").read_text())["notes"]["headline"]
    assert "No verdict on the directions" in note
    assert "plant:and: Planted antagonism" in note


def test_prompts_of_both_splits_are_refused(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "analysis/combination", "--prompts", str(only(runs, "data/prompts")), "--runs", str(tmp_path)]
    command += ["--directions", str(only(runs, "train/cause-directions")), "--calibrate", "confirm"]
    assert main(command) == 1
    assert "30 prompts are in both" in capsys.readouterr().err


def test_a_preset_says_how_much_of_the_protocol_it_runs() -> None:
    sizes = [
        next(s for s in preset.stages if s.recipe == "analysis/combination").science.get("size")
        for preset in (PRESET, load_preset("tiny-full"))
    ]
    assert sizes[0]["outcome"] == "next"
    assert sizes[1] is None
