"""The combination recipes from the command line: a table in, verdicts and figures out; a bad table, a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from multidir.cli import main
from multidir.experiments.protocol.design import protocol
from tests.experiments.pairs import table

CELLS = protocol(3, n_random=20)
FAST = ["--draws", "200", "--shuffles", "5"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("outcomes") / "outcomes.parquet"
    table("AND gate", 60, 2, cells=CELLS).to_parquet(file, index=False)
    return file


@pytest.fixture(scope="module")
def run(outcomes: Path) -> Path:
    runs = outcomes.parent / "runs"
    assert main(["run", "analysis/combination", "--outcomes", str(outcomes), "--runs", str(runs), *FAST]) == 0
    (made,) = (runs / "analysis" / "combination").iterdir()
    return made


def test_it_writes_tables_verdicts_and_figures(run: Path) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    tables = {"pairs", "ladders", "moebius", "controls", "cells", "predictions"}
    assert {f"{name}.csv" for name in tables} | {"verdicts.json", "outcomes.parquet"} <= names
    drawn = ("joint_plane", "equivalent_doses", "interaction_matrix", "isoboles", "moebius_terms", "held_out_cells")
    assert {f"figures/{name}.png" for name in drawn} <= names
    verdicts = json.loads((run / "verdicts.json").read_text())
    assert verdicts[0]["label"] == "synergy"
    rules = json.loads((run / "config.json").read_text())["science"]["rules"]
    assert rules["inner_margin"] == 0.1


def test_show_says_the_verdicts_and_verify_finds_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run)]) == 0
    out = capsys.readouterr().out
    assert "verdict  supported: Directions d1 and d2, averaged over all places: synergy." in out
    assert "note     " in out
    assert main(["verify", str(run)]) == 0


def test_another_rule_is_another_run_and_the_same_one_is_not_run_again(outcomes: Path, run: Path) -> None:
    command = ["run", "analysis/combination", "--outcomes", str(outcomes), "--runs", str(run.parents[2]), *FAST]
    before = (run / "manifest.json").stat().st_mtime_ns
    assert main(command) == 0
    assert (run / "manifest.json").stat().st_mtime_ns == before
    assert main([*command, "--outer-margin", "0.25"]) == 0
    assert len(list(run.parent.iterdir())) == 2


def test_the_report_has_a_section_for_it(run: Path) -> None:
    assert main(["run", "analysis/report", "--combination", str(run), "--runs", str(run.parents[2])]) == 0
    (made,) = (run.parents[2] / "analysis" / "report").iterdir()
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "Do the directions add or interact?" in page
    assert "Which dose of one direction does a pair equal?" in page
    assert "All 3 pairs" in page


def test_power_reads_the_run_as_its_pilot(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--prompts", "20", "--rollouts", "1", "--deltas", "0", "0.6", "--studies", "2", "--k", "2"]
    assert main(["run", "analysis/power", "--pilot", str(run), "--runs", str(run.parents[2]), *size]) == 0
    made = Path(capsys.readouterr().out.strip())
    assert (made / "figures" / "power_curves.svg").is_file()
    assert list(pd.read_csv(made / "power.csv")["planted"]) == [0, 0.6]


def test_a_pair_whose_control_fails_makes_exit_code_3(outcomes: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(outcomes)
    both = (frame["dose_d1"] == 1) & (frame["dose_d2"] == 1) & (frame["control"] == "")
    frame.loc[both & (frame["rollout"] == 0), "loop"] = 1
    frame.to_csv(tmp_path / "loops.csv", index=False)
    command = ["run", "analysis/combination", "--outcomes", str(tmp_path / "loops.csv"), "--runs", str(tmp_path), *FAST]
    assert main(command) == 3


def test_nearly_equal_directions_are_refused(outcomes: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "cosines.csv").write_text("first,second,cosine\nd1,d2,0.97\n")
    files = ["--outcomes", str(outcomes), "--cosines", str(tmp_path / "cosines.csv")]
    assert main(["run", "analysis/combination", *files, "--runs", str(tmp_path / "runs")]) == 1
    assert "d1 and d2 (0.97) have a cosine beyond 0.9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,rollout,dose_a,sentences,backtracks\nx,0,1,3,1\n", "two columns dose_NAME or more"),
        ("prompt,rollout,dose_a,dose_b,sentences,backtracks\nx,0,1,1,3,5\n", "more backtracks than sentences"),
        ("prompt,rollout,dose_a,dose_b,sentences,backtracks\nx,0,1,1,3,1\n", "no unsteered cell"),
    ],
)
def test_a_bad_table_is_one_sentence_and_exit_1(text: str, message: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "bad.csv").write_text(text)
    command = ["run", "analysis/combination", "--outcomes", str(tmp_path / "bad.csv"), "--runs", str(tmp_path / "runs")]
    assert main(command) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_without_outcomes_it_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "analysis/combination", "--runs", str(tmp_path)]) == 1
    assert "needs either --prompts and --directions" in capsys.readouterr().err
    assert main(["run", "analysis/power", "--pilot", "nowhere.csv", "--runs", str(tmp_path)]) == 1
