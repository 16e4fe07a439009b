"""What a notebook needs: recipes as functions, and what they made as objects with tables, verdicts and plots.

import multidir as md

prompts = md.run("data/prompts", derive=4)
traces = md.run("data/traces", prompts=prompts, max_new_tokens=200)
traces                                                what was found, in a few lines
md.open("runs/analysis/steering/...").table("cells")  a pandas table
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multidir.errors import ConfigError
from multidir.recipes.configure import from_values
from multidir.recipes.find import load_recipe
from multidir.store.manifest_file import read_manifest
from multidir.store.plain import plain

if TYPE_CHECKING:
    import pandas as pd

    from multidir.records.direction import DirectionSet
    from multidir.records.verdict import Verdict
    from multidir.report.plot import Plot
    from multidir.store.activations import ActivationStore


@dataclass(frozen=True)
class Finished:
    """What a recipe made: its run folder, opened. It can stand wherever a path can."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        from multidir.report.show import found_in

        manifest = read_manifest(self.path)
        head, tables = f"run of {manifest['recipe']}, {manifest['status']}", ", ".join(self.tables)
        return "\n".join([head, *found_in(self.path), *([f"  tables   {tables}"] if tables else [])])

    @property
    def headline(self) -> str:
        """The sentence that it ended with."""
        return str(read_manifest(self.path)["notes"].get("headline", ""))

    @property
    def tables(self) -> tuple[str, ...]:
        """Names that `table` knows."""
        return tuple(sorted(file.stem for ending in ("csv", "jsonl") for file in self.path.glob(f"*.{ending}")))

    def table(self, name: str) -> pd.DataFrame:
        """One of its tables; records such as traces and outcomes are a row each.

        Raises:
            ConfigError: it has no such table.
        """
        import pandas as pd

        if (self.path / f"{name}.csv").is_file():
            return pd.read_csv(self.path / f"{name}.csv")
        if (self.path / f"{name}.jsonl").is_file():
            return pd.read_json(self.path / f"{name}.jsonl", lines=True)
        raise ConfigError(f"{self.path} has no table {name!r}; there are {', '.join(self.tables) or 'none'}")

    @property
    def verdicts(self) -> list[Verdict]:
        """What it decided."""
        from multidir.experiments.results import read_verdicts

        return read_verdicts(self.path)

    def plots(self) -> list[Plot]:
        """All of its figures, each with the numbers that it draws; in a notebook each shows itself."""
        from multidir.report.show import plots_at

        return plots_at(self.path)

    def plot(self, name: str = "") -> Plot:
        """Its first figure, or the one of this name.

        Raises:
            ConfigError: it draws none, or none of this name.
        """
        drawn = self.plots()
        found = [plot for plot in drawn if name in ("", plot.name)]
        if not found:
            raise ConfigError(f"{self.path} draws no {name or 'figure'}; there are {', '.join(p.name for p in drawn)}")
        return found[0]

    @property
    def directions(self) -> DirectionSet:
        """Its directions.

        Raises:
            FormatError: it holds none.
        """
        from multidir.exchange.read import read_directions

        return read_directions(self.path)

    @property
    def store(self) -> ActivationStore:
        """Its activations.

        Raises:
            FormatError: it holds none.
        """
        from multidir.store.activations import ActivationStore

        return ActivationStore.open(self.path)


def run(recipe: str, **settings: Any) -> Finished:
    """Run a recipe, or take what it made before from the same settings and inputs.

    Args:
        recipe: name, as on the command line.
        settings: as on the command line, with underscores; those of nested groups without a prefix. Inputs are paths,
            or what `run` gave back.
    Raises:
        ConfigError: an unknown or missing setting.
        MultidirError: as the recipe raises it.
    """
    loaded = load_recipe(recipe)
    given = {name: os.fspath(v) if isinstance(v, os.PathLike) else plain(v) for name, v in settings.items()}
    return Finished(
        loaded.main(from_values(loaded.config, _nested(loaded.config, given), f"settings of {loaded.name}"))
    )


def open_artifact(path: str | os.PathLike[str]) -> Finished | ActivationStore | DirectionSet:
    """Open anything that multidir wrote: a run folder, an activation store, a file of directions.

    Raises:
        FormatError: nothing that multidir wrote.
    """
    found = Path(path)
    if found.is_file():
        from multidir.exchange.read import read_directions

        return read_directions(found)
    if "recipe" in read_manifest(found):
        return Finished(found)
    from multidir.store.activations import ActivationStore

    return ActivationStore.open(found)


def _nested(config: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings, each in the group that has it. Names do not repeat between groups.

    Raises:
        ConfigError: no group has one; the message suggests the nearest name.
    """
    left = dict(given)
    placed = dict(_placed(config, left))
    if left:
        known = _names(config)
        near = {name: difflib.get_close_matches(name, known, n=1) for name in left}
        said = (f"{name!r}" + (f" (did you mean {found[0]!r}?)" if found else "") for name, found in near.items())
        listed = "" if all(near.values()) else f"; there are {', '.join(known)}"
        raise ConfigError(f"no setting {', '.join(said)}{listed}")
    return placed


def _names(config: type[Any]) -> list[str]:
    hints = typing.get_type_hints(config)
    groups = [hint for hint in hints.values() if dataclasses.is_dataclass(hint)]
    return [*hints, *(name for group in groups for name in _names(typing.cast(type[Any], group)))]


def _placed(config: type[Any], left: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name in left:
            yield field.name, left.pop(field.name)
        elif dataclasses.is_dataclass(hints[field.name]):
            inner = dict(_placed(typing.cast(type[Any], hints[field.name]), left))
            default = _default(field)
            if inner and default is not None:  # what is not given stays as this group has it
                inner = {**plain(default), **inner}
            if inner:
                yield field.name, inner


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default
