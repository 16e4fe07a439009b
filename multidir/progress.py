"""The one progress bar: how many of how many, how fast, how long still; for whatever takes more than two seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

_LOOK: dict[str, Any] = {"mininterval": 1, "delay": 2, "leave": None}
"""Redrawn once a second, from the second second on; one that is inside another goes when it ends."""


def progress(total: int, what: str, unit: str, done: int = 0) -> tqdm[Any]:
    """A bar on stderr, to be used in a `with` and moved on by `update`.

    Args:
        total: how many there are.
        what: is being made.
        unit: of it, singular; `B` for bytes, which are counted in MB and GB.
        done: how many of them an earlier run has left.
    """
    return tqdm(total=total, desc=what, unit=unit, initial=done, unit_scale=unit == "B", **_LOOK)


def each(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterable[T]:
    """The items, with a bar that moves on by one for each.

    Args:
        items: to go through.
        what: is being made of them.
        unit: of it, singular.
        total: how many there are; their length when none.
    """
    return tqdm(items, desc=what, unit=unit, total=total, **_LOOK)
