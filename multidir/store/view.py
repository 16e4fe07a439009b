"""A store as one HDF5 file for other tools: virtual datasets over the shards, no copy of the activations.

The view is for looking and for programs that read HDF5 only; multidir itself reads the shards. It holds the
shards' names relative to itself, so it lies in the store's folder and moves with it.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from multidir.errors import ConfigError
from multidir.store.activations import ActivationStore
from multidir.store.atomic import atomic_path
from multidir.store.spec import dataset_name

NAME = "view.h5"


def write_view(store: ActivationStore) -> Path:
    """Write `view.h5` into the store's folder: every set of activations and the token table over all shards.

    Write it again after the store was extended; an old view shows the old rows.

    Returns:
        Path of the view.
    Raises:
        ConfigError: the store is empty, or its folder cannot be written.
    """
    if not store.n_rows:
        raise ConfigError(f"store {store.path} has no rows to view; capture some first")
    path = store.path / NAME
    names = {f"acts/{dataset_name(key)}": (store.n_rows, store.d) for key in store.spec.keys}
    tables: dict[str, tuple[int, ...]] = {"tokens/id": (store.n_rows,), "tokens/position": (store.n_rows,)}
    with atomic_path(path) as partial, h5py.File(partial, "w", libver="v110") as file:
        for name, shape in {**names, **tables}.items():
            _join(file, name, shape, store)
        file.create_dataset("tokens/trace", data=store.trace_index)
        kind = h5py.string_dtype("utf-8")
        file.create_dataset("traces/id", data=[info.id for info in store.traces], dtype=kind)
        file.create_dataset("traces/row_start", data=np.array([info.row_start for info in store.traces]))
    return path


def _join(file: h5py.File, name: str, shape: tuple[int, ...], store: ActivationStore) -> None:
    """One virtual dataset whose pieces are the shards' datasets of the same name, in their own number type."""
    whole = h5py.h5s.create_simple(shape)
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    for shard in store.shards:
        piece = (shard.record.rows, *shape[1:])
        source = h5py.h5s.create_simple(piece)
        whole.select_hyperslab((shard.row_start, *(0,) * (len(shape) - 1)), piece)
        plan.set_virtual(whole, os.fsencode(shard.path.name), name.encode(), source)
    with h5py.File(store.shards[0].path, "r") as first:
        kind = first[name].id.get_type()  # pyright: ignore
    folder, _, leaf = name.rpartition("/")
    h5py.h5d.create(file.require_group(folder).id, leaf.encode(), kind, h5py.h5s.create_simple(shape), plan)
