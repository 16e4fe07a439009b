"""Reading a taxonomy from the shipped file or from one of the same form."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from multidir import resources
from multidir.errors import ConfigError, FormatError
from multidir.records.taxonomy import Label, Taxonomy

FORMAT = 1


def load_taxonomy(name: str = "six", path: Path | str | None = None) -> Taxonomy:
    """One taxonomy of a file.

    Args:
        name: Table in the file: in the shipped one `six` (the published labels) or `binary`, and the same with the
            narrow reading of backtracking, `six-approach` and `binary-approach`.
        path: TOML file; the shipped `taxonomy.toml` when absent.
    Raises:
        ConfigError: the file has no taxonomy of that name, or the taxonomy contradicts itself.
        FormatError: no readable file of this format and version.
    """
    source = resources.path("taxonomy.toml") if path is None else Path(path)
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{source}: cannot be read as a taxonomy ({error})") from error
    if content.get("format") != FORMAT:
        raise FormatError(f"{source}: taxonomy format {content.get('format')!r}, this multidir reads format {FORMAT}")
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    if name not in tables:
        raise ConfigError(f"{source}: no taxonomy {name!r}; there are {', '.join(tables)}")
    return _taxonomy(name, tables, content.get("worked", []), source)


def _taxonomy(name: str, tables: dict[str, dict[str, Any]], worked: list[str], source: Path) -> Taxonomy:
    """One table of the file as a taxonomy, with the labels it takes from another table where it has none of its own."""
    table = tables[name]
    try:
        labels = [Label(**row) for row in table["labels"]]
        if "like" in table:
            own = {label.name: label for label in labels}
            labels = [own.get(label.name, label) for label in _taxonomy(table["like"], tables, worked, source)]
        given = table.get("worked", ())
        if given and len(given) != len(worked):
            raise TypeError(f"{len(given)} labels for the {len(worked)} sentences of the worked example")
        example = tuple(zip(worked, given, strict=False))
        return Taxonomy(name, str(table["version"]), table["about"], tuple(labels), example)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"{source}: taxonomy {name!r} is incomplete ({error}); it needs version, about and labels with name, "
            "definition, positive and negative"
        ) from error
