"""The helper thread that runs ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from multidir.models.pipeline import prefetch


def test_same_items_same_order() -> None:
    assert list(prefetch(range(100), depth=3)) == list(range(100))
    assert list(prefetch([])) == []


def test_error_arrives_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broke here")

    items = prefetch(source())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broke here"):
        next(items)


def test_runs_ahead_but_not_without_bound() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    items = prefetch(source(), depth=2)
    next(items)
    time.sleep(0.2)
    assert 2 <= len(made) <= 5
    items.close()


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = prefetch(source())
    next(items)
    items.close()
    assert threading.active_count() == before
    assert closed.wait(1), "the source was closed too"
