"""Learned mixtures on the tiny pair from the command line: everything is there, nothing is written twice, no leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from multidir.cli import main
from multidir.config import Compute
from multidir.recipes.preset import load_preset
from multidir.recipes.study import run_study
from multidir.store.directions import load_directions

PRESET = load_preset(str(Path(__file__).parents[1] / "data" / "mixtures.toml"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small study: its folder of runs."""
    folder = tmp_path_factory.mktemp("mixtures") / "runs"
    run_study(PRESET, Compute(runs=folder, batch_rows=128))
    return folder


def only(runs: Path, recipe: str) -> Path:
    (found,) = (runs / recipe).iterdir()
    return found


def command(runs: Path, out: Path, *more: str) -> list[str]:
    inputs = {"traces": "data/traces", "labels": "data/annotate", "directions": "train/cause-directions"}
    paths = [word for name, recipe in inputs.items() for word in (f"--{name}", str(only(runs, recipe)))]
    return ["run", "train/mixtures", *paths, "--runs", str(out), *more]


def test_everything_that_was_measured_is_kept(runs: Path) -> None:
    run = only(runs, "train/mixtures")
    contest, texts, front = (pd.read_csv(run / f"{name}.csv") for name in ("contest", "texts", "front"))
    wanted = {"mixture", "mixture by search", "sum", "mean", "first component", "linear read-out", "random mixture"}
    assert wanted | {"free vector", "single hesitation", "single mistake"} <= set(contest["contender"])
    assert wanted | {"unsteered"} <= set(texts["contender"])
    assert texts["contender"].str.startswith("single").sum() in (2, 4), "the best one of each way of matching"
    sought = texts[texts["contender"] == "mixture by search"].set_index("matched")
    assert sought.loc["KL", "share_search"] >= 0
    assert texts[(texts["matched"] == "norm") & (texts["kind"] != "none")]["share_search"].isna().all()
    assert set(front["budget"]) == {0.0, 0.5, 1.0}
    assert front.set_index("contender").loc["unsteered", "p95_kl"] == 0
    assert front["front"].any()
    assert len(pd.read_csv(run / "search.csv")) == 4
    assert {"mixture", "mixture by search"} <= set(load_directions(run / "directions.safetensors").names)
    verdicts = json.loads((run / "verdicts.json").read_text())
    assert len(verdicts) == 4
    assert all({"log-odds", "share of sentences"} == set(verdict["estimates"]) for verdict in verdicts)
    assert all("where it was chosen" in verdict["because"] for verdict in verdicts)
    drawn = {file.stem for file in (run / "figures").glob("*.png")}
    assert {"mixture_contest", "mixture_texts", "mixture_front"} <= drawn


def test_what_was_written_is_not_written_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = only(runs, "train/mixtures")
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    before = {file.name: file.read_bytes() for file in run.glob("*.jsonl")}
    monkeypatch.setattr("multidir.models.generate.Generation", None)
    run_study(PRESET, Compute(runs=runs, batch_rows=128))
    assert {file.name: file.read_bytes() for file in run.glob("*.jsonl")} == before
    assert len(before) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--names", "hesitation"], "of 2 to 64 directions, got 1"),
        (["--words", "xylophone"], "no token of"),
        (["--budget", "1e6", "--texts", "6"], "moves the next token by 1e+06 nats"),
        (["--layers", "L2", "L4"], "nobody measured the mean residual norm at L4.resid_post"),
        (["--generations", "2"], "give --prompts"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_1(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(command(runs, tmp_path, *more)) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_problems_on_two_sides_are_refused(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = ["--prompts", str(only(runs, "data/prompts"))]
    assert main(command(runs, tmp_path, *prompts, "--split", "derive")) == 1
    assert "of 'derive' also those of the texts that weights are learned from" in capsys.readouterr().err
    assert main(command(runs, tmp_path, *prompts, "--search-split", "confirm")) == 1
    assert "10 prompts are in both 'confirm' and 'confirm'" in capsys.readouterr().err
