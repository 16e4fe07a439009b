"""The shard file: an HDF5 file whose datasets are contiguous and allocated first, then filled at their offsets.

HDF5 writes only the headers. The bytes go straight to where the headers point, at the speed of a plain
file, and can be mapped from there later. The same columns give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from multidir.errors import FormatError
from multidir.store.bf16 import h5_type
from multidir.store.direct import bytes_of

_ALIGN_FROM, _ALIGN_TO = 65_536, 4_096


@dataclass(frozen=True, eq=False)
class Column:
    """One dataset: its shape, HDF5 type and attributes; the values may come later."""

    shape: tuple[int, ...]
    kind: h5py.h5t.TypeID
    attributes: dict[str, Any]


def numeric(values: np.ndarray[Any, Any], **attributes: Any) -> Column:
    """A column of the array's own number type."""
    return Column(values.shape, h5py.h5t.py_create(values.dtype), attributes)


def activations(shape: tuple[int, int], dtype: str, **attributes: Any) -> Column:
    """A column in one of the storage formats of activations."""
    return Column(shape, h5_type(dtype), attributes)


def texts(values: np.ndarray[Any, Any]) -> Column:
    """A column of fixed-length UTF-8 texts, from an array of bytes."""
    kind = h5py.string_dtype("utf-8", max(1, values.dtype.itemsize))
    return Column(values.shape, h5py.h5t.py_create(kind, logical=True), {})


def as_bytes(values: list[str]) -> np.ndarray[Any, Any]:
    """(n,) array of the UTF-8 bytes of texts, padded with zeros."""
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    return np.array(encoded, dtype=f"S{max(1, *map(len, encoded), 1)}")


def as_texts(values: np.ndarray[Any, Any]) -> list[str]:
    """Inverse of `as_bytes`."""
    return [bytes(value).decode("utf-8", "surrogatepass") for value in values]


def allocate(path: Path, columns: dict[str, Column], attributes: dict[str, Any]) -> dict[str, int]:
    """Create an HDF5 file with room for every column.

    Returns:
        Byte offset of each column that is not empty.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_alignment(_ALIGN_FROM, _ALIGN_TO)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V18)
    with h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fapl=access)) as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        offsets = {name: _allocate_one(file, name, column) for name, column in columns.items()}
    return {name: offset for name, offset in offsets.items() if offset is not None}


def _allocate_one(file: h5py.File, name: str, column: Column) -> int | None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)  # a time of day in the file would make every capture another file
    folder, _, leaf = name.rpartition("/")
    group = file.require_group(folder) if folder else file
    made = h5py.h5d.create(group.id, leaf.encode(), column.kind, h5py.h5s.create_simple(column.shape), plan)
    dataset = h5py.Dataset(made)
    for key, value in column.attributes.items():
        dataset.attrs[key] = value
    offset: int | None = made.get_offset()
    return offset


def digest_of(path: Path, offsets: dict[str, int], values: dict[str, np.ndarray[Any, Any]]) -> str:
    """sha256 that an allocated file will have once it is filled; runs while it is being filled.

    Headers are read from the file, columns are taken from memory.
    """
    digest, at = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        for name in sorted(offsets, key=offsets.__getitem__):
            digest.update(os.pread(file.fileno(), offsets[name] - at, at))
            data = bytes_of(values[name])
            digest.update(data)
            at = offsets[name] + len(data)
        digest.update(os.pread(file.fileno(), path.stat().st_size - at, at))
    return digest.hexdigest()


def read_columns(path: Path, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Whole small columns of a file, as arrays.

    Raises:
        FormatError: the file is not HDF5, or a column is missing.
    """
    try:
        with h5py.File(path, "r") as file:
            return {name: file[name][()] for name in names}  # pyright: ignore[reportIndexIssue]
    except KeyError as error:
        raise FormatError(f"{path}: a table is missing ({error}); the file was not written by multidir") from error
    except FileNotFoundError:
        raise FormatError(f"{path} is missing; restore it or capture again") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read as HDF5: {error}; restore it or capture again") from error
