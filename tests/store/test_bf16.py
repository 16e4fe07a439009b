"""Stored numbers are exact: every bfloat16 value, rounding to nearest even, and what HDF5 readers see."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import ConfigError
from multidir.store.bf16 import RAW, check_dtype, decode, encode, rows_not_finite, to_bits
from multidir.store.direct import write_at
from multidir.store.shard_file import activations, allocate

EVERY = np.arange(1 << 16, dtype=np.uint16)


def test_decode_of_every_bit_pattern_equals_torch() -> None:
    expected = torch.from_numpy(EVERY.copy()).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(decode(EVERY.reshape(-1, 64), "bfloat16").reshape(-1), expected)


def test_every_number_survives_decode_and_encode() -> None:
    single = decode(EVERY.reshape(-1, 64), "bfloat16").reshape(-1)
    number = ~np.isnan(single)
    np.testing.assert_array_equal(to_bits(single)[number], EVERY[number])


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_rounding_equals_torch(values: list[float]) -> None:
    single = np.array(values, np.float32)
    ours, theirs = decode(to_bits(single), "bfloat16"), torch.from_numpy(single).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_tensors_and_arrays_are_stored_alike(dtype: str, rng: np.random.Generator) -> None:
    single = rng.normal(size=(5, 7)).astype(np.float32)
    from_array, from_tensor = encode(single, dtype), encode(torch.from_numpy(single), dtype)
    assert from_array.dtype == from_tensor.dtype == RAW[dtype]
    np.testing.assert_array_equal(from_array, from_tensor)


def test_a_bfloat16_tensor_keeps_its_bits() -> None:
    tensor = torch.from_numpy(EVERY.copy()).view(torch.bfloat16).reshape(-1, 64)
    np.testing.assert_array_equal(encode(tensor.t(), "bfloat16"), EVERY.reshape(-1, 64).T)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_plain_hdf5_reads_the_right_numbers(tmp_path: Path, dtype: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=(9, 4)).astype(np.float32)
    raw = encode(values, dtype)
    offsets = allocate(tmp_path / "x.h5", {"a/b": activations((9, 4), dtype)}, {})
    with (tmp_path / "x.h5").open("rb+") as file:
        write_at(file.fileno(), None, offsets["a/b"], raw)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["a/b"][:].astype(np.float32), decode(raw, dtype))
        assert file["a/b"].chunks is None
        assert file["a/b"].id.get_type().get_size() == RAW[dtype].itemsize


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_rows_that_are_not_finite_are_counted(dtype: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=(70_000, 3)).astype(np.float32)
    values[[0, 3, 69_999], [0, 1, 2]] = [np.nan, np.inf, -np.inf]
    values[5] = float(torch.finfo(getattr(torch, dtype)).max)
    assert rows_not_finite(encode(values, dtype), dtype) == 3
    assert rows_not_finite(encode(values[1:3], dtype), dtype) == 0


def test_every_bit_pattern_is_judged_finite_as_torch_does() -> None:
    finite = torch.from_numpy(EVERY.copy()).view(torch.bfloat16).isfinite().numpy()
    found = [rows_not_finite(EVERY[i : i + 1].reshape(1, 1), "bfloat16") == 0 for i in range(0, 1 << 16, 13)]
    np.testing.assert_array_equal(found, finite[::13])


def test_unknown_formats_and_integers_are_refused() -> None:
    with pytest.raises(ConfigError, match="no storage dtype 'int8'; there are bfloat16, float16, float32"):
        check_dtype("int8")
    for values in (np.zeros((2, 2), int), torch.zeros(2, 2, dtype=torch.int32)):
        with pytest.raises(ConfigError, match="must be floating point, got"):
            encode(values, "bfloat16")
