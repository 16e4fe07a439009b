"""Where the files that travel with the library lie: inside the package when installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from multidir.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
CARRIED = _PACKAGE / "_data"
ROOT = CARRIED if CARRIED.is_dir() else _PACKAGE.parent
"""Holds `data/`, `train/` and `analysis/`."""


def path(name: str) -> Path:
    """A file or folder below `data/`.

    Args:
        name: relative, with forward slashes, such as `tiny/worlds.json`.
    Raises:
        ConfigError: this installation does not carry it.
    """
    found = ROOT / "data" / name
    if not found.exists():
        raise ConfigError(f"this installation of multidir carries no {name!r}; reinstall it, or rebuild the file")
    return found


def locate(source: str) -> Path:
    """A file as people name it: `shipped:NAME` for one that travels with the library, otherwise a path.

    Raises:
        ConfigError: there is no such file.
    """
    kind, _, name = source.partition(":")
    found = path(name) if kind == "shipped" else Path(source).expanduser()
    if not found.exists():
        raise ConfigError(f"there is no file {source!r}; give a path, or shipped:NAME for one in data/")
    return found
