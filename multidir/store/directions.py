"""Direction sets as safetensors: the unit vectors in one tensor, everything else as JSON beside it.

    tensor    units      (k, d) float64
    metadata  multidir   JSON: format, version, and per direction name, length, site, method, source

Any safetensors reader sees the vectors; nothing is ever unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.store.atomic import write_bytes_atomic
from multidir.store.plain import plain
from multidir.types import ROLES, FloatArray

FORMAT = "multidir-directions"
VERSION = 1


def save_directions(path: Path, directions: DirectionSet) -> None:
    """Write a direction set, whole or not at all; the same set gives the same bytes.

    Raises:
        ConfigError: a source holds something without a JSON form, or the folder cannot be written.
    """
    facts = {"format": FORMAT, "version": VERSION, "directions": [_facts(item) for item in directions]}
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False)
    write_bytes_atomic(path, save({"units": directions.matrix()}, metadata={"multidir": text}))


def _facts(item: Direction) -> dict[str, Any]:
    return {
        "name": item.name,
        "length": item.length,
        "site": str(item.site),
        "method": item.method,
        "source": plain(item.source),
    }


def load_directions(path: Path) -> DirectionSet:
    """Read what `save_directions` wrote.

    Raises:
        FormatError: not a direction file, of another version, truncated, or with a vector that is not a
            finite unit vector.
    """
    metadata, tensors = _read(Path(path))
    facts = _checked_facts(Path(path), metadata)
    units = tensors.get("units")
    if units is None or units.ndim != 2 or len(units) != len(facts):
        shape = None if units is None else units.shape
        raise FormatError(f"{path}: expected `units` with {len(facts)} rows, as its metadata says, got shape {shape}")
    try:
        return DirectionSet(
            Direction(
                str(item["name"]),
                unit.astype(np.float64),
                float(item["length"]),
                Site.parse(item["site"]),
                str(item["method"]),
                dict(item["source"]),
            )
            for item, unit in zip(facts, units, strict=True)
        )
    except (ConfigError, DesignError) as error:
        raise FormatError(f"{path}: {error}") from error
    except (KeyError, TypeError) as error:
        raise FormatError(
            f"{path}: the metadata of a direction is incomplete ({error!r}); write the file again"
        ) from error


def _checked_facts(path: Path, metadata: dict[str, str]) -> list[dict[str, Any]]:
    try:
        facts = json.loads(metadata["multidir"])
        name, version = facts["format"], facts["version"]
    except (KeyError, TypeError, ValueError):
        raise FormatError(
            f"{path} is a safetensors file, but not a direction file of multidir; "
            "load_published reads raw vectors named <role>/<label>"
        ) from None
    if name != FORMAT:
        raise FormatError(f"{path}: expected format {FORMAT!r}, got {name!r}")
    if version != VERSION:
        raise FormatError(f"{path}: format version {version}, this multidir reads {VERSION}; update multidir")
    found: list[dict[str, Any]] = facts["directions"]
    return found


def load_published(path: Path, site: Site, method: str = "published") -> DirectionSet:
    """Raw vectors from a foreign safetensors file with keys `<role>/<label>`, in the order of their names.

    Args:
        path: the file.
        site: where the vectors were taken; such files do not say it, and a wrong one shifts every result.
        method: recorded as the finder.

    Returns:
        Directions named as the keys are, with the vectors' lengths.

    Raises:
        FormatError: a key or a tensor does not fit, or a vector is not finite.
    """
    _, tensors = _read(Path(path))
    strange = [key for key in tensors if key.split("/", 1)[0] not in ROLES or "/" not in key]
    if strange or not tensors:
        got = ", ".join(strange) or "no tensor"
        raise FormatError(f"{path}: expected keys <role>/<label> with a role of {', '.join(ROLES)}, got {got}")
    try:
        return DirectionSet(
            Direction.from_vector(key, _flat(key, tensor), site, method, {"file": Path(path).name})
            for key, tensor in sorted(tensors.items())
        )
    except (ConfigError, DesignError) as error:
        raise FormatError(f"{path}: {error}") from error


def _flat(key: str, tensor: FloatArray) -> FloatArray:
    if tensor.size != max(tensor.shape, default=0):
        raise FormatError(f"{key}: expected one vector, got shape {tensor.shape}")
    return tensor.reshape(-1).astype(np.float64)


def _read(path: Path) -> tuple[dict[str, str], dict[str, FloatArray]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            return metadata, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist: expected a safetensors file") from None
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} cannot be read as safetensors: {error}; write or fetch it again") from error
