"""What a dry run says: sums by hand, nothing loaded, and unknowns that stay unknown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from multidir import resources
from multidir.cli import main
from multidir.config import Compute
from multidir.experiments.budget import Shape
from multidir.models.special import SpecialMap
from multidir.recipes.forecast import FREE, HANDLERS, forecast, shape_of
from multidir.recipes.forecast_text import forecast_text
from multidir.recipes.preset import chosen_preset, load_preset, preset_names
from multidir.recipes.study import check_settings
from multidir.records.site import Site

BIG = ("llama8b", "qwen1.5b", "qwen14b")


def rows(name: str, **compute: object) -> dict[str, object]:
    return {row.stage: row for row in forecast(load_preset(name), Compute(**compute))}  # type: ignore[arg-type]


def test_the_papers_pair_by_hand() -> None:
    found = rows("llama8b")
    traces, activations, offsets, steering = (found[n] for n in ("traces", "activations", "offsets", "steering"))
    assert (traces.texts, traces.read, traces.written) == (250, 250 * 120, 250 * 500)
    assert activations.read == 2 * 250 * 620
    assert activations.disk == 2 * 32 * 250 * 620 * 8192
    assert offsets.cells == 1 + 7 * 7  # seven windows of the paper's code, seven doses
    assert offsets.texts == offsets.cells * 10
    assert steering.cells == 2 * (1 + 2 * 11) + 20
    assert steering.written == steering.cells * 40 * 128
    assert found["layers"].cells == 2 * 32
    assert 60 < activations.gpu < 1800
    assert all(row.gpu is not None for row in found.values())


def test_wider_numbers_take_more_disk() -> None:
    preset = load_preset("llama8b")
    wide = [
        replace(s, science={**s.science, "store_dtype": "float32"} if s.name == "activations" else s.science)
        for s in preset.stages
    ]
    found = {row.stage: row for row in forecast(replace(preset, stages=tuple(wide)), Compute())}
    assert found["activations"].disk == 2 * rows("llama8b")["activations"].disk


def test_rules_change_what_is_counted() -> None:
    text = {row.stage: row for row in forecast(chosen_preset("llama8b", rules="paper"), Compute())}
    assert text["offsets"].cells == 1 + 7 * 6


def test_the_tiny_pair_is_counted_from_its_own_configuration() -> None:
    found = rows("tiny")
    assert shape_of(load_preset("tiny")) == Shape.read(resources.path("tiny/reasoning-and"))
    assert found["prompts"].texts == 300
    assert found["offsets"].cells == 1 + 4 * 5
    assert found["directions"].cells == 2 * 5 * 6
    smaller = rows("tiny", batch_rows=64)
    assert smaller["steering"].gpu > found["steering"].gpu


def test_the_full_protocol_is_counted_with_its_controls() -> None:
    found = rows("tiny-full")["combination"]
    own, controls, random, plants, base = 8 + 9 + 3, 2 * 6 + 9, 60, 4 * 9, 8
    assert found.cells == own + controls + random + plants + base
    assert found.texts == found.cells * 100 * 4
    assert found.gpu


def test_what_cannot_be_known_is_not_zero() -> None:
    preset = replace(load_preset("llama8b"), shape=None)
    found = {row.stage: row for row in forecast(preset, Compute())}
    assert found["traces"].gpu is None
    assert found["annotate"].gpu == 0
    text = forecast_text(preset, Compute())
    assert text.splitlines()[-5].endswith("not known"), "a sum with an unknown in it is unknown"
    assert "Weights:" not in text


def test_after_a_stage_that_is_not_estimated_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(HANDLERS, "train/directions")
    found = rows("llama8b")
    assert found["directions"].gpu == 0
    assert (found["offsets"].gpu, found["offsets"].cells) == (None, 0)
    assert found["traces"].gpu


def test_the_table_says_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study", "--preset", "llama8b", "--dry-run"]) == 0
    out = capsys.readouterr().out
    stages = [stage.name for stage in load_preset("llama8b").stages]
    assert [line.split()[0] for line in out.splitlines()[3 : 3 + len(stages)]] == stages
    for words in ("81.3 GB", "Weights: 16.1 GB", "one H100 at 400 TFLOP/s", "gpt-4o at 2.5 / 10 dollars", "120 tokens"):
        assert words in out


def test_a_dry_run_loads_no_model_and_nothing_that_could() -> None:
    code = (
        "import sys; from multidir.cli import main; main(['run', 'study', '--preset', 'llama8b', '--dry-run']);"
        "print([m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", BIG)
def test_presets_of_big_pairs_fit_their_models(name: str) -> None:
    preset = load_preset(name)
    assert preset.shape is not None
    assert preset.rules == "paper-code"
    table = SpecialMap.load(resources.locate(str(preset.pair.special_map)))
    assert all(target is not None and target < preset.shape.vocabulary for target in table.table.values())
    for stage, cfg in zip(preset.stages, check_settings(preset, Compute()), strict=True):
        named = [*getattr(cfg.science, "sites", ()), *([cfg.science.site] if hasattr(cfg.science, "site") else [])]
        assert all(Site.parse(text).layer < preset.shape.layers for text in named), stage.name


def test_the_papers_special_tokens_become_its_section_mark() -> None:
    preset = load_preset("llama8b")
    table = SpecialMap.load(resources.locate(str(preset.pair.special_map)))
    assert table.table == dict.fromkeys(range(128011, 128015), 27370)
    assert (preset.pair.base, preset.pair.reasoning) == (
        "meta-llama/Llama-3.1-8B",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    )
    traces = next(s for s in preset.stages if s.recipe == "data/traces").science
    assert (traces["max_new_tokens"], traces["temperature"]) == (500, 0.7)


def test_models_from_folders_take_the_place_of_the_presets_own() -> None:
    preset = chosen_preset("llama8b", base="/models/b", reasoning="/models/r")
    assert (preset.pair.base, preset.pair.reasoning) == ("/models/b", "/models/r")
    assert preset.pair.special_map == load_preset("llama8b").pair.special_map
    assert chosen_preset("llama8b").pair == load_preset("llama8b").pair


@pytest.mark.parametrize("name", preset_names())
def test_every_stage_that_runs_a_model_is_estimated(name: str) -> None:
    """A recipe that has a pair and a dose, a length or sites costs GPU time, and must not be passed over."""
    for stage, cfg in zip(load_preset(name).stages, check_settings(load_preset(name), Compute()), strict=True):
        costly = {"max_new_tokens", "doses", "store_dtype"} & set(vars(cfg.science))
        if not hasattr(cfg, "activations"):  # there it only names whose labels of a store are read
            costly |= {"annotator"} & set(vars(cfg.science))
        assert not costly or stage.recipe in HANDLERS, stage.recipe
    assert "lexical" in FREE


def test_the_papers_preset_pays_a_judge_for_its_traces_and_says_so() -> None:
    found, free = rows("llama8b"), forecast(chosen_preset("llama8b", annotator="lexical"), Compute())
    assert [name for name, row in found.items() if row.paid] == ["annotate"]
    assert not any(row.paid for row in free)
    lines = forecast_text(load_preset("llama8b"), Compute()).splitlines()
    (annotate,), (steering,) = (
        [line for line in lines if line.startswith(f"{name} ")] for name in ("annotate", "steering")
    )
    assert f" ${found['annotate'].judge:.2f}" in annotate
    assert f"(${found['steering'].judge:.2f})" in steering
    assert f" ${found['annotate'].judge:.2f}" in next(line for line in lines if line.startswith("all stages"))


def test_every_steered_cell_of_the_papers_figures_is_counted() -> None:
    found = rows("llama8b")
    assert found["baselines"].cells == 1 + 6 * 11 + 3 * 10
    assert found["sweep"].cells == 1 + 2 * 32 * 3
    assert found["sweep"].written == found["sweep"].cells * 10 * 128


def test_a_sibling_is_counted_from_what_it_learns() -> None:
    found = rows("smollm2")
    assert found["reasoner"].read > 400 * 4 * 192
    assert 0 < found["reasoner"].gpu < 600


def test_what_is_measured_in_written_texts_is_what_models_read() -> None:
    found = rows("smollm2")
    arms, nulls, members = 3 + 3 + 2 + 2 + 2, 2 * 20, 1 + 3 * 3
    assert found["ablation"].cells == 1 + arms + nulls + members
    assert found["ablation"].read == (found["ablation"].cells + 3 * 3) * 6 * 620
    assert found["candidates"].cells == 1 + 2 * (10 + 3 * 3)
    assert 0 < found["candidates"].gpu < found["ablation"].gpu < 60
    assert found["ablation"].written == 0
