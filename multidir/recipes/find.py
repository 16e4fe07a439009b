"""Lists the recipes that travel with the library and loads one by name."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from multidir import resources
from multidir.errors import ConfigError

FOLDERS = ("data", "train", "analysis")
"""In the order in which a study walks through them."""


@dataclass(frozen=True)
class Recipe:
    """A loaded recipe: its configuration class and its main function."""

    name: str
    module: ModuleType

    @property
    def config(self) -> type[Any]:
        """The frozen dataclass of its settings."""
        return self.module.Config  # type: ignore[no-any-return]

    @property
    def main(self) -> Callable[[Any], Path]:
        """Runs it and returns the path of what it made."""
        return self.module.main  # type: ignore[no-any-return]

    @property
    def help(self) -> str:
        """Its module docstring."""
        return self.module.__doc__ or ""


def recipe_files() -> dict[str, Path]:
    """Every recipe by name (`train/directions`), in walking order, found without running any."""
    return {
        f"{folder}/{file.stem.replace('_', '-')}": file
        for folder in FOLDERS
        for file in sorted((resources.ROOT / folder).glob("*.py"))
        if not file.stem.startswith("_")
    }


def first_line(file: Path) -> str:
    """First line of a Python file's docstring, read without running it."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def full_name(name: str) -> str:
    """`study` becomes `analysis/study`; a full name stays.

    Raises:
        ConfigError: no recipe has this name, or two do; the message suggests the nearest names.
    """
    known = list(recipe_files())
    wanted = name.replace("_", "-").removesuffix(".py")
    matches = [item for item in known if wanted in (item, item.partition("/")[2])]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ConfigError(f"{name!r} names {' and '.join(matches)}; write the folder too")
    near = difflib.get_close_matches(wanted, [*known, *(item.partition("/")[2] for item in known)], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"no recipe {name!r}; {hint}`multidir ls` lists them all")


def load_recipe(name: str) -> Recipe:
    """Load a shipped recipe by name, or a copy of one by its path ending in `.py`.

    Raises:
        ConfigError: there is no such recipe, or the file is not one.
    """
    own = Path(name)
    if name.endswith(".py") and own.is_file():
        return Recipe(own.stem, _load(own, f"multidir_recipe_{own.stem}"))
    full = full_name(name)
    return Recipe(full, _load(recipe_files()[full], "multidir_recipes." + full.replace("/", ".").replace("-", "_")))


def _load(file: Path, module_name: str) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs: dataclasses and the command-line parser look the module up by name.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    missing = [part for part in ("Config", "main") if not hasattr(module, part)]
    if missing:
        del sys.modules[module_name]
        raise ConfigError(f"{file} is not a recipe: it defines no {' and no '.join(missing)}")
    return module


def questions() -> dict[str, str]:
    """The question that each recipe answers: the first line of its docstring, by name."""
    return {name: first_line(file) for name, file in recipe_files().items()}
