"""Named sets of settings: `paper` and `paper-code` hold every choice in which a paper's text and its code differ."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any

from multidir import resources
from multidir.errors import ConfigError

Settings = dict[str, Any]


def rule_set_names() -> list[str]:
    """Names of the sets that travel with the library."""
    return sorted(file.stem for file in (resources.ROOT / "data" / "rules").glob("*.toml"))


def load_rules(name: str) -> dict[str, Settings]:
    """Settings of `Science` by the full name of the recipe they belong to; nothing for the empty name.

    Raises:
        ConfigError: no set has this name.
    """
    if not name:
        return {}
    names = rule_set_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no rules {name!r}; {hint}there are {', '.join(names)}")
    return tomllib.loads(resources.path(f"rules/{name}.toml").read_text(encoding="utf-8"))


def rules_for(name: str, recipe: str) -> Settings:
    """The settings of one recipe in a set.

    Raises:
        ConfigError: no such set, or it has no word on this recipe: a flag without effect would look like one.
    """
    rules = load_rules(name)
    if name and recipe not in rules:
        raise ConfigError(f"the rules {name!r} say nothing about {recipe}; they are about {', '.join(rules)}")
    return rules.get(recipe, {})


def completed(stated: Mapping[str, Any], rules: Mapping[str, Any]) -> Settings:
    """What is stated, and from the rules what is not: tables are merged name by name."""
    found = dict(rules)
    for name, value in stated.items():
        under = found.get(name)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        found[name] = completed(value, under) if both and under is not None else value
    return found
