"""Control vectors of llama.cpp and repeng: GGUF files with one tensor `direction.N` per block.

    general.architecture      "controlvector"
    controlvector.model_hint  model family, such as "llama"
    controlvector.layer_count number of tensors
    controlvector.multidir    ours, ignored by others: names, sites and origins, so that a file of ours comes back whole
    direction.N               (d,) float32, added to the output of block N times the strength that the program is given

Source: repeng 0.4.0 (`extract.py`, `control.py`); llama.cpp (`common_control_vector_load`, `llama_adapter_cvec`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from multidir.errors import ConfigError, DesignError, FormatError, MissingExtra
from multidir.exchange.layers import AS_FOUND, by_block, named, only_sites
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose
from multidir.records.site import Site
from multidir.store.atomic import atomic_path
from multidir.store.plain import plain
from multidir.types import FloatArray

ARCHITECTURE = "controlvector"
_OURS = f"{ARCHITECTURE}.multidir"
_TENSOR = "direction."


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtra("a .gguf file needs the Python package gguf: pip install 'multidir[real]'") from error
    return gguf


def write_control_vector(
    path: Path,
    directions: Iterable[Direction],
    model_hint: str = "llama",
    dose: Dose = AS_FOUND,
    mean_norms: Mapping[Site, float] | None = None,
) -> None:
    """Write directions as a control vector, whole or not at all.

    Args:
        directions: at most one per block.
        model_hint: model family; repeng warns when two hints differ, llama.cpp does not look at it.
        dose: the length that strength 1 stands for.
        mean_norms: mean residual norm by site, for a relative dose.
    Raises:
        ConfigError: a site that llama.cpp cannot steer, two directions at one block, or a file that cannot be written.
        MissingExtra: the package gguf is not installed.
    """
    gguf, chosen = _gguf(), by_block(directions, dose, mean_norms)
    if not chosen:
        raise DesignError("a control vector needs at least one direction")
    if 0 in chosen:
        raise ConfigError(
            f"{chosen[0][0].name!r} belongs to the output of block 0, which llama.cpp cannot steer (it refuses "
            "direction.0); choose a later site"
        )
    facts = {str(block): _facts(item, vector) for block, (item, vector) in chosen.items()}
    with atomic_path(path) as partial:
        writer = gguf.GGUFWriter(partial, ARCHITECTURE)
        writer.add_string(f"{ARCHITECTURE}.model_hint", model_hint)
        writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(chosen))
        writer.add_string(_OURS, json.dumps(facts, allow_nan=False))
        for block, (_, vector) in chosen.items():
            writer.add_tensor(f"{_TENSOR}{block}", vector.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _facts(item: Direction, vector: FloatArray) -> dict[str, Any]:
    return {
        "name": item.name,
        "site": str(item.site),
        "method": item.method,
        "source": plain(item.source),
        "factor": float(vector @ item.unit) / item.length,
    }


def read_control_vector(path: Path, sites: Iterable[Site] = ()) -> DirectionSet:
    """Directions of a control vector: `direction.N` becomes `LN.resid_post`, named after the file.

    A file that multidir wrote gives back names, sites, lengths and origins, rounded to float32.

    Args:
        sites: keep only these; all when empty.
    Raises:
        FormatError: no control vector, a tensor that is not one vector, or nothing at a wanted site.
        MissingExtra: the package gguf is not installed.
    """
    path = Path(path)
    reader = _open(path)
    architecture = _text(reader, "general.architecture")
    if architecture != ARCHITECTURE:
        raise FormatError(f"{path} is a GGUF file of {architecture!r}, not of a {ARCHITECTURE!r}")
    vectors = dict(_vectors(path, reader))
    if not vectors:
        raise FormatError(f"{path} holds no tensor {_TENSOR}N, as a control vector has for every layer")
    source = {"file": path.name, "format": "gguf", "model_hint": _text(reader, f"{ARCHITECTURE}.model_hint")}
    found = named(path.stem, {Site(n): v for n, v in vectors.items()}, "control vector", source, str(path))
    ours = _text(reader, _OURS)
    if ours:
        found = [_restored(path, item, ours) for item in found]
    return only_sites(found, sites, str(path))


def _open(path: Path) -> Any:
    gguf = _gguf()
    try:
        return gguf.GGUFReader(path)
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist: expected a GGUF file") from None
    except (ValueError, KeyError, IndexError, OSError, OverflowError, TypeError) as error:
        raise FormatError(f"{path} cannot be read as GGUF: {error}; write or fetch it again") from error


def _text(reader: Any, key: str) -> str:
    field = reader.get_field(key)
    return "" if field is None else str(bytes(field.parts[-1]), "utf-8", "replace")


def _vectors(path: Path, reader: Any) -> Iterator[tuple[int, FloatArray]]:
    for tensor in reader.tensors:
        if not tensor.name.startswith(_TENSOR):
            continue
        number = tensor.name.removeprefix(_TENSOR)
        if not number.isdecimal():
            raise FormatError(f"{path}: {tensor.name} names no layer; expected {_TENSOR}<number>")
        values = np.array(tensor.data)
        if values.ndim != 1 or values.dtype.kind != "f":
            raise FormatError(f"{path}: {tensor.name} is {values.dtype} of shape {values.shape}, not one float vector")
        yield int(number), values.astype(np.float64)


def _restored(path: Path, item: Direction, notes: str) -> Direction:
    try:
        mine = json.loads(notes)[str(item.site.layer)]
        vector = item.vector / float(mine["factor"])
        return Direction.from_vector(mine["name"], vector, Site.parse(mine["site"]), mine["method"], mine["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: the notes of multidir in it do not fit its tensors ({error!r})") from error
