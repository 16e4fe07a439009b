"""Runs the stages of a preset in order, each on the outputs of earlier ones."""

from __future__ import annotations

import dataclasses
import logging
import time
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multidir.chat.key import Key
from multidir.config import Compute
from multidir.errors import ConfigError, MultidirError
from multidir.models.source import locate
from multidir.recipes.configure import from_values
from multidir.recipes.find import Recipe, load_recipe
from multidir.recipes.preset import MADE, Preset, Stage
from multidir.recipes.rule_sets import completed, load_rules
from multidir.recipes.stage import headline
from multidir.records.pair import Pair
from multidir.store.plain import plain

log = logging.getLogger("multidir")


def stage_config(recipe: Recipe, stage: Stage, preset: Preset, outputs: dict[str, Path], compute: Compute) -> Any:
    """The recipe's Config: the preset's science, the study's pair and compute, and earlier outputs as inputs.

    Raises:
        ConfigError: a setting that the recipe does not have, an input that it needs and does not get, or no such rules.
    """
    kinds = typing.get_type_hints(recipe.config)
    science = completed(stage.science, load_rules(preset.rules).get(stage.recipe, {}))
    known = {field.name for field in dataclasses.fields(kinds["compute"])}
    run_on = {name: value for name, value in plain(compute).items() if name in known}  # most recipes make no calls
    values: dict[str, Any] = {"science": science, "compute": run_on}
    for field in dataclasses.fields(recipe.config):
        if kinds[field.name] is Pair:
            values[field.name] = plain(preset.pair_with(outputs))
    values |= {name: str(outputs[source]) for name, source in stage.inputs.items()}
    return from_values(recipe.config, values, f"preset {preset.name}, stage {stage.name}")


def run_study(preset: Preset, compute: Compute) -> Path:
    """Run every stage; stages that are complete already are passed over in no time.

    Raises:
        MultidirError: before the first stage for settings, keys and models; else as the stage raised it, with the
            stage named in a note.
    """
    # Every setting is checked before the first stage runs: a typo in the last stage must not cost an hour.
    configs = check_settings(preset, compute)
    check_keys(configs)
    check_models(preset)
    log.info("study of %s, %d stages", preset.title, len(configs))
    outputs: dict[str, Path] = {}
    made = Path()
    for number, stage in enumerate(preset.stages, 1):
        recipe = load_recipe(stage.recipe)
        start = time.monotonic()
        try:
            made = recipe.main(stage_config(recipe, stage, preset, outputs, compute))
        except MultidirError as error:
            error.add_note(f"in stage {number} of {len(preset.stages)}, {stage.recipe}")
            raise
        outputs[stage.name] = made
        took = f"{time.monotonic() - start:.0f} s" if time.monotonic() - start > 1 else "ready"
        log.info("[%d/%d] %-20s %5s  %s", number, len(preset.stages), stage.recipe, took, headline(made))
    return made


def check_keys(configs: Sequence[Any]) -> None:
    """Refuse to begin a study that a judge will label when there is no key to ask it with.

    Raises:
        ConfigError: no key is set; the message names the way without a judge.
    """
    for cfg in configs:
        if getattr(cfg.science, "annotator", "") == "judge":
            try:
                Key(cfg.compute.calls.key_variable, cfg.science.judge.base_url).reveal()
            except ConfigError as error:
                error.add_note("or label by rules, without a judge: --annotator lexical")
                raise


def check_models(preset: Preset) -> None:
    """Refuse to begin a study whose models are not where they should be; what is on a hub is not asked for.

    Raises:
        ModelError: a folder without a model or without weights. MissingExtra: a package that is not installed.
    """
    for source in map(preset.pair.source, preset.pair.roles):
        if not source.startswith(MADE):
            locate(source)


def check_settings(preset: Preset, compute: Compute) -> list[Any]:
    """Build every stage's Config on stand-in paths, to find mistakes in a preset before anything runs."""
    stand_ins: dict[str, Path] = {}
    configs = []
    for stage in preset.stages:
        configs.append(stage_config(load_recipe(stage.recipe), stage, preset, stand_ins, compute))
        stand_ins[stage.name] = Path(stage.name)
    return configs
