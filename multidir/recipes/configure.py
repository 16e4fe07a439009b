"""Settings of a recipe from the command line, from a preset, or from a saved `config.json`."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from multidir.errors import ConfigError, FormatError
from multidir.recipes.find import Recipe
from multidir.recipes.rule_sets import load_rules, rule_set_names, rules_for
from multidir.store.plain import build

T = TypeVar("T")


def from_command_line(recipe: Recipe, arguments: Sequence[str]) -> Any:
    """Parse flags into the recipe's Config; `--help` prints every attribute docstring and exits.

    Nested groups need no prefix (`--seed`, not `--science.seed`), because names do not repeat between them.
    `--rules NAME` takes the settings of a rule set for everything that no other flag states.

    Raises:
        ConfigError: no such rule set, or one without a word on this recipe.
    """
    import tyro

    own = "rules" in {field.name for field in dataclasses.fields(recipe.config)}
    name, rest = ("", list(arguments)) if own else _without_option("--rules", arguments)
    about = [known for known in rule_set_names() if recipe.name in load_rules(known)]
    note = f"\n\n--rules {{{','.join(about)}}} takes a named set of settings for what no flag states." if about else ""
    return tyro.cli(
        recipe.config,
        default=_with_science(recipe.config, rules_for(name, recipe.name), f"rules {name}") if name else None,
        config=(tyro.conf.OmitArgPrefixes,),
        prog=f"multidir run {recipe.name}",
        description=recipe.help + note,
        args=rest,
    )


def _without_option(option: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The value of an option that every recipe understands (`--x V` or `--x=V`), and the arguments without it."""
    value, rest, left = "", [], iter(arguments)
    for argument in left:
        name, equals, given = argument.partition("=")
        if name != option:
            rest.append(argument)
            continue
        value = given if equals else next(left, "")
        if not value:
            raise ConfigError(f"{option} needs a name")
    return value, rest


def _with_science(config: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """A Config with these settings in `science`, in which fields without a default are still missing."""
    import tyro

    hints = typing.get_type_hints(config)
    required = dict.fromkeys(_required(config), tyro.MISSING)
    return config(**required, science=from_values(hints["science"], values, where))


def _required(config: type[Any]) -> list[str]:
    """Fields without a default."""
    none = dataclasses.MISSING
    return [each.name for each in dataclasses.fields(config) if each.default is none and each.default_factory is none]


def from_values(config: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a Config from plain values, such as a preset's table or a saved `config.json`.

    Args:
        config: the dataclass to build, nested dataclasses included.
        values: JSON or TOML values by field name.
        where: what the values come from, for the error message.
    Raises:
        ConfigError: unknown names (all of them, with the nearest known one), wrong types, missing values.
    """
    unknown = list(_unknown(config, values, ""))
    if unknown:
        raise ConfigError(f"{where}: {'; '.join(unknown)}")
    missing = [name for name in _required(config) if name not in values]
    if missing:
        raise ConfigError(f"{where}: not given: {', '.join(missing)}")
    try:
        return build(config, dict(values))
    except (FormatError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _unknown(config: type[Any], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(config)
    known = [field.name for field in dataclasses.fields(config)]
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"no setting {prefix + name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
        elif dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            yield from _unknown(typing.cast(type, hints[name]), value, f"{prefix}{name}.")
