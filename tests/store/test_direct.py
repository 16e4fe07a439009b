"""Writing past the page cache gives the same bytes, and where it cannot be done the usual way does it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multidir.store import direct
from multidir.store.activations import ActivationStore
from multidir.store.direct import aligned, direct_handle, write_at
from tests.store.stores import SITES, make_traces, spec


def written(path: Path, offset: int, values: np.ndarray) -> bytes:
    path.write_bytes(b"\0" * offset)
    with path.open("rb+", buffering=0) as file, direct_handle(path) as handle:
        write_at(file.fileno(), handle, offset, values)
    return path.read_bytes()[offset:]


@pytest.fixture
def large(rng: np.random.Generator) -> np.ndarray:
    """Three and a bit MiB, from the start of a page."""
    values = aligned((3, 1 << 20 | 12), np.dtype("u1"))
    values[...] = rng.integers(0, 256, values.shape)
    return values


@pytest.mark.parametrize("offset", [0, 4096, 8192, 100])
def test_bytes_are_the_same_at_any_offset(tmp_path: Path, large: np.ndarray, offset: int) -> None:
    assert written(tmp_path / "x", offset, large) == large.tobytes()


def test_small_and_unaligned_arrays_are_written_too(tmp_path: Path, large: np.ndarray) -> None:
    for number, values in enumerate((large[0, :100], large.reshape(-1)[1:], large[:, ::2], large[:0])):
        assert written(tmp_path / str(number), 4096, values) == values.tobytes()


def test_a_disk_that_refuses_is_written_the_usual_way(
    tmp_path: Path, large: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = os.pwrite, []

    def pwrite(handle: int, data: memoryview, offset: int) -> int:
        if len(data) == direct._PIECE or not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(handle, data, offset)

    monkeypatch.setattr(direct.os, "pwrite", pwrite)
    assert written(tmp_path / "x", 4096, large) == large.tobytes()
    assert refused == [4096]


def test_a_file_system_without_direct_writing_is_served(
    tmp_path: Path, large: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(direct.os, "O_DIRECT", raising=False)
    assert written(tmp_path / "x", 4096, large) == large.tobytes()


def test_other_errors_are_not_hidden(tmp_path: Path, large: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(direct.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "x", 4096, large)


def test_a_store_of_large_shards_is_right(tmp_path: Path, rng: np.random.Generator) -> None:
    wide = spec(d=1024, shard_rows=1500, models={"base": {}})
    traces = make_traces([700, 1100, 900])
    values = {
        trace.id: {key: rng.normal(size=(len(trace.token_ids), 1024)).astype(np.float32) for key in wide.keys}
        for trace in traces
    }
    with ActivationStore.create(tmp_path / "s", wide, traces) as writer:
        for trace in traces:
            writer.append(trace.id, values[trace.id])
    store = ActivationStore.open(tmp_path / "s")
    assert store.verify() == []
    assert [record.rows for record in store.manifest.shards] == [700, 1100, 900]
    for trace in traces:
        for site in SITES:
            rows = store.rows("base", site, store.trace_rows(trace.id))
            np.testing.assert_allclose(rows, values[trace.id]["base", site], rtol=2**-8)


def test_buffers_are_not_mixed_up_while_shards_are_on_their_way(
    tmp_path: Path, make_store: Callable[..., ActivationStore]
) -> None:
    store = make_store("s", lengths=[3] * 50, shard_rows=3)
    assert len(store.shards) == 50
    assert store.verify() == []
    again = make_store("t", lengths=[3] * 50, shard_rows=1000)
    key = store.spec.keys[0]
    np.testing.assert_array_equal(store.rows(*key, slice(None)), again.rows(*key, slice(None)))
