"""`--rules paper` and `--rules paper-code` state the same choices, each of which exists, and other flags go before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from multidir.config import Compute
from multidir.errors import ConfigError
from multidir.recipes.configure import from_command_line, from_values
from multidir.recipes.find import load_recipe
from multidir.recipes.preset import load_preset
from multidir.recipes.rule_sets import completed, load_rules, rule_set_names
from multidir.recipes.study import check_settings

PRESET = str(Path(__file__).parents[1] / "data" / "smoke.toml")
FIND = ["--activations", "x"]


def paths(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_two_sets_state_the_same_choices_and_differ_in_them() -> None:
    assert rule_set_names() == ["paper", "paper-code"]
    text, code = (load_rules(name) for name in rule_set_names())
    assert sorted(paths(text)) == sorted(paths(code))
    assert all(text[recipe] != code[recipe] for recipe in text), "a recipe on which they agree needs no rules"


@pytest.mark.parametrize("name", rule_set_names())
def test_every_rule_is_a_setting_of_its_recipe(name: str) -> None:
    for recipe, values in load_rules(name).items():
        from_values(get_type_hints(load_recipe(recipe).config)["science"], values, recipe)


def test_one_flag_sets_all_of_them_and_other_flags_go_before_it() -> None:
    recipe = load_recipe("train/directions")
    means = {name: from_command_line(recipe, [*FIND, "--rules", name]).science.means for name in rule_set_names()}
    assert (means["paper"].mean, means["paper-code"].mean) == ("trace", "token")
    assert means["paper-code"].skip == "code"
    mixed = from_command_line(recipe, ["--rules=paper-code", *FIND, "--mean", "trace", "--windows=-3:-1"]).science
    assert (mixed.means.mean, mixed.means.skip, mixed.windows) == ("trace", "code", ("-3:-1",))
    plain = from_command_line(recipe, FIND).science
    assert (plain.means.skip, plain.windows) == ("whole", ("-13:-8",))


def test_the_other_arguments_keep_their_order() -> None:
    recipe = load_recipe("train/directions")
    found = from_command_line(recipe, ["--windows=-13:-8", "0:2", "--rules", "paper", *FIND, "--draws", "7"]).science
    assert (found.windows, found.draws) == (("-13:-8", "0:2"), 7)
    with pytest.raises(ConfigError, match="--rules needs a name"):
        from_command_line(recipe, [*FIND, "--rules"])


def test_what_has_no_default_is_still_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        from_command_line(load_recipe("train/directions"), ["--rules", "paper"])
    assert "--activations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data/prompts", "--rules", "paper"], "say nothing about data/prompts"),
        (["train/directions", "--rules", "papr", *FIND], "no rules 'papr'; did you mean 'paper'"),
    ],
)
def test_rules_without_effect_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_command_line(load_recipe(arguments[0]), arguments[1:])


def test_a_study_fills_only_what_its_preset_leaves_open() -> None:
    preset = load_preset(PRESET)
    place = [stage.recipe for stage in preset.stages].index("train/directions")
    assert preset.rules == ""
    for name, mean in (("paper", "trace"), ("paper-code", "token")):
        science = check_settings(replace(preset, rules=name), Compute())[place].science
        assert science.means.mean == mean
        assert science.windows == ("-3:-1", "0:2"), "the preset states its windows"
    with pytest.raises(ConfigError, match="no rules 'else'"):
        check_settings(replace(preset, rules="else"), Compute())


def test_tables_are_merged_name_by_name() -> None:
    assert completed({"a": {"x": 1}, "b": 2}, {"a": {"x": 9, "y": 9}, "c": 3}) == {
        "a": {"x": 1, "y": 9},
        "b": 2,
        "c": 3,
    }
    assert completed({"a": 1}, {"a": {"x": 9}}) == {"a": 1}
