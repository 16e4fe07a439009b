"""From a saved `config.json` back to the command that makes the run again."""

from __future__ import annotations

import dataclasses
import json
import shlex
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from multidir.recipes.find import load_recipe
from multidir.store.manifest_file import read_manifest
from multidir.store.plain import plain
from multidir.store.run_files import CONFIG


def command_of(run: Path) -> str:
    """What to type for a run folder: its recipe, and every setting that is not the default.

    Raises:
        FormatError: not a run.
        ConfigError: its recipe does not travel with the library.
    """
    settings = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    return command(str(read_manifest(run)["recipe"]), settings)


def command(recipe: str, settings: Mapping[str, Any]) -> str:
    """What to type for these settings of a recipe.

    Args:
        recipe: full name.
        settings: as in its `config.json`.
    Raises:
        ConfigError: no such recipe.
    """
    return shlex.join(["multidir", "run", recipe, *_flags(load_recipe(recipe).config, settings)])


def _flags(config: type[Any], settings: Mapping[str, Any], group: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Flags of what differs from the defaults: those of the whole group where it has its own, else of the class."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name not in settings:
            continue
        value, default = settings[field.name], (group or {}).get(field.name, _default(field))
        if dataclasses.is_dataclass(hints[field.name]):
            own = default if isinstance(default, dict) else None
            yield from _flags(typing.cast(type[Any], hints[field.name]), value, own)
        elif value != default:
            yield from _flag(field.name.replace("_", "-"), value)


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *map(str, value if isinstance(value, list) else [value])]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return dataclasses.MISSING if field.default is dataclasses.MISSING else plain(field.default)
