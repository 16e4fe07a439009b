"""A preset: one TOML file that names a pair and the stages of its study, with every setting that differs."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from multidir import resources
from multidir.errors import ConfigError
from multidir.experiments.budget import Shape
from multidir.recipes.configure import from_values
from multidir.recipes.find import full_name
from multidir.records.pair import Pair

MADE = "stage:"
"""Begins the source of a model that a stage of the study makes."""


@dataclass(frozen=True)
class Stage:
    """One recipe of a study and where its inputs come from."""

    recipe: str
    """Full name, such as `data/traces`."""
    name: str = ""
    """Unique in the preset; the recipe's own name unless two stages run the same recipe."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Config field -> name of the earlier stage whose output it takes."""
    science: dict[str, Any] = field(default_factory=dict)
    """Settings of the recipe's Science that differ from its defaults."""


@dataclass(frozen=True)
class Preset:
    """A study of one pair: stages in the order in which they run."""

    name: str
    title: str
    pair: Pair
    """Its reasoning model may be `stage:NAME`, the folder `model` of what an earlier stage leaves."""
    stages: tuple[Stage, ...]
    rules: str = ""
    """Rule set that fills what a stage's settings leave open."""
    shape: Shape | None = None
    """Of both models, to tell what a study will take before they are here."""

    def pair_with(self, outputs: Mapping[str, Path]) -> Pair:
        """The pair as it is once these stages are done: without a reasoning model before it is made."""
        source = self.pair.reasoning or ""
        if not source.startswith(MADE):
            return self.pair
        made = outputs.get(source.removeprefix(MADE))
        return replace(self.pair, reasoning=None if made is None else str(made / "model"))


def preset_names() -> list[str]:
    """Names of the shipped presets."""
    return sorted(file.stem for file in (resources.ROOT / "data" / "presets").glob("*.toml"))


def load_preset(name: str) -> Preset:
    """Read a shipped preset by name, or any by the path of its TOML file.

    Raises:
        ConfigError: unknown name (the message lists the known ones), broken file, or stages that do not chain.
    """
    file = Path(name) if name.endswith(".toml") else resources.ROOT / "data" / "presets" / f"{name}.toml"
    if not file.is_file():
        near = difflib.get_close_matches(name, preset_names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no preset {name!r}; {hint}there are {', '.join(preset_names())}, or give a .toml file")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"preset {file.name} is not valid TOML: {error}") from error
    return _preset(file.stem, table)


def chosen_preset(name: str, rules: str = "", base: str = "", reasoning: str = "", annotator: str = "") -> Preset:
    """A preset with rules, models and an annotator of its traces in place of its own, where they are given.

    Raises:
        ConfigError: as `load_preset`.
    """
    preset = load_preset(name)
    models = {role: source for role, source in (("base", base), ("reasoning", reasoning)) if source}
    stages = tuple(_annotated(stage, annotator) for stage in preset.stages)
    return replace(preset, rules=rules or preset.rules, pair=replace(preset.pair, **models), stages=stages)


def _annotated(stage: Stage, annotator: str) -> Stage:
    if not annotator or stage.recipe != "data/annotate":
        return stage
    return replace(stage, science={**stage.science, "annotator": annotator})


def _preset(name: str, table: dict[str, Any]) -> Preset:
    odd = sorted(set(table) - {"title", "pair", "rules", "shape", "stage"})
    if odd or "stage" not in table:
        raise ConfigError(
            f"preset {name}: " + (f"unknown {', '.join(odd)}" if odd else "it has no [[stage]]") + "; see data/presets"
        )
    pair = from_values(Pair, table.get("pair", {}), f"preset {name}, [pair]")
    stages: list[Stage] = []
    for number, entry in enumerate(table["stage"], 1):
        stage = from_values(Stage, entry, f"preset {name}, stage {number}")
        recipe = full_name(stage.recipe)
        stage = Stage(recipe, stage.name or recipe.partition("/")[2], stage.inputs, stage.science)
        _check_chain(name, stage, [earlier.name for earlier in stages])
        stages.append(stage)
    _check_pair(name, pair, [stage.name for stage in stages])
    shape = from_values(Shape, table["shape"], f"preset {name}, [shape]") if "shape" in table else None
    return Preset(name, table.get("title", name), pair, tuple(stages), table.get("rules", ""), shape)


def _check_pair(preset: str, pair: Pair, stages: list[str]) -> None:
    source = pair.reasoning or ""
    if source.startswith(MADE) and source.removeprefix(MADE) not in stages:
        raise ConfigError(f"preset {preset}: the reasoning model is {source!r}, and there is no such stage")


def _check_chain(preset: str, stage: Stage, earlier: list[str]) -> None:
    if stage.name in earlier:
        raise ConfigError(f"preset {preset}: two stages are called {stage.name!r}; give one of them a name")
    lost = sorted(set(stage.inputs.values()) - set(earlier))
    if lost:
        raise ConfigError(f"preset {preset}, stage {stage.name}: input {', '.join(lost)} is not an earlier stage")
