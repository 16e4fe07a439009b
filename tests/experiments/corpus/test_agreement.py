"""Two annotators on the same traces: known counts come back, what is unlabelled is left out and counted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from multidir.annotate.lexical import KeywordAnnotator
from multidir.annotate.published import read_published
from multidir.annotate.taxonomy import load_taxonomy
from multidir.cli import main
from multidir.errors import DesignError
from multidir.experiments.corpus.agreement import agreement, pair_labels
from multidir.records.text import Sentence
from tests.experiments.labelled import TEXTS, traces_run

SIX, BINARY = load_taxonomy("six"), load_taxonomy("binary")


def sentences(trace: str, labels: list[str | None], who: str = "a", width: int = 10) -> list[Sentence]:
    return [Sentence(trace, i, width * i, width * (i + 1), i, i + 1, label, who) for i, label in enumerate(labels)]


def test_counts_become_the_scores_of_table_c1() -> None:
    """The first row of the paper's table: 185 by both, 107 by the keyword alone, 100 by the judge, 4866 by none."""
    judge = ["backtracking"] * 285 + ["other"] * 4973
    keyword = ["backtracking"] * 185 + ["other"] * 100 + ["backtracking"] * 107 + ["other"] * 4866
    whole = [(a, b) for a, b in zip(judge, keyword, strict=True)]
    traces = [whole[i::50] for i in range(50)]
    reference = [s for t, part in enumerate(traces) for s in sentences(f"t{t}", [a for a, _ in part])]
    other = [s for t, part in enumerate(traces) for s in sentences(f"t{t}", [b for _, b in part], "b")]
    results = agreement(reference, other, BINARY, "backtracking", 200, 0)
    row = results.tables["agreement"].set_index("label").loc["backtracking"]
    assert [round(100 * row[key], 2) for key in ("precision", "recall", "f1")] == [63.36, 64.91, 64.12]
    assert row["precision_low"] < row["precision"] < row["precision_high"]
    assert results.tables["confusion"]["count"].tolist() == [185, 100, 107, 4866]
    assert "precision 63.36 % [" in results.headline
    assert "b against a on 5258 sentences of 50 traces" in results.headline
    overall = results.tables["overall"].set_index("measure")
    assert overall.loc["same label", "value"] == pytest.approx((185 + 4866) / 5258)


def test_what_one_of_the_two_did_not_label_is_left_out_and_counted() -> None:
    reference = sentences("t0", ["deduction", None, "backtracking", "substitution", "deduction"])
    reference += sentences("t1", ["deduction"])
    pairs = pair_labels(reference, sentences("t0", ["deduction", "deduction", None, "deduction"], "b"), SIX)
    assert (pairs.reference, pairs.other) == (["deduction"], ["deduction"])
    assert pairs.left_out == {
        "reference did not label": 2,  # no label, and a label that the taxonomy does not have
        "other did not label": 2,
        "other has no such trace": 1,
    }
    with pytest.raises(DesignError, match="no sentence has a label of six/1 by both"):
        pair_labels(reference, sentences("t9", ["deduction"]), SIX)


def test_binary_takes_every_other_label_as_other_but_not_a_missing_one() -> None:
    reference = sentences("t0", ["deduction", "backtracking", None, "calculation"])
    pairs = pair_labels(reference, sentences("t0", ["other", "initializing", "other", "backtracking"], "b"), BINARY)
    assert (pairs.reference, pairs.other) == (["other", "backtracking", "other"], ["other", "other", "backtracking"])


def test_sentences_that_were_cut_differently_are_laid_over_each_other() -> None:
    reference = sentences("t0", ["deduction", "backtracking"], width=30)
    other = sentences("t0", ["initializing", "deduction", "deduction", "backtracking"], "b", width=15)
    other = [s for s in other if s.index != 2]
    assert pair_labels(reference, other, SIX).other == ["initializing", "backtracking"]


def test_a_label_that_the_taxonomy_lacks_cannot_be_the_question() -> None:
    with pytest.raises(DesignError, match="no label 'doubt'"):
        agreement(sentences("t", ["other"]), sentences("t", ["other"]), BINARY, "doubt", 10, 0)


@pytest.fixture
def runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    """Three traces, labelled twice."""
    found = {"traces": traces_run(tmp_path)}
    for name in ("lexical", "keyword"):
        command = ["run", "data/annotate", "--annotator", name, "--keywords", "no", "--runs", str(tmp_path)]
        assert main([*command, "--traces", str(found["traces"])]) == 0
        found[name] = Path(capsys.readouterr().out.strip())
    return found


def test_the_recipe_ends_in_tables_figures_and_a_sentence(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "analysis/agreement", "--reference", str(runs["keyword"]), "--other", str(runs["lexical"])]
    assert main([*command, "--runs", str(tmp_path), "--taxonomy", "binary", "--draws", "50"]) == 0
    made = Path(capsys.readouterr().out.strip())
    confusion = pd.read_csv(made / "confusion.csv").set_index(["reference", "other"])["count"]
    assert confusion.sum() == sum(text.count(".") + text.count("!") for text in TEXTS)
    assert confusion["backtracking"].sum() == 3
    assert {file.name for file in (made / "figures").glob("*.svg")} == {"confusion_matrix.svg", "agreement_scores.svg"}
    assert main(["show", str(made)]) == 0
    assert "lexical/1 against keyword/no on 11 sentences of 3 traces" in capsys.readouterr().out


def test_labels_of_different_traces_are_refused(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = traces_run(tmp_path, [*TEXTS[:2], "Something else."])
    command = ["run", "data/annotate", "--traces", str(other), "--runs", str(tmp_path)]
    assert main(command) == 0
    theirs = capsys.readouterr().out.strip()
    command = ["run", "analysis/agreement", "--reference", str(runs["lexical"]), "--other", theirs]
    assert main([*command, "--runs", str(tmp_path)]) == 1
    assert "hold labels of different traces" in capsys.readouterr().err


def test_the_keyword_judge_on_the_published_traces(reference: Path) -> None:
    """Not a row of the paper's table, which pools other traces: F1 is 64.1 there, and 49.8 on 1000 unsteered ones."""
    judge, keyword = [], []
    for trace in read_published(reference / "r1_llama8b_traces_300.jsonl"):
        for name, spans in ((judge, trace.spans()), (keyword, KeywordAnnotator().label(trace.reasoning))):
            name += [Sentence(trace.id, i, s.start, s.end, i, i + 1, s.label, "x") for i, s in enumerate(spans)]
    row = agreement(judge, keyword, BINARY, "backtracking", 100, 0).tables["agreement"].iloc[0]
    assert (row["n_reference"], row["n_other"], row["n_both"]) == (227, 247, 117)
    assert round(100 * row["f1"], 1) == 49.4
