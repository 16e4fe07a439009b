from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from multidir import resources
from multidir.config import Compute
from multidir.errors import ConfigError, ModelError
from multidir.recipes.command import command
from multidir.recipes.configure import from_command_line, from_values
from multidir.recipes.find import full_name, load_recipe, questions, recipe_files
from multidir.recipes.preset import chosen_preset, load_preset, preset_names
from multidir.recipes.study import check_keys, check_settings, run_study
from multidir.records.pair import Pair
from multidir.store.plain import plain


def test_every_recipe_asks_a_question_or_says_its_job() -> None:
    assert len(recipe_files()) >= 10
    assert all(len(question) > 20 for question in questions().values())


def test_short_names_and_suggestions() -> None:
    assert full_name("study") == "analysis/study"
    assert full_name("import_traces") == "data/import-traces"
    with pytest.raises(ConfigError, match="did you mean 'traces'"):
        full_name("tracse")


@pytest.mark.parametrize("name", [name for name in recipe_files() if name != "train/tiny"])
def test_every_recipe_prints_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        from_command_line(load_recipe(name), ["--help"])
    assert end.value.code == 0
    assert questions()[name][:30] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", preset_names())
def test_shipped_presets_fit_their_recipes(name: str) -> None:
    preset = load_preset(name)
    assert len(check_settings(preset, Compute())) == len(preset.stages)


def test_unknown_preset_suggests() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'tniy'; did you mean 'tiny'"):
        load_preset("tniy")


def write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "mine.toml"
    file.write_text('[pair]\nbase = "x"\n' + text)
    return str(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n[[stage]]\nrecipe = 'data/prompts'\n", "no setting 'x'"),
        ("[odd]\n[[stage]]\nrecipe = 'data/prompts'\n", "unknown odd"),
        ("", r"no \[\[stage\]\]"),
        ('[[stage]]\nrecipe = "data/prompts"\n[[stage]]\nrecipe = "data/prompts"\n', "two stages are called 'prompts'"),
        ('[[stage]]\nrecipe = "data/traces"\ninputs = { prompts = "prompts" }\n', "not an earlier stage"),
        ("[[stage\n", "not valid TOML"),
    ],
)
def test_broken_presets_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_preset(write(tmp_path, text))


def test_a_typo_in_the_last_stage_is_found_before_the_first_runs(tmp_path: Path) -> None:
    file = write(tmp_path, '[[stage]]\nrecipe = "data/prompts"\nscience = { derrive = 3 }\n')
    with pytest.raises(ConfigError, match=r"did you mean 'derive'"):
        check_settings(load_preset(file), Compute())


def test_a_model_without_weights_is_found_before_the_first_stage_runs(tmp_path: Path) -> None:
    """The file of planted directions that lies beside some weights is none."""
    folder = tmp_path / "base"
    shutil.copytree(resources.path("tiny/base"), folder)
    (folder / "model.safetensors").unlink()
    file = write(tmp_path, '[[stage]]\nrecipe = "data/prompts"\n')
    preset = replace(load_preset(file), pair=Pair(str(folder)))
    with pytest.raises(ModelError, match=r"has a config\.json but no weights"):
        run_study(preset, Compute(runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_values_of_the_wrong_type_are_named() -> None:
    with pytest.raises(ConfigError, match="base"):
        from_values(Pair, {"base": 3}, "here")


MADE = """
[[stage]]
recipe = "data/import-traces"
name = "traces"

[[stage]]
recipe = "train/reasoner"
inputs = { traces = "traces", labels = "traces" }

[[stage]]
recipe = "data/activations"
inputs = { traces = "traces", labels = "traces" }
"""


def test_a_reasoning_model_that_a_stage_makes_is_there_for_later_stages_only(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[pair]\nbase = "x"\nreasoning = "stage:reasoner"\n' + MADE)
    traces, reasoner, activations = check_settings(load_preset(str(file)), Compute())
    assert traces.pair == reasoner.pair == Pair("x")
    assert activations.pair == Pair("x", "reasoner/model")
    file.write_text('[pair]\nbase = "x"\nreasoning = "stage:other"\n' + MADE)
    with pytest.raises(ConfigError, match="'stage:other', and there is no such stage"):
        load_preset(str(file))


def test_a_study_that_a_judge_labels_needs_a_key_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = check_settings(load_preset("llama8b"), Compute())
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        check_keys(configs)
    assert "--annotator lexical" in caught.value.__notes__[0]
    check_keys(check_settings(chosen_preset("llama8b", annotator="lexical"), Compute()))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    check_keys(configs)


@pytest.mark.parametrize("name", ["tiny", "llama8b"])
def test_the_command_of_a_run_says_its_settings_again(name: str) -> None:
    preset = load_preset(name)
    for stage, cfg in zip(preset.stages, check_settings(preset, Compute()), strict=True):
        words = shlex.split(command(stage.recipe, plain(cfg)))
        assert words[:3] == ["multidir", "run", stage.recipe]
        assert from_command_line(load_recipe(stage.recipe), words[3:]) == cfg


def test_the_command_of_a_run_leaves_defaults_out() -> None:
    cfg = load_recipe("data/prompts").config()
    assert command("data/prompts", plain(cfg)) == "multidir run data/prompts"
    changed = replace(cfg, science=replace(cfg.science, derive=3))
    assert command("data/prompts", plain(changed)) == "multidir run data/prompts --derive 3"
