"""The whole path on the shipped pair, in small: it ends in a report, resumes after a kill, repeats nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from multidir.cli import main
from multidir.config import Compute
from multidir.recipes.preset import load_preset
from multidir.recipes.study import run_study

PRESET = str(Path(__file__).parents[1] / "data" / "smoke.toml")
COMMAND = [sys.executable, "-m", "multidir", "run", "study", "--preset", PRESET]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke study: its folder of runs."""
    runs = tmp_path_factory.mktemp("study") / "runs"
    run_study(load_preset(PRESET), Compute(runs=runs, batch_rows=32))
    return runs


def only(runs: Path, recipe: str) -> Path:
    (found,) = (runs / recipe).iterdir()
    return found


def test_it_ends_in_a_report_that_needs_no_network(study: Path) -> None:
    page = (only(study, "analysis/report") / "report.html").read_text(encoding="utf-8")
    assert "Which directions make this model pair backtrack, and do they add or interact?" in page
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_report_shows_traces_and_view_shows_them_all(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = only(study, "analysis/report")
    page = (report / "report.html").read_text(encoding="utf-8")
    assert 'id="viewer"' in page
    assert "token by token" in page
    out = tmp_path / "view.html"
    assert main(["view", str(report), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == str(out)
    assert said["traces"] == 40
    names = [reading["name"] for reading in said["readings"] if "backtracking" in reading["name"]]
    assert names, "those of train/directions are among the readings; candidates have names of their own"
    data = re.search(r'id="v-data">(.*?)</script>', out.read_text(encoding="utf-8"), re.S)
    assert data is not None
    content = json.loads(data[1])
    assert content["traces"][0]["tokens"]
    assert content["steered"][0]["texts"][0]["cell"] == "unsteered"
    one = ["--directions", names[-1], "--from", str(only(study, "train/directions"))]
    assert main(["view", str(only(study, "data/activations")), "--out", str(out), *one]) == 0
    assert main(["view", str(report), "--directions", "nobody", "--out", str(out)]) == 1
    assert "no direction 'nobody'" in capsys.readouterr().err


def test_every_stage_is_complete_and_verifies(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifests = list(study.glob("*/*/*/manifest.json"))
    assert len(manifests) == len(load_preset(PRESET).stages)
    for manifest in manifests:
        assert json.loads(manifest.read_text())["status"] == "complete"
        assert main(["verify", str(manifest.parent)]) == 0
        assert main(["show", str(manifest.parent)]) == 0
    assert "found" in capsys.readouterr().out


def test_a_second_run_repeats_nothing(study: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in study.rglob("*") if p.is_file()}
    run_study(load_preset(PRESET), Compute(runs=study, batch_rows=32))
    assert {p: p.stat().st_mtime_ns for p in study.rglob("*") if p.is_file()} == before


def outcomes(runs: Path, recipe: str) -> dict[tuple[str, ...], tuple[str, int]]:
    rows = [json.loads(line) for line in (only(runs, recipe) / "outcomes.jsonl").read_text().splitlines()]
    return {
        (*map(str, row["condition"].values()), row["prompt_id"], row["rollout"]): (row["text"], row["positions_edited"])
        for row in rows
    }


def test_killed_at_any_moment_it_goes_on_and_ends_the_same(study: Path, tmp_path: Path) -> None:
    """Kill -9 whenever a stage has begun to write, and compare with the study that was never interrupted.

    The other batch size makes it a test of that as well: neither interruptions nor batches change a text. They change
    the last bits of log-probabilities and divergences, which other rows are computed beside.
    """
    command = [*COMMAND, "--runs", str(tmp_path), "--batch-rows", "19"]
    for awaited in ("data/traces/*/traces.jsonl", "data/activations/*/store/*", "analysis/offsets/*/outcomes.jsonl"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        end = time.monotonic() + 120
        while not list(tmp_path.glob(awaited)) and time.monotonic() < end and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for recipe in ("analysis/offsets", "analysis/steering"):
        assert outcomes(tmp_path, recipe) == outcomes(study, recipe)
    for table in ("analysis/steering/*/cells.csv", "train/directions/*/directions.csv"):
        (mine,), (theirs,) = tmp_path.glob(table), study.glob(table)
        pd.testing.assert_frame_equal(pd.read_csv(mine), pd.read_csv(theirs), rtol=1e-4, atol=1e-5)


def made(capsys: pytest.CaptureFixture[str], recipe: str, *settings: str) -> Path:
    """Run a recipe from the command line; its folder."""
    assert main(["run", recipe, *settings]) == 0
    return Path(capsys.readouterr().out.strip())


def test_more_traces_and_another_judge_need_no_second_capture(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, here = only(study, "data/activations"), ("--runs", str(tmp_path))
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    prompts = str(only(study, "data/prompts"))
    sampled = ("--max-new-tokens", "40", "--seed", "9")
    traces = made(capsys, "data/traces", "--prompts", prompts, *sampled, *here)
    labels = made(capsys, "data/annotate", "--traces", str(traces), "--annotator", "grammar", *here)
    inputs = ("--traces", str(traces), "--labels", str(labels))
    longer = made(capsys, "data/activations", *inputs, "--extends", str(first), "--sites", "L2", "L4", *here)
    judged = made(capsys, "data/annotate", "--traces", str(traces), "--annotator", "lexical", *here)
    both = made(capsys, "data/relabel", "--activations", str(longer), "--labels", str(judged), *here)
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    assert (both / "store" / "shard-00000.h5").samefile(first / "store" / "shard-00000.h5")
    for run in (first, longer, both):
        assert main(["verify", str(run)]) == 0
    assert main(["show", str(both / "store"), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "labels   grammar/1" in out
    assert "labels   lexical/1" in out
    assert main(["run", "train/directions", "--activations", str(both), *here]) == 1
    assert "holds labels of grammar/1, lexical/1, so name one: --annotator" in capsys.readouterr().err
    window = ("--windows=-3:-1", "--draws", "20")
    assert made(capsys, "train/directions", "--activations", str(both), "--annotator", "grammar/1", *window, *here)


def test_a_changed_store_does_not_become_a_result(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Path(shutil.copytree(only(study, "data/activations") / "store", tmp_path / "store"))
    data = bytearray((store / "shard-00000.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (store / "shard-00000.h5").write_bytes(data)
    settings = ["--activations", str(store), "--draws", "21", "--runs", str(tmp_path / "runs")]
    for recipe in ("train/directions", "analysis/separation"):
        assert main(["run", recipe, *settings]) == 1
        assert "shard-00000.h5 was changed: its sha256 differs from the manifest" in capsys.readouterr().err
    assert main(["run", "train/sae", "--store", str(store), "--site", "L2", *settings[-2:]]) == 1
    assert "shard-00000.h5 was changed: its sha256 differs from the manifest" in capsys.readouterr().err
