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
        name: Table in the file: `six` (the published labels) or `binary` in the shipped one.
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
    return _taxonomy(name, tables[name], source)


def _taxonomy(name: str, table: dict[str, Any], source: Path) -> Taxonomy:
    """One table of the file as a taxonomy."""
    try:
        labels = tuple(Label(**row) for row in table["labels"])
        return Taxonomy(name, str(table["version"]), table["about"], labels)
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(
            f"{source}: taxonomy {name!r} is incomplete ({error}); it needs version, about and labels with name, "
            "definition, positive and negative"
        ) from error
