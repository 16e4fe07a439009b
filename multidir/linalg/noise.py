"""Gaussian noise that is a pure function of a key: the same for any batch, any order of evaluation and any device."""

from __future__ import annotations

import math

from multidir.linalg.namespace import Array, namespace


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_STEP = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def mixed(x: Array) -> Array:
    """The finaliser of SplitMix64: int64 in, int64 out, one to one, every output bit depends on every input bit.

    Source: Steele, Lea, Flood, OOPSLA 2014, with Stafford's constants.
    """
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def combined(key: Array, part: Array) -> Array:
    """A new key from a key and one more part, both int64 of shapes that broadcast."""
    return mixed(key + (part + 1) * _STEP)


def gaussian(keys: Array, d: int) -> Array:
    """Standard normal numbers, d for each key.

    Args:
        keys: (...) int64, at least one-dimensional, made with `combined`.
        d: how many.
    Returns:
        (..., d) float64. Counters are hashed and paired by Box and Muller, in float64, so that devices agree to
        rounding.
    """
    xp = namespace(keys)
    half = (d + 1) // 2
    counter = xp.arange(half, dtype=xp.int64, device=getattr(keys, "device", None))
    bits = combined(keys[..., None], counter)
    radius = xp.sqrt(-2 * xp.log(_uniform(xp, _shifted(bits, 32))))
    angle = _uniform(xp, bits & 0xFFFFFFFF) * (2 * math.pi)
    return xp.concat([radius * xp.cos(angle), radius * xp.sin(angle)], axis=-1)[..., :d]


def _uniform(xp: object, bits: Array) -> Array:
    """Centre of the cell in (0, 1) of 32 random bits."""
    return (xp.astype(bits, xp.float64) + 0.5) / 2**32  # type: ignore[attr-defined]


def _shifted(x: Array, count: int) -> Array:
    """Bits moved to the right, zeros moved in."""
    return (x >> count) & ((1 << (64 - count)) - 1)
