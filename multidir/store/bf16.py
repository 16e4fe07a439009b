"""Number formats of stored activations: raw bits on disk, an HDF5 type that describes them, float32 outside.

bfloat16 has no numpy type. On disk it is an HDF5 floating type with the fields of bfloat16, so that every
HDF5 reader shows correct float32; that conversion is slow, so multidir reads and writes the bits (uint16)
and does the shift itself, which is exact.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from multidir.errors import ConfigError
from multidir.types import FloatArray

if TYPE_CHECKING:
    import h5py

DtypeName = Literal["bfloat16", "float16", "float32"]

RAW: dict[str, np.dtype[Any]] = {
    "bfloat16": np.dtype("<u2"),
    "float16": np.dtype("<f2"),
    "float32": np.dtype("<f4"),
}
"""How the bits of each format are held in numpy."""

_INFINITY = {"bfloat16": 0x7F80, "float16": 0x7C00, "float32": 0x7F800000}
"""Bits of plus infinity."""

_BLOCK = 1 << 17
"""Values converted at a time: small enough to stay in the processor's cache."""


def check_dtype(name: str) -> None:
    """Refuse a format that the store does not have.

    Raises:
        ConfigError: `name` is not one of bfloat16, float16, float32.
    """
    if name not in RAW:
        raise ConfigError(f"no storage dtype {name!r}; there are {', '.join(get_args(DtypeName))}")


def h5_type(name: str) -> h5py.h5t.TypeID:
    """The HDF5 type: IEEE for float16 and float32, an own floating type with 8 exponent bits for bfloat16."""
    import h5py

    if name != "bfloat16":
        return h5py.h5t.py_create(RAW[name])
    kind = h5py.h5t.IEEE_F16LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)  # sign at bit 15, 8 exponent bits from bit 7, 7 mantissa bits from bit 0
    kind.set_ebias(127)
    return kind


def to_bits(values: FloatArray) -> np.ndarray[Any, Any]:
    """bfloat16 bits of float values, rounded to nearest even; every nan becomes the quiet nan.

    Args:
        values: any shape, converted to float32 first.

    Returns:
        uint16 of the same shape.
    """
    single = np.ascontiguousarray(values, dtype=np.float32)
    bits = single.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(single), np.uint16(0x7FC0), rounded.astype(np.uint16))


def encode(values: Any, name: str) -> np.ndarray[Any, Any]:
    """Raw values of a numpy array or torch tensor in a storage format; bfloat16 tensors keep their bits.

    Args:
        values: (t, d) numpy float array or torch float tensor on any device.
        name: storage format.

    Returns:
        (t, d) array of dtype `RAW[name]`.

    Raises:
        ConfigError: the values are not floating point.
    """
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported it; nobody else pays for it
    if torch is not None and isinstance(values, torch.Tensor):
        return _encode_tensor(torch, values, name)
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        raise ConfigError(f"activations must be floating point, got {array.dtype}")
    if name == "bfloat16":
        return to_bits(array)
    with np.errstate(over="ignore"):  # an overflow to infinity is refused by the writer, with a sentence
        return array.astype(RAW[name], copy=False)


def _encode_tensor(torch: Any, values: Any, name: str) -> np.ndarray[Any, Any]:
    if not values.is_floating_point():
        raise ConfigError(f"activations must be floating point, got {values.dtype}")
    stored = values.detach().to(device="cpu", dtype=getattr(torch, name)).contiguous()
    raw: np.ndarray[Any, Any] = stored.view(torch.uint16).numpy() if name == "bfloat16" else stored.numpy()
    return raw


def decode(raw: np.ndarray[Any, Any], name: str, out: FloatArray | None = None) -> FloatArray:
    """float32 of raw values; exact for every format.

    Args:
        raw: (n, d) array of dtype `RAW[name]`, in memory or mapped.
        name: storage format.
        out: (n, d) float32 to fill, C-contiguous.
    """
    out = np.empty(raw.shape, np.float32) if out is None else out
    if name != "bfloat16":
        out[...] = raw
        return out
    bits = out.view(np.uint32)
    step = max(1, _BLOCK // max(1, int(np.prod(raw.shape[1:]))))
    for start in range(0, len(raw), step):
        np.left_shift(raw[start : start + step], 16, out=bits[start : start + step], dtype=np.uint32)
    return out


def rows_not_finite(raw: np.ndarray[Any, Any], name: str) -> int:
    """How many rows hold an infinity or a nan.

    In integers, with and without a sign bit, the largest bits of all are those of an infinity or a nan of
    one sign: two maxima find them without a conversion.
    """
    unsigned, signed = (np.dtype(f"<{letter}{RAW[name].itemsize}") for letter in "ui")
    infinity, sign = _INFINITY[name], 1 << (8 * RAW[name].itemsize - 1)
    step, broken = max(1, _BLOCK // max(1, raw.shape[1])), 0
    for start in range(0, len(raw), step):
        bits = raw[start : start + step].view(unsigned)
        if bits.max(initial=0) >= sign | infinity or bits.view(signed).max(initial=0) >= infinity:
            broken += int(((bits & unsigned.type(sign - 1)) >= infinity).any(axis=1).sum())
    return broken
