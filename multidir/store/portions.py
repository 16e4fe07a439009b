"""Cutting a list of traces into portions of bounded size: the shards of a store, the stretches of a capture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def portions(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Consecutive places whose lengths together stay within `limit`; a longer one is a portion by itself.

    A portion ends before the first length that would exceed the limit, so the rest of a list that was cut at
    the end of a portion is cut as it would have been in one go.
    """
    found: list[int] = []
    held = 0
    for place, length in enumerate(lengths):
        if found and held + length > limit:
            yield found
            found, held = [], 0
        found.append(place)
        held += length
    if found:
        yield found
