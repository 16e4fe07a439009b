"""Reading manifest.json of any artifact folder, with one sentence for each way it can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from multidir.errors import FormatError

MANIFEST = "manifest.json"


def read_manifest(path: Path, expected: str | None = None, newest: int | None = None) -> dict[str, Any]:
    """The manifest of an artifact folder.

    Args:
        path: the folder, or the manifest itself.
        expected: the format it must have, such as `multidir-run`.
        newest: the newest version of the format that can be read.

    Raises:
        FormatError: no manifest, not JSON, of another format, or of a newer version.
    """
    file = Path(path)
    file = file / MANIFEST if file.is_dir() else file
    try:
        manifest = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise FormatError(
            f"{Path(path)} has no {MANIFEST}: not an artifact of multidir, or an unfinished one"
        ) from None
    except ValueError as error:
        raise FormatError(f"{file} is not JSON ({error}); restore it or make the artifact again") from None
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise FormatError(f"{file} names no format: not a manifest of multidir")
    if expected is not None and manifest["format"] != expected:
        raise FormatError(f"{file}: expected format {expected!r}, got {manifest['format']!r}")
    version = manifest.get("version")
    if newest is not None and not (isinstance(version, int) and 1 <= version <= newest):
        raise FormatError(
            f"{file} is of format version {version}, this multidir reads up to {newest}; update multidir to read it"
        )
    return manifest
