"""train/reasoner on the tiny base model: a sibling that loads, measured on what it has not seen; killed, it goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from multidir.cli import main
from multidir.errors import AlignmentError, DesignError
from multidir.experiments import reasoner
from multidir.experiments.corpus.labels import label_traces
from multidir.experiments.reasoner import held_out, loss_rows
from multidir.models.load import load_model
from multidir.models.prompting import encode
from multidir.records.text import Trace
from multidir.store.rows import read_rows, write_rows
from multidir.store.runs import open_run

SETTINGS = ("--annotator", "grammar", "--steps", "8", "--stretch", "64", "--rows", "2", "--held-out", "0.4")
SETTINGS = (*SETTINGS, "--rollouts", "1", "--max-new-tokens", "12", "--draws", "50")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with a few labelled traces in the tiny base model's tokens, and the folder of runs."""
    runs = tmp_path_factory.mktemp("runs")
    lm = load_model("shipped:tiny/base", "base")
    text = "We start at cell 3. Maybe we turn left. Wait, that is wrong. We turn right."
    traces = []
    for i in range(5):
        prompt = encode(lm.tokenizer, f"Problem {i}.")
        traces.append(Trace(f"t{i}", f"p{i}", "spatial", prompt + encode(lm.tokenizer, text), len(prompt), text))
    run = open_run(runs, "data/traces", {"n": 5})
    with run:
        write_rows(run.file("traces.jsonl"), traces)
        found = label_traces(traces, annotator(), lm.tokenizer)
        write_rows(run.file("sentences.jsonl"), [item for items in found for item in items])
    return run.path, runs


def annotator() -> Any:
    from multidir.annotate.lexical import LexicalAnnotator

    return LexicalAnnotator()


def command(traces: Path, runs: Path) -> list[str]:
    where = ("--traces", str(traces), "--labels", str(traces), "--base", "shipped:tiny/base", "--reasoning", "None")
    return ["run", "train/reasoner", *where, *SETTINGS, "--runs", str(runs)]


@pytest.fixture(scope="module")
def run(made: tuple[Path, Path]) -> Path:
    """A finished run of the recipe."""
    assert main(command(*made)) == 0
    (found,) = made[1].glob("train/reasoner/*")
    return found


def test_it_ends_in_a_model_and_in_both_models_measured(run: Path) -> None:
    sibling = load_model(run / "model", "reasoning")
    assert sibling.model.generation_config.temperature == 0.6
    loss = pd.read_csv(run / "loss.csv").set_index("model")
    assert loss.loc["reasoning", "loss"] < loss.loc["base", "loss"]
    assert loss.loc["change", "high"] < 0
    cells = pd.read_csv(run / "cells.csv")
    assert list(cells["target"]) == ["base", "reasoning"]
    assert (cells["n_prompts"] == 2).all()
    assert {"keyword_share", "substring_share", "backtrack_share", "coherent_share", "prompt_success"} <= set(cells)
    assert not (run / reasoner.CHECKPOINT).exists()
    assert (run / "figures" / "reasoner_loss.svg").is_file()
    assert main(["verify", str(run)]) == 0


def test_interrupted_while_it_measures_it_repeats_no_training(
    made: tuple[Path, Path], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = reasoner.held_out_losses, [0]

    def stops(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise DesignError("stopped")
        return real(*args)

    monkeypatch.setattr(reasoner, "held_out_losses", stops)
    assert main(command(made[0], tmp_path)) == 1
    (again,) = tmp_path.glob("train/reasoner/*")
    assert (again / reasoner.CHECKPOINT).exists()
    monkeypatch.setattr(reasoner, "held_out_losses", real)
    monkeypatch.setattr("multidir.tuning.finetune._step", lambda *_: pytest.fail("a step was repeated"))
    assert main(command(made[0], tmp_path)) == 0
    for name in ("model/model.safetensors", "loss.csv", "cells.csv"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name


def test_traces_of_one_problem_stay_on_one_side() -> None:
    traces = [Trace(f"t{i}", f"p{i % 10}", "c", (1, 2), 1, "x") for i in range(30)]
    learnt, left = held_out(traces, 0.2, 0)
    assert len(left) == 6
    assert {t.prompt_id for t in learnt} & {t.prompt_id for t in left} == set()
    assert held_out(traces[::-1], 0.2, 0)[1] == left[::-1]
    assert {t.prompt_id for t in held_out(traces, 0.2, 1)[1]} != {t.prompt_id for t in left}
    with pytest.raises(DesignError, match="both need some"):
        held_out(traces, 0.01, 0)


def test_traces_in_other_tokens_are_refused(made: tuple[Path, Path]) -> None:
    lm = load_model("shipped:tiny/base", "base")
    (first, *_) = read_rows(made[0] / "traces.jsonl", Trace)
    reasoner.check_tokens(lm, [first])
    with pytest.raises(AlignmentError, match="t0 is not in the tokens of shipped:tiny/base"):
        reasoner.check_tokens(lm, [replace(first, text="Something else.")])
    with pytest.raises(AlignmentError, match="t0 is not in the tokens"):
        reasoner.check_tokens(lm, [replace(first, token_ids=(*first.token_ids, 99_999))])


def test_the_change_is_that_of_the_same_traces() -> None:
    """Traces differ more among themselves than they change: only their differences tell how sure the change is."""
    tokens = np.array([16.0, 8.0, 4.0] * 8)
    base = tokens * np.random.default_rng(0).uniform(0.5, 3.5, len(tokens))
    after = base - tokens * np.tile([0.2, 0.3], 12)
    rows = loss_rows({"base": base, "reasoning": after}, tokens, 200, 0).set_index("model")
    assert rows.loc["change", "loss"] == pytest.approx(rows.loc["reasoning", "loss"] - rows.loc["base", "loss"])
    width = rows["high"] - rows["low"]
    assert 0 < width["change"] < width["base"] / 10
