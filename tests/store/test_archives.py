"""Stores written by every released version stay readable, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.plain import build
from multidir.store.store_manifest import VERSION
from tests.store.stores import ANNOTATOR

ARCHIVES = sorted((Path(__file__).parent / "archives").iterdir())


def test_every_version_has_an_archive() -> None:
    assert [path.name for path in ARCHIVES] == [f"v{number}" for number in range(1, VERSION + 1)]


@pytest.mark.parametrize("folder", ARCHIVES, ids=lambda path: path.name)
def test_an_archive_is_read_as_it_was_written(folder: Path) -> None:
    wanted = json.loads((folder / "expected.json").read_text())
    store = ActivationStore.open(folder / "store")
    assert store.verify() == []
    assert store.content_hash == wanted["content_hash"]
    for role, site in store.spec.keys:
        np.testing.assert_array_equal(store.rows(role, site, slice(None)), wanted["rows"][f"{role}/{site}"])
    assert store.token_ids.tolist() == wanted["token_ids"]
    assert store.position.tolist() == wanted["position"]
    assert list(store.iterate_traces()) == build(list[Trace], wanted["traces"])
    assert store.labels(ANNOTATOR) == build(list[Sentence], wanted["sentences"])
    assert store.label_sums(*store.spec.keys[0], ANNOTATOR).sums.tolist() == wanted["label_sums"]


@pytest.mark.parametrize("folder", ARCHIVES, ids=lambda path: path.name)
def test_an_archive_needs_nothing_but_hdf5(folder: Path) -> None:
    wanted = json.loads((folder / "expected.json").read_text())["rows"]
    for name, rows in wanted.items():
        found = []
        for path in sorted((folder / "store").glob("shard-*.h5")):
            with h5py.File(path) as file:
                found.append(file[f"acts/{name}"][:])
        np.testing.assert_array_equal(np.concatenate(found), rows)
